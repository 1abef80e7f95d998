/*
 * io: the calls that are not frequent enough to be inline. Each is one entry (or a loop of them);
 * names and meanings are in async.h.
 */
#include "internal.h"
#include "uapi/mman.h"

static uint64_t io_addr(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* ---- priority ---- */

int async_set_priority(unsigned priority)
{
	struct async_co *me = async_self();

	if (priority >= SLUICE_PRIORITIES)
		return -EINVAL;
	me->priority = (uint8_t)priority;
	for (int flags = 0; flags < 2; flags++)
		me->ioprio[flags] =
			priority == SLUICE_PRIORITY_NORMAL ? 0 : sluice_ioprio(priority, flags);
	return 0;
}

/* ---- files ---- */

int64_t async_readv(int fd, const struct iovec *iov, unsigned count, uint64_t off, int rw_flags)
{
	return async_op(IORING_OP_READV, fd, off, iov, count, (uint32_t)rw_flags);
}

int64_t async_writev(int fd, const struct iovec *iov, unsigned count, uint64_t off, int rw_flags)
{
	return async_op(IORING_OP_WRITEV, fd, off, iov, count, (uint32_t)rw_flags);
}

int64_t async_write_all(int fd, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		int64_t n = async_write(fd, (const char *)buf + done, len - done);

		if (n <= 0)
			return n ? n : -EIO;
		done += (size_t)n;
	}
	return (int64_t)len;
}

int async_fsync(int fd)
{
	return async_op(IORING_OP_FSYNC, fd, 0, NULL, 0, 0);
}

int async_fdatasync(int fd)
{
	return async_op(IORING_OP_FSYNC, fd, 0, NULL, 0, IORING_FSYNC_DATASYNC);
}

int async_fallocate(int fd, int mode, uint64_t off, uint64_t len)
{
	/* the length travels in addr, the mode in len */
	return async_op(IORING_OP_FALLOCATE, fd, off, (const void *)(uintptr_t)len, (uint32_t)mode,
			0);
}

int async_openat(int dir, const char *path, int flags, unsigned mode)
{
	return async_op(IORING_OP_OPENAT, dir, 0, path, mode, (uint32_t)flags);
}

int async_statx(int dir, const char *path, int flags, unsigned mask, struct statx *out)
{
	return async_op(IORING_OP_STATX, dir, io_addr(out), path, mask, (uint32_t)flags);
}

int async_memfd(const char *name, unsigned flags)
{
	return (int)async_syscall(SYS_memfd_create, io_addr(name), flags, 0, 0, 0, 0);
}

int async_poll(int fd, uint32_t events)
{
	return async_op(IORING_OP_POLL_ADD, fd, 0, NULL, 0, events);
}

/* ---- sockets ---- */

int async_socket(int domain, int type, int protocol)
{
	return async_op(IORING_OP_SOCKET, domain, (uint64_t)type, NULL, (uint32_t)protocol, 0);
}

int async_accept(int fd, void *addr, socklen_t *addr_len, int flags)
{
	return async_op(IORING_OP_ACCEPT, fd, io_addr(addr_len), addr, 0, (uint32_t)flags);
}

int async_connect(int fd, const void *addr, socklen_t addr_len)
{
	return async_op(IORING_OP_CONNECT, fd, addr_len, addr, 0, 0);
}

int64_t async_send_all(int fd, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		int64_t n = async_send(fd, (const char *)buf + done, len - done,
				       MSG_WAITALL | MSG_NOSIGNAL);

		if (n <= 0)
			return n ? n : -EPIPE;
		done += (size_t)n;
	}
	return (int64_t)len;
}

int64_t async_recv_all(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		int64_t n = async_recv(fd, (char *)buf + done, len - done, MSG_WAITALL);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}

int64_t async_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return async_op(IORING_OP_SENDMSG, fd, 0, msg, 1, (uint32_t)flags);
}

int64_t async_recvmsg(int fd, struct msghdr *msg, int flags)
{
	return async_op(IORING_OP_RECVMSG, fd, 0, msg, 1, (uint32_t)flags);
}

int async_shutdown(int fd, int how)
{
	return async_op(IORING_OP_SHUTDOWN, fd, 0, NULL, (uint32_t)how, 0);
}

static uint16_t io_net16(uint16_t x)
{
	return (uint16_t)(x << 8 | x >> 8);
}

/* Bound and listening, or closed again. */
static int io_listen_on(int fd, const void *addr, socklen_t addr_len, int backlog)
{
	int one = 1;
	int err;

	async_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	err = async_bind(fd, addr, addr_len);
	if (!err)
		err = async_listen(fd, backlog);
	if (!err)
		return fd;
	async_close(fd);
	return err;
}

int async_listen_tcp(uint16_t port, int backlog)
{
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = io_net16(port) };
	struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = io_net16(port) };
	int zero = 0;
	int fd = async_socket(AF_INET6, SOCK_STREAM, 0);

	if (fd >= 0) {
		async_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
		return io_listen_on(fd, &any6, sizeof(any6), backlog);
	}
	if (fd != -EAFNOSUPPORT)
		return fd;
	fd = async_socket(AF_INET, SOCK_STREAM, 0);
	return fd < 0 ? fd : io_listen_on(fd, &any4, sizeof(any4), backlog);
}

/* ---- time ---- */

int64_t async_wall_ns(void)
{
	struct __kernel_timespec ts = { 0 };
	int64_t err = async_syscall(SYS_clock_gettime, CLOCK_REALTIME, io_addr(&ts), 0, 0, 0, 0);

	return err ? err : ts.tv_sec * (int64_t)ASYNC_S + ts.tv_nsec;
}

/* ---- pages ---- */

void *async_pages_alloc(size_t bytes, bool populate)
{
	uint64_t flags = MAP_PRIVATE | MAP_ANONYMOUS | (populate ? MAP_POPULATE : 0);
	int64_t addr = async_syscall(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, flags, ~0ull, 0);
	volatile char *p = (volatile char *)(uintptr_t)addr;

	if (addr < 0 && addr >= -ERRNO_MAX)
		return NULL;
	/* the kernel may take "populate" as a hint only */
	for (size_t i = 0; populate && i < bytes; i += 4096)
		p[i] = 0;
	return (void *)(uintptr_t)addr;
}

void async_pages_free(void *pages, size_t bytes)
{
	struct async_io io;

	ring_fill_syscall(async_io_begin_always(&io), SYS_munmap, io_addr(pages), bytes, 0, 0, 0, 0,
			  io_addr(&io));
	async_io_wait(&io);
}
