/*
 * acts: what a random program does, but for its disk and its sockets: entries of every family, and
 * between them the memory, the registrations and the rings that those entries lean on.
 */
#include <string.h>

#include "campaign_parts/model.h"

#define HOUR (3600ll * 1000000000ll)

static int64_t door(struct side *s, int64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	int64_t res = prog_enter(s->p, nr, a0, a1, a2, a3, (uint64_t)-1, 0);

	s->clock++;
	return res;
}

/* Half of the time one that is out on this ring, else any, or none. */
static struct rec *any_target(struct side *s, unsigned ring)
{
	unsigned from = (unsigned)sim_below(RECS);

	for (unsigned i = 0; i < RECS; i++) {
		struct rec *t = &s->recs[(from + i) % RECS];

		if (t->id && t->ring == ring && !t->retired)
			return t;
	}
	return NULL;
}

static uaddr_t put_time(struct side *s, struct rec *r, nsec_t ns)
{
	struct __kernel_timespec ts = { .tv_sec = (int64_t)(ns / 1000000000),
					.tv_nsec = (int64_t)(ns % 1000000000) };
	uaddr_t at = rec_mem(s, r);

	prog_write(s->p, at, &ts, sizeof(ts));
	r->ns = ns;
	return at;
}

/* ---- nothing --------------------------------------------------------------------------------- */

static void nop_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	if (r->fate >= FATE_DOOMED || (cqe->res == -ECANCELED && r->stops))
		return;
	model_check(s, r, cqe, cqe->res == (r->sqe.nop_flags ? (int32_t)r->sqe.len : 0));
}

static bool act_nop(struct side *s, struct rec *r)
{
	(void)s;
	r->sqe.opcode = IORING_OP_NOP;
	r->sqe.fd = -1;
	r->judge = nop_judge;
	if (sim_chance(4)) {
		r->sqe.nop_flags = IORING_NOP_INJECT_RESULT;
		r->sqe.len = (uint32_t)(sim_chance(2) ? -EIO : 5);
	}
	return true;
}

/* ---- time ------------------------------------------------------------------------------------ */

static void timeout_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	bool multi = r->sqe.timeout_flags & IORING_TIMEOUT_MULTISHOT;
	nsec_t past = arch_time_ns() - r->since;

	model_check(s, r, cqe, !r->removed || cqe->res == -ECANCELED);
	if (cqe->res == -ECANCELED)
		return;
	if (cqe->res == -ETIME) {
		model_check(s, r, cqe, past >= r->ns * (r->shots + 1u));
		model_check(s, r, cqe, !(cqe->flags & IORING_CQE_F_MORE) || multi);
		return;
	}
	/* as many others have come since */
	model_check(s, r, cqe, cqe->res == 0 && r->sqe.off && !multi);
	model_check(s, r, cqe, s->rings[r->ring].reaped - 1 - r->cq_seen >= r->sqe.off);
}

static bool act_timeout(struct side *s, struct rec *r)
{
	r->sqe.opcode = IORING_OP_TIMEOUT;
	r->sqe.len = 1;
	r->judge = timeout_judge;
	r->endless = sim_chance(3);
	r->sqe.addr = put_time(s, r, r->endless ? HOUR : sim_chance(4) ? 0 : sim_below(200000));
	if (sim_chance(3))
		r->sqe.off = 1 + sim_below(4);
	else if (sim_chance(4))
		r->sqe.timeout_flags = IORING_TIMEOUT_MULTISHOT;
	if (r->sqe.timeout_flags) {
		r->sqe.off = sim_below(4);
		r->endless |= !r->sqe.off;
		r->ns = max_of(r->ns, 20000ull);
		r->sqe.addr = put_time(s, r, r->ns);
	} else if (sim_chance(3)) {
		r->sqe.timeout_flags = IORING_TIMEOUT_ETIME_SUCCESS;
	}
	return true;
}

static void guard_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	model_check(s, r, cqe, cqe->res == -ETIME || cqe->res == -ECANCELED);
	model_check(s, r, cqe, !r->must_fire || cqe->res == -ETIME);
	model_check(s, r, cqe,
		    cqe->res != -ETIME || arch_time_ns() - r->since >= r->ns);
}

void act_guard(struct side *s, struct rec *r)
{
	r->sqe.opcode = IORING_OP_LINK_TIMEOUT;
	r->sqe.len = 1;
	r->judge = guard_judge;
	r->sqe.addr = put_time(s, r, sim_below(150000));
}

static bool act_sleep(struct side *s, struct rec *r)
{
	struct sluice_syscall_sqe call = { .opcode = IORING_OP_SYSCALL, .nr = SYS_nanosleep };

	r->endless = sim_chance(3);
	call.a0 = put_time(s, r, r->endless ? HOUR : sim_below(100000));
	call.user_data = r->id;
	memcpy(&r->sqe, &call, sizeof(call));
	return true;
}

/* ---- cancellations --------------------------------------------------------------------------- */

/* The target, if it is certain to have been within reach from the cancellation's beginning to its
 * end. */
static struct rec *sure_target(struct side *s, struct rec *r)
{
	struct rec *t = rec_find(s, r->target);

	return t && t->unheld && r->unheld && t->serial < r->serial &&
			       t->sqe.opcode == IORING_OP_TIMEOUT ?
		       t :
		       NULL;
}

static void cancel_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	struct rec *t = sure_target(s, r);

	if (r->fate >= FATE_DOOMED || (cqe->res == -ECANCELED && r->stops))
		return;
	if (r->broad || (r->sqe.cancel_flags & IORING_ASYNC_CANCEL_ALL)) {
		model_check(s, r, cqe, cqe->res >= 0 || cqe->res == -EBADF ||
			    (cqe->res == -ENOENT || cqe->res == -EALREADY));
		return;
	}
	model_check(s, r, cqe, cqe->res == 0 || cqe->res == -ENOENT || cqe->res == -EALREADY);
	/* it answers later than we do, so it was there */
	model_check(s, r, cqe, !t || cqe->res != -ENOENT);
	if (t && cqe->res == 0 && t->sqe.opcode == IORING_OP_TIMEOUT)
		t->removed = true;
	model_check(s, r, cqe, r->target || cqe->res == -ENOENT);
}

static void stop_all(struct side *s, unsigned ring)
{
	for (unsigned i = 0; i < RECS; i++)
		if (s->recs[i].id && s->recs[i].ring == ring)
			model_stop(&s->recs[i]);
}

void act_cancel_all(struct side *s, struct rec *r)
{
	r->sqe.opcode = IORING_OP_ASYNC_CANCEL;
	r->sqe.cancel_flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
	r->judge = cancel_judge;
	r->broad = true;
	stop_all(s, r->ring);
}

static bool act_cancel(struct side *s, struct rec *r)
{
	struct rec *t = any_target(s, r->ring);
	static const uint8_t ops[] = { IORING_OP_RECV, IORING_OP_TIMEOUT, IORING_OP_POLL_ADD,
				       IORING_OP_READ };

	r->sqe.opcode = IORING_OP_ASYNC_CANCEL;
	r->judge = cancel_judge;
	switch (sim_below(12)) {
	case 0:
		act_cancel_all(s, r);
		return true;
	case 1:
		r->sqe.cancel_flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL;
		r->sqe.fd = t && t->sqe.opcode != IORING_OP_SYSCALL ? t->sqe.fd : 0;
		break;
	case 2:
		r->sqe.cancel_flags = IORING_ASYNC_CANCEL_OP;
		r->sqe.len = ops[sim_below(array_count(ops))];
		break;
	default:
		r->sqe.addr = t ? t->id : sim_below(s->clock + 1) * RECS + sim_below(RECS);
		if (sim_chance(6))
			r->sqe.cancel_flags = IORING_ASYNC_CANCEL_ALL;
		if (!t && rec_find(s, r->sqe.addr))
			return false;
		r->target = t ? t->id : 0;
		if (t)
			model_stop(t);
		return true;
	}
	r->broad = true;
	stop_all(s, r->ring);
	return true;
}

static void remove_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	if (r->sqe.opcode == IORING_OP_TIMEOUT_REMOVE &&
	    (r->sqe.timeout_flags & IORING_TIMEOUT_UPDATE)) {
		/* it has a new time, or it had ended */
		model_check(s, r, cqe, cqe->res <= 0);
		return;
	}
	cancel_judge(s, r, cqe);
}

static bool act_remove(struct side *s, struct rec *r)
{
	struct rec *t = any_target(s, r->ring);

	if (!t || (t->sqe.opcode != IORING_OP_TIMEOUT && t->sqe.opcode != IORING_OP_POLL_ADD))
		return false;
	r->sqe.opcode = t->sqe.opcode == IORING_OP_TIMEOUT ? IORING_OP_TIMEOUT_REMOVE
							   : IORING_OP_POLL_REMOVE;
	r->judge = remove_judge;
	r->target = r->sqe.addr = t->id;
	if (t->sqe.opcode == IORING_OP_TIMEOUT && sim_chance(3)) {
		nsec_t ns = sim_below(100000);

		r->sqe.timeout_flags = IORING_TIMEOUT_UPDATE;
		r->sqe.off = put_time(s, r, ns);
		t->ns = 0; /* from which moment it counts is not known here */
		r->ns = 0;
		return true;
	}
	model_stop(t);
	return true;
}

/* ---- console --------------------------------------------------------------------------------- */

static void tty_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	/* nobody types */
	model_check(s, r, cqe, cqe->res == -ECANCELED || (cqe->res == -EFAULT && r->torn));
}

static bool act_tty(struct side *s, struct rec *r)
{
	r->judge = tty_judge;
	r->endless = true;
	if (sim_chance(2)) {
		r->sqe.opcode = IORING_OP_POLL_ADD;
		r->sqe.poll32_events = POLLIN;
		r->sqe.len = sim_chance(3) ? IORING_POLL_ADD_MULTI : 0;
		return true;
	}
	r->sqe.opcode = IORING_OP_READ;
	r->sqe.addr = rec_mem(s, r);
	r->sqe.len = r->len = 1 + (uint32_t)sim_below(100);
	r->sqe.off = (uint64_t)-1;
	return true;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static void stale_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	model_check(s, r, cqe, cqe->res == 0 || cqe->res == -ECANCELED);
	if (cqe->res)
		act_drop_fd(s, r->sqe.fd);
}

void act_drop_fd(struct side *s, int fd)
{
	if (s->stale_count < array_count(s->stale))
		s->stale[s->stale_count++] = fd;
}

bool act_close_stale(struct side *s, struct rec *r)
{
	if (!s->stale_count)
		return false;
	r->sqe.opcode = IORING_OP_CLOSE;
	r->sqe.fd = s->stale[--s->stale_count];
	r->judge = stale_judge;
	return true;
}

static void open_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	if (cqe->res >= 0) {
		act_drop_fd(s, cqe->res);
		return;
	}
	model_check(s, r, cqe, cqe->res == -ECANCELED || cqe->res == -ENFILE ||
		    (r->torn && (cqe->res == -EFAULT || cqe->res == -ENOENT)));
}

static bool act_open(struct side *s, struct rec *r)
{
	prog_write(s->p, rec_mem(s, r), "/dev/zero", 10);
	r->sqe.opcode = IORING_OP_OPENAT;
	r->sqe.fd = AT_FDCWD;
	r->sqe.addr = rec_mem(s, r);
	r->judge = open_judge;
	return true;
}

static void statx_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	model_check(s, r, cqe, cqe->res == 0 || cqe->res == -ECANCELED ||
		    (r->torn && (cqe->res == -EFAULT || cqe->res == -ENOENT)));
}

static bool act_statx(struct side *s, struct rec *r)
{
	prog_write(s->p, rec_mem(s, r), "/dev/vda", 9);
	r->sqe.opcode = IORING_OP_STATX;
	r->sqe.fd = AT_FDCWD;
	r->sqe.addr = rec_mem(s, r);
	r->sqe.len = 0x7ff;
	r->sqe.off = rec_mem(s, r) + 512;
	r->judge = statx_judge;
	return true;
}

static void update_judge(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	model_check(s, r, cqe, cqe->res == 1 || cqe->res == -ECANCELED || cqe->res == -ENXIO ||
		    (r->torn && (cqe->res == -EFAULT || cqe->res == -EBADF)));
}

/* Slot 2 of the registered files: the disk, or nothing. */
static bool act_files_update(struct side *s, struct rec *r)
{
	int32_t fd = sim_chance(2) ? s->disk_fd : -1;

	if (r->ring)
		return false;
	prog_write(s->p, rec_mem(s, r), &fd, sizeof(fd));
	r->sqe.opcode = IORING_OP_FILES_UPDATE;
	r->sqe.addr = rec_mem(s, r);
	r->sqe.len = 1;
	r->sqe.off = 2;
	r->judge = update_judge;
	return true;
}

/* ---- one of them ----------------------------------------------------------------------------- */

bool act_any(struct side *s, struct rec *r)
{
	static bool (*const acts[])(struct side *, struct rec *) = {
		act_nop,     act_nop,	act_timeout, act_timeout, act_sleep, act_cancel,
		act_cancel,  act_cancel, act_remove,  act_tty,	  disk_act,  disk_act,
		disk_act,    disk_act,	disk_act,    act_open,	  act_statx, act_files_update,
		stream_act,  stream_act, stream_act,  stream_act, stream_act, stream_act,
	};

	return acts[sim_below(array_count(acts))](s, r);
}

void act_fd_closes(struct side *s, int fd)
{
	for (unsigned i = 0; i < RECS; i++)
		if (s->recs[i].id && s->recs[i].sqe.fd == fd)
			model_stop(&s->recs[i]);
}

/* ---- between entries ------------------------------------------------------------------------- */

/* Takes the memory of a record in flight away, and puts other memory there, or forgets what it
 * held. */
static void aside_memory(struct side *s)
{
	unsigned i = (unsigned)sim_below(RECS);
	struct rec *r = &s->recs[i];
	uaddr_t at = rec_mem(s, r);

	if (!r->id || r->sqe.opcode == IORING_OP_TIMEOUT ||
	    r->sqe.opcode == IORING_OP_FILES_UPDATE ||
	    r->sqe.opcode == IORING_OP_TIMEOUT_REMOVE ||
	    r->sqe.opcode == IORING_OP_LINK_TIMEOUT || r->sqe.opcode == IORING_OP_SYSCALL ||
	    r->end)
		return;
	r->torn = true;
	s->apart[i] = true;
	/* what it writes is not known any more, and its answer may never be seen */
	for (uint64_t b = r->off; r->stamp && b < r->off + r->len; b++)
		s->cells[b].any = true;
	if (sim_chance(2)) {
		sim_check(door(s, SYS_munmap, at, REC_BYTES, 0, 0) == 0);
		for (uint64_t n = sim_below(10); n; n--)
			prog_pause(s->p);
		sim_check(door(s, SYS_mmap, at, REC_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) == (int64_t)at);
	} else {
		sim_check(door(s, SYS_madvise, at, REC_BYTES, 4 /* DONTNEED */, 0) == 0);
	}
}

static int64_t ring_register(struct side *s, uint32_t code, uaddr_t at, uint32_t n)
{
	return door(s, SYS_io_uring_register, (uint64_t)s->rings[0].view.start.ring_fd, code, at,
		    n);
}

static void aside_files(struct side *s)
{
	int32_t fds[4] = { s->disk_fd, s->disk_fd, -1, -1 };

	if (s->has_files) {
		sim_check(ring_register(s, IORING_UNREGISTER_FILES, 0, 0) == 0);
	} else {
		prog_write(s->p, s->small, fds, sizeof(fds));
		sim_check(ring_register(s, IORING_REGISTER_FILES, s->small, 4) == 0);
	}
	s->has_files = !s->has_files;
}

static void aside_bufs(struct side *s)
{
	uint64_t vec[2] = { s->mem, RECS * REC_BYTES };
	int64_t res;

	if (s->has_bufs) {
		for (unsigned i = 0; i < RECS; i++)
			if (s->recs[i].id && (s->recs[i].sqe.opcode == IORING_OP_READ_FIXED ||
					      s->recs[i].sqe.opcode == IORING_OP_WRITE_FIXED))
				s->recs[i].torn = true;
		sim_check(ring_register(s, IORING_UNREGISTER_BUFFERS, 0, 0) == 0);
		s->has_bufs = false;
		return;
	}
	prog_write(s->p, s->small, vec, sizeof(vec));
	res = ring_register(s, IORING_REGISTER_BUFFERS, s->small, 1);
	sim_check(res == 0 || res == -ENOMEM);
	s->has_bufs = res == 0;
	memset(s->apart, 0, sizeof(s->apart));
}

/* ---- provided buffers ------------------------------------------------------------------------ */

void group_provide(struct side *s)
{
	for (unsigned i = 0; s->has_group && i < BUFS; i++) {
		/* now and then one that is no memory: -EFAULT, and given back or named */
		struct io_uring_buf buf = { .addr = sim_chance(12) ?
							    PAGE_SIZE :
							    s->group_mem + i * BUF_BYTES,
					    .len = BUF_BYTES,
					    .bid = (uint16_t)i };
		uaddr_t at = s->group_at + s->group_tail % BUFS * sizeof(buf);

		if (s->with_kernel[i] || sim_chance(3))
			continue;
		/* the tail lies in the last two bytes of entry 0 */
		prog_write(s->p, at, &buf, 14);
		s->with_kernel[i] = true;
		s->group_tail++;
		prog_write(s->p, s->group_at + 14, &s->group_tail, 2);
	}
}

uaddr_t group_take(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	unsigned bid = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

	model_check(s, r, cqe, (r->sqe.flags & IOSQE_BUFFER_SELECT) && bid < BUFS);
	model_check(s, r, cqe, s->with_kernel[bid] || r->torn);
	s->with_kernel[bid] = false;
	s->group_taken++;
	return s->group_mem + bid * BUF_BYTES;
}

static bool group_is_quiet(const struct side *s)
{
	for (unsigned i = 0; i < RECS; i++)
		if (s->recs[i].id && (s->recs[i].sqe.flags & IOSQE_BUFFER_SELECT))
			return false;
	return true;
}

/* Nobody is at it: the kernel has taken as many buffers as it has named. */
static void group_audit(struct side *s)
{
	struct io_uring_buf_status status = { .buf_group = GROUP };

	prog_write(s->p, s->small, &status, sizeof(status));
	sim_check(ring_register(s, IORING_REGISTER_PBUF_STATUS, s->small, 1) == 0);
	prog_read(s->p, s->small, &status, sizeof(status));
	if ((uint16_t)status.head != s->group_taken)
		sim_fail("program %u: the kernel has taken %u provided buffers and named %u",
			 s->index, status.head, s->group_taken);
}

static void aside_group(struct side *s)
{
	struct io_uring_buf_reg reg = { .ring_addr = s->group_at, .ring_entries = BUFS,
					.bgid = GROUP };
	uint16_t zero = 0;

	if (s->has_group && group_is_quiet(s))
		group_audit(s);
	prog_write(s->p, s->small, &reg, sizeof(reg));
	if (s->has_group) {
		sim_check(ring_register(s, IORING_UNREGISTER_PBUF_RING, s->small, 1) == 0);
		/* buffers taken before, and named later, are of no group */
		for (unsigned i = 0; i < RECS; i++)
			if (s->recs[i].id && (s->recs[i].sqe.flags & IOSQE_BUFFER_SELECT))
				s->recs[i].torn = true;
		s->has_group = false;
		return;
	}
	if (!group_is_quiet(s))
		return;
	memset(s->with_kernel, 0, sizeof(s->with_kernel));
	s->group_tail = s->group_taken = 0;
	prog_write(s->p, s->group_at + 14, &zero, 2);
	sim_check(ring_register(s, IORING_REGISTER_PBUF_RING, s->small, 1) == 0);
	s->has_group = true;
	group_provide(s);
}

/* ---- rings ----------------------------------------------------------------------------------- */

static uaddr_t map_part(struct side *s, int64_t fd, uint64_t len, uint64_t off)
{
	int64_t at = prog_enter(s->p, SYS_mmap, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED,
				(uint64_t)fd, off);

	sim_check(at > 0);
	return (uaddr_t)at;
}

bool ring_side_make(struct side *s, unsigned ring)
{
	struct ring_side *rs = &s->rings[ring];
	struct io_uring_params params = { .flags = IORING_SETUP_NO_SQARRAY |
						   IORING_SETUP_SUBMIT_ALL };
	int64_t fd;

	if (!s->mixed && sim_chance(2))
		params.flags |= IORING_SETUP_SQPOLL;
	if (sim_chance(2)) { /* a CQ that is full now and then */
		params.flags |= IORING_SETUP_CQSIZE;
		params.cq_entries = 16;
	}
	prog_write(s->p, s->small, &params, sizeof(params));
	fd = door(s, SYS_io_uring_setup, 16, s->small, 0, 0);
	if (fd == -ENOMEM)
		return false;
	sim_check(fd > 3);
	prog_read(s->p, s->small, &params, sizeof(params));
	rs->ring_len = align_up(params.cq_off.cqes + params.cq_entries * 16ull, PAGE_SIZE);
	rs->sqes_len = align_up(params.sq_entries * 64ull, PAGE_SIZE);
	rs->ring_at = map_part(s, fd, rs->ring_len, IORING_OFF_SQ_RING);
	rs->sqes_at = map_part(s, fd, rs->sqes_len, IORING_OFF_SQES);
	rs->view = *s->p;
	rs->view.start.ring_fd = (int32_t)fd;
	rs->view.start.params = params;
	rs->view.start.sq_ring = rs->view.start.cq_ring = rs->ring_at;
	rs->view.start.sqes = rs->sqes_at;
	rs->view.sq_tail = rs->view.cq_head = 0;
	rs->reaped = 0;
	rs->open = true;
	return true;
}

void ring_side_close(struct side *s, unsigned ring)
{
	struct ring_side *rs = &s->rings[ring];

	model_ring_died(s, ring);
	act_drop_fd(s, rs->view.start.ring_fd);
	sim_check(door(s, SYS_munmap, rs->ring_at, rs->ring_len, 0, 0) == 0);
	sim_check(door(s, SYS_munmap, rs->sqes_at, rs->sqes_len, 0, 0) == 0);
}

void act_aside(struct side *s)
{
	unsigned ring = 1 + (unsigned)sim_below(RINGS - 1);

	switch (sim_below(8)) {
	case 0 ... 1:
		aside_memory(s);
		return;
	case 2:
		aside_files(s);
		return;
	case 3:
		aside_bufs(s);
		return;
	case 4:
		aside_group(s);
		return;
	case 5:
		group_provide(s);
		return;
	default:
		if (!s->rings[ring].open)
			(void)ring_side_make(s, ring);
		else if (sim_chance(3))
			ring_side_close(s, ring);
	}
}

void acts_begin(struct side *s)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_OPENAT,
				    .fd = AT_FDCWD,
				    .open_flags = O_RDWR,
				    .user_data = 1 };

	s->mem = prog_map(s->p, RECS * REC_BYTES);
	s->small = prog_map(s->p, PAGE_SIZE);
	s->group_at = prog_map(s->p, PAGE_SIZE);
	s->group_mem = prog_map(s->p, align_up(BUFS * BUF_BYTES, PAGE_SIZE));
	prog_write(s->p, s->small, "/dev/vda", 9);
	sqe.addr = s->small;
	s->disk_fd = prog_do(s->p, &sqe, NULL);
	sim_check(s->disk_fd > 2);
}
