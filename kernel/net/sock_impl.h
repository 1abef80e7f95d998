/*
 * sock_impl: what the socket files of net/ share among themselves. Net core only.
 */
#ifndef NET_SOCK_IMPL_H
#define NET_SOCK_IMPL_H

#include "lwip/ip_addr.h"
#include "lwip/pbuf.h"
#include "net/socket.h"

/* ---- socket.c ---- */

/* A socket in state OPEN, file with one reference; NULL when there are no more. */
struct sock *sock_alloc(uint8_t domain, uint8_t type, uint32_t file_flags);
void sock_release(struct sock *s); /* back to the pool: nothing refers to it any more */

/* Something changed: wakes whoever waits for it. */
static inline void sock_wake_readers(struct sock *s)
{
	if (!list_is_empty(&s->readers.ops))
		waitlist_wake_all(&s->readers);
	file_poll_wake(&s->file);
}

static inline void sock_wake_writers(struct sock *s)
{
	if (!list_is_empty(&s->writers.ops))
		waitlist_wake_all(&s->writers);
	file_poll_wake(&s->file);
}

/* Tells the pending error once: -errno or 0. */
static inline int sock_take_error(struct sock *s)
{
	int err = s->error;

	s->error = 0;
	return -err;
}

/* lwIP's verdict as -errno. */
int sock_errno(int8_t err);

/* Copies up to n bytes of a pbuf chain, from `off` of its first, to `pin` at `at`. Returns what it
 * copied. */
uint32_t sock_copy_out(const struct pin *pin, uint32_t at, const struct pbuf *p, uint32_t off,
		       uint32_t n);

/* ---- addr.c ---- */

/* -EINVAL (too short), -EAFNOSUPPORT. IPv4-mapped addresses become IPv4 ones; the wildcard of a
 * dual-stack socket stays "any type". */
must_use int sock_name_parse(const struct sock *s, const struct sock_name *name, ip_addr_t *ip,
			     uint16_t *port);
/* Same for an address to send or connect to: the wildcard means this host. */
must_use int sock_name_parse_peer(const struct sock *s, const struct sock_name *name, ip_addr_t *ip,
				  uint16_t *port);
void sock_name_make(const struct sock *s, const ip_addr_t *ip, uint16_t port,
		    struct sock_name *name);

/* ---- ip6_in.c ---- */

/* Where lwIP's IPv6 calls ip6_reass; as that. */
struct pbuf *net_ip6_reass(struct pbuf *p);

/* ---- tcp_in.c ---- */

/* Where lwIP's IP layers call tcp_input; as that. */
struct netif;
void net_tcp_input(struct pbuf *p, struct netif *n);

/* ---- tcp.c ---- */

/* The socket that watches this pcb; NULL for half-open and closed ones. */
struct sock *tcp_sock_of(const struct tcp_pcb *pcb);
/* What lwIP's callbacks say, said by flow.c: data (the pbuf is taken), an acknowledgement. */
void tcp_sock_received(struct sock *s, struct tcp_pcb *pcb, struct pbuf *p);
void tcp_sock_acked(struct sock *s);
/* Frees what was received and not read. */
void tcp_sock_drop_queue(struct sock *s);

int tcp_sock_bind(struct sock *s, const ip_addr_t *ip, uint16_t port);
int tcp_sock_connect(struct sock *s, const ip_addr_t *ip, uint16_t port);
void tcp_sock_close(struct sock *s);
/* May data be read, written? Bytes (> 0), 0 at the end of the stream (reading only), -EAGAIN, or
 * the error to tell. */
int64_t tcp_sock_can_recv(struct sock *s);
int64_t tcp_sock_can_send(struct sock *s);
/* After a positive answer: moves at most n bytes to or from the pin and returns how many (> 0;
 * sending also -EAGAIN when memory is out). */
uint32_t tcp_sock_recv(struct sock *s, const struct pin *pin, uint32_t n, uint32_t flags);
int64_t tcp_sock_send(struct sock *s, const struct pin *pin, uint32_t n, bool more);
/* Bytes that could be written now; 0: full. Pushes out what was written. */
uint32_t tcp_sock_room(const struct sock *s);
void tcp_sock_flush(struct sock *s);
/* Passes on the options that lwIP keeps in the connection. */
int tcp_sock_option(struct sock *s, int level, int name, int32_t value);
int tcp_sock_option_get(const struct sock *s, int name);

/* ---- udp.c ---- */

struct dgram {
	struct dgram *next;
	struct pbuf *p;
	ip_addr_t from;
	uint16_t port;
};

int udp_sock_create(struct sock *s);
int udp_sock_bind(struct sock *s, const ip_addr_t *ip, uint16_t port);
int udp_sock_connect(struct sock *s, const ip_addr_t *ip, uint16_t port);
void udp_sock_close(struct sock *s);
int64_t udp_sock_can_recv(struct sock *s);
int64_t udp_sock_recv(struct sock *s, struct sock_io *io);
int64_t udp_sock_send(struct sock *s, struct sock_io *io);
/* One datagram to or from a pin: read and write. */
int64_t udp_sock_read(struct sock *s, const struct pin *pin, uint32_t n);
int64_t udp_sock_write(struct sock *s, const struct pin *pin, uint32_t n);
void udp_socks_init(uint32_t sockets);

#endif
