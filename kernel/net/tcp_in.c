/*
 * tcp_in: where lwIP's IP layers hand a TCP segment to its TCP (lwip/unity.c leads the call here).
 *
 * Net core only. One thing is seen to first: a SYN for a connection in TIME_WAIT. lwIP would
 * acknowledge the old connection until its wait of a minute is over, and a peer that takes the same
 * port again could not come back before; a sequence number beyond all that was received says that
 * it is no old duplicate, and the new connection may begin (RFC 9293, section 3.10.7.4, TIME-WAIT;
 * RFC 1122, section 4.2.2.13).
 */
#include "lwip/inet_chksum.h"
#include "lwip/ip.h"
#include "lwip/priv/tcp_priv.h"
#include "net/sock_impl.h"

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

void net_tcp_input(struct pbuf *p, struct netif *n)
{
	const struct tcp_hdr *h = p->payload;
	struct tcp_pcb *pcb;

	if (tcp_tw_pcbs && p->len >= TCP_HLEN && (TCPH_FLAGS(h) & FLAGS_OF_CONTROL) == TCP_SYN) {
		pcb = waiting_pcb(h);
		if (pcb && TCP_SEQ_GT(net_swap32(h->seqno), pcb->rcv_nxt) && is_whole(p, n))
			tcp_abort(pcb); /* says nothing on the wire in this state */
	}
	tcp_input(p, n);
}
