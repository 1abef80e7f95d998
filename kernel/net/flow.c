/*
 * flow: the short way in for segments of connections that exist.
 *
 * Net core only. Three things make it short. The frame is parsed once, by code that knows what it
 * wants, and both checksums are verified here (RFC 791, RFC 9293 section 3.1). A segment that
 * header prediction recognises updates the pcb right here, field for field as lwIP's tcp_in.c
 * would, and never enters it; every doubt goes to lwIP. And lwIP finds a connection by walking its
 * list of them and moving the hit to the front; here the hit is moved to the front before lwIP
 * looks. Each socket keeps a guess who its pcb's predecessor in that list is: a guess is right if
 * and only if the predecessor's `next` says so (pcbs are in pools, their memory is never anything
 * else, and lwIP clears `next` when it takes one out). When a guess is wrong the walk is made once
 * and corrects them all.
 */
#include "net/flow.h"

#include "lwip/inet_chksum.h"
#include "lwip/ip.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ip4.h"
#include "net/chksum.h"
#include "net/flow_wire.h"
#include "net/sock_impl.h"

#define FLOW_BUCKETS 2048u /* power of two, more than there are connections */

static struct sock *buckets[FLOW_BUCKETS];

static inline uint32_t flow_hash(uint32_t peer, uint32_t ports)
{
	uint32_t h = (peer ^ ports) * 0x9e3779b1u;

	return h >> 21;
}
_Static_assert(FLOW_BUCKETS == 1u << (32 - 21), "the hash's upper bits number the buckets");

/* Both ports as they lie in a received header: source, destination. */
static inline uint32_t flow_ports(const struct tcp_pcb *pcb)
{
	return net_swap16(pcb->remote_port) | (uint32_t)net_swap16(pcb->local_port) << 16;
}

void flow_add(struct sock *s)
{
	struct sock **bucket;

	if (s->flow_known || !IP_IS_V4_VAL(s->tcp->remote_ip))
		return;
	s->flow_peer = ip4_addr_get_u32(ip_2_ip4(&s->tcp->remote_ip));
	s->flow_ports = flow_ports(s->tcp);
	s->flow_before = NULL;
	s->flow_if = NULL;
	s->flow_until = 0;
	s->flow_known = true;
	bucket = &buckets[flow_hash(s->flow_peer, s->flow_ports)];
	s->flow_next = *bucket;
	*bucket = s;
}

void flow_drop(struct sock *s)
{
	struct sock **at = &buckets[flow_hash(s->flow_peer, s->flow_ports)];

	if (!s->flow_known)
		return;
	while (*at != s)
		at = &(*at)->flow_next;
	*at = s->flow_next;
	s->flow_known = false;
}

/* ---- lwIP's list ----------------------------------------------------------------------------- */

static inline void guess(struct tcp_pcb *pcb, struct tcp_pcb *before)
{
	struct sock *s;

	if (!pcb)
		return;
	s = tcp_sock_of(pcb);
	if (s)
		s->flow_before = before;
}

static void to_front(struct sock *s, struct tcp_pcb *pcb)
{
	struct tcp_pcb *front = tcp_active_pcbs, *before = s->flow_before;

	if (front == pcb)
		return;
	if (unlikely(!before || before->next != pcb)) {
		for (struct tcp_pcb *p = front; p; p = p->next)
			guess(p->next, p);
		before = s->flow_before;
		if (!before || before->next != pcb)
			return;
	}
	before->next = pcb->next;
	guess(pcb->next, before);
	pcb->next = front;
	guess(front, pcb);
	tcp_active_pcbs = pcb;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static inline bool is_sound(const struct flow_headers *h, uint32_t tcp_len)
{
	uint64_t addresses = (uint64_t)h->from + h->to;
	uint64_t tcp = addresses + FLOW_PROTOCOL_TCP + net_swap16((uint16_t)tcp_len);

	if (chksum_fold(addresses + h->version_tos_length + h->id_fragment + h->ttl_protocol_sum) !=
	    0xffff)
		return false;
	return chksum_fold(tcp + chksum_bytes(&h->ports, (int)tcp_len)) == 0xffff;
}

#define FLAGS_SPECIAL (TF_INFR | TF_CLOSEPEND | TF_RXCLOSED | TF_FIN | TF_RTO)

/*
 * Header prediction (V. Jacobson): established, nothing lost or retransmitted lately, no option, no
 * flag but ACK and PSH, the very next data and no more than the window, an acknowledgement of what
 * was sent. A segment that neither brings data nor acknowledges any may be a duplicate or a window
 * update: lwIP's business.
 */
static inline bool is_expected(const struct tcp_pcb *pcb, const struct flow_headers *h,
			       uint32_t len, uint32_t ack)
{
	uint32_t acked = ack - pcb->lastack;

	if ((h->offset_flags_window & 0xf7ff) != (0x50 | TCP_ACK << 8) ||
	    pcb->state != ESTABLISHED || pcb->ooseq || pcb->refused_data ||
	    (pcb->flags & FLAGS_SPECIAL) || (pcb->dupacks | pcb->nrtx | pcb->persist_backoff))
		return false;
	return h->seq == net_swap32(pcb->rcv_nxt) && len <= pcb->rcv_wnd &&
	       acked <= pcb->snd_nxt - pcb->lastack && (len || acked);
}

/* To us alone, IPv4 without options, no fragment, TCP: every bit that is not so. */
static inline uint32_t not_plain(const struct net_if *n, const uint8_t *frame,
				 const struct flow_headers *h)
{
	uint32_t type = *(const uint16_t *)(const void *)(frame + 12);

	return (frame[0] & 1) | (type ^ 0x0008) | ((h->version_tos_length & 0xff) ^ 0x45) |
	       (h->id_fragment & 0xff3f0000) |
	       ((h->ttl_protocol_sum & 0xff00) ^ FLOW_PROTOCOL_TCP) |
	       (h->to ^ ip4_addr_get_u32(netif_ip4_addr(&n->netif)));
}

bool flow_find(struct net_if *n, const uint8_t *frame, uint32_t len, struct flow_segment *seg)
{
	const struct flow_headers *h =
		(const struct flow_headers *)(const void *)(frame + ETHERNET_BYTES);
	uint32_t total;
	struct sock *s;

	if (len < ETHERNET_BYTES + sizeof(*h) || ((uintptr_t)frame & 3) != FRAME_PHASE ||
	    not_plain(n, frame, h))
		return false;
	total = net_swap16((uint16_t)(h->version_tos_length >> 16));
	if (total > len - ETHERNET_BYTES || total < sizeof(*h))
		return false;
	for (s = buckets[flow_hash(h->from, h->ports)]; s; s = s->flow_next)
		if (s->flow_peer == h->from && s->flow_ports == h->ports)
			break;
	if (!s || (!n->nic->rx_csum_done && !is_sound(h, total - IP_BYTES)))
		return false; /* lwIP drops and counts what is not sound */
	s->flow_if = n;
	seg->sock = s;
	seg->head = h;
	seg->ack = net_swap32(h->ack);
	seg->expected = is_expected(s->tcp, h, total - sizeof(*h), seg->ack);
	seg->at = ETHERNET_BYTES + IP_BYTES + (seg->expected ? TCP_BYTES : 0);
	seg->len = total - IP_BYTES - (seg->expected ? TCP_BYTES : 0);
	return true;
}

/* ---- the expected ---------------------------------------------------------------------------- */

static inline void grow(tcpwnd_size_t *wnd, uint32_t by)
{
	*wnd = *wnd + by < *wnd ? (tcpwnd_size_t)-1 : (tcpwnd_size_t)(*wnd + by);
}

/* RFC 3465: slow start by what was acknowledged, at most two segments; else one segment per
 * window. */
static inline void congestion_acked(struct tcp_pcb *pcb, uint32_t acked)
{
	if (pcb->cwnd < pcb->ssthresh) {
		grow(&pcb->cwnd, min_of(acked, 2u * pcb->mss));
		return;
	}
	grow(&pcb->bytes_acked, acked);
	if (pcb->bytes_acked >= pcb->cwnd) {
		pcb->bytes_acked -= pcb->cwnd;
		grow(&pcb->cwnd, pcb->mss);
	}
}

/* Jacobson's estimate in lwIP's units: sa is 8 times the mean, sv 4 times the deviation, in slow
 * timer ticks. */
static inline void round_trip_measured(struct tcp_pcb *pcb)
{
	int32_t off = (int32_t)(tcp_ticks - pcb->rttest) - (pcb->sa >> 3);

	pcb->sa = (int16_t)(pcb->sa + off);
	pcb->sv = (int16_t)(pcb->sv + (off < 0 ? -off : off) - (pcb->sv >> 2));
	pcb->rttest = 0;
}

static inline void segments_acked(struct tcp_pcb *pcb, uint32_t ack)
{
	struct tcp_seg *seg;

	while ((seg = pcb->unacked) != NULL &&
	       TCP_SEQ_LEQ(net_swap32(seg->tcphdr->seqno) + TCP_TCPLEN(seg), ack)) {
		pcb->unacked = seg->next;
		pcb->snd_queuelen = (uint16_t)(pcb->snd_queuelen - pbuf_clen(seg->p));
		pcb->snd_buf += seg->len;
		tcp_seg_free(seg);
	}
}

static inline __attribute__((always_inline)) void expected_ack(const struct flow_segment *seg,
							       struct tcp_pcb *pcb)
{
	uint32_t ack = seg->ack, acked = ack - pcb->lastack;

	pcb->tmr = tcp_ticks;
	pcb->keep_cnt_sent = 0;
	pcb->persist_probe = 0;
	/* Data in order or an acknowledgement that advances: the window it brings is the newest
	 * (RFC 9293, section 3.10.7.4). */
	pcb->snd_wnd = SND_WND_SCALE(
		pcb, (uint32_t)net_swap16((uint16_t)(seg->head->offset_flags_window >> 16)));
	pcb->snd_wnd_max = max_of(pcb->snd_wnd_max, pcb->snd_wnd);
	pcb->snd_wl1 = pcb->rcv_nxt;
	pcb->snd_wl2 = ack;
	if (!acked)
		return;
	pcb->lastack = ack;
	congestion_acked(pcb, acked);
	segments_acked(pcb, ack);
	pcb->rtime = pcb->unacked ? 0 : -1;
	pcb->polltmr = 0;
	if (pcb->rttest && TCP_SEQ_LT(pcb->rtseq, ack))
		round_trip_measured(pcb);
	pcb->rto = (int16_t)((pcb->sa >> 3) + pcb->sv);
	tcp_sock_acked(seg->sock);
}

void flow_ack(const struct flow_segment *seg)
{
	struct tcp_pcb *pcb = seg->sock->tcp;

	expected_ack(seg, pcb);
	if (pcb->unsent)
		tcp_output(pcb);
}

void flow_data(const struct flow_segment *seg, struct pbuf *p)
{
	struct tcp_pcb *pcb = seg->sock->tcp;

	expected_ack(seg, pcb);
	pcb->rcv_nxt += p->tot_len;
	pcb->rcv_wnd -= p->tot_len;
	tcp_update_rcv_ann_wnd(pcb);
	tcp_ack(pcb); /* every second one at once, the others may ride on an answer */
	tcp_sock_received(seg->sock, pcb, p);
	if (pcb->unsent || (pcb->flags & TF_ACK_NOW))
		tcp_output(pcb);
}

/* ---- everything else of a known connection --------------------------------------------------- */

void flow_input(struct net_if *n, struct pbuf *p, const struct flow_segment *seg)
{
	struct netif *netif = &n->netif;

	to_front(seg->sock, seg->sock->tcp);
	/* What ip4_input leaves for the protocol above it, before and after. */
	p->if_idx = netif_get_index(netif);
	ip_data.current_netif = netif;
	ip_data.current_input_netif = netif;
	ip_data.current_ip4_header = (const struct ip_hdr *)(const void *)seg->head;
	ip_data.current_ip_header_tot_len = IP_BYTES;
	ip_addr_set_ip4_u32_val(ip_data.current_iphdr_src, seg->head->from);
	ip_addr_set_ip4_u32_val(ip_data.current_iphdr_dest, seg->head->to);
	netif->chksum_flags &= (uint16_t)~NETIF_CHECKSUM_CHECK_TCP;
	tcp_input(p, netif);
	netif->chksum_flags |= NETIF_CHECKSUM_CHECK_TCP;
	ip_data.current_netif = NULL;
	ip_data.current_input_netif = NULL;
	ip_data.current_ip4_header = NULL;
	ip_data.current_ip_header_tot_len = 0;
	ip4_addr_set_any(ip4_current_src_addr());
	ip4_addr_set_any(ip4_current_dest_addr());
}
