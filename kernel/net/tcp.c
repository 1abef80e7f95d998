/*
 * tcp: TCP sockets over lwIP's raw API.
 *
 * Net core only. The connection block (pcb) belongs to lwIP, which may free it inside any of its
 * callbacks after telling us through on_error; from then on the socket is GONE and only what was
 * received already can still be read. A callback never runs a program's operation: it queues, notes
 * and wakes.
 *
 * A child of a listener becomes a socket when its handshake is complete; it counts against the
 * listener's backlog until it is accepted. What close() leaves behind (data not yet acknowledged,
 * the closing handshake) is lwIP's alone: the pcb goes on without a socket.
 */
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include "net/flow.h"
#include "net/sock_impl.h"
#include "uapi/errno.h"

/* How often lwIP looks whether memory has come back for a writer that waits. */
#define POLL_HALF_SECONDS 1

/* ---- what lwIP tells us ---------------------------------------------------------------------- */

static void forget(struct tcp_pcb *pcb)
{
	tcp_arg(pcb, NULL);
	tcp_recv(pcb, NULL);
	tcp_sent(pcb, NULL);
	tcp_err(pcb, NULL);
	tcp_poll(pcb, NULL, 0);
}

/*
 * Both directions have ended while the program still holds the socket: lwIP finishes the connection
 * (CLOSING, TIME_WAIT) and frees the pcb without a word, so it is let go now.
 */
static void let_go(struct sock *s, struct tcp_pcb *pcb)
{
	flow_drop(s);
	sock_name_make(s, &pcb->local_ip, pcb->local_port, &s->local);
	forget(pcb);
	s->tcp = NULL;
	s->state = SOCK_GONE;
	sock_wake_writers(s);
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct sock *s = arg;

	(void)err;
	if (p) {
		tcp_sock_received(s, pcb, p);
		return ERR_OK;
	}
	s->eof = true;
	if (s->wr_shut)
		let_go(s, pcb);
	sock_wake_readers(s);
	return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	(void)len;
	(void)pcb;
	tcp_sock_acked(arg);
	return ERR_OK;
}

/* Twice a second: a writer may wait for memory that no acknowledgement of its own will free. */
static err_t on_poll(void *arg, struct tcp_pcb *pcb)
{
	struct sock *s = arg;

	(void)pcb;
	if (s && !list_is_empty(&s->writers.ops) && tcp_sock_room(s))
		sock_wake_writers(s);
	return ERR_OK;
}

/* The pcb is being freed: reset by the peer, timed out, or both directions ended. */
static void on_error(void *arg, err_t err)
{
	struct sock *s = arg;
	bool connecting = s->state == SOCK_CONNECTING;

	if (s->tcp)
		sock_name_make(s, &s->tcp->local_ip, s->tcp->local_port, &s->local);
	flow_drop(s);
	s->tcp = NULL;
	s->state = SOCK_GONE;
	if (err == ERR_CLSD)
		s->eof = true;
	else if (connecting && err == ERR_RST)
		s->error = ECONNREFUSED;
	else
		s->error = (int16_t)-sock_errno(err);
	sock_wake_readers(s);
	sock_wake_writers(s);
}

struct sock *tcp_sock_of(const struct tcp_pcb *pcb)
{
	return pcb->recv == on_recv ? pcb->callback_arg : NULL;
}

static void watch(struct sock *s, struct tcp_pcb *pcb)
{
	s->tcp = pcb;
	tcp_arg(pcb, s);
	tcp_recv(pcb, on_recv);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_error);
	tcp_poll(pcb, on_poll, POLL_HALF_SECONDS);
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct sock *s = arg;

	(void)pcb;
	(void)err;
	s->state = SOCK_CONNECTED;
	flow_add(s);
	sock_wake_writers(s);
	return ERR_OK;
}

/* What was set on the socket, or on its listener, before there was a pcb. */
static void pcb_apply_options(const struct sock *s, struct tcp_pcb *pcb)
{
	if (s->reuse)
		ip_set_option(pcb, SOF_REUSEADDR);
	if (s->keepalive)
		ip_set_option(pcb, SOF_KEEPALIVE);
	if (s->nodelay)
		tcp_nagle_disable(pcb);
	if (s->keep_idle)
		pcb->keep_idle = s->keep_idle * 1000u;
	if (s->keep_interval)
		pcb->keep_intvl = s->keep_interval * 1000u;
	if (s->keep_count)
		pcb->keep_cnt = s->keep_count;
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct sock *listener = arg;
	struct sock *s;

	if (err != ERR_OK || !pcb)
		return ERR_VAL;
	s = listener ? sock_alloc(listener->domain, SOCK_STREAM, 0) : NULL;
	if (!s) {
		tcp_abort(pcb);
		return ERR_ABRT;
	}
	s->state = SOCK_CONNECTED;
	s->bound = true;
	s->v6only = listener->v6only;
	s->linger = listener->linger;
	s->sndbuf = listener->sndbuf;
	s->rcvbuf = listener->rcvbuf;
	watch(s, pcb);
	s->keepalive = listener->keepalive;
	s->keep_idle = listener->keep_idle;
	s->keep_interval = listener->keep_interval;
	s->keep_count = listener->keep_count;
	s->nodelay = listener->nodelay;
	pcb_apply_options(s, pcb);
	flow_add(s);
	tcp_backlog_delayed(pcb);
	s->listener = listener;
	list_push_back(&listener->accepted, &s->sibling);
	waitlist_wake_one(&listener->readers);
	file_poll_wake(&listener->file);
	return ERR_OK;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* A TCP socket gets its pcb when it first needs one: options given before that are kept in the
 * socket. */
static int pcb_make(struct sock *s)
{
	uint8_t type = s->domain == AF_INET ? IPADDR_TYPE_V4
		       : s->v6only          ? IPADDR_TYPE_V6
					    : IPADDR_TYPE_ANY;
	struct tcp_pcb *pcb;

	if (s->tcp)
		return 0;
	pcb = tcp_new_ip_type(type);
	if (!pcb)
		return -ENOBUFS;
	pcb_apply_options(s, pcb);
	watch(s, pcb);
	return 0;
}

int tcp_sock_bind(struct sock *s, const ip_addr_t *ip, uint16_t port)
{
	int err = pcb_make(s);

	return err ? err : sock_errno(tcp_bind(s->tcp, ip, port));
}

int sock_listen(struct sock *s, int backlog)
{
	uint8_t limit = (uint8_t)(backlog < 1 ? 1 : min_of(backlog, 255));
	struct tcp_pcb *pcb;
	err_t err;
	int ret;

	if (s->type != SOCK_STREAM)
		return -EOPNOTSUPP;
	if (s->state == SOCK_LISTENING) {
		tcp_backlog_set(s->tcp, limit);
		return 0;
	}
	if (s->state != SOCK_OPEN)
		return -EINVAL;
	ret = pcb_make(s);
	if (ret)
		return ret;
	if (!s->bound) {
		ret = sock_errno(tcp_bind(s->tcp, s->domain == AF_INET ? IP4_ADDR_ANY :
						  s->v6only ? IP6_ADDR_ANY : IP_ANY_TYPE, 0));
		if (ret)
			return ret;
		s->bound = true;
	}
	/* lwIP replaces the pcb by a smaller one; a listener has no connection to lose, so no error
	 * callback. */
	pcb = tcp_listen_with_backlog_and_err(s->tcp, limit, &err);
	if (!pcb)
		return sock_errno(err);
	s->tcp = pcb;
	tcp_arg(pcb, s);
	tcp_accept(pcb, on_accept);
	s->state = SOCK_LISTENING;
	return 0;
}

int tcp_sock_connect(struct sock *s, const ip_addr_t *ip, uint16_t port)
{
	int err = pcb_make(s);

	if (err)
		return err;
	err = sock_errno(tcp_connect(s->tcp, ip, port, on_connected));
	if (err)
		return err;
	s->bound = true;
	s->state = SOCK_CONNECTING;
	return -EINPROGRESS;
}

int sock_accept(struct sock *s, int type_flags, struct file **out)
{
	struct sock *child;

	if (s->type != SOCK_STREAM)
		return -EOPNOTSUPP;
	if (s->file.closed)
		return -ECANCELED;
	if (s->state != SOCK_LISTENING)
		return -EINVAL;
	if (list_is_empty(&s->accepted))
		return -EAGAIN;
	child = list_item(list_take_front(&s->accepted), struct sock, sibling);
	child->listener = NULL;
	if (child->tcp)
		tcp_backlog_accepted(child->tcp);
	if (type_flags & SOCK_NONBLOCK)
		atomic_fetch_or_explicit(&child->file.flags, FILE_NONBLOCK, memory_order_relaxed);
	*out = &child->file;
	return 0;
}

int sock_shutdown(struct sock *s, int how)
{
	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	if (s->type == SOCK_DGRAM) {
		struct sock_name peer;

		if (sock_name_peer(s, &peer))
			return -ENOTCONN;
	} else if (s->state == SOCK_LISTENING) {
		/* As on Linux: nobody is accepted any more; those who wait learn it. */
		s->error = ECONNABORTED;
		tcp_sock_close(s);
		s->state = SOCK_GONE;
		sock_wake_readers(s);
		return 0;
	} else if (s->state != SOCK_CONNECTED) {
		return -ENOTCONN;
	}
	if (how != SHUT_WR) {
		s->rd_shut = true;
		sock_wake_readers(s);
	}
	if (how != SHUT_RD && !s->wr_shut) {
		if (s->type == SOCK_STREAM) {
			int err = sock_errno(tcp_shutdown(s->tcp, 0, 1));

			if (err)
				return err;
		}
		s->wr_shut = true;
		sock_wake_writers(s);
	}
	return 0;
}

/* lwIP had no memory for the FIN: it is asked again twice a second, the socket being gone
 * already. */
static err_t close_again(void *arg, struct tcp_pcb *pcb)
{
	(void)arg;
	if (tcp_close(pcb) == ERR_OK)
		tcp_poll(pcb, NULL, 0);
	return ERR_OK;
}

static void close_listener(struct sock *s)
{
	while (!list_is_empty(&s->accepted)) {
		struct sock *child = list_item(list_take_front(&s->accepted), struct sock, sibling);

		child->listener = NULL;
		/* nobody will ever read it: reset */
		child->linger = (struct linger){ .l_onoff = 1 };
		file_put(&child->file);
	}
	tcp_arg(s->tcp, NULL);
	tcp_accept(s->tcp, NULL);
	if (tcp_close(s->tcp) != ERR_OK)
		kassert(!"a listening pcb closes at once");
}

void tcp_sock_close(struct sock *s)
{
	struct tcp_pcb *pcb = s->tcp;
	bool unread = s->queue.head != NULL;

	if (pcb)
		sock_name_make(s, &pcb->local_ip, pcb->local_port, &s->local);
	flow_drop(s);
	if (s->state == SOCK_LISTENING) {
		close_listener(s);
	} else if (pcb) {
		forget(pcb);
		/* Data that was never read: the peer must learn that it was lost (RFC 2525, section
		 * 2.17). */
		if (s->state == SOCK_CONNECTED &&
		    (unread || (s->linger.l_onoff && !s->linger.l_linger)))
			tcp_abort(pcb);
		else if (tcp_close(pcb) != ERR_OK)
			tcp_poll(pcb, close_again, POLL_HALF_SECONDS);
	}
	s->tcp = NULL;
	tcp_sock_drop_queue(s);
}

/* ---- options --------------------------------------------------------------------------------- */

int tcp_sock_option(struct sock *s, int level, int name, int32_t value)
{
	struct tcp_pcb *pcb = s->state == SOCK_LISTENING ? NULL : s->tcp;

	if (level == SOL_SOCKET && name == SO_REUSEADDR) {
		s->reuse = value != 0;
		if (s->tcp && s->reuse)
			ip_set_option(s->tcp, SOF_REUSEADDR);
		else if (s->tcp)
			ip_reset_option(s->tcp, SOF_REUSEADDR);
		return 0;
	}
	if (level == SOL_SOCKET && name == SO_KEEPALIVE) {
		s->keepalive = value != 0;
		if (s->tcp && s->keepalive)
			ip_set_option(s->tcp, SOF_KEEPALIVE);
		else if (s->tcp)
			ip_reset_option(s->tcp, SOF_KEEPALIVE);
		return 0;
	}
	switch (name) {
	case TCP_NODELAY:
		s->nodelay = value != 0;
		if (pcb && s->nodelay) {
			tcp_nagle_disable(pcb);
			tcp_output(pcb);
		} else if (pcb) {
			tcp_nagle_enable(pcb);
		}
		return 0;
	case TCP_KEEPIDLE:
	case TCP_KEEPINTVL:
	case TCP_KEEPCNT:
		if (value < 1 || value > (name == TCP_KEEPCNT ? 127 : 32767))
			return -EINVAL;
		if (name == TCP_KEEPIDLE)
			s->keep_idle = (uint16_t)value;
		else if (name == TCP_KEEPINTVL)
			s->keep_interval = (uint16_t)value;
		else
			s->keep_count = (uint8_t)value;
		if (pcb && name == TCP_KEEPIDLE)
			pcb->keep_idle = (uint32_t)value * 1000u;
		else if (pcb && name == TCP_KEEPINTVL)
			pcb->keep_intvl = (uint32_t)value * 1000u;
		else if (pcb)
			pcb->keep_cnt = (uint32_t)value;
		return 0;
	case TCP_QUICKACK: /* a hint on Linux too */
		return 0;
	}
	return -ENOPROTOOPT;
}

int tcp_sock_option_get(const struct sock *s, int name)
{
	const struct tcp_pcb *pcb = s->state == SOCK_LISTENING ? NULL : s->tcp;

	switch (name) {
	case TCP_NODELAY:
		return s->nodelay;
	case TCP_MAXSEG:
		return pcb ? tcp_mss(pcb) : TCP_MSS;
	case TCP_KEEPIDLE:
		return s->keep_idle ? s->keep_idle : TCP_KEEPIDLE_DEFAULT / 1000;
	case TCP_KEEPINTVL:
		return s->keep_interval ? s->keep_interval : TCP_KEEPINTVL_DEFAULT / 1000;
	case TCP_KEEPCNT:
		return s->keep_count ? s->keep_count : TCP_KEEPCNT_DEFAULT;
	case TCP_QUICKACK:
		return 0;
	}
	return -ENOPROTOOPT;
}
