/*
 * socket: what TCP and UDP sockets have in common: their pool, their life as files, polling, names,
 * and the walk over a program's memory.
 *
 * Net core only. A socket's memory returns to the pool when its last reference is gone
 * (file_ops.free), which may be long after close.
 *
 * Left out, each with its errno: AF_UNIX and every other family (-EAFNOSUPPORT); SOCK_RAW and
 * SOCK_SEQPACKET (-ESOCKTNOSUPPORT); protocols other than TCP and UDP (-EPROTONOSUPPORT); MSG_OOB
 * (-EOPNOTSUPP); control messages on sending (-EOPNOTSUPP), and none are made on receiving;
 * SO_REUSEPORT balancing, datagrams above 65,000 bytes (-EMSGSIZE); SO_RCVTIMEO and the like
 * (-ENOPROTOOPT, see options.c); ICMP errors on UDP sockets are not reported; close() never
 * lingers: the stack finishes the connection behind the program's back, l_linger 0 resets it;
 * SO_RCVBUF bounds a UDP queue, a TCP window is always TCP_WND.
 */
#include "net/socket.h"

#include "lwip/err.h"
#include "lwip/tcp.h"
#include "lwip/udp.h"
#include "mm/pool.h"
#include "net/net.h"
#include "net/sock_impl.h"
#include "uapi/errno.h"
#include "uapi/fs.h"

#define SOCKS_MAX (MEMP_NUM_TCP_PCB + MEMP_NUM_TCP_PCB_LISTEN + MEMP_NUM_UDP_PCB)
#define SNDBUF_DEFAULT TCP_SND_BUF
#define RCVBUF_DEFAULT 212992u

static struct pool sock_pool;

uint32_t net_socks_alive(void)
{
	return sock_pool.total - sock_pool.free_count;
}

uint32_t net_socks_max(void)
{
	return sock_pool.total;
}

void socks_init(void)
{
	pool_init(&sock_pool, "sockets", sizeof(struct sock), SOCKS_MAX);
	udp_socks_init(MEMP_NUM_UDP_PCB);
}

int sock_errno(int8_t err)
{
	switch (err) {
	case ERR_OK:
		return 0;
	case ERR_MEM:
		return -ENOBUFS;
	case ERR_BUF:
		return -EMSGSIZE;
	case ERR_TIMEOUT:
	case ERR_ABRT:
		return -ETIMEDOUT;
	case ERR_RTE:
		return -ENETUNREACH;
	case ERR_INPROGRESS:
		return -EINPROGRESS;
	case ERR_VAL:
	case ERR_ARG:
		return -EINVAL;
	case ERR_WOULDBLOCK:
		return -EAGAIN;
	case ERR_USE:
		return -EADDRINUSE;
	case ERR_ALREADY:
		return -EALREADY;
	case ERR_ISCONN:
		return -EISCONN;
	case ERR_CONN:
		return -ENOTCONN;
	case ERR_RST:
	case ERR_CLSD:
		return -ECONNRESET;
	}
	return -EIO;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct sock *sock_alloc(uint8_t domain, uint8_t type, uint32_t file_flags)
{
	struct sock *s = pool_alloc(&sock_pool);

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	file_init(&s->file, &sock_file_ops, S_IFSOCK | 0777,
		  FILE_READABLE | FILE_WRITABLE | FILE_STREAM | file_flags);
	waitlist_init(&s->readers);
	waitlist_init(&s->writers);
	list_init(&s->accepted);
	list_init(&s->sibling);
	s->domain = domain;
	s->type = type;
	s->state = SOCK_OPEN;
	s->sndbuf = SNDBUF_DEFAULT;
	s->rcvbuf = RCVBUF_DEFAULT;
	return s;
}

void sock_release(struct sock *s)
{
	kassert(list_is_empty(&s->readers.ops) && list_is_empty(&s->writers.ops));
	kassert(!list_is_linked(&s->sibling) && list_is_empty(&s->accepted));
	pool_free(&sock_pool, s);
}

int sock_create(int domain, int type, int protocol, struct file **out)
{
	int kind = type & SOCK_TYPE_MASK;
	struct sock *s;
	int err;

	if (type & ~(SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	if (domain != AF_INET && domain != AF_INET6)
		return -EAFNOSUPPORT;
	if (kind != SOCK_STREAM && kind != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (protocol && protocol != (kind == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP))
		return -EPROTONOSUPPORT;
	s = sock_alloc((uint8_t)domain, (uint8_t)kind, type & SOCK_NONBLOCK ? FILE_NONBLOCK : 0);
	if (!s)
		return -ENFILE;
	err = kind == SOCK_DGRAM ? udp_sock_create(s) : 0;
	if (err) {
		sock_release(s);
		return err;
	}
	*out = &s->file;
	return 0;
}

static void sock_file_close(struct file *f)
{
	struct sock *s = container_of(f, struct sock, file);

	if (s->type == SOCK_STREAM)
		tcp_sock_close(s);
	else
		udp_sock_close(s);
	s->state = SOCK_GONE;
	sock_wake_readers(s);
	sock_wake_writers(s);
}

static void sock_file_free(struct file *f)
{
	struct sock *s = container_of(f, struct sock, file);

	/* A socket that never had a descriptor was never closed. */
	if (s->state != SOCK_GONE || s->queue.head)
		sock_file_close(f);
	sock_release(s);
}

/* ---- names and connections ------------------------------------------------------------------- */

int sock_bind(struct sock *s, const struct sock_name *name)
{
	ip_addr_t ip;
	uint16_t port;
	int err = sock_name_parse(s, name, &ip, &port);

	if (err)
		return err;
	if (s->bound || s->state != SOCK_OPEN)
		return -EINVAL;
	err = s->type == SOCK_STREAM ? tcp_sock_bind(s, &ip, port) : udp_sock_bind(s, &ip, port);
	if (!err)
		s->bound = true;
	return err;
}

int sock_connect(struct sock *s, const struct sock_name *name)
{
	ip_addr_t ip;
	uint16_t port;
	int err;

	if (s->type == SOCK_DGRAM && name->len >= sizeof(sa_family_t) &&
	    name->any.sa_family == AF_UNSPEC)
		return udp_sock_connect(s, NULL, 0);
	err = sock_name_parse_peer(s, name, &ip, &port);
	if (err)
		return err;
	if (s->type == SOCK_DGRAM)
		return udp_sock_connect(s, &ip, port);
	switch ((enum sock_state)s->state) {
	case SOCK_OPEN:
		return tcp_sock_connect(s, &ip, port);
	case SOCK_CONNECTING:
		return -EALREADY;
	case SOCK_LISTENING:
	case SOCK_CONNECTED:
		return -EISCONN;
	case SOCK_GONE:
		break;
	}
	return -EINVAL;
}

int sock_connect_result(struct sock *s)
{
	int err = sock_take_error(s);

	if (err)
		return err;
	if (s->state == SOCK_CONNECTING)
		return -EINPROGRESS;
	return s->state == SOCK_CONNECTED ? 0 : -ECONNABORTED;
}

int sock_name_local(struct sock *s, struct sock_name *out)
{
	if (s->type == SOCK_DGRAM && s->udp)
		sock_name_make(s, &s->udp->local_ip, s->udp->local_port, out);
	else if (s->type == SOCK_STREAM && s->tcp)
		sock_name_make(s, &s->tcp->local_ip, s->tcp->local_port, out);
	else if (s->local.len)
		*out = s->local;
	else
		sock_name_make(s, s->domain == AF_INET ? IP4_ADDR_ANY : IP6_ADDR_ANY, 0, out);
	return 0;
}

int sock_name_peer(struct sock *s, struct sock_name *out)
{
	if (s->type == SOCK_DGRAM) {
		if (!s->udp || !(s->udp->flags & UDP_FLAGS_CONNECTED))
			return -ENOTCONN;
		sock_name_make(s, &s->udp->remote_ip, s->udp->remote_port, out);
		return 0;
	}
	if (s->state != SOCK_CONNECTED || !s->tcp)
		return -ENOTCONN;
	sock_name_make(s, &s->tcp->remote_ip, s->tcp->remote_port, out);
	return 0;
}

/* ---- data ------------------------------------------------------------------------------------ */

uint32_t sock_copy_out(const struct pin *pin, uint32_t at, const struct pbuf *p, uint32_t off,
		       uint32_t n)
{
	uint32_t done = 0;

	for (; p && done < n; p = p->next, off = 0) {
		uint32_t part = min_of(p->len - off, n - done);
		const uint8_t *from = (const uint8_t *)p->payload + off;

		while (part) {
			uint32_t run;
			void *to = pin_view(pin, at + done, &run);

			run = min_of(run, part);
			memcpy(to, from, run);
			from += run;
			part -= run;
			done += run;
		}
	}
	return done;
}

/* The piece of the program's memory where the transfer goes on: its address and length, 0 when
 * everything is done. */
static uint64_t io_piece(const struct sock_io *io, uaddr_t *at)
{
	uint64_t skip = io->done;

	for (uint32_t i = 0; i < io->count; i++) {
		uint64_t len = io->iov[i].iov_len;

		if (skip < len) {
			*at = (uaddr_t)(uintptr_t)io->iov[i].iov_base + skip;
			return len - skip;
		}
		skip -= len;
	}
	return 0;
}

/* Reads into one pinned piece after the other, for as long as there is data. Memory is looked at
 * only once there is some. */
static int64_t stream_recv(struct sock *s, struct sock_io *io)
{
	uint64_t before = io->done;
	int64_t got = 0;
	uint64_t left;
	uaddr_t at;

	while ((left = io_piece(io, &at)) != 0) {
		struct pin pin;

		got = tcp_sock_can_recv(s);
		if (got <= 0)
			break;
		got = pin_user(io->as, at, min_of(left, (uint64_t)got), ACCESS_WRITE, &pin);
		if (got <= 0)
			break;
		got = tcp_sock_recv(s, &pin, (uint32_t)got, io->flags);
		pin_release(&pin);
		io->done += (uint64_t)got;
		if ((io->flags & MSG_PEEK) || !sock_has_data(s))
			break;
	}
	return io->done > before ? (int64_t)(io->done - before) : got;
}

static int64_t stream_send(struct sock *s, struct sock_io *io)
{
	uint64_t before = io->done;
	int64_t sent = 0;
	uint64_t left;
	uaddr_t at;

	while ((left = io_piece(io, &at)) != 0) {
		struct pin pin;

		sent = tcp_sock_can_send(s);
		if (sent <= 0)
			break;
		sent = pin_user(io->as, at, min_of(left, (uint64_t)sent), ACCESS_READ, &pin);
		if (sent <= 0)
			break;
		sent = tcp_sock_send(s, &pin, (uint32_t)sent,
				     (io->flags & MSG_MORE) || (uint64_t)sent < left);
		pin_release(&pin);
		if (sent <= 0)
			break;
		io->done += (uint64_t)sent;
	}
	if (io->done == before)
		return sent;
	if (!(io->flags & MSG_MORE))
		tcp_sock_flush(s);
	return (int64_t)(io->done - before);
}

int64_t sock_recv(struct sock *s, struct sock_io *io)
{
	if (s->file.closed)
		return -ECANCELED;
	return s->type == SOCK_STREAM ? stream_recv(s, io) : udp_sock_recv(s, io);
}

int64_t sock_can_recv(struct sock *s)
{
	if (s->file.closed)
		return -ECANCELED;
	return s->type == SOCK_STREAM ? tcp_sock_can_recv(s) : udp_sock_can_recv(s);
}

uint32_t sock_unsent(const struct sock *s)
{
	return s->type == SOCK_STREAM && s->state == SOCK_CONNECTED
		       ? TCP_SND_BUF - s->tcp->snd_buf
		       : 0;
}

int64_t sock_send(struct sock *s, struct sock_io *io)
{
	if (s->file.closed)
		return -ECANCELED;
	return s->type == SOCK_STREAM ? stream_send(s, io) : udp_sock_send(s, io);
}

/* ---- as files -------------------------------------------------------------------------------- */

static int64_t transfer_stream(struct sock *s, struct transfer *t)
{
	int64_t n = t->write ? tcp_sock_can_send(s) : tcp_sock_can_recv(s);

	if (n <= 0)
		return n;
	if (!t->write)
		return tcp_sock_recv(s, &t->pin, t->pin.len, 0);
	n = tcp_sock_send(s, &t->pin, t->pin.len, false);
	tcp_sock_flush(s);
	return n;
}

static enum step sock_file_transfer(struct file *f, struct op *op, struct transfer *t)
{
	struct sock *s = container_of(f, struct sock, file);
	int64_t n;

	if (f->closed)
		n = -ECANCELED;
	else if (s->type == SOCK_STREAM)
		n = transfer_stream(s, t);
	else
		n = t->write ? udp_sock_write(s, &t->pin, t->pin.len)
			     : udp_sock_read(s, &t->pin, t->pin.len);
	if (n == -EAGAIN && !t->nonblock && !sock_is_nonblock(s))
		return op_park(op, t->write ? &s->writers : &s->readers);
	t->moved = (int32_t)n;
	return STEP_DONE;
}

static int sock_file_transfer_cancel(struct file *f, struct op *op, struct transfer *t)
{
	struct sock *s = container_of(f, struct sock, file);

	list_remove(&op->link);
	/* It may have been the one that a wake was meant for. */
	if (!t->write && sock_has_data(s))
		waitlist_wake_one(&s->readers);
	return 0;
}

static uint32_t sock_file_poll(struct file *f)
{
	struct sock *s = container_of(f, struct sock, file);
	uint32_t bits = 0;

	if (s->error)
		bits |= POLLERR;
	if (s->type == SOCK_DGRAM) {
		if (sock_has_data(s) || s->rd_shut)
			bits |= POLLIN | POLLRDNORM;
		return bits | POLLOUT | POLLWRNORM;
	}
	switch ((enum sock_state)s->state) {
	case SOCK_OPEN:
		return bits | POLLOUT | POLLWRNORM | POLLHUP;
	case SOCK_LISTENING:
		return bits | (list_is_empty(&s->accepted) ? 0 : POLLIN | POLLRDNORM);
	case SOCK_CONNECTING:
		return bits;
	case SOCK_CONNECTED:
		if (sock_has_data(s))
			bits |= POLLIN | POLLRDNORM;
		if (s->eof || s->rd_shut)
			bits |= POLLIN | POLLRDNORM | POLLRDHUP;
		if (s->eof && s->wr_shut)
			bits |= POLLHUP;
		if (s->wr_shut || tcp_sock_room(s) >= TCP_SNDLOWAT)
			bits |= POLLOUT | POLLWRNORM;
		return bits;
	case SOCK_GONE:
		break;
	}
	return bits | POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLHUP | POLLRDHUP;
}

static int sock_file_stat(struct file *f, struct statx *st)
{
	st->stx_mode = (uint16_t)f->mode;
	st->stx_ino = f->id;
	st->stx_nlink = 1;
	st->stx_blksize = 4096;
	return 0;
}

const struct file_ops sock_file_ops = {
	.name = "socket",
	.transfer = sock_file_transfer,
	.transfer_cancel = sock_file_transfer_cancel,
	.poll = sock_file_poll,
	.stat = sock_file_stat,
	.close = sock_file_close,
	.free = sock_file_free,
};
