/*
 * netif: frames between a network card and lwIP.
 *
 * Net core only. A received frame is lent to lwIP in the device's own buffer (a custom pbuf around
 * it), so an acknowledgement costs no copy and data is copied once, into the program's pages.
 * Whoever drops the last reference gives the buffer back; when that happens before rx() returns,
 * the driver is simply told to use it again.
 *
 *   rx() --lent--> lwIP --freed inside rx()--> driver reuses the buffer at once
 *                    |
 *                    +--kept: queued on a socket, out of order, a fragment--> freed later --> rx_return
 *
 * When the device runs low on buffers, frames are copied instead; when memory for copies is out
 * too, large frames are dropped (their sender repeats them) and small ones, which are mostly
 * acknowledgements that free memory, are still lent.
 */
#include "net/netif.h"

#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/pbuf.h"
#include "mm/pool.h"
#include "net/flow.h"
#include "netif/ethernet.h"

#define LENT_MAX 2048u
#define SMALL_FRAME 160u

/* A device buffer in lwIP's hands. */
struct lent {
	struct pbuf_custom pbuf; /* first: lwIP's pointer is ours */
	struct nic *nic;
	void *buf;
};

static struct pool lent_pool;
static struct lent *lent_now; /* the frame being delivered; NULL once it was freed */

static void lent_free(struct pbuf *p)
{
	struct lent *l = (struct lent *)(void *)p;

	if (l == lent_now)
		lent_now = NULL;
	else
		l->nic->ops->rx_return(l->nic, l->buf);
	pool_free(&lent_pool, l);
}

/* A copy of what lwIP is to get, aligned as it is in the frame. */
static struct pbuf *rx_copy(const uint8_t *from, uint32_t len, uint32_t pad)
{
	struct pbuf *p = pbuf_alloc(PBUF_RAW, (uint16_t)(len + pad), PBUF_RAM);

	if (p) {
		pbuf_remove_header(p, pad);
		memcpy(p->payload, from, len);
	}
	return p;
}

/* Lends the device's buffer. */
static struct pbuf *rx_lend(struct nic *nic, void *buf, uint8_t *from, uint32_t len)
{
	struct lent *l = pool_alloc(&lent_pool);

	if (unlikely(!l))
		return NULL;
	l->pbuf.custom_free_function = lent_free;
	l->nic = nic;
	l->buf = buf;
	lent_now = l;
	return pbuf_alloced_custom(PBUF_RAW, (uint16_t)len, PBUF_REF, &l->pbuf, from,
				   (uint16_t)len);
}

/* IPv4 from or to 127/8, which no wire carries (RFC 1122, section 3.2.1.3): our answer would go to
 * ourselves. */
static bool is_martian(const uint8_t *frame, uint32_t len)
{
	return len >= 34 && frame[12] == 0x08 && frame[13] == 0x00 &&
	       (frame[26] == 127 || frame[30] == 127);
}

static bool rx(struct nic *nic, void *buf, uint8_t *frame, uint32_t len)
{
	struct net_if *n = nic->net;
	struct flow_segment seg;
	struct pbuf *p = NULL;
	bool known, kept;

	if (unlikely(len < 14 || len > 14u + nic->mtu))
		goto out_drop;
	known = flow_find(n, frame, len, &seg);
	if (known && seg.expected && !seg.len) {
		flow_ack(&seg);
		return false;
	}
	if (unlikely(!known && is_martian(frame, len)))
		goto out_drop;
	if (unlikely(!known))
		seg = (struct flow_segment){ .at = 0, .len = len };
	if (unlikely(nic->ops->rx_free(nic) <= n->rx_low)) {
		p = rx_copy(frame + seg.at, seg.len, known ? 0 : 2);
		if (!p && len > SMALL_FRAME)
			goto out_drop;
	}
	if (likely(!p))
		p = rx_lend(nic, buf, frame + seg.at, seg.len);
	if (unlikely(!p))
		goto out_drop;
	if (likely(known && seg.expected))
		flow_data(&seg, p);
	else if (known)
		flow_input(n, p, &seg);
	else if (ethernet_input(p, &n->netif) != ERR_OK)
		pbuf_free(p);
	kept = lent_now != NULL;
	lent_now = NULL;
	return kept;

out_drop:
	this_core()->count->nic_drops++;
	return false;
}

static void tx_room(struct nic *nic)
{
	struct net_if *n = nic->net;

	n->tx_retry |= n->tx_starved;
	n->tx_starved = false;
}

static err_t tx(struct netif *netif, struct pbuf *p)
{
	struct net_if *n = netif->state;
	struct nic *nic = n->nic;
	uint8_t *to = nic->ops->tx_reserve(nic);
	uint32_t len = p->tot_len;

	if (unlikely(!to)) {
		n->tx_starved = true;
		return ERR_MEM;
	}
	if (unlikely(len > 14u + nic->mtu))
		return ERR_BUF;
	for (struct pbuf *q = p;; q = q->next) {
		memcpy(to, q->payload, q->len);
		if (q->len == q->tot_len)
			break;
		to += q->len;
	}
	nic->ops->tx_commit(nic, len);
	n->kick = true;
	return ERR_OK;
}

const uint8_t *net_if_next_hop(struct net_if *n, uint32_t ip)
{
	ip4_addr_t next = { ip };
	struct eth_addr *mac;
	const ip4_addr_t *at;

	if (!ip4_addr_netcmp(&next, netif_ip4_addr(&n->netif), netif_ip4_netmask(&n->netif)))
		next = *netif_ip4_gw(&n->netif);
	return etharp_find_addr(&n->netif, &next, &mac, &at) < 0 ? NULL : mac->addr;
}

void net_if_kick(struct net_if *n)
{
	if (!n->kick)
		return;
	n->kick = false;
	n->nic->ops->tx_kick(n->nic);
}

static err_t netif_setup(struct netif *netif)
{
	struct net_if *n = netif->state;

	netif->name[0] = 'e';
	netif->name[1] = 'n';
	netif->output = etharp_output;
	netif->output_ip6 = ethip6_output;
	netif->linkoutput = tx;
	netif->mtu = n->nic->mtu;
	netif->hwaddr_len = sizeof(n->nic->mac);
	memcpy(netif->hwaddr, n->nic->mac, sizeof(n->nic->mac));
	netif->flags =
		NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
	if (n->nic->rx_csum_done)
		NETIF_SET_CHECKSUM_CTRL(netif,
					NETIF_CHECKSUM_ENABLE_ALL & ~(NETIF_CHECKSUM_CHECK_TCP |
								      NETIF_CHECKSUM_CHECK_UDP));
	return ERR_OK;
}

void net_if_init_pools(void)
{
	pool_init(&lent_pool, "net rx frames", sizeof(struct lent), LENT_MAX);
}

void net_if_attach(struct net_if *n, struct nic *nic)
{
	n->nic = nic;
	n->rx_low = nic->ops->rx_free(nic) / 4;
	nic->net = n;
	nic->tx_room = tx_room;
	netif_add_noaddr(&n->netif, n, netif_setup, ethernet_input);
	nic->rx = rx; /* from here on frames may arrive */
}

void net_if_detach(struct net_if *n)
{
	n->nic->rx = NULL;
}

uint32_t net_if_lent_count(void)
{
	return lent_pool.total - lent_pool.free_count;
}
