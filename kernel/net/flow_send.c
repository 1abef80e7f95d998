/*
 * flow_send: the short way out: one segment from a program's page into the device's buffer, and
 * into lwIP's retransmission queue.
 *
 * Net core only. What tcp_write, tcp_output and the layers below do for a segment that may leave at
 * once, done in one place: the segment is an ordinary one of lwIP's (pbuf with room for headers,
 * tcp_seg on pcb->unacked), so acknowledgement, retransmission and reset find nothing unusual.
 * Nothing is changed before all that can fail has succeeded.
 */
#include "lwip/memp.h"
#include "lwip/priv/tcp_priv.h"
#include "net/flow.h"
#include "net/flow_wire.h"
#include "net/sock_impl.h"

#define FLAGS_SPECIAL (TF_FIN | TF_RTO | TF_NAGLEMEMERR | TF_CLOSEPEND)

/* Is this a moment at which tcp_output would send n new bytes as one segment? */
static inline bool may_leave(const struct tcp_pcb *pcb, uint32_t n)
{
	uint32_t window = min_of(pcb->snd_wnd, pcb->cwnd);

	if (pcb->unsent || (pcb->state != ESTABLISHED && pcb->state != CLOSE_WAIT) ||
	    (pcb->flags & FLAGS_SPECIAL))
		return false;
	if (pcb->unacked && !(pcb->flags & TF_NODELAY))
		return false; /* Nagle: wait for the acknowledgement, or for a full segment */
	if (n > pcb->mss || n > pcb->snd_wnd_max / 2 || pcb->snd_nxt != pcb->snd_lbb)
		return false;
	return pcb->snd_lbb - pcb->lastack + n <= window;
}

/* ---- headers --------------------------------------------------------------------------------- */

typedef uint16_t __attribute__((may_alias)) half_word;
typedef uint32_t __attribute__((may_alias)) word;
typedef uint64_t __attribute__((may_alias)) double_word;

#define HEADERS_TRUST_NS 1000000000u

/*
 * Ethernet and IPv4 headers of everything this socket sends: FRAME_PHASE bytes, then the frame's
 * first 34; length, id and sum are filled in per frame. They are believed for a second; then this
 * one segment goes the long way, so that lwIP's ARP entry ages and is refreshed as it sees fit. RFC
 * 894, RFC 791.
 */
static bool headers_make(struct sock *s)
{
	const struct tcp_pcb *pcb = s->tcp;
	struct net_if *n = s->flow_if;
	uint8_t *frame = (uint8_t *)s->flow_frame + FRAME_PHASE;
	struct flow_headers *h = (struct flow_headers *)(void *)(frame + ETHERNET_BYTES);
	const uint8_t *mac;

	s->flow_until = 0;
	if (!n || !netif_is_up(&n->netif) ||
	    !ip4_addr_cmp(ip_2_ip4(&pcb->local_ip), netif_ip4_addr(&n->netif)))
		return false;
	mac = net_if_next_hop(n, s->flow_peer);
	if (!mac)
		return false;
	memcpy(frame, mac, 6);
	memcpy(frame + 6, n->nic->mac, 6);
	frame[12] = 8;
	frame[13] = 0;
	h->version_tos_length = 0x45 | (uint32_t)pcb->tos << 8;
	h->id_fragment = 0;
	h->ttl_protocol_sum = pcb->ttl | FLOW_PROTOCOL_TCP;
	h->from = ip4_addr_get_u32(ip_2_ip4(&pcb->local_ip));
	h->to = s->flow_peer;
	s->flow_ip_sum = (uint64_t)h->version_tos_length + h->ttl_protocol_sum + h->from + h->to;
	s->flow_tcp_sum = (uint64_t)h->from + h->to + FLOW_PROTOCOL_TCP + s->flow_ports;
	s->flow_until = this_core()->now + HEADERS_TRUST_NS;
	return false;
}

/* Puts them in front of `len` bytes of TCP. Identification as RFC 6864 lets it be. */
static inline void headers_put(const struct sock *s, uint8_t *frame, uint32_t len)
{
	static uint16_t next_id;
	const uint64_t *from = s->flow_frame;
	uint32_t length = net_swap16((uint16_t)(IP_BYTES + len)), id = next_id++;
	uint16_t sum = (uint16_t)~chksum_fold(s->flow_ip_sum + ((uint64_t)length << 16) + id);

	*(half_word *)frame = (uint16_t)(from[0] >> 16);
	*(word *)(frame + 2) = (uint32_t)(from[0] >> 32);
	*(double_word *)(frame + 6) = from[1];
	*(double_word *)(frame + 14) = from[2] | (uint64_t)length << 16 | (uint64_t)id << 32;
	*(double_word *)(frame + 22) = from[3] | (uint64_t)sum << 16;
	*(word *)(frame + 30) = (uint32_t)from[4];
}

/* The TCP header in front of `len - TCP_BYTES` bytes of data whose sum is known (RFC 9293, section
 * 3.1). */
static inline void tcp_put(const struct sock *s, word *t, uint32_t data_sum, uint32_t len)
{
	const struct tcp_pcb *pcb = s->tcp;
	uint32_t seq = net_swap32(pcb->snd_lbb), ack = net_swap32(pcb->rcv_nxt);
	uint32_t window = min_of(RCV_WND_SCALE(pcb, pcb->rcv_ann_wnd), 0xffffu);
	uint32_t rest =
		0x50 | (TCP_ACK | TCP_PSH) << 8 | (uint32_t)net_swap16((uint16_t)window) << 16;
	uint64_t sum = s->flow_tcp_sum + seq + ack + rest + net_swap16((uint16_t)len) + data_sum;

	t[0] = s->flow_ports << 16 | s->flow_ports >> 16;
	t[1] = seq;
	t[2] = ack;
	t[3] = rest;
	t[4] = (uint16_t)~chksum_fold(sum);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* The segment is on its way: the pcb as tcp_write and tcp_output leave it. */
static inline void note_sent(struct tcp_pcb *pcb, struct tcp_seg *seg, uint32_t n)
{
	struct tcp_seg **tail = &pcb->unacked;

	while (*tail)
		tail = &(*tail)->next;
	*tail = seg;
	if (pcb->rtime < 0)
		pcb->rtime = 0;
	if (!pcb->rttest) {
		pcb->rttest = tcp_ticks;
		pcb->rtseq = pcb->snd_lbb;
	}
	pcb->rcv_ann_right_edge = pcb->rcv_nxt + pcb->rcv_ann_wnd;
	pcb->snd_lbb += n;
	pcb->snd_nxt = pcb->snd_lbb;
	pcb->snd_buf -= n;
	pcb->snd_queuelen++;
	pcb->persist_backoff = 0;
	pcb->flags &= (tcpflags_t)~(TF_ACK_DELAY | TF_ACK_NOW);
}

uint32_t flow_send(struct sock *s, const void *data, uint32_t n)
{
	struct tcp_pcb *pcb = s->tcp;
	struct tcp_seg *seg;
	struct pbuf *p;
	struct nic *nic;
	uint8_t *frame;
	uint16_t sum;
	word *t;

	if (!s->flow_known || !may_leave(pcb, n))
		return 0;
	if (unlikely(this_core()->now >= s->flow_until) && !headers_make(s))
		return 0;
	nic = s->flow_if->nic;
	frame = nic->ops->tx_reserve(nic);
	if (unlikely(!frame || ((uintptr_t)frame & 7) != FRAME_PHASE))
		return 0; /* no room: the long way finds that out too, and remembers to try again */
	p = pbuf_alloc(PBUF_TRANSPORT, (uint16_t)n, PBUF_RAM);
	if (unlikely(!p))
		return 0;
	seg = memp_malloc(MEMP_TCP_SEG);
	if (unlikely(!seg)) {
		pbuf_free(p);
		return 0;
	}
	sum = net_chksum_copy(p->payload, data, (uint16_t)n);
	t = (word *)(void *)((char *)p->payload - TCP_BYTES);
	tcp_put(s, t, sum, TCP_BYTES + n);
	p->payload = t;
	p->len = p->tot_len = (uint16_t)(TCP_BYTES + n);
	*seg = (struct tcp_seg){ .p = p,
				 .len = (uint16_t)n,
				 .chksum = n & 1 ? net_swap16(sum) : sum,
				 .chksum_swapped = n & 1,
				 .flags = TF_SEG_DATA_CHECKSUMMED,
				 .tcphdr = (struct tcp_hdr *)(void *)t };
	headers_put(s, frame, TCP_BYTES + n);
	memcpy(frame + ETHERNET_BYTES + IP_BYTES, t, TCP_BYTES + n);
	nic->ops->tx_commit(nic, ETHERNET_BYTES + IP_BYTES + TCP_BYTES + n);
	s->flow_if->kick = true;
	note_sent(pcb, seg, n);
	return n;
}
