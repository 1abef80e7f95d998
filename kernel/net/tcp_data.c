/*
 * tcp_data: the bytes of TCP sockets: the queue of what was received, and the ways in and out of a
 * program's pages.
 *
 * Net core only. What was received stays in the pbufs it came in; taking it reopens the window.
 * Sending copies into lwIP's segments, by the short way (flow_send.c) when one segment may leave at
 * once. Connections themselves are in tcp.c.
 */
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include "net/flow.h"
#include "net/sock_impl.h"
#include "uapi/errno.h"

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
	/* What pbuf_free would find out: ours alone, and lent by a card. */
	if (likely(p->ref == 1 && (p->flags & PBUF_FLAG_IS_CUSTOM)))
		((struct pbuf_custom *)(void *)p)->custom_free_function(p);
	else
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

void tcp_sock_drop_queue(struct sock *s)
{
	while (s->queue.head)
		queue_drop_head(s);
	s->queued = 0;
}

/* ---- what flow.c and lwIP's callbacks say ---------------------------------------------------- */

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
