/*
 * udp: UDP sockets over lwIP's raw API.
 *
 * Net core only. Datagrams that arrive wait in the socket's queue, at most `rcvbuf` bytes and
 * QUEUE_MAX of them, later ones are dropped as the protocol allows. A datagram is sent at once or
 * not at all: no operation parks to send.
 */
#include "lwip/udp.h"
#include "lwip/netif.h"
#include "mm/pool.h"
#include "net/sock_impl.h"
#include "uapi/errno.h"

#define DGRAMS_PER_SOCKET 16u
#define DGRAM_BYTES_MAX 65000u /* 507 less than IPv4 could carry: see lwippools.h */

static struct pool dgram_pool;

void udp_socks_init(uint32_t sockets)
{
	pool_init(&dgram_pool, "udp datagrams", sizeof(struct dgram), sockets * DGRAMS_PER_SOCKET);
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void on_dgram(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
		     u16_t port)
{
	struct sock *s = arg;
	struct dgram *d = NULL;

	(void)pcb;
	if (!s->rd_shut && s->queued + p->tot_len <= s->rcvbuf)
		d = pool_alloc(&dgram_pool);
	if (!d) {
		this_core()->count->nic_drops++;
		pbuf_free(p);
		return;
	}
	d->next = NULL;
	d->p = p;
	d->from = *from;
	d->port = port;
	if (s->dgrams.tail)
		s->dgrams.tail->next = d;
	else
		s->dgrams.head = d;
	s->dgrams.tail = d;
	s->queued += p->tot_len;
	waitlist_wake_one(&s->readers);
	file_poll_wake(&s->file);
}

static void drop_head(struct sock *s)
{
	struct dgram *d = s->dgrams.head;

	s->dgrams.head = d->next;
	if (!d->next)
		s->dgrams.tail = NULL;
	s->queued -= d->p->tot_len;
	pbuf_free(d->p);
	pool_free(&dgram_pool, d);
}

int64_t udp_sock_can_recv(struct sock *s)
{
	if (s->dgrams.head)
		return 1;
	if (s->error)
		return sock_take_error(s);
	return s->rd_shut ? 0 : -EAGAIN;
}

int64_t udp_sock_recv(struct sock *s, struct sock_io *io)
{
	struct dgram *d = s->dgrams.head;
	uint32_t done = 0;
	int64_t can = udp_sock_can_recv(s);

	if (can <= 0)
		return can;
	for (uint32_t i = 0; i < io->count && done < d->p->tot_len; i++) {
		uaddr_t at = (uaddr_t)(uintptr_t)io->iov[i].iov_base;
		uint64_t left = io->iov[i].iov_len;

		while (left && done < d->p->tot_len) {
			struct pin pin;
			int64_t got =
				pin_user(io->as, at, min_of(left, (uint64_t)d->p->tot_len - done),
					 ACCESS_WRITE, &pin);
			u16_t off;
			struct pbuf *p = pbuf_skip(d->p, (u16_t)done, &off);

			if (got <= 0)
				return got;
			got = sock_copy_out(&pin, 0, p, off, (uint32_t)got);
			pin_release(&pin);
			done += (uint32_t)got;
			at += (uint64_t)got;
			left -= (uint64_t)got;
		}
	}
	if (io->name)
		sock_name_make(s, &d->from, d->port, io->name);
	if (done < d->p->tot_len) {
		io->out_flags |= MSG_TRUNC;
		if (io->flags & MSG_TRUNC)
			done = d->p->tot_len;
	}
	if (!(io->flags & MSG_PEEK))
		drop_head(s);
	if (s->dgrams.head)
		waitlist_wake_one(&s->readers);
	return done;
}

int64_t udp_sock_read(struct sock *s, const struct pin *pin, uint32_t n)
{
	int64_t can = udp_sock_can_recv(s);
	uint32_t done;

	if (can <= 0)
		return can;
	done = sock_copy_out(pin, 0, s->dgrams.head->p, 0,
			     min_of(n, (uint32_t)s->dgrams.head->p->tot_len));
	drop_head(s);
	if (s->dgrams.head)
		waitlist_wake_one(&s->readers);
	return done;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* One pbuf, or a chain for datagrams that will be fragmented. */
static struct pbuf *dgram_alloc(uint32_t n)
{
	return pbuf_alloc(PBUF_TRANSPORT, (u16_t)n, n <= 1472 ? PBUF_RAM : PBUF_POOL);
}

static int64_t dgram_send(struct sock *s, struct pbuf *p, const ip_addr_t *ip, uint16_t port)
{
	int64_t n = p->tot_len;
	err_t err = ip ? udp_sendto(s->udp, p, ip, port) : udp_send(s->udp, p);

	pbuf_free(p);
	/* lwIP answers ERR_VAL to a broadcast that SO_BROADCAST did not permit. */
	return err == ERR_OK ? n : err == ERR_VAL ? -EACCES : sock_errno(err);
}

/* 0, or why nothing can be sent. */
static int can_send(struct sock *s, const struct sock_name *to, ip_addr_t *ip, uint16_t *port)
{
	int err = sock_take_error(s);

	if (err)
		return err;
	if (s->wr_shut)
		return -EPIPE;
	if (!to)
		return s->udp->flags & UDP_FLAGS_CONNECTED ? 0 : -EDESTADDRREQ;
	return sock_name_parse_peer(s, to, ip, port);
}

int64_t udp_sock_send(struct sock *s, struct sock_io *io)
{
	uint64_t total = 0;
	uint32_t done = 0;
	struct pbuf *p;
	ip_addr_t ip;
	uint16_t port = 0;
	int64_t err = can_send(s, io->name, &ip, &port);

	if (err)
		return err;
	for (uint32_t i = 0; i < io->count; i++) {
		if (io->iov[i].iov_len > DGRAM_BYTES_MAX)
			return -EMSGSIZE;
		total += io->iov[i].iov_len;
	}
	if (total > DGRAM_BYTES_MAX)
		return -EMSGSIZE;
	p = dgram_alloc((uint32_t)total);
	if (!p)
		return -ENOBUFS;
	for (uint32_t i = 0; i < io->count; i++) {
		uaddr_t at = (uaddr_t)(uintptr_t)io->iov[i].iov_base;
		uint64_t left = io->iov[i].iov_len;

		while (left) {
			struct pin pin;
			uint32_t off = 0, run;

			err = pin_user(io->as, at, left, ACCESS_READ, &pin);
			if (err <= 0)
				goto out_free;
			while (off < (uint32_t)err) {
				const void *from = pin_view(&pin, off, &run);

				run = min_of(run, (uint32_t)err - off);
				pbuf_take_at(p, from, (u16_t)run, (u16_t)done);
				off += run;
				done += run;
			}
			pin_release(&pin);
			at += (uint64_t)err;
			left -= (uint64_t)err;
		}
	}
	return dgram_send(s, p, io->name ? &ip : NULL, port);

out_free:
	pbuf_free(p);
	return err;
}

int64_t udp_sock_write(struct sock *s, const struct pin *pin, uint32_t n)
{
	struct pbuf *p;
	uint32_t run;
	int err = can_send(s, NULL, NULL, NULL);

	if (err)
		return err;
	if (n > DGRAM_BYTES_MAX)
		return -EMSGSIZE;
	p = dgram_alloc(n);
	if (!p)
		return -ENOBUFS;
	for (uint32_t off = 0; off < n; off += run) {
		const void *from = pin_view(pin, off, &run);

		run = min_of(run, n - off);
		pbuf_take_at(p, from, (u16_t)run, (u16_t)off);
	}
	return dgram_send(s, p, NULL, 0);
}

/* ---- life ------------------------------------------------------------------------------------ */

int udp_sock_create(struct sock *s)
{
	s->udp = udp_new_ip_type(s->domain == AF_INET ? IPADDR_TYPE_V4 : IPADDR_TYPE_ANY);
	if (!s->udp)
		return -ENOBUFS;
	udp_recv(s->udp, on_dgram, s);
	return 0;
}

int udp_sock_bind(struct sock *s, const ip_addr_t *ip, uint16_t port)
{
	if (s->reuse)
		ip_set_option(s->udp, SOF_REUSEADDR);
	if (s->broadcast)
		ip_set_option(s->udp, SOF_BROADCAST);
	return sock_errno(udp_bind(s->udp, ip, port));
}

int udp_sock_connect(struct sock *s, const ip_addr_t *ip, uint16_t port)
{
	if (!ip) {
		udp_disconnect(s->udp);
		return 0;
	}
	return sock_errno(udp_connect(s->udp, ip, port));
}

void udp_sock_close(struct sock *s)
{
	if (s->udp) {
		sock_name_make(s, &s->udp->local_ip, s->udp->local_port, &s->local);
		udp_remove(s->udp);
	}
	s->udp = NULL;
	while (s->dgrams.head)
		drop_head(s);
}
