/*
 * Is a pipe a pipe: bytes in order, end of file and EPIPE when an end is gone, EAGAIN where waiting
 * is not wanted, writes of PIPE_BUF untorn, 64 KiB and no more; and does a parked transfer end when
 * the other end moves, is closed, or the waiter is cancelled or closed itself?
 */
#include "tests/abi/lib/say.h"
#include "uapi/fs.h"
#include "uapi/socket.h"

#define PIPE_BYTES 65536
#define PIPE_BUF 4096

static char big[3 * PIPE_BYTES], back[3 * PIPE_BYTES];

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static int64_t call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	return ring_syscall(&ring_native, nr, a0, a1, a2, 0, 0, 0);
}

static int64_t op(uint8_t opcode, int fd, const void *buf, uint32_t len)
{
	ring_fill(ring_sqe(&ring_native), opcode, fd, ~0ull, at(buf), len, 0, 0);
	return say_wait();
}

static int64_t poll_now(int fd)
{
	ring_fill(ring_sqe(&ring_native), IORING_OP_POLL_ADD, fd, 0, 0, 0,
		  POLLIN | POLLOUT | POLLHUP | POLLERR, 0);
	return say_wait();
}

/* An entry that is expected to wait. */
static void begin(uint8_t opcode, int fd, const void *buf, uint32_t len, uint64_t user_data)
{
	ring_fill(ring_sqe(&ring_native), opcode, fd,
		  opcode == IORING_OP_POLL_ADD ? 0 : ~0ull, at(buf), len,
		  opcode == IORING_OP_POLL_ADD ? POLLIN : 0, user_data);
	ring_submit(&ring_native);
	ring_syscall(&ring_native, SYS_getpid, 0, 0, 0, 0, 0, 0);
	if (ring_ready(&ring_native))
		ring_die(&ring_native, "FAIL pipe_calls: something that should wait did not\n");
}

/* Two results at once, by user_data 1 and 2, of one entry that ends another. */
static void two(int64_t result[3])
{
	ring_submit(&ring_native);
	if (ring_wait(&ring_native, 2))
		ring_die(&ring_native, "the doorbell failed\n");
	for (unsigned i = 0; i < 2; i++)
		result[ring_cqe_at(&ring_native, i)->user_data] =
			ring_cqe_at(&ring_native, i)->res;
	ring_advance(&ring_native, 2);
}

static void add(uint8_t opcode, int fd, const void *buf, uint32_t len, uint64_t user_data)
{
	ring_fill(ring_sqe(&ring_native), opcode, fd, opcode == IORING_OP_CLOSE ? 0 : ~0ull,
		  at(buf), len, 0, user_data);
}

static void make(int fd[2], uint32_t flags)
{
	if (call(SYS_pipe2, at(fd), flags, 0))
		ring_die(&ring_native, "FAIL pipe_calls: no pipe\n");
}

static void drop(const int fd[2])
{
	call(SYS_close, (uint64_t)fd[0], 0, 0);
	call(SYS_close, (uint64_t)fd[1], 0, 0);
}

static void simple(void)
{
	struct iovec iov[2] = { { back, 3 }, { back + 100, 10 } };
	struct statx st;
	int fd[2] = { -1, -1 };
	char five[5];

	say_is("pipe2", call(SYS_pipe2, at(fd), 0, 0), 0);
	say_true("the two next descriptors", fd[0] >= 3 && fd[1] == fd[0] + 1);
	say_is("write", op(IORING_OP_WRITE, fd[1], "hello", 5), 5);
	say_is("read less", op(IORING_OP_READ, fd[0], five, 2), 2);
	say_is("read the rest, asking for more", op(IORING_OP_READ, fd[0], five + 2, 3), 3);
	say_true("in order", five[0] == 'h' && five[1] == 'e' && five[2] == 'l' && five[4] == 'o');
	say_is("write again, by system call",
	       call(SYS_write, (uint64_t)fd[1], at("wide world"), 10), 10);
	say_is("readv takes what there is", op(IORING_OP_READV, fd[0], iov, 2), 10);
	say_true("over both", back[0] == 'w' && back[100] == 'e');
	say_is("the wrong way in", op(IORING_OP_WRITE, fd[0], "x", 1), -EBADF);
	say_is("the wrong way out", op(IORING_OP_READ, fd[1], five, 1), -EBADF);
	say_is("no seek", call(SYS_lseek, (uint64_t)fd[0], 0, SEEK_CUR), -ESPIPE);
	say_is("nothing written is nothing", op(IORING_OP_WRITE, fd[1], "", 0), 0);
	say_is("nothing read is nothing", op(IORING_OP_READ, fd[0], five, 0), 0);
	say_is("its size", call(SYS_fcntl, (uint64_t)fd[0], F_GETPIPE_SZ, 0), PIPE_BYTES);
	say_is("is not for sale", call(SYS_fcntl, (uint64_t)fd[0], F_SETPIPE_SZ, 2 * PIPE_BYTES),
	       -EPERM);
	ring_fill(ring_sqe(&ring_native), IORING_OP_STATX, fd[0], at(&st), at(""), STATX_TYPE,
		  AT_EMPTY_PATH, 0);
	say_is("statx", say_wait(), 0);
	say_is("says FIFO", st.stx_mode & S_IFMT, S_IFIFO);
	drop(fd);
	say_is("flags it does not know", call(SYS_pipe2, at(fd), O_DIRECT, 0), -EINVAL);
	say_is("nowhere to answer", call(SYS_pipe2, 16, 0, 0), -EFAULT);
	say_is("pipe2 with O_CLOEXEC", call(SYS_pipe2, at(fd), O_CLOEXEC, 0), 0);
	say_is("marks it", call(SYS_fcntl, (uint64_t)fd[1], F_GETFD, 0), FD_CLOEXEC);
	drop(fd);
	ring_fill(ring_sqe(&ring_native), IORING_OP_PIPE, 0, 0, at(fd), 0, 0, 0);
	say_is("the operation", say_wait(), 0);
	say_is("makes one too", op(IORING_OP_WRITE, fd[1], "x", 1), 1);
	drop(fd);
}

static void ends(void)
{
	int64_t result[3];
	int fd[2];
	char byte = 0;

	make(fd, 0);
	op(IORING_OP_WRITE, fd[1], "ab", 2);
	call(SYS_close, (uint64_t)fd[1], 0, 0);
	say_is("what is in stays when the writer goes", op(IORING_OP_READ, fd[0], &byte, 1), 1);
	say_is("hang-up and bytes", poll_now(fd[0]), POLLIN | POLLHUP);
	op(IORING_OP_READ, fd[0], &byte, 1);
	say_is("then the end", op(IORING_OP_READ, fd[0], &byte, 1), 0);
	call(SYS_close, (uint64_t)fd[0], 0, 0);
	make(fd, 0);
	call(SYS_close, (uint64_t)fd[0], 0, 0);
	say_is("nobody reads", op(IORING_OP_WRITE, fd[1], "ab", 2), -EPIPE);
	say_is("and poll says so", poll_now(fd[1]) & POLLERR, POLLERR);
	call(SYS_close, (uint64_t)fd[1], 0, 0);

	make(fd, 0);
	begin(IORING_OP_READ, fd[0], &byte, 1, 1);
	add(IORING_OP_WRITE, fd[1], "x", 1, 2);
	two(result);
	say_true("a parked read gets what comes", result[1] == 1 && byte == 'x');
	begin(IORING_OP_POLL_ADD, fd[0], NULL, 0, 1);
	add(IORING_OP_WRITE, fd[1], "x", 1, 2);
	two(result);
	say_is("a parked poll sees it", result[1], POLLIN);
	op(IORING_OP_READ, fd[0], &byte, 1);
	begin(IORING_OP_READ, fd[0], &byte, 1, 1);
	add(IORING_OP_CLOSE, fd[1], NULL, 0, 2);
	two(result);
	say_is("a parked read sees the writer go", result[1], 0);
	call(SYS_close, (uint64_t)fd[0], 0, 0);

	make(fd, 0);
	begin(IORING_OP_READ, fd[0], &byte, 1, 1);
	add(IORING_OP_CLOSE, fd[0], NULL, 0, 2);
	two(result);
	say_is("closing its own end ends it", result[1], -ECANCELED);
	say_is("and is seen behind it", op(IORING_OP_WRITE, fd[1], "x", 1), -EPIPE);
	call(SYS_close, (uint64_t)fd[1], 0, 0);

	make(fd, 0);
	begin(IORING_OP_READ, fd[0], &byte, 1, 1);
	ring_fill(ring_sqe(&ring_native), IORING_OP_ASYNC_CANCEL, -1, 0, 1, 0, 0, 2);
	two(result);
	say_true("a read can be cancelled", result[1] == -ECANCELED && !result[2]);
	say_is("and takes nothing with it", op(IORING_OP_WRITE, fd[1], "x", 1), 1);
	say_is("that is still there", op(IORING_OP_READ, fd[0], &byte, 1), 1);
	drop(fd);
}

static void full(void)
{
	int64_t result[3];
	int fd[2];
	bool same = true;

	for (unsigned i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7 + i / 251);
	make(fd, O_NONBLOCK);
	say_is("nothing there", op(IORING_OP_READ, fd[0], back, 1), -EAGAIN);
	say_is("room", poll_now(fd[1]), POLLOUT);
	say_is("as much as fits", op(IORING_OP_WRITE, fd[1], big, sizeof(big)), PIPE_BYTES);
	say_is("full", op(IORING_OP_WRITE, fd[1], big, 1), -EAGAIN);
	say_is("take 4095", op(IORING_OP_READ, fd[0], back, PIPE_BUF - 1), PIPE_BUF - 1);
	say_is("PIPE_BUF is not torn", op(IORING_OP_WRITE, fd[1], big, PIPE_BUF), -EAGAIN);
	say_is("more may be", op(IORING_OP_WRITE, fd[1], big, PIPE_BUF + 1), PIPE_BUF - 1);
	say_is("take a page", op(IORING_OP_READ, fd[0], back, PIPE_BUF), PIPE_BUF);
	say_is("now it fits", op(IORING_OP_WRITE, fd[1], big, PIPE_BUF), PIPE_BUF);
	say_is("all out at once, and no more", op(IORING_OP_READ, fd[0], back, sizeof(back)),
	       PIPE_BYTES);
	drop(fd);

	make(fd, 0);
	begin(IORING_OP_WRITE, fd[1], big, sizeof(big), 1);
	for (uint32_t got = 0; got < sizeof(big);) {
		int64_t n;

		ring_fill(ring_sqe(&ring_native), IORING_OP_READ, fd[0], ~0ull, at(back + got),
			  5000, 0, 2);
		ring_submit(&ring_native);
		do {
			if (ring_wait(&ring_native, 1))
				ring_die(&ring_native, "the doorbell failed\n");
			n = ring_cqe(&ring_native)->res;
			result[ring_cqe(&ring_native)->user_data] = n;
			ring_advance(&ring_native, 1);
		} while (n > 5000);
		got += (uint32_t)n;
	}
	while (result[1] != sizeof(big) && !ring_wait(&ring_native, 1)) {
		result[1] = ring_cqe(&ring_native)->res;
		ring_advance(&ring_native, 1);
	}
	say_is("a long write waits until all is in", result[1], sizeof(big));
	for (unsigned i = 0; i < sizeof(big); i++)
		same &= big[i] == back[i];
	say_true("and all came out, in order", same);

	begin(IORING_OP_WRITE, fd[1], big, sizeof(big), 1);
	ring_fill(ring_sqe(&ring_native), IORING_OP_POLL_ADD, fd[0], 0, 0, 0, POLLIN, 2);
	if (ring_submit(&ring_native) || ring_wait(&ring_native, 1))
		ring_die(&ring_native, "the doorbell failed\n");
	ring_advance(&ring_native, 1); /* the first bytes are in; it goes in pieces */
	ring_fill(ring_sqe(&ring_native), IORING_OP_ASYNC_CANCEL, -1, 0, 1, 0, 0, 2);
	two(result);
	say_true("cancelled half-way: what is in counts",
		 result[1] > 0 && result[1] <= PIPE_BYTES);
	if (result[1] < PIPE_BYTES)
		say_is("there is room for the rest",
		       op(IORING_OP_WRITE, fd[1], big, PIPE_BYTES - (uint32_t)result[1]),
		       PIPE_BYTES - result[1]);
	begin(IORING_OP_WRITE, fd[1], "abc", 3, 1);
	add(IORING_OP_CLOSE, fd[0], NULL, 0, 2);
	two(result);
	say_is("the reader goes while a write waits", result[1], -EPIPE);
	call(SYS_close, (uint64_t)fd[1], 0, 0);
}

/* Many small vectors are one write as long as they are PIPE_BUF together. */
static void vectors(void)
{
	struct iovec iov[64];
	int fd[2];

	for (unsigned i = 0; i < 64; i++)
		iov[i] = (struct iovec){ big + 64 * i, 64 };
	make(fd, O_NONBLOCK);
	say_is("almost full", op(IORING_OP_WRITE, fd[1], big, PIPE_BYTES - 100), PIPE_BYTES - 100);
	say_is("a short vectored write is not torn", op(IORING_OP_WRITEV, fd[1], iov, 2), -EAGAIN);
	say_is("nor one of 64 pieces", op(IORING_OP_WRITEV, fd[1], iov, 64), -EAGAIN);
	op(IORING_OP_READ, fd[0], back, PIPE_BYTES);
	say_is("it goes in whole", op(IORING_OP_WRITEV, fd[1], iov, 64), PIPE_BUF);
	iov[3].iov_base = (void *)16;
	say_is("a lie among them", op(IORING_OP_WRITEV, fd[1], iov, 8), -EFAULT);
	say_is("put nothing in", op(IORING_OP_READ, fd[0], back, PIPE_BYTES), PIPE_BUF);
	drop(fd);
}

/* 512 in the machine; every one of them comes back. */
static void many(void)
{
	static int fds[600][2];
	unsigned n = 0;
	int64_t err = 0;

	while (n < 600 && !(err = call(SYS_pipe2, at(fds[n]), 0, 0)))
		n++;
	say_is("pipes are bounded, by name", err, -ENFILE);
	say_true("and there are hundreds", n > 400 && n <= 512);
	while (n--)
		drop(fds[n]);
	say_is("and all come back", call(SYS_pipe2, at(fds[0]), 0, 0), 0);
	drop(fds[0]);
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	(void)ring, (void)argc, (void)argv;
	simple();
	ends();
	full();
	vectors();
	many();
	return say_verdict();
}
