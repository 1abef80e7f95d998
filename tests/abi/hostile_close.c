/*
 * What if a program closes a disk or a socket with operations in flight, or exits, or faults, while
 * the device still works for it? On a native ring the last close ends them, each exactly once; the
 * device's late answers hurt nobody; nothing leaks.
 *
 * also: exit
 * ends: exit status 7
 * also: fault
 * ends: killed by signal 11
 * also: sockets
 * ends: exit status 8
 */
#include "tests/abi/lib/say.h"
#include "uapi/fs.h"
#include "uapi/mman.h"
#include "uapi/socket.h"

#define READS 64u
#define BYTES 16384u

static volatile int *volatile nowhere = (volatile int *)16;
static uint64_t memory;

static int64_t open_disk(void)
{
	ring_fill(ring_sqe(&ring_native), IORING_OP_OPENAT, AT_FDCWD, 0,
		  (uint64_t)(uintptr_t) "/dev/vda", 0, O_RDWR, 0);
	return say_wait();
}

static int64_t open_listener(void)
{
	int64_t fd;

	ring_fill(ring_sqe(&ring_native), IORING_OP_SOCKET, AF_INET, SOCK_STREAM, 0, 0, 0, 0);
	fd = say_wait();
	if (fd < 0)
		return fd;
	ring_fill(ring_sqe(&ring_native), IORING_OP_LISTEN, (int32_t)fd, 0, 0, 16, 0, 0);
	return say_wait() ? -1 : fd;
}

static void transfers(struct ring *ring, int fd, bool write)
{
	for (unsigned i = 0; i < READS; i++)
		ring_fill(ring_sqe(ring), write && i % 2 ? IORING_OP_WRITE : IORING_OP_READ, fd,
			  i * BYTES, memory + i * BYTES, BYTES, 0, 100 + i);
}

/* Closes `fd` behind `count` operations in flight; every one must end with one of the two
 * results. */
static unsigned close_behind(struct ring *ring, int fd, unsigned count, int32_t good, int32_t other)
{
	unsigned wrong = 0;

	ring_fill(ring_sqe(ring), IORING_OP_CLOSE, fd, 0, 0, 0, 0, 1);
	ring_submit(ring);
	if (ring_wait(ring, count + 1))
		return 1000;
	for (unsigned i = 0; i < count + 1; i++) {
		const struct io_uring_cqe *cqe = ring_cqe_at(ring, i);

		if (cqe->user_data == 1)
			wrong += cqe->res != 0;
		else
			wrong += cqe->res != good && cqe->res != other;
	}
	ring_advance(ring, count + 1);
	return wrong;
}

static unsigned close_disk(struct ring *ring)
{
	int64_t fd = open_disk();

	if (fd < 0)
		return 2000;
	transfers(ring, (int)fd, true);
	return close_behind(ring, (int)fd, READS, BYTES, -ECANCELED);
}

static unsigned close_listener(struct ring *ring)
{
	int64_t fd = open_listener();

	if (fd < 0)
		return 2000;
	/* accepts, polls, and polls that would report again and again */
	for (unsigned i = 0; i < 16; i++)
		ring_fill(ring_sqe(ring), i % 2 ? IORING_OP_ACCEPT : IORING_OP_POLL_ADD, (int)fd, 0,
			  0, i % 4 == 2 ? IORING_POLL_ADD_MULTI : 0, i % 2 ? 0 : 1, 100 + i);
	return close_behind(ring, (int)fd, 16, -ECANCELED, -ECANCELED);
}

static void leave(struct ring *ring, char how)
{
	int64_t disk = open_disk(), listener = open_listener();

	if (how == 's') {
		for (unsigned i = 0; i < 200; i++)
			ring_fill(ring_sqe(ring), IORING_OP_ACCEPT, (int32_t)listener, 0, 0, 0, 0,
				  1);
		ring_submit(ring);
		ring_exit(ring, 8);
	}
	transfers(ring, (int)disk, true);
	ring_submit(ring);
	if (how == 'f')
		nowhere[0] = 1;
	ring_exit(ring, 7);
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	int64_t at = ring_syscall(ring, SYS_mmap, 0, READS * BYTES, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);
	unsigned disk = 0, sockets = 0;

	if (at < 0 && at > -4096)
		return 2;
	memory = (uint64_t)at;
	if (argc > 1)
		leave(ring, argv[1][0]);
	for (unsigned i = 0; i < 30; i++) {
		disk += close_disk(ring);
		sockets += close_listener(ring);
	}
	say_is("transfers that end wrongly behind a close", disk, 0);
	say_is("accepts and polls that end wrongly behind a close", sockets, 0);
	return say_verdict();
}
