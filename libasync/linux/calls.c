/*
 * calls (Linux): the calls that native.c makes otherwise on Sluice.
 *
 * A socket's address, options and backlog are set and asked for, and pipes are made, by plain
 * system calls: none of them waits, and Linux has entries for them only since 6.7 to 6.19.
 */
#include "libasync/crew.h"

static uint64_t call_addr(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* Linux' operations keep their file: those that wait on it are cancelled first. */
int async_close(int fd)
{
	struct async_io cancel, close;
	int res;

	crew_pin(); /* two answers, one ring */
	ring_fill(async_io_begin_always(&cancel), IORING_OP_ASYNC_CANCEL, fd, 0, 0, 0,
		  IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL, call_addr(&cancel));
	ring_fill(async_io_begin_always(&close), IORING_OP_CLOSE, fd, 0, 0, 0, 0,
		  call_addr(&close));
	async_io_wait(&cancel);
	res = async_io_wait(&close);
	crew_unpin();
	return res;
}

int64_t async_syscall(uint16_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		      uint64_t a5)
{
	int stop = async_stopped();

	return stop ? stop : async_linux_call(nr, a0, a1, a2, a3, a4, a5);
}

int async_pipe(int fds[2], int flags)
{
	return (int)async_syscall(SYS_pipe2, call_addr(fds), (uint64_t)flags, 0, 0, 0, 0);
}

int async_bind(int fd, const void *addr, socklen_t addr_len)
{
	return (int)async_syscall(SYS_bind, (uint64_t)fd, call_addr(addr), addr_len, 0, 0, 0);
}

int async_listen(int fd, int backlog)
{
	return (int)async_syscall(SYS_listen, (uint64_t)fd, (uint64_t)backlog, 0, 0, 0, 0);
}

int async_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return (int)async_syscall(SYS_setsockopt, (uint64_t)fd, (uint64_t)level, (uint64_t)name,
				  call_addr(value), len, 0);
}

int async_getsockopt(int fd, int level, int name, void *value, socklen_t len)
{
	int64_t err = async_syscall(SYS_getsockopt, (uint64_t)fd, (uint64_t)level, (uint64_t)name,
				    call_addr(value), call_addr(&len), 0);

	return err ? (int)err : (int)len;
}

int async_getsockname(int fd, void *addr, socklen_t *addr_len)
{
	return (int)async_syscall(SYS_getsockname, (uint64_t)fd, call_addr(addr),
				  call_addr(addr_len), 0, 0, 0);
}

int async_getpeername(int fd, void *addr, socklen_t *addr_len)
{
	return (int)async_syscall(SYS_getpeername, (uint64_t)fd, call_addr(addr),
				  call_addr(addr_len), 0, 0, 0);
}
