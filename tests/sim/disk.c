/*
 * Are bytes what was written last, when the disk is late, out of order, full of errors, and small;
 * and do frames under DMA return when the device answers, even if their program is long dead?
 */
#include <stdlib.h>
#include <string.h>

#include "lib/prog.h"
#include "uapi/errno.h"
#include "uapi/fs.h"

#define SECTORS 2048u
#define SECTOR 512u
#define JOBS 12u
#define JOB_BYTES 16384u

/* Each program owns a share of the disk, so that it knows what is there. */
struct share {
	uint64_t first, bytes;
	uint8_t *model;
	bool errors_expected;
};

static int open_disk(struct sim_prog *p, uaddr_t at)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_OPENAT,
				    .fd = AT_FDCWD,
				    .addr = at,
				    .open_flags = O_RDWR,
				    .user_data = 1 };
	int fd;

	prog_write(p, at, "/dev/vda", 9);
	fd = prog_do(p, &sqe, NULL);
	sim_check(fd > 2);
	return fd;
}

struct job {
	bool busy, write;
	uint64_t off;
	uint32_t len, done;
	uint8_t *data; /* what a write writes, or a read has read */
};

static bool overlaps(const struct job *jobs, uint64_t off, uint32_t len)
{
	for (unsigned i = 0; i < JOBS; i++)
		if (jobs[i].busy && off < jobs[i].off + jobs[i].len && jobs[i].off < off + len)
			return true;
	return false;
}

static void job_submit(struct sim_prog *p, int fd, uaddr_t buf, unsigned i, const struct share *s,
		       struct job *j)
{
	struct io_uring_sqe sqe = { .opcode = j->write ? IORING_OP_WRITE : IORING_OP_READ,
				    .fd = fd,
				    .off = s->first + j->off + j->done,
				    .addr = buf + i * JOB_BYTES + j->done,
				    .len = j->len - j->done,
				    .user_data = i };

	sim_check(prog_sqe(p, &sqe));
	prog_submit(p);
}

static void job_begin(struct sim_prog *p, int fd, uaddr_t buf, unsigned i, struct share *s,
		      struct job *jobs)
{
	struct job *j = &jobs[i];
	uint32_t len = 1 + (uint32_t)sim_below(JOB_BYTES);
	uint64_t off = sim_below(s->bytes - len);

	if (sim_chance(2)) { /* whole sectors: the short way */
		len = align_up(len, SECTOR);
		off = align_down(off, (uint64_t)SECTOR);
	}
	if (off + len > s->bytes ||
	    overlaps(jobs, align_down(off, (uint64_t)SECTOR), len + 2 * SECTOR))
		return;
	j->busy = true;
	j->write = sim_chance(2);
	j->off = off;
	j->len = len;
	j->done = 0;
	if (j->write) {
		for (uint32_t k = 0; k < len; k++)
			j->data[k] = (uint8_t)sim_random();
		prog_write(p, buf + i * JOB_BYTES, j->data, len);
	}
	job_submit(p, fd, buf, i, s, j);
}

/* A piece is done: all of it, part of it, or an error; a write that failed is written again, since
 * nobody knows what is there now. */
static void job_end(struct sim_prog *p, int fd, uaddr_t buf, unsigned i, struct share *s,
		    struct job *j, int32_t res)
{
	sim_check(res > 0 || (res == -EIO && s->errors_expected));
	sim_check(res < 0 || (uint32_t)res <= j->len - j->done);
	if (res > 0)
		j->done += (uint32_t)res;
	if (j->done < j->len) {
		job_submit(p, fd, buf, i, s, j);
		return;
	}
	if (j->write) {
		memcpy(s->model + j->off, j->data, j->len);
	} else {
		prog_read(p, buf + i * JOB_BYTES, j->data, j->len);
		sim_check(!memcmp(j->data, s->model + j->off, j->len));
	}
	j->busy = false;
}

static void works(struct sim_prog *p)
{
	struct share *s = p->arg;
	struct job jobs[JOBS] = { 0 };
	uaddr_t path = prog_map(p, PAGE_SIZE), buf = prog_map(p, JOBS * JOB_BYTES);
	int fd = open_disk(p, path);
	unsigned begun = 0, busy = 0;

	for (unsigned i = 0; i < JOBS; i++)
		jobs[i].data = malloc(JOB_BYTES);
	while (begun < 150 || busy) {
		unsigned i = (unsigned)sim_below(JOBS);
		struct io_uring_cqe cqe;

		if (begun < 150 && !jobs[i].busy) {
			job_begin(p, fd, buf, i, s, jobs);
			begun++;
			busy += jobs[i].busy;
		}
		if (busy && sim_chance(2)) {
			prog_wait_cqe(p, &cqe);
			sim_check(cqe.user_data < JOBS && jobs[cqe.user_data].busy);
			job_end(p, fd, buf, (unsigned)cqe.user_data, s, &jobs[cqe.user_data],
				cqe.res);
			busy -= !jobs[cqe.user_data].busy;
		}
	}
	for (unsigned i = 0; i < JOBS; i++)
		free(jobs[i].data);
}

static void run_shares(unsigned eio_permille, unsigned programs)
{
	struct share shares[4];

	sim_disk.eio_permille = eio_permille;
	for (unsigned i = 0; i < programs; i++) {
		shares[i] = (struct share){ .bytes = SECTORS / programs * SECTOR,
					    .errors_expected = eio_permille };
		shares[i].first = i * shares[i].bytes;
		shares[i].model = calloc(1, shares[i].bytes);
		sim_spawn(works, &shares[i], 1, 0);
	}
	sim_finish();
	sim_check(!sim_failed_programs());
	for (unsigned i = 0; i < programs; i++) {
		sim_check(!memcmp(shares[i].model, sim_disk.bytes + shares[i].first,
				  shares[i].bytes));
		free(shares[i].model);
	}
	sim_check(sim_disk.requests > 100);
	sim_check(!eio_permille == !sim_disk.errors);
}

static void good_disk(void)
{
	run_shares(0, 2);
}

static void bad_disk(void)
{
	run_shares(150, 3);
}

static void shallow_disk(void)
{
	sim_disk.depth = 1;
	run_shares(30, 2);
}

/* Reads whole buffers for ever and frees them meanwhile; dies by itself or is killed. */
static void careless(struct sim_prog *p)
{
	uaddr_t path = prog_map(p, PAGE_SIZE), bufs[4];
	int fd = open_disk(p, path);

	for (unsigned i = 0; i < 4; i++)
		bufs[i] = prog_map(p, 65536);
	for (unsigned n = 0; n < 200; n++) {
		unsigned i = (unsigned)sim_below(4);
		struct io_uring_sqe sqe = { .opcode = sim_chance(2) ? IORING_OP_READ
								    : IORING_OP_WRITE,
					    .fd = fd,
					    .addr = bufs[i],
					    .len = 65536,
					    .off = sim_below(SECTORS - 128) * SECTOR,
					    .user_data = n };
		struct io_uring_cqe cqe;

		if (!prog_sqe(p, &sqe))
			break;
		prog_submit(p);
		/* throw the buffer away under the device, and make a new one at the same place */
		if (sim_chance(4)) {
			prog_enter(p, 215 /* munmap */, bufs[i], 65536, 0, 0, 0, 0);
			if (sim_chance(2))
				bufs[i] = prog_map(p, 65536);
			else
				prog_enter(p, 222 /* mmap, FIXED */, bufs[i], 65536, 3, 0x32,
					   (uint64_t)-1, 0);
		}
		while (sim_chance(3) && prog_cqe(p, &cqe))
			sim_check(cqe.res > 0 || cqe.res == -EFAULT || cqe.res == -EIO);
	}
}

static void dies_under_dma(void)
{
	struct process *p[5];

	sim_disk.delay_max = 3000000;
	sim_disk.eio_permille = 50;
	for (int i = 0; i < 5; i++)
		p[i] = sim_spawn(careless, NULL, 1 + (unsigned)i % 2, 0);
	for (int i = 0; i < 3; i++) {
		sim_for(sim_below(2000000));
		sim_kill(p[i]);
	}
	sim_finish();
}

int main(void)
{
	static const struct sim_test tests[] = {
		{ .name = "disk late and out of order",
		  .run = good_disk,
		  .cores = 2,
		  .disk_sectors = SECTORS },
		{ .name = "disk with errors",
		  .run = bad_disk,
		  .cores = 2,
		  .disk_sectors = SECTORS },
		{ .name = "disk that takes one request",
		  .run = shallow_disk,
		  .cores = 2,
		  .disk_sectors = SECTORS },
		{ .name = "disk on another core",
		  .run = bad_disk,
		  .cores = 3,
		  .disk_sectors = SECTORS,
		  .cmdline = "map=0:kernel,1:user,2:io" },
		{ .name = "frames under DMA return",
		  .run = dies_under_dma,
		  .cores = 3,
		  .disk_sectors = SECTORS },
	};

	return sim_main(tests, array_count(tests));
}
