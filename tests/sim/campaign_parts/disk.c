/*
 * disk: what a random program does with its share of the disk: reads and writes of every form,
 * holes and syncs, and which answers are right. What each byte may be is for bytes.c to know.
 */
#include "campaign_parts/model.h"

static bool disk_refused(const struct rec *r, int32_t res)
{
	return res == -ECANCELED ||
	       (res == -EFAULT && (r->torn || (r->sqe.flags & IOSQE_BUFFER_SELECT))) ||
	       (res == -EIO && world.disk_fails) ||
	       (res == -EBADF && (r->sqe.flags & IOSQE_FIXED_FILE));
}

static void write_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	int32_t moved = cqe->res;

	if (r->sqe.opcode == IORING_OP_FALLOCATE && !moved)
		moved = (int32_t)r->len;
	/* an array of buffers that was taken away is one of empty buffers */
	model_check(s, r, cqe, moved > 0 || disk_refused(r, moved) || (!moved && r->torn));
	model_check(s, r, cqe, moved <= (int32_t)r->len);
	model_check(s, r, cqe, moved < 0 || moved == (int32_t)r->len || world.disk_fails ||
		    r->torn || r->stops || r->guarded);
	bytes_write_end(s, r, moved > 0 && !r->torn ? (uint32_t)moved : 0);
	if (r->after && moved > 0 && !r->torn) {
		r->after->behind.begun = r->serial;
		r->after->behind.off = r->off;
		r->after->behind.len = (uint32_t)moved;
	}
}

static void read_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	uint8_t data[REC_BYTES];
	uaddr_t from = rec_mem(s, r);

	if (cqe->flags & IORING_CQE_F_BUFFER)
		from = group_take(s, r, cqe);
	if (cqe->res < 0) {
		model_check(s, r, cqe, disk_refused(r, cqe->res) ||
			    (cqe->res == -ENOBUFS && (r->sqe.flags & IOSQE_BUFFER_SELECT)));
		return;
	}
	model_check(s, r, cqe, cqe->res > 0 || r->torn);
	model_check(s, r, cqe, cqe->res <= (int32_t)r->len);
	model_check(s, r, cqe, cqe->res == (int32_t)r->len || world.disk_fails || r->torn ||
		    r->stops || r->guarded);
	if (r->torn)
		return;
	prog_read(s->p, from, data, (size_t)cqe->res);
	bytes_read_judge(s, r, data, (uint32_t)cqe->res);
}

static void sync_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	model_check(s, r, cqe, cqe->res == 0 || disk_refused(r, cqe->res));
}

static void disk_vector(struct side *s, struct rec *r)
{
	struct {
		uint64_t base, len;
	} v[3];
	uint32_t first = (uint32_t)sim_below(r->len + 1);
	uaddr_t mem = rec_mem(s, r), at = mem + REC_BYTES - sizeof(v);

	v[0].base = mem;
	v[0].len = first;
	v[1].base = mem + 64;
	v[1].len = 0;
	v[2].base = mem + first;
	v[2].len = r->len - first;
	prog_write(s->p, at, v, sizeof(v));
	r->sqe.addr = at;
	r->sqe.len = 3;
}

static void write_fill(struct side *s, struct rec *r)
{
	uint8_t data[REC_BYTES];

	r->stamp = ++s->stamps ? s->stamps : ++s->stamps;
	for (uint32_t i = 0; i < r->len; i++)
		data[i] = byte_of(r->stamp, r->off + i);
	prog_write(s->p, rec_mem(s, r), data, r->len);
	r->judge = write_judge;
}

bool disk_act(struct side *s, struct rec *r)
{
	bool write = sim_chance(2);
	unsigned form = (unsigned)sim_below(5);

	r->sqe.fd = s->disk_fd;
	if (sim_chance(10)) {
		r->sqe.opcode = IORING_OP_FSYNC;
		r->judge = sync_judge;
		return true;
	}
	r->len = 1 + (uint32_t)sim_below(sim_chance(3) ? 5000 : 700);
	r->off = sim_below(SHARE - r->len);
	if (sim_chance(2)) {
		r->len = align_up(r->len, BLOCK);
		r->off = align_down(r->off, (uint64_t)BLOCK);
	}
	if (sim_chance(12)) {
		r->len = align_up(r->len, BLOCK);
		r->off = align_down(r->off, (uint64_t)BLOCK);
		r->sqe.opcode = IORING_OP_FALLOCATE;
		r->sqe.off = s->index * SHARE + r->off;
		r->sqe.addr = r->len;
		r->sqe.len = sim_chance(2) ? FALLOC_FL_ZERO_RANGE
					   : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
		r->judge = write_judge;
		bytes_write_begin(s, r);
		return true;
	}
	if (r->off + r->len > SHARE)
		return false;
	r->sqe.off = s->index * SHARE + r->off;
	r->sqe.addr = rec_mem(s, r);
	r->sqe.len = r->len;
	r->sqe.opcode = write ? IORING_OP_WRITE : IORING_OP_READ;
	r->judge = read_judge;
	if (write)
		write_fill(s, r);
	switch (form) {
	case 0:
		r->sqe.opcode = write ? IORING_OP_WRITEV : IORING_OP_READV;
		disk_vector(s, r);
		break;
	case 1:
		if (r->ring || s->apart[r - s->recs])
			break;
		r->sqe.opcode = write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED;
		r->torn = !s->has_bufs;
		break;
	case 2:
		if (r->ring || write)
			break;
		r->len = r->sqe.len = min_of(r->len, BUF_BYTES);
		r->sqe.flags |= IOSQE_BUFFER_SELECT;
		r->sqe.buf_group = GROUP;
		r->sqe.addr = 0;
		break;
	}
	if (!r->ring && s->has_files && sim_chance(3)) {
		r->sqe.fd = (int32_t)sim_below(3); /* slot 2 comes and goes */
		r->sqe.flags |= IOSQE_FIXED_FILE;
	}
	if (write)
		bytes_write_begin(s, r);
	return true;
}
