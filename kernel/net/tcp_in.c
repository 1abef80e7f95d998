/*
 * tcp_in: where lwIP's IP layers hand a TCP segment to its TCP (lwip/unity.c leads the call here).
 *
 * Net core only. Two things are seen to first, both about SYNs.
 *
 * One for a connection in TIME_WAIT: lwIP would acknowledge the old connection until its wait of a
 * minute is over, and a peer that takes the same port again could not come back before; a sequence
 * number beyond all that was received says that it is no old duplicate, and the new connection may
 * begin (RFC 9293, section 3.10.7.4, TIME-WAIT; RFC 1122, section 4.2.2.13).
 *
 * One for a listener whose backlog is full of half-open connections: lwIP would drop it, so that
 * whoever sends SYNs and nothing else shuts the server for twenty seconds and more. Here the oldest
 * half-open connection makes room (RFC 4987, section 3.4) if it has been silent for a second: a
 * burst of honest peers does not push one another out.
 */
#include "lwip/inet_chksum.h"
#include "lwip/ip.h"
#include "lwip/priv/tcp_priv.h"
#include "net/sock_impl.h"

#define SILENT_TICKS 3u /* of TCP_SLOW_INTERVAL, half a second: at least one second */
#define FLAGS_OF_CONTROL (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)

static struct tcp_pcb *waiting_pcb(const struct tcp_hdr *h)
{
	struct tcp_pcb *pcb = tcp_tw_pcbs;

	while (pcb && !(pcb->remote_port == net_swap16(h->src) &&
			pcb->local_port == net_swap16(h->dest) &&
			ip_addr_cmp(&pcb->remote_ip, ip_current_src_addr()) &&
			ip_addr_cmp(&pcb->local_ip, ip_current_dest_addr())))
		pcb = pcb->next;
	return pcb;
}

static bool is_whole(struct pbuf *p, const struct netif *n)
{
	return n->chksum_flags & NETIF_CHECKSUM_CHECK_TCP ?
		       !ip_chksum_pseudo(p, IP_PROTO_TCP, p->tot_len, ip_current_src_addr(),
					 ip_current_dest_addr()) :
		       true;
}

static struct tcp_pcb_listen *full_listener(const struct tcp_hdr *h)
{
	struct tcp_pcb_listen *l = tcp_listen_pcbs.listen_pcbs;

	while (l && !(l->local_port == net_swap16(h->dest) && l->accepts_pending >= l->backlog))
		l = l->next;
	return l;
}

/* A connection's `tmr` is when it was last heard of. */
static void drop_oldest_half_open(const struct tcp_pcb_listen *l)
{
	struct tcp_pcb *oldest = NULL;

	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
		if (pcb->state == SYN_RCVD && pcb->listener == l &&
		    (!oldest || (int32_t)(pcb->tmr - oldest->tmr) <= 0))
			oldest = pcb;
	if (oldest && tcp_ticks - oldest->tmr >= SILENT_TICKS)
		tcp_abandon(oldest, 0);
}

static void syn_arrives(struct pbuf *p, const struct netif *n, const struct tcp_hdr *h)
{
	struct tcp_pcb *waiting = waiting_pcb(h);
	struct tcp_pcb_listen *full = full_listener(h);

	if (!(waiting || full) || !is_whole(p, n))
		return;
	if (waiting && TCP_SEQ_GT(net_swap32(h->seqno), waiting->rcv_nxt))
		tcp_abort(waiting); /* says nothing on the wire in this state */
	if (full)
		drop_oldest_half_open(full);
}

void net_tcp_input(struct pbuf *p, struct netif *n)
{
	const struct tcp_hdr *h = p->payload;

	if (p->len >= TCP_HLEN && (TCPH_FLAGS(h) & FLAGS_OF_CONTROL) == TCP_SYN)
		syn_arrives(p, n, h);
	tcp_input(p, n);
}
