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

#define POLL_HALF_SECONDS                                                                          \
	1 /* how often lwIP looks whether memory has come back for a writer that waits */

/* ---- the receive queue ----------------------------------------------------------------------- */

static void queue_push(struct sock *s, struct pbuf *p)
{
	s->queued += p->tot_len;
	if (s->queue.tail)
		s->queue.tail->next = p;
	else
		s->queue.head = p;
	while (p->next)
		p = p->next;
	s->queue.tail = p;
}

/* Lets go of the head: alone, so that freeing it does not free the rest. */
static void queue_drop_head(struct sock *s)
{
	struct pbuf *p = s->queue.head;

	s->queue.head = p->next;
	if (!p->next)
		s->queue.tail = NULL;
	p->next = NULL;
	p->tot_len = p->len;
	s->head_off = 0;
	pbuf_free(p);
}

static void queue_consume(struct sock *s, uint32_t n)
{
	s->queued -= n;
	while (n) {
		uint32_t part = s->queue.head->len - s->head_off;

		if (n < part) {
			s->head_off += n;
			return;
		}
		n -= part;
		queue_drop_head(s);
	}
}

static void queue_free(struct sock *s)
{
	while (s->queue.head)
		queue_drop_head(s);
	s->queued = 0;
}

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

void tcp_sock_received(struct sock *s, struct tcp_pcb *pcb, struct pbuf *p)
{
	if (unlikely(s->rd_shut)) {
		tcp_recved(pcb, p->tot_len);
		pbuf_free(p);
		return;
	}
	queue_push(s, p);
	if (likely(!list_is_empty(&s->readers.ops)))
		waitlist_wake_one(&s->readers);
	file_poll_wake(&s->file);
}

void tcp_sock_acked(struct sock *s)
{
	if (unlikely(!list_is_empty(&s->writers.ops) || !list_is_empty(&s->file.pollers.ops)) &&
	    tcp_sock_room(s) >= TCP_SNDLOWAT)
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
	child = list_item(list_pop_front(&s->accepted), struct sock, sibling);
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
		struct sock *child = list_item(list_pop_front(&s->accepted), struct sock, sibling);

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
	queue_free(s);
}

/* ---- data ------------------------------------------------------------------------------------ */

uint32_t tcp_sock_room(const struct sock *s)
{
	uint32_t room, queued;

	if (!s->tcp || s->tcp->snd_queuelen >= TCP_SND_QUEUELEN - 2)
		return 0;
	room = s->tcp->snd_buf; /* tcp_sndbuf would cut it at 64 KiB */
	queued = TCP_SND_BUF - room;
	if (unlikely(s->sndbuf < TCP_SND_BUF))
		room = s->sndbuf > queued ? s->sndbuf - queued : 0;
	return room;
}

int64_t tcp_sock_can_recv(struct sock *s)
{
	int err;

	if (likely(s->queue.head))
		return s->queued;
	err = sock_take_error(s);
	if (err)
		return err;
	if (s->eof || s->rd_shut || s->state == SOCK_GONE)
		return 0;
	return s->state == SOCK_CONNECTED ? -EAGAIN : -ENOTCONN;
}

uint32_t tcp_sock_recv(struct sock *s, const struct pin *pin, uint32_t n, uint32_t flags)
{
	n = sock_copy_out(pin, 0, s->queue.head, s->head_off, min_of(n, s->queued));
	if (unlikely(flags & MSG_PEEK))
		return n;
	queue_consume(s, n);
	if (s->tcp)
		for (uint32_t left = n; left; left -= min_of(left, 0xffffu))
			tcp_recved(s->tcp, (u16_t)min_of(left, 0xffffu));
	if (s->queue.head)
		waitlist_wake_one(&s->readers);
	return n;
}

/* The bytes of a pin that lies in one page. */
static inline void *pin_flat(const struct pin *pin)
{
	return (char *)arch_direct((paddr_t)pin->frame[0] << PAGE_SHIFT) + pin->first;
}

int64_t sock_recv_span(struct sock *s, struct aspace *as, uaddr_t at, uint64_t len)
{
	struct pbuf *p = s->queue.head;
	uint32_t part = p->len - s->head_off, n;
	struct pin pin;
	int64_t got;

	if (unlikely(s->file.closed))
		return -ECANCELED;
	got = pin_user(as, at, min_of(len, (uint64_t)s->queued), ACCESS_WRITE, &pin);
	if (unlikely(got <= 0))
		return got;
	n = (uint32_t)got;
	/* One pbuf's rest into one page: nearly every small message. */
	if (likely(n <= part && pin.pages == 1)) {
		memcpy(pin_flat(&pin), (const char *)p->payload + s->head_off, n);
		s->queued -= n;
		s->head_off += n;
		if (n == part)
			queue_drop_head(s);
		if (likely(s->tcp))
			tcp_recved(s->tcp, (u16_t)n);
		if (unlikely(s->queue.head && !list_is_empty(&s->readers.ops)))
			waitlist_wake_one(&s->readers);
	} else {
		n = tcp_sock_recv(s, &pin, n, 0);
	}
	pin_release(&pin);
	return n;
}

int64_t sock_send_span(struct sock *s, struct aspace *as, uaddr_t at, uint64_t len)
{
	int64_t n = s->file.closed ? -ECANCELED : tcp_sock_can_send(s);
	struct pin pin;

	if (unlikely(n <= 0))
		return n;
	n = pin_user(as, at, min_of(len, (uint64_t)n), ACCESS_READ, &pin);
	if (unlikely(n <= 0))
		return n;
	if (likely(pin.pages == 1 && (uint64_t)n == len &&
		   flow_send(s, pin_flat(&pin), (uint32_t)n))) {
		pin_release(&pin);
		return n;
	}
	if (likely(pin.pages == 1)) {
		err_t err = tcp_write(s->tcp, pin_flat(&pin), (u16_t)n,
				      TCP_WRITE_FLAG_COPY |
					      ((uint64_t)n < len ? TCP_WRITE_FLAG_MORE : 0));

		if (unlikely(err != ERR_OK))
			n = err == ERR_MEM ? -EAGAIN : sock_errno(err);
	} else {
		n = tcp_sock_send(s, &pin, (uint32_t)n, (uint64_t)n < len);
	}
	pin_release(&pin);
	if (likely(n > 0))
		tcp_output(s->tcp);
	return n;
}

int64_t tcp_sock_can_send(struct sock *s)
{
	uint32_t room;

	if (unlikely(s->state != SOCK_CONNECTED || s->wr_shut)) {
		int err = sock_take_error(s);

		if (err)
			return err;
		return s->state == SOCK_CONNECTING ? -EAGAIN : -EPIPE;
	}
	room = tcp_sock_room(s);
	return room ? (int64_t)room : -EAGAIN;
}

int64_t tcp_sock_send(struct sock *s, const struct pin *pin, uint32_t n, bool more)
{
	uint32_t done = 0;

	n = min_of(n, tcp_sock_room(s));
	while (done < n) {
		uint32_t run;
		const void *from = pin_view(pin, done, &run);
		err_t err;

		run = min_of(min_of(run, n - done), 0xffffu);
		err = tcp_write(s->tcp, from, (u16_t)run,
				TCP_WRITE_FLAG_COPY |
					(more || done + run < n ? TCP_WRITE_FLAG_MORE : 0));
		if (err != ERR_OK) {
			if (err != ERR_MEM)
				return done ? (int64_t)done : sock_errno(err);
			break;
		}
		done += run;
	}
	return done ? (int64_t)done : -EAGAIN;
}

void tcp_sock_flush(struct sock *s)
{
	if (s->tcp)
		tcp_output(s->tcp);
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
