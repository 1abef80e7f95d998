/*
 * native: the calls that are made otherwise on Linux (linux/calls.c is the same for that): what
 * Linux has no entry for, or only in its newest versions, and closing.
 */
#include "crew.h"
#include "uapi/mman.h"
#include "uapi/wait.h"

static uint64_t io_addr(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

int async_close(int fd)
{
	struct async_io io;

	ring_fill(async_io_begin_always(&io), IORING_OP_CLOSE, fd, 0, 0, 0, 0, io_addr(&io));
	return async_io_wait(&io);
}

int async_pipe(int fds[2], int flags)
{
	return async_op(IORING_OP_PIPE, 0, 0, fds, 0, (uint32_t)flags);
}

int async_bind(int fd, const void *addr, socklen_t addr_len)
{
	return async_op(IORING_OP_BIND, fd, addr_len, addr, 0, 0);
}

int async_listen(int fd, int backlog)
{
	return async_op(IORING_OP_LISTEN, fd, 0, NULL, (uint32_t)backlog, 0);
}

int async_program_start(const char *path, const char *const argv[], const char *const envp[],
			const int32_t *fds, unsigned fd_count)
{
	struct sluice_spawn ask = {
		.size = sizeof(ask),
		.fd_count = fd_count,
		.path = io_addr(path),
		.argv = io_addr(argv),
		.envp = io_addr(envp),
		.fds = io_addr(fds),
		.user_core = SLUICE_ANY_CORE,
		.home = SLUICE_ANY_CORE,
	};

	return async_op(IORING_OP_SPAWN, 0, 0, &ask, sizeof(ask), 0);
}

int async_program_wait(int pid, int *status)
{
	struct wait_info info = { .si_code = CLD_EXITED };
	struct async_io io;
	struct io_uring_sqe *sqe = async_io_begin(&io);
	int err;

	if (sqe) {
		ring_fill(sqe, IORING_OP_WAITID, pid, io_addr(&info), 0, P_PID, 0, io_addr(&io));
		sqe->file_index = WEXITED;
	}
	err = async_io_wait(&io);
	if (!err && status)
		*status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
	return err;
}

/* Socket options and names are sub-commands of URING_CMD. */
static int io_sockopt(uint32_t cmd, int fd, int level, int name, const void *value, socklen_t len)
{
	struct async_io io;
	struct io_uring_sqe *sqe = async_io_begin(&io);

	if (sqe) {
		ring_fill(sqe, IORING_OP_URING_CMD, fd, cmd, 0, 0, 0, io_addr(&io));
		sqe->level = (uint32_t)level;
		sqe->optname = (uint32_t)name;
		sqe->optlen = len;
		sqe->optval = io_addr(value);
	}
	return async_io_wait(&io);
}

int async_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return io_sockopt(SOCKET_URING_OP_SETSOCKOPT, fd, level, name, value, len);
}

int async_getsockopt(int fd, int level, int name, void *value, socklen_t len)
{
	return io_sockopt(SOCKET_URING_OP_GETSOCKOPT, fd, level, name, value, len);
}

/* Whose name travels where an option's length is. */
static int io_sockname(int fd, void *addr, socklen_t *addr_len, uint32_t peer)
{
	struct async_io io;
	struct io_uring_sqe *sqe = async_io_begin(&io);

	if (sqe) {
		ring_fill(sqe, IORING_OP_URING_CMD, fd, SOCKET_URING_OP_GETSOCKNAME, io_addr(addr),
			  0, 0, io_addr(&io));
		sqe->optlen = peer;
		sqe->addr3 = io_addr(addr_len);
	}
	return async_io_wait(&io);
}

int async_getsockname(int fd, void *addr, socklen_t *addr_len)
{
	return io_sockname(fd, addr, addr_len, 0);
}

int async_getpeername(int fd, void *addr, socklen_t *addr_len)
{
	return io_sockname(fd, addr, addr_len, 1);
}

/* ---- any system call ---- */

static int64_t io_syscall_result(const struct async_io *io)
{
	return (int64_t)((uint64_t)io->flags << 32 | (uint32_t)io->res);
}

int64_t async_syscall(uint16_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		      uint64_t a5)
{
	struct async_io io;
	struct io_uring_sqe *sqe = async_io_begin(&io);
	int32_t low;

	if (!sqe)
		return async_io_wait(&io);
	ring_fill_syscall(sqe, nr, a0, a1, a2, a3, a4, a5, io_addr(&io));
	async_ask_priority(sqe, IORING_OP_SYSCALL, io.co);
	low = async_io_wait(&io);
	/* told to stop: the wait has turned -ECANCELED into the caller's own error */
	return low != io.res ? low : io_syscall_result(&io);
}

/* ---- threads for more executors ---- */

#define CREW_STACK (64ull << 10)

/* What a thread of the crew is made of, above its stack; behind it its executor. Never given
 * back. */
struct crew_thread {
	struct ring_thread thread;
	struct crew_own own;
	struct async_exec *exec;
	uint32_t index;
};

static void crew_thread_run(struct ring_thread *thread)
{
	struct crew_thread *t = thread->arg;

	crew_work(t->exec, t->index, &thread->ring, &t->own);
}

int crew_start(uint32_t index)
{
	uint64_t room = (sizeof(struct crew_thread) + sizeof(struct async_exec) + 128 +
			 ASYNC_THREAD_BLOCK + 4095) &
			~4095ull;
	char *pages = async_pages_alloc(CREW_STACK + room, false);
	struct crew_thread *t;
	struct async_io io;
	struct io_uring_sqe *sqe;
	uint64_t tp;
	int err;

	if (!pages)
		return -ENOMEM;
	t = (struct crew_thread *)(void *)(pages + CREW_STACK);
	t->index = index;
	t->exec = async_thread_place((char *)t + ((sizeof(*t) + 63) & ~63ull), &tp);
	ring_thread_init(&t->thread, crew_thread_run, t, pages, CREW_STACK, tp, SLUICE_ANY_CORE);
	sqe = async_io_begin(&io);
	if (sqe)
		ring_fill_thread(sqe, &t->thread, io_addr(&io));
	err = async_io_wait(&io);
	if (err < 0)
		async_pages_free(pages, CREW_STACK + room);
	return err < 0 ? err : 0;
}

unsigned crew_processors(void)
{
	return ring_start_info->user_cores ? ring_start_info->user_cores : 1;
}
