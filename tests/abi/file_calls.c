/*
 * Do read, write, pread64, lseek, dup, fcntl and their neighbours answer as on Linux when they come
 * as system calls, through the ring (0xE0) and through the trap, and do both move the same file
 * position as the operations do?
 */
#include "tests/abi/lib/say.h"
#include "uapi/fs.h"

static int64_t ring_call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
			 uint64_t a4)
{
	return ring_syscall(&ring_native, nr, a0, a1, a2, a3, a4, 0);
}

static int64_t trap_call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
			 uint64_t a4)
{
	return async_door(ring_native.door, nr, a0, a1, a2, a3, a4, 0);
}

static int64_t (*call)(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
		       uint64_t a4);

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static int64_t open_self(void)
{
	return call(SYS_openat, (uint64_t)AT_FDCWD, at("/bin/t_file_calls"), O_RDONLY, 0, 0);
}

static void positions(void)
{
	uint64_t fd = (uint64_t)open_self();
	char a[8] = { 0 }, b[8] = { 0 };
	struct iovec iov[2] = { { a, 3 }, { b, 5 } };
	int64_t size = call(SYS_lseek, fd, 0, SEEK_END, 0, 0);
	struct statx st;

	say_true("open myself", (int64_t)fd >= 3);
	say_is("statx", call(SYS_statx, fd, at(""), AT_EMPTY_PATH, STATX_SIZE, at(&st)), 0);
	say_is("the end is where statx says", size, (int64_t)st.stx_size);
	say_is("a read there", call(SYS_read, fd, at(a), 8, 0, 0), 0);
	say_is("back to the start", call(SYS_lseek, fd, 0, SEEK_SET, 0, 0), 0);
	say_is("read", call(SYS_read, fd, at(a), 4, 0, 0), 4);
	say_true("an ELF file", a[0] == 0x7f && a[3] == 'F');
	say_is("the position moved", call(SYS_lseek, fd, 0, SEEK_CUR, 0, 0), 4);
	ring_fill(ring_sqe(&ring_native), IORING_OP_READ, (int)fd, ~0ull, at(b), 4, 0, 0);
	say_is("the operation goes on there", say_wait(), 4);
	say_is("and moves it too", call(SYS_lseek, fd, -2ull, SEEK_CUR, 0, 0), 6);
	say_is("pread64", call(SYS_pread64, fd, at(a), 4, 1, 0), 4);
	say_true("reads elsewhere", a[0] == 'E');
	say_is("and leaves it", call(SYS_lseek, fd, 0, SEEK_CUR, 0, 0), 6);
	say_is("pread64 before the start", call(SYS_pread64, fd, at(a), 4, ~0ull, 0), -EINVAL);
	say_is("a seek before the start", call(SYS_lseek, fd, -1ull, SEEK_SET, 0, 0), -EINVAL);
	say_is("a seek from nowhere", call(SYS_lseek, fd, 0, 7, 0, 0), -EINVAL);
	say_is("back", call(SYS_lseek, fd, 1, SEEK_SET, 0, 0), 1);
	say_is("readv", call(SYS_readv, fd, at(iov), 2, 0, 0), 8);
	say_true("fills both", a[0] == 'E' && a[2] == 'F');
	say_is("no right to write", call(SYS_write, fd, at(a), 1, 0, 0), -EBADF);
	say_is("a lie about memory", call(SYS_read, fd, 16, 1, 0, 0), -EFAULT);
	say_is("close", call(SYS_close, fd, 0, 0, 0, 0), 0);
	say_is("closed is closed", call(SYS_read, fd, at(a), 4, 0, 0), -EBADF);
	say_is("twice is too often", call(SYS_close, fd, 0, 0, 0, 0), -EBADF);
}

static void descriptors(void)
{
	uint64_t fd = (uint64_t)open_self(), copy, far;
	char byte;

	copy = (uint64_t)call(SYS_dup, fd, 0, 0, 0, 0);
	say_is("dup takes the next", (int64_t)copy, (int64_t)fd + 1);
	call(SYS_lseek, copy, 1, SEEK_SET, 0, 0);
	say_is("one position for both", call(SYS_lseek, fd, 0, SEEK_CUR, 0, 0), 1);
	far = (uint64_t)call(SYS_fcntl, fd, F_DUPFD, 40, 0, 0);
	say_is("F_DUPFD from 40", (int64_t)far, 40);
	say_is("without the mark", call(SYS_fcntl, far, F_GETFD, 0, 0, 0), 0);
	say_is("set it", call(SYS_fcntl, far, F_SETFD, FD_CLOEXEC, 0, 0), 0);
	say_is("there it is", call(SYS_fcntl, far, F_GETFD, 0, 0, 0), FD_CLOEXEC);
	say_is("dup3 over it", call(SYS_dup3, copy, far, 0, 0, 0), 40);
	say_is("takes it away", call(SYS_fcntl, far, F_GETFD, 0, 0, 0), 0);
	say_is("with the mark", call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 40, 0, 0), 41);
	say_is("as asked", call(SYS_fcntl, 41, F_GETFD, 0, 0, 0), FD_CLOEXEC);
	say_is("dup3 on itself", call(SYS_dup3, fd, fd, 0, 0, 0), -EINVAL);
	say_is("dup3 past the table", call(SYS_dup3, fd, 1u << 20, 0, 0, 0), -EBADF);
	say_is("F_DUPFD past the table", call(SYS_fcntl, fd, F_DUPFD, 1u << 20, 0, 0), -EINVAL);
	say_is("dup of nothing", call(SYS_dup, 77, 0, 0, 0, 0), -EBADF);
	say_is("close the first", call(SYS_close, fd, 0, 0, 0, 0), 0);
	say_is("the others live", call(SYS_read, far, at(&byte), 1, 0, 0), 1);
	say_is("F_GETFL", call(SYS_fcntl, far, F_GETFL, 0, 0, 0), O_RDONLY);
	say_is("F_SETFL", call(SYS_fcntl, far, F_SETFL, O_NONBLOCK, 0, 0), 0);
	say_is("is the file's, not the descriptor's", call(SYS_fcntl, copy, F_GETFL, 0, 0, 0),
	       O_NONBLOCK);
	say_is("a command that is none", call(SYS_fcntl, far, 999, 0, 0, 0), -EINVAL);
	for (uint64_t i = 0; i < 2; i++)
		call(SYS_close, far + i, 0, 0, 0, 0);
	call(SYS_close, copy, 0, 0, 0, 0);
}

static void devices(void)
{
	uint64_t null = (uint64_t)call(SYS_openat, (uint64_t)AT_FDCWD, at("/dev/null"), O_RDWR, 0,
				       0);
	char byte, text[5] = "abcde";
	struct iovec iov[2] = { { text, 2 }, { text + 2, 3 } };

	say_is("write", call(SYS_write, null, at("x"), 1, 0, 0), 1);
	say_is("writev", call(SYS_writev, null, at(iov), 2, 0, 0), 5);
	say_is("fsync", call(SYS_fsync, null, 0, 0, 0, 0), 0);
	say_is("no offsets, no pread64", call(SYS_pread64, null, at(&byte), 1, 0, 0), -ESPIPE);
	say_is("no seek", call(SYS_lseek, null, 0, SEEK_SET, 0, 0), -ESPIPE);
	ring_fill(ring_sqe(&ring_native), IORING_OP_READ, (int)null, 5, at(&byte), 1, 0, 0);
	say_is("the operation ignores its offset", say_wait(), 0);
	call(SYS_close, null, 0, 0, 0, 0);
}

/* A call that is another opcode's entry takes part in chains as itself. */
static void chained(void)
{
	uint64_t null = (uint64_t)call(SYS_openat, (uint64_t)AT_FDCWD, at("/dev/null"), O_RDWR, 0,
				       0);
	struct io_uring_sqe *sqe = ring_sqe(&ring_native);
	int64_t first, second;

	ring_fill_syscall(sqe, SYS_read, 77, at(&first), 1, 0, 0, 0, 1);
	sqe->flags = IOSQE_IO_LINK;
	ring_fill_syscall(ring_sqe(&ring_native), SYS_write, null, at("x"), 1, 0, 0, 0, 2);
	if (ring_submit(&ring_native) || ring_wait(&ring_native, 2))
		ring_die(&ring_native, "the doorbell failed\n");
	first = sluice_wide_result(ring_cqe_at(&ring_native, 0));
	second = sluice_wide_result(ring_cqe_at(&ring_native, 1));
	ring_advance(&ring_native, 2);
	say_is("the first fails, in 64 bits", first, -EBADF);
	say_is("and takes the second with it", second, -ECANCELED);
	call(SYS_close, null, 0, 0, 0, 0);
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	(void)ring, (void)argc, (void)argv;
	for (unsigned door = 0; door < 2; door++) {
		call = door ? trap_call : ring_call;
		say(door ? "# through the trap\n" : "# through the ring\n");
		positions();
		descriptors();
		devices();
		chained();
	}
	return say_verdict();
}
