/*
 * What if system calls by number carry bad addresses, unknown bits and numbers that do not exist?
 * Each answers with Linux' errno and the program lives.
 */
#include "tests/abi/lib/say.h"
#include "uapi/fs.h"
#include "uapi/mman.h"
#include "uapi/time.h"

#define RW (PROT_READ | PROT_WRITE)
#define KERNEL 0xffffffff80200000ull

static const char readonly[512] = "text";

static int64_t call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
	return ring_syscall(&ring_native, nr, a0, a1, a2, a3, a4, 0);
}

static void numbers(void)
{
	struct io_uring_sqe *sqe;

	say_is("an unknown number", call(511, 0, 0, 0, 0, 0), -ENOSYS);
	say_is("a number past the table", call(0xffff, 0, 0, 0, 0, 0), -ENOSYS);
	say_is("a call that is not served", call(SYS_epoll_create1, 0, 0, 0, 0, 0), -ENOSYS);

	sqe = ring_sqe(&ring_native);
	ring_fill_syscall(sqe, SYS_getpid, 0, 0, 0, 0, 0, 0, 0);
	((struct sluice_syscall_sqe *)sqe)->personality = 1;
	say_is("a personality", say_wait(), -EINVAL);

	sqe = ring_sqe(&ring_native);
	ring_fill_syscall(sqe, SYS_getpid, 0, 0, 0, 0, 0, 0, 0);
	sqe->ioprio = 1;
	say_is("a bit of ioprio", say_wait(), -EINVAL);

	for (unsigned bit = 0; bit < 8; bit++) {
		uint8_t flag = (uint8_t)(1u << bit);
		bool refused = flag & (IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT | 0x80);

		/* a chain of one, and a success nobody is told of, are tested elsewhere */
		if (flag & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS))
			continue;
		sqe = ring_sqe(&ring_native);
		ring_fill_syscall(sqe, SYS_getuid, 0, 0, 0, 0, 0, 0, 0);
		sqe->flags = flag;
		say_is(refused ? "a flag it cannot have" : "a flag it may have", say_wait(),
		       refused ? -EINVAL : 0);
	}
}

static void addresses(uint64_t hole)
{
	const struct { const char *name; uint64_t at;
	} bad[] = {
		{ "unmapped", hole },        { "null", 0 },
		{ "kernel", KERNEL },        { "wrapping", ~0ull - 7 },
		{ "top", (1ull << 38) - 8 }, { "huge", 1ull << 40 },
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t at = bad[i].at;

		say(bad[i].name);
		say("\n");
		say_is("clock_gettime", call(SYS_clock_gettime, CLOCK_MONOTONIC, at, 0, 0, 0),
		       -EFAULT);
		say_is("nanosleep", call(SYS_nanosleep, at, 0, 0, 0, 0), -EFAULT);
		say_is("uname", call(SYS_uname, at, 0, 0, 0, 0), -EFAULT);
		say_is("getrandom", call(SYS_getrandom, at, 64, 0, 0, 0), -EFAULT);
		ring_fill(ring_sqe(&ring_native), IORING_OP_OPENAT, AT_FDCWD, 0, at, 0, 0, 0);
		say_is("openat", say_wait(), -EFAULT);
		ring_fill(ring_sqe(&ring_native), IORING_OP_STATX, AT_FDCWD, at,
			  (uint64_t)(uintptr_t) "/dev/null", 0, 0, 0);
		say_is("statx", say_wait(), -EFAULT);
		ring_fill(ring_sqe(&ring_native), IORING_OP_WRITE, 1, ~0ull, at, 64, 0, 0);
		say_is("write", say_wait(), -EFAULT);
	}
	say_is("read-only getrandom",
	       call(SYS_getrandom, (uint64_t)(uintptr_t)readonly, 64, 0, 0, 0), -EFAULT);
	say_is("read-only uname", call(SYS_uname, (uint64_t)(uintptr_t)readonly, 0, 0, 0, 0),
	       -EFAULT);
	say_is("getrandom until the page ends", call(SYS_getrandom, hole - 100, 4096, 0, 0, 0),
	       100);
}

static void mappings(uint64_t page)
{
	const uint64_t anon = MAP_PRIVATE | MAP_ANONYMOUS;

	say_is("mmap of nothing", call(SYS_mmap, 0, 0, RW, anon, ~0ull), -EINVAL);
	say_is("mmap of everything", call(SYS_mmap, 0, ~0ull, RW, anon, ~0ull), -ENOMEM);
	say_is("mmap of half of everything", call(SYS_mmap, 0, 1ull << 63, RW, anon, ~0ull),
	       -ENOMEM);
	say_is("mmap without a kind", call(SYS_mmap, 0, 4096, RW, MAP_ANONYMOUS, ~0ull), -EINVAL);
	say_is("mmap with unknown rights", call(SYS_mmap, 0, 4096, 0x80, anon, ~0ull), -EINVAL);
	say_is("mmap with unknown flags", call(SYS_mmap, 0, 4096, RW, anon | 1ull << 40, ~0ull),
	       -EINVAL);
	say_is("mmap of a bad descriptor", call(SYS_mmap, 0, 4096, RW, MAP_PRIVATE, 99), -EBADF);
	say_is("mmap of a file that has no memory", call(SYS_mmap, 0, 4096, RW, MAP_PRIVATE, 1),
	       -ENODEV);
	say_is("fixed at half a page", call(SYS_mmap, page + 1, 4096, RW, anon | MAP_FIXED, ~0ull),
	       -EINVAL);
	say_is("fixed in the kernel", call(SYS_mmap, KERNEL, 4096, RW, anon | MAP_FIXED, ~0ull),
	       -ENOMEM);
	say_is("fixed at 0", call(SYS_mmap, 0, 4096, RW, anon | MAP_FIXED, ~0ull), -ENOMEM);
	say_is("no replacing", call(SYS_mmap, page, 4096, RW, anon | MAP_FIXED_NOREPLACE, ~0ull),
	       -EEXIST);
	say_is("munmap of half a page", call(SYS_munmap, page + 8, 4096, 0, 0, 0), -EINVAL);
	say_is("munmap of nothing", call(SYS_munmap, page, 0, 0, 0, 0), -EINVAL);
	say_is("munmap that wraps", call(SYS_munmap, page, ~0ull - 4095, 0, 0, 0), -EINVAL);
	say_is("munmap of the kernel", call(SYS_munmap, KERNEL, 4096, 0, 0, 0), -EINVAL);
	say_is("mprotect of a hole", call(SYS_mprotect, page + 4096, 4096, RW, 0, 0), -ENOMEM);
	say_is("mprotect to unknown rights", call(SYS_mprotect, page, 4096, 0x100, 0, 0), -EINVAL);
	say_is("mprotect that wraps", call(SYS_mprotect, page, ~0ull - 4095, RW, 0, 0), -ENOMEM);
	say_is("madvise with unknown advice", call(SYS_madvise, page, 4096, 77, 0, 0), -EINVAL);
	say_is("madvise of a hole", call(SYS_madvise, page + 4096, 4096, MADV_DONTNEED, 0, 0),
	       -ENOMEM);
	say_is("an unknown clock", call(SYS_clock_gettime, 77, page, 0, 0, 0), -EINVAL);
	say_is("unknown flags of getrandom", call(SYS_getrandom, page, 8, 64, 0, 0), -EINVAL);
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	int64_t page = call(SYS_mmap, 0, 8192, RW, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull);

	(void)ring;
	(void)argc;
	(void)argv;
	if (page < 0 && page > -4096)
		return 2;
	say_is("half of it goes", call(SYS_munmap, (uint64_t)page + 4096, 4096, 0, 0, 0), 0);
	numbers();
	addresses((uint64_t)page + 4096);
	mappings((uint64_t)page);
	return say_verdict();
}
