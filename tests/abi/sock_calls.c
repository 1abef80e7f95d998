/*
 * Do the socket operations that libasync does not use answer as on Linux: messages gathered from
 * and scattered to many pieces, datagrams with names, RECVMSG into provided buffers once and for
 * ever, MSG_PEEK, MSG_WAITALL, MSG_TRUNC, URING_CMD, direct slots, and every wrong argument?
 */
#include "tests/abi/lib/say.h"
#include "uapi/mman.h"
#include "uapi/socket.h"

#define PORT 4712
#define GROUP 3
#define BUFFERS 4u
#define BUFFER_BYTES 256u

static char bytes[8192], back[8192];
static struct sockaddr_in here;

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static int64_t call(uint8_t opcode, int fd, uint64_t off, const void *addr, uint32_t len,
		    uint32_t flags)
{
	ring_fill(ring_sqe(&ring_native), opcode, fd, off, at(addr), len, flags, 0);
	return (int32_t)say_wait(); /* a flag such as "more is there" is no upper half */
}

static int64_t make(int domain, int type, int protocol)
{
	return call(IORING_OP_SOCKET, domain, (uint64_t)type, NULL, (uint32_t)protocol, 0);
}

static void close_fd(int64_t fd)
{
	say_is("close", call(IORING_OP_CLOSE, (int)fd, 0, NULL, 0, 0), 0);
}

static int64_t option(int fd, uint32_t cmd, uint32_t level, uint32_t name, void *value,
		      uint32_t len)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring_native);

	ring_fill(sqe, IORING_OP_URING_CMD, fd, cmd, 0, 0, 0, 0);
	sqe->level = level;
	sqe->optname = name;
	sqe->optlen = len;
	sqe->optval = at(value);
	return say_wait();
}

/* `parts` pieces of `each` bytes, every second byte left out between them. */
static void pieces(struct iovec *iov, char *base, unsigned parts, unsigned each)
{
	for (unsigned i = 0; i < parts; i++)
		iov[i] = (struct iovec){ base + i * (each + 1), each };
}

static bool same(const struct iovec *a, const struct iovec *b, unsigned parts)
{
	for (unsigned i = 0; i < parts; i++)
		for (unsigned k = 0; k < a[i].iov_len; k++)
			if (((char *)a[i].iov_base)[k] != ((char *)b[i].iov_base)[k])
				return false;
	return true;
}

static int listener, client, server;

static void connect_pair(void)
{
	int32_t one = 1;

	listener = (int)make(AF_INET, SOCK_STREAM, 0);
	say_is("bind", call(IORING_OP_BIND, listener, sizeof(here), &here, 0, 0), 0);
	say_is("listen", call(IORING_OP_LISTEN, listener, 0, NULL, 8, 0), 0);
	client = (int)make(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	say_is("option", option(client, SOCKET_URING_OP_SETSOCKOPT, SOL_TCP, TCP_NODELAY, &one, 4),
	       0);
	say_is("connect", call(IORING_OP_CONNECT, client, sizeof(here), &here, 0, 0), 0);
	server = (int)call(IORING_OP_ACCEPT, listener, 0, NULL, 0, 0);
	say_true("accept", server > client);
}

static void gathering(void)
{
	struct iovec out[40], in[40];
	struct msghdr m = { .msg_iov = out, .msg_iovlen = 40 };
	char control[32];

	pieces(out, bytes, 40, 20);
	pieces(in, back, 40, 20);
	say_is("40 pieces sent", call(IORING_OP_SENDMSG, client, 0, &m, 1, 0), 800);
	m.msg_iov = in;
	m.msg_control = control;
	m.msg_controllen = sizeof(control);
	say_is("and received", call(IORING_OP_RECVMSG, server, 0, &m, 1, MSG_WAITALL), 800);
	say_true("the same ones", same(out, in, 40));
	say_is("no control message", (int64_t)m.msg_controllen, 0);
	m = (struct msghdr){
		.msg_iov = out, .msg_iovlen = 2, .msg_control = control, .msg_controllen = 8
	};
	say_is("none to be sent either", call(IORING_OP_SENDMSG, client, 0, &m, 1, 0), -EOPNOTSUPP);
	m.msg_controllen = 0;
	m.msg_iovlen = 1025;
	say_is("too many pieces", call(IORING_OP_SENDMSG, client, 0, &m, 1, 0), -EMSGSIZE);
	m.msg_iovlen = 4;
	m.msg_iov = (struct iovec *)8;
	say_is("pieces nowhere", call(IORING_OP_SENDMSG, client, 0, &m, 1, 0), -EFAULT);
	say_is("no header", call(IORING_OP_RECVMSG, server, 0, NULL, 1, MSG_DONTWAIT), -EFAULT);
	m.msg_iov = out;
	m.msg_iovlen = 0;
	say_is("nothing to send", call(IORING_OP_SENDMSG, client, 0, &m, 1, 0), 0);
}

static void flags(void)
{
	int32_t queued;

	say_is("send", call(IORING_OP_SEND, client, 0, "0123456789", 10, 0), 10);
	say_is("look", call(IORING_OP_RECV, server, 0, back, 4, MSG_PEEK), 4);
	queued = (int32_t)option(server, SOCKET_URING_OP_SIOCINQ, 0, 0, NULL, 0);
	say_is("it is still there", queued, 10);
	say_is("take", call(IORING_OP_RECV, server, 0, back, 100, 0), 10);
	say_true("what was sent", back[0] == '0' && back[9] == '9');
	say_is("nothing left", call(IORING_OP_RECV, server, 0, back, 100, MSG_DONTWAIT), -EAGAIN);
	say_is("by write", call(IORING_OP_WRITE, client, 0, "abc", 3, 0), 3);
	say_is("by read", call(IORING_OP_READ, server, 0, back, 100, 0), 3);
	say_is("out of band", call(IORING_OP_SEND, client, 0, "x", 1, MSG_OOB), -EOPNOTSUPP);
	say_is("from nowhere", call(IORING_OP_SEND, client, 0, NULL, 9, 0), -EFAULT);
	say_is("an empty receive", call(IORING_OP_RECV, server, 0, back, 0, 0), 0);
	say_is("connected twice", call(IORING_OP_CONNECT, client, sizeof(here), &here, 0, 0),
	       -EISCONN);
}

static void wrong(void)
{
	struct sockaddr_in bad = here;
	struct io_uring_sqe *sqe;
	int32_t v = 0;
	int fd = (int)make(AF_INET, SOCK_STREAM, 0);

	say_is("a family", make(AF_UNIX, SOCK_STREAM, 0), -EAFNOSUPPORT);
	say_is("a type", make(AF_INET, SOCK_RAW, 0), -ESOCKTNOSUPPORT);
	say_is("a protocol", make(AF_INET, SOCK_STREAM, IPPROTO_UDP), -EPROTONOSUPPORT);
	say_is("type bits", make(AF_INET, SOCK_STREAM | 0x100, 0), -EINVAL);
	say_is("no socket", call(IORING_OP_LISTEN, 1, 0, NULL, 8, 0), -ENOTSOCK);
	say_is("no descriptor", call(IORING_OP_LISTEN, 99, 0, NULL, 8, 0), -EBADF);
	say_is("in use", call(IORING_OP_BIND, fd, sizeof(here), &here, 0, 0), -EADDRINUSE);
	say_is("a short name", call(IORING_OP_BIND, fd, 4, &here, 0, 0), -EINVAL);
	say_is("a long name", call(IORING_OP_BIND, fd, 200, &here, 0, 0), -EINVAL);
	say_is("a name nowhere", call(IORING_OP_BIND, fd, 16, (void *)16, 0, 0), -EFAULT);
	bad.sin_family = 77;
	say_is("another family", call(IORING_OP_CONNECT, fd, sizeof(bad), &bad, 0, 0),
	       -EAFNOSUPPORT);
	bad = here;
	bad.sin_port = 0x0101;
	say_is("nobody there", call(IORING_OP_CONNECT, fd, sizeof(bad), &bad, 0, 0), -ECONNREFUSED);
	say_is("accept what does not listen", call(IORING_OP_ACCEPT, client, 0, NULL, 0, 0),
	       -EINVAL);
	say_is("shut what is not open", call(IORING_OP_SHUTDOWN, listener + 20, 0, NULL, 2, 0),
	       -EBADF);
	say_is("shut how", call(IORING_OP_SHUTDOWN, client, 0, NULL, 3, 0), -EINVAL);
	say_is("an option", option(client, SOCKET_URING_OP_SETSOCKOPT, SOL_SOCKET, 999, &v, 4),
	       -ENOPROTOOPT);
	say_is("cut short", option(client, SOCKET_URING_OP_SETSOCKOPT, SOL_TCP, TCP_NODELAY, &v, 3),
	       -EINVAL);
	say_is("read one", option(client, SOCKET_URING_OP_GETSOCKOPT, SOL_SOCKET, SO_TYPE, &v, 4),
	       4);
	say_is("its value", v, SOCK_STREAM);
	say_is("a command", option(client, 99, 0, 0, NULL, 0), -EOPNOTSUPP);
	say_is("a command to no socket", option(1, SOCKET_URING_OP_SIOCINQ, 0, 0, NULL, 0),
	       -EOPNOTSUPP);
	sqe = ring_sqe(&ring_native);
	ring_fill(sqe, IORING_OP_RECV, server, 0, at(back), 10, 0, 0);
	sqe->ioprio = IORING_RECV_MULTISHOT;
	say_is("for ever into one place", say_wait(), -EINVAL);
	sqe = ring_sqe(&ring_native);
	ring_fill(sqe, IORING_OP_SEND, client, 0, at(back), 10, 0, 0);
	sqe->ioprio = IORING_RECVSEND_BUNDLE;
	say_is("bundles", say_wait(), -EINVAL);
	close_fd(fd);
}

/* ---- datagrams ------------------------------------------------------------------------------- */

static void datagrams(void)
{
	int a = (int)make(AF_INET, SOCK_DGRAM, 0), b = (int)make(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
	struct sockaddr_in from = { 0 };
	struct iovec in[2] = { { back, 4 }, { back + 100, 4 } };
	struct msghdr m = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = in, .msg_iovlen = 2
	};
	struct io_uring_sqe *sqe;

	say_is("bind a datagram socket", call(IORING_OP_BIND, a, sizeof(here), &here, 0, 0), 0);
	say_is("to nobody", call(IORING_OP_SEND, b, 0, bytes, 10, 0), -EDESTADDRREQ);
	sqe = ring_sqe(&ring_native);
	ring_fill(sqe, IORING_OP_SEND, b, at(&here), at("0123456789"), 10, 0, 0);
	sqe->addr_len = sizeof(here);
	say_is("to a name", say_wait(), 10);
	say_is("cut", call(IORING_OP_RECVMSG, a, 0, &m, 1, MSG_TRUNC), 10);
	say_true("in two pieces",
		 back[0] == '0' && back[3] == '3' && back[100] == '4' && back[103] == '7');
	say_is("and told so", m.msg_flags, MSG_TRUNC);
	say_true("from there",
		 from.sin_family == AF_INET && from.sin_addr.s_addr == here.sin_addr.s_addr);
	say_is("connect", call(IORING_OP_CONNECT, a, sizeof(from), &from, 0, 0), 0);
	say_is("answer", call(IORING_OP_WRITE, a, 0, "yes", 3, 0), 3);
	say_is("heard", call(IORING_OP_READ, b, 0, back, 100, 0), 3);
	say_is("empty", call(IORING_OP_SEND, a, 0, NULL, 0, 0), 0);
	say_is("empty it is", call(IORING_OP_RECV, b, 0, back, 100, 0), 0);
	say_is("too long", call(IORING_OP_SEND, a, 0, bytes, 65001, 0), -EMSGSIZE);
	say_is("no stream", call(IORING_OP_LISTEN, a, 0, NULL, 1, 0), -EOPNOTSUPP);
	close_fd(a);
	close_fd(b);
}

/* ---- provided buffers ------------------------------------------------------------------------ */

static struct io_uring_buf *buffers; /* BUFFERS of them; a page of its own */
static char *pool;

static void give_all(void)
{
	static uint16_t tail;

	for (unsigned i = 0; i < BUFFERS; i++) {
		struct io_uring_buf *b = &buffers[(tail + i) % BUFFERS];

		b->addr = at(pool + i * BUFFER_BYTES);
		b->len = BUFFER_BYTES;
		b->bid = (uint16_t)i;
	}
	tail = (uint16_t)(tail + BUFFERS);
	__atomic_store_n(&((uint16_t *)buffers)[7], tail, __ATOMIC_RELEASE);
}

/* The next CQE; false: none comes. */
static bool next(struct io_uring_cqe *cqe)
{
	if (ring_wait(&ring_native, 1))
		return false;
	*cqe = *ring_cqe(&ring_native);
	ring_advance(&ring_native, 1);
	return true;
}

static bool laid_out(const struct io_uring_cqe *cqe, uint32_t len)
{
	const char *b = pool + (cqe->flags >> IORING_CQE_BUFFER_SHIFT) * BUFFER_BYTES;
	const struct io_uring_recvmsg_out *out = (const void *)b;

	return cqe->res == (int32_t)(sizeof(*out) + 16 + len) &&
	       (cqe->flags & 3) == (IORING_CQE_F_BUFFER | IORING_CQE_F_MORE) &&
	       out->namelen == 16 && !out->controllen && out->payloadlen == len &&
	       b[sizeof(*out) + 16] == 'a' && b[sizeof(*out) + 16 + len - 1] == 'z';
}

/* One datagram is sent to `to` meanwhile; what the receiver 77 said. No word is said: the ring is
 * in use. */
static void after_sending(int from, struct io_uring_cqe *told)
{
	struct io_uring_cqe cqe;
	unsigned seen = 0;

	ring_fill(ring_sqe(&ring_native), IORING_OP_SEND, from, 0, at("abcz"), 4, 0, 1);
	ring_submit(&ring_native);
	while (seen != 3 && next(&cqe)) {
		if (cqe.user_data == 77)
			*told = cqe;
		seen |= cqe.user_data == 77 ? 1 : 2;
	}
}

static void for_ever(void)
{
	int a = (int)make(AF_INET, SOCK_DGRAM, 0), b = (int)make(AF_INET, SOCK_DGRAM, 0);
	struct msghdr m = { .msg_namelen = 16 };
	struct io_uring_cqe cqe;
	struct io_uring_sqe *sqe;
	unsigned good = 0;

	say_is("bind", call(IORING_OP_BIND, a, sizeof(here), &here, 0, 0), 0);
	say_is("connect", call(IORING_OP_CONNECT, b, sizeof(here), &here, 0, 0), 0);
	sqe = ring_sqe(&ring_native);
	ring_fill(sqe, IORING_OP_RECVMSG, a, 0, at(&m), 1, 0, 77);
	sqe->flags = IOSQE_BUFFER_SELECT;
	sqe->ioprio = IORING_RECV_MULTISHOT;
	sqe->buf_group = GROUP;
	ring_submit(&ring_native);
	for (unsigned i = 0; i < BUFFERS; i++) {
		after_sending(b, &cqe);
		good += laid_out(&cqe, 4);
	}
	after_sending(b, &cqe);
	say_is("messages as laid out", good, BUFFERS);
	say_is("no buffer left", cqe.res, -ENOBUFS);
	say_is("and that was the end", cqe.flags & IORING_CQE_F_MORE, 0);
	give_all();
	m.msg_iov = &(struct iovec){ NULL, 100 };
	m.msg_iovlen = 1;
	sqe = ring_sqe(&ring_native);
	ring_fill(sqe, IORING_OP_RECVMSG, a, 0, at(&m), 1, 0, 0);
	sqe->flags = IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	say_is("once, what was left", (int32_t)say_wait(), 4);
	close_fd(a);
	close_fd(b);
}

static void provide(void)
{
	struct io_uring_buf_reg reg = { .ring_entries = BUFFERS, .bgid = GROUP };
	int64_t page = ring_syscall(&ring_native, SYS_mmap, 0, 8192, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);

	buffers = (struct io_uring_buf *)(uintptr_t)page;
	pool = (char *)buffers + 4096;
	reg.ring_addr = at(buffers);
	say_is("a group of buffers",
	       ring_syscall(&ring_native, SYS_io_uring_register, (uint64_t)ring_native.fd,
			    IORING_REGISTER_PBUF_RING, at(&reg), 1, 0, 0),
	       0);
	give_all();
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	(void)ring;
	(void)argc;
	(void)argv;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + i / 251);
	here = (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = (uint16_t)(PORT << 8 | PORT >> 8),
				     .sin_addr.s_addr = __builtin_bswap32(INADDR_LOOPBACK) };
	connect_pair();
	gathering();
	flags();
	wrong();
	datagrams();
	provide();
	for_ever();
	close_fd(client);
	say_is("the end of the stream", call(IORING_OP_RECV, server, 0, back, 10, 0), 0);
	close_fd(server);
	close_fd(listener);
	return say_verdict();
}
