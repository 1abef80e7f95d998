/*
 * flow: the short way in for segments of connections that exist.
 *
 * Net core only. Looks a received IPv4 TCP segment up by its two ports and the peer's address, and
 * verifies it. A segment that is just what an established connection expects next is processed
 * here; any other of a known connection goes straight to lwIP's TCP; whatever is not exactly that
 * (another protocol, a fragment, IP options, an unknown peer) takes lwIP's own way through its
 * layers.
 */
#ifndef NET_FLOW_H
#define NET_FLOW_H

#include "net/netif.h"
#include "net/socket.h"

struct pbuf;
struct flow_headers;

/* A segment in a frame. */
struct flow_segment {
	struct sock *sock;
	const struct flow_headers *head;
	uint32_t ack;
	/* of what lwIP is to get, in the frame: the TCP header, or the data of an expected
	 * segment */
	uint32_t at;
	uint32_t len;  /* from there */
	bool expected; /* flow_expected and flow_data may be called */
};

/* The socket's pcb is an established IPv4 connection from here on; or is not lwIP's concern any
 * more. Both idempotent. */
void flow_add(struct sock *s);
void flow_drop(struct sock *s);

/* Is this frame a sound segment of a known connection? */
bool flow_find(struct net_if *n, const uint8_t *frame, uint32_t len, struct flow_segment *seg);

/* An expected segment without data: takes note of what it acknowledges. */
void flow_ack(const struct flow_segment *seg);
/* An expected segment with data; takes the pbuf, whose payload is the data. */
void flow_data(const struct flow_segment *seg, struct pbuf *p);

/*
 * The short way out: n bytes as one segment, now, if nothing stands in the way (established,
 * nothing unsent, window open, Nagle content, the next hop's address known, memory and a transmit
 * buffer there). Returns n, or 0: nothing was done, tcp_write and tcp_output shall see to it.
 */
uint32_t flow_send(struct sock *s, const void *data, uint32_t n);

/* Any other segment found: gives lwIP its pbuf, payload at the TCP header. Takes the reference. */
void flow_input(struct net_if *n, struct pbuf *p, const struct flow_segment *seg);

#endif
