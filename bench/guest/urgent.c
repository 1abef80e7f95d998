/*
 * b_urgent TRIALS: how long does an urgent operation wait behind a long one of the least priority?
 *
 * In each trial a large read of a memory file is submitted, idle, and before it an urgent timeout
 * with an urgent clock_gettime behind it, whose moment comes while the copy is under way. What it
 * wrote down, less the timeout's moment, is the time from the wake-up to the first step behind it.
 */
#include "lib/guest.h"
#include "uapi/mman.h"
#include "uapi/time.h"

#define FILE_BYTES (4u << 20)
#define SOONEST_NS 60000u
#define SPREAD_NS 800000u /* the copy takes longer than both together */
#define TRIALS_MAX 4096u

static uint64_t waits[TRIALS_MAX];
static struct ring *ring;

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static uint64_t ns_of(const struct __kernel_timespec *ts)
{
	return (uint64_t)ts->tv_sec * 1000000000u + (uint64_t)ts->tv_nsec;
}

static uint64_t trial(int fd, uint64_t buf, uint64_t after_ns)
{
	const uint16_t urgent = sluice_ioprio(0, 0);
	static struct __kernel_timespec when, told;
	uint64_t due = guest_ns() + after_ns;
	struct io_uring_sqe *sqe;

	when = (struct __kernel_timespec){ .tv_sec = (int64_t)(due / 1000000000u),
					   .tv_nsec = (int64_t)(due % 1000000000u) };
	sqe = ring_sqe(ring);
	ring_fill(sqe, IORING_OP_TIMEOUT, -1, 0, at(&when), 1,
		  IORING_TIMEOUT_ABS | IORING_TIMEOUT_ETIME_SUCCESS, 1);
	sqe->ioprio = urgent;
	sqe->flags = IOSQE_IO_LINK;
	sqe = ring_sqe(ring);
	ring_fill_syscall(sqe, SYS_clock_gettime, CLOCK_MONOTONIC, at(&told), 0, 0, 0, 0, 2);
	sqe->ioprio = urgent;
	sqe = ring_sqe(ring);
	ring_fill(sqe, IORING_OP_READ, fd, 0, buf, FILE_BYTES, 0, 3);
	sqe->ioprio = sluice_ioprio(7, 0);
	if (ring_submit(ring) || ring_wait(ring, 3))
		ring_die(ring, "b_urgent: the doorbell failed\n");
	if (ring_cqe_at(ring, 2)->user_data != 3 || ring_cqe_at(ring, 2)->res != (int)FILE_BYTES)
		ring_die(ring, "b_urgent: the read was not the last\n");
	ring_advance(ring, 3);
	return ns_of(&told) - due;
}

static void sorted(uint64_t *v, uint64_t n)
{
	for (uint64_t i = 1; i < n; i++)
		for (uint64_t j = i; j && v[j - 1] > v[j]; j--) {
			uint64_t was = v[j];

			v[j] = v[j - 1];
			v[j - 1] = was;
		}
}

int ring_main(struct ring *native, int argc, char **argv)
{
	uint64_t n, step, buf;
	int fd;

	ring = native;
	n = guest_number(ring, argv[argc - 1]);
	if (!n || n > TRIALS_MAX)
		ring_die(ring, "b_urgent: so many trials are not possible\n");
	buf = (uint64_t)ring_syscall(ring, SYS_mmap, 0, FILE_BYTES, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, ~0ull, 0);
	fd = (int)ring_syscall(ring, SYS_memfd_create, at("preempt"), 0, 0, 0, 0, 0);
	if (fd < 0 || ring_syscall(ring, SYS_pwrite64, (uint64_t)fd, buf, FILE_BYTES, 0, 0, 0) !=
			      FILE_BYTES)
		ring_die(ring, "b_urgent: no file\n");
	step = SPREAD_NS / n;
	for (uint64_t i = 0; i < n; i++)
		waits[i] = trial(fd, buf, SOONEST_NS + i * step);
	sorted(waits, n);
	guest_say(ring, "bench: trials=%llu p50_ns=%llu p99_ns=%llu max_ns=%llu\n",
		  (unsigned long long)n, (unsigned long long)waits[n / 2],
		  (unsigned long long)waits[n * 99 / 100], (unsigned long long)waits[n - 1]);
	return 0;
}
