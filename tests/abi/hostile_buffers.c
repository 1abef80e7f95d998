/*
 * What if a program takes its buffers away while a device writes to them, or makes the kernel hold
 * memory for it in every way it can: registered buffers, tables, rings? The bytes go where nobody
 * else is, the memory counts as the program's own, its neighbour lives.
 *
 * also: held
 * ends: exit status 0
 * also: overlap
 * ends: exit status 0
 * also: rings
 * ends: exit status 0
 * also: groups
 * ends: exit status 0
 */
#include "tests/abi/lib/say.h"
#include "uapi/fs.h"
#include "uapi/mman.h"

#define MIB (1ull << 20)
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static int64_t call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	return ring_syscall(&ring_native, nr, a0, a1, a2, a3, ~0ull, 0);
}

static int64_t reg(uint32_t code, const void *arg, uint32_t count)
{
	return call(SYS_io_uring_register, (uint64_t)ring_native.fd, code, (uint64_t)(uintptr_t)arg,
		    count);
}

static bool is_error(int64_t v)
{
	return v < 0 && v > -4096;
}

/* Registers memory, unmaps it, and starts over: what is held must count, although nothing is
 * mapped. */
static int held(void)
{
	for (unsigned i = 0; i < 64; i++) {
		int64_t at = call(SYS_mmap, 0, 16 * MIB, RW, ANON), fd, got;
		struct iovec iov = { (void *)(uintptr_t)at, 16 * MIB };
		struct io_uring_params params = { 0 };

		if (is_error(at))
			return 4;
		/* one table per ring, so one ring per table */
		fd = call(SYS_io_uring_setup, 1, (uint64_t)(uintptr_t)&params, 0, 0);
		if (fd < 0)
			return fd == -ENOMEM || fd == -ENFILE ? 0 : 5;
		got = call(SYS_io_uring_register, (uint64_t)fd, IORING_REGISTER_BUFFERS,
			   (uint64_t)(uintptr_t)&iov, 1);
		if (got)
			return got == -ENOMEM ? 0 : 6;
		call(SYS_munmap, (uint64_t)at, 16 * MIB, 0, 0);
	}
	return 7; /* a gigabyte on a machine that has a quarter of it */
}

/* The same memory again and again: few frames, but a list of them each time. */
static int overlap(void)
{
	static struct iovec iov[1024];
	int64_t at = call(SYS_mmap, 0, 64 * MIB, RW, ANON), got;

	for (unsigned i = 0; i < 1024; i++)
		iov[i] = (struct iovec){ (void *)(uintptr_t)at, 64 * MIB };
	got = reg(IORING_REGISTER_BUFFERS, iov, 1024);
	return got == -ENOMEM ? 0 : 4;
}

static int rings(void)
{
	for (unsigned i = 0; i < 2000; i++) {
		struct io_uring_params params = { 0 };
		int64_t fd = call(SYS_io_uring_setup, 32768, (uint64_t)(uintptr_t)&params, 0, 0);

		if (fd < 0)
			return fd == -ENOMEM || fd == -ENFILE || fd == -EMFILE ? 0 : 4;
	}
	return 5;
}

static int groups(void)
{
	int64_t at = call(SYS_mmap, 0, MIB, RW, ANON);

	for (unsigned i = 0; i < 65536; i++) {
		struct io_uring_buf_reg r = { .ring_addr = (uint64_t)at,
					      .ring_entries = 32768,
					      .bgid = (uint16_t)i };
		int64_t got = reg(IORING_REGISTER_PBUF_RING, &r, 1);

		if (got)
			return got == -ENOMEM ? 0 : 4;
	}
	return 5;
}

/* 64 reads of 16 KiB on their way from the disk; the buffers go; new memory comes: nobody may write
 * to it. */
static unsigned vanishing(struct ring *ring, int fd)
{
	int64_t at = call(SYS_mmap, 0, MIB, RW, ANON | MAP_POPULATE), fresh;
	struct iovec iov = { (void *)(uintptr_t)at, MIB };
	unsigned dirty = 0, failed = 0;

	if (reg(IORING_REGISTER_BUFFERS, &iov, 1))
		return 1000;
	for (unsigned i = 0; i < 64; i++)
		ring_fill(ring_sqe(ring), IORING_OP_READ_FIXED, fd, i * 16384,
			  (uint64_t)at + i * 16384, 16384, 0, 0);
	ring_fill_syscall(ring_sqe(ring), SYS_io_uring_register, (uint64_t)ring->fd,
			  IORING_UNREGISTER_BUFFERS, 0, 0, 0, 0, 1);
	ring_fill_syscall(ring_sqe(ring), SYS_munmap, (uint64_t)at, MIB, 0, 0, 0, 0, 2);
	ring_fill_syscall(ring_sqe(ring), SYS_mmap, 0, MIB, RW, ANON | MAP_POPULATE, ~0ull, 0, 3);
	ring_submit(ring);
	ring_wait(ring, 67);
	fresh = -1;
	for (unsigned i = 0; i < 67; i++) {
		const struct io_uring_cqe *cqe = ring_cqe_at(ring, i);

		if (cqe->user_data == 3)
			fresh = sluice_wide_result(cqe);
		else
			failed += cqe->res != (cqe->user_data ? 0 : 16384);
	}
	ring_advance(ring, 67);
	if (failed || is_error(fresh))
		return 2000 + failed;
	for (uint64_t off = 0; off < MIB; off += 8)
		dirty += *(volatile uint64_t *)(uintptr_t)((uint64_t)fresh + off) != 0;
	call(SYS_munmap, (uint64_t)fresh, MIB, 0, 0);
	return dirty;
}

static int64_t prepare_disk(struct ring *ring)
{
	int64_t fd, at = call(SYS_mmap, 0, MIB, RW, ANON);

	ring_fill(ring_sqe(ring), IORING_OP_OPENAT, AT_FDCWD, 0, (uint64_t)(uintptr_t) "/dev/vda",
		  0, O_RDWR, 0);
	fd = say_wait();
	if (fd < 0)
		return fd;
	for (uint64_t off = 0; off < MIB; off += 8)
		*(volatile uint64_t *)(uintptr_t)((uint64_t)at + off) = ~0ull;
	ring_fill(ring_sqe(ring), IORING_OP_WRITE, (int32_t)fd, 0, (uint64_t)at, MIB, 0, 0);
	return say_wait() == MIB ? fd : -1;
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	struct { int64_t sec, nsec; } pause = { 0, 5000000 };
	bool good = true;
	int64_t fd;

	if (argc > 1) {
		switch (argv[1][0]) {
		case 'h': return held();
		case 'o': return overlap();
		case 'r': return rings();
		default: return groups();
		}
	}
	fd = prepare_disk(ring);
	say_true("the disk is there", fd >= 0);
	for (unsigned i = 0; i < 20; i++)
		say_is("bytes in memory that came later", vanishing(ring, (int)fd), 0);
	for (unsigned i = 0; i < 50; i++) {
		int64_t at = call(SYS_mmap, 0, MIB, RW, ANON);

		good &= !is_error(at);
		for (uint64_t off = 0; good && off < MIB; off += 4096)
			*(volatile uint8_t *)(uintptr_t)((uint64_t)at + off) = 1;
		good &= !call(SYS_munmap, (uint64_t)at, MIB, 0, 0);
		call(SYS_nanosleep, (uint64_t)(uintptr_t)&pause, 0, 0, 0);
	}
	say_true("a neighbour of greedy programs gets its memory", good);
	return say_verdict();
}
