/*
 * net: the stack's place in the core's turn, and its addresses.
 *
 * Net core only, but for net_init (boot core, before the other cores run). The poller registered
 * here does what lwIP leaves to its surroundings: packets to ourselves, segments that found no
 * transmit buffer, the device's doorbell for all frames of a turn at once.
 */
#include "net/net.h"

#include "base/cmdline.h"
#include "base/panic.h"
#include "base/print.h"
#include "drivers/drivers.h"
#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/ip4_frag.h"
#include "lwip/ip6_addr.h"
#include "lwip/ip6_frag.h"
#include "lwip/priv/memp_priv.h"
#include "lwip/priv/tcp_priv.h"
#include "net/netif.h"
#include "net/sock_impl.h"
#include "net/timers.h"
#include "uapi/errno.h"

struct net_config {
	bool off, dhcp;
	ip4_addr_t address, mask, gateway;
};

static struct {
	struct net_if ifs[array_count(nics)];
	unsigned count;
	uint32_t core;
	bool started, stopped;
	struct net_config config;
	struct device_poller poller;
} net;

uint32_t net_core_index(void)
{
	return net.core;
}

/* ---- addresses ------------------------------------------------------------------------------- */

static void say_ip4(struct net_if *n)
{
	const struct netif *netif = &n->netif;
	char addr[IP4ADDR_STRLEN_MAX], mask[IP4ADDR_STRLEN_MAX], gw[IP4ADDR_STRLEN_MAX];

	n->said = ip4_addr_get_u32(netif_ip4_addr(netif));
	if (!n->said) {
		kprint("net: %c%c%u has no IPv4 address any more\n", netif->name[0], netif->name[1],
		       netif->num);
		return;
	}
	ip4addr_ntoa_r(netif_ip4_addr(netif), addr, sizeof(addr));
	ip4addr_ntoa_r(netif_ip4_netmask(netif), mask, sizeof(mask));
	ip4addr_ntoa_r(netif_ip4_gw(netif), gw, sizeof(gw));
	kprint("net: %c%c%u %s mask %s gateway %s (%s)\n", netif->name[0], netif->name[1],
	       netif->num, addr, mask, gw, dhcp_supplied_address(netif) ? "dhcp" : "static");
}

/* Called by lwIP at every change of any address. */
static void say_addresses(struct netif *netif)
{
	struct net_if *n = netif->state;
	char addr[IP6ADDR_STRLEN_MAX];

	if (n->said != ip4_addr_get_u32(netif_ip4_addr(netif)))
		say_ip4(n);
	for (unsigned i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
		bool valid = ip6_addr_isvalid(netif_ip6_addr_state(netif, i));

		if (valid == !!(n->said6 & 1u << i))
			continue;
		n->said6 ^= (uint8_t)(1u << i);
		ip6addr_ntoa_r(netif_ip6_addr(netif, i), addr, sizeof(addr));
		if (valid)
			kprint("net: %c%c%u %s\n", netif->name[0], netif->name[1], netif->num,
			       addr);
	}
}

static int config_parse(struct net_config *c, const char *text)
{
	char addr[IP4ADDR_STRLEN_MAX];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : 0;
	unsigned prefix = 0;
	const char *p;

	if (!len || len >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, text, len);
	addr[len] = 0;
	if (!ip4addr_aton(addr, &c->address))
		return -EINVAL;
	for (p = slash + 1; *p >= '0' && *p <= '9' && prefix <= 32; p++)
		prefix = prefix * 10 + (unsigned)(*p - '0');
	if (p == slash + 1 || prefix > 32 || (*p && *p != ','))
		return -EINVAL;
	ip4_addr_set_u32(&c->mask, lwip_htonl(prefix ? ~0u << (32 - prefix) : 0));
	if (*p == ',' && !ip4addr_aton(p + 1, &c->gateway))
		return -EINVAL;
	return 0;
}

static int config_read(struct net_config *c)
{
	const char *text = cmdline_find("net");

	*c = (struct net_config){ .dhcp = true };
	if (!text || !strcmp(text, "dhcp"))
		return 0;
	c->dhcp = false;
	if (!strcmp(text, "off")) {
		c->off = true;
		return 0;
	}
	if (config_parse(c, text)) {
		kprint("net: boot argument net=%s is not dhcp, off or ADDRESS/PREFIX[,GATEWAY]\n",
		       text);
		return -EINVAL;
	}
	return 0;
}

static void if_start(struct net_if *n, bool first)
{
	struct netif *netif = &n->netif;

	netif_set_status_callback(netif, say_addresses);
	if (first)
		netif_set_default(netif);
	netif_create_ip6_linklocal_address(netif, 1);
	netif_set_ip6_autoconfig_enabled(netif, 1);
	netif_set_up(netif);
	if (net.config.dhcp || !first) {
		if (dhcp_start(netif) != ERR_OK)
			kprint("net: no memory to ask for an address\n");
	} else {
		netif_set_addr(netif, &net.config.address, &net.config.mask, &net.config.gateway);
	}
}

static void net_start(void)
{
	net.started = true;
	net_timers_start();
	for (unsigned i = 0; i < net.count; i++)
		if_start(&net.ifs[i], i == 0);
}

/* ---- the core's turn ------------------------------------------------------------------------- */

static bool loop_is_waiting(void)
{
	struct netif *n;

	NETIF_FOREACH(n) {
		if (n->loop_first)
			return true;
	}
	return false;
}

static unsigned net_poll(struct device_poller *p)
{
	unsigned done = 0;

	(void)p;
	if (unlikely(!net.started)) {
		net_start();
		done++;
	}
	if (unlikely(loop_is_waiting())) {
		netif_poll_all();
		done++;
	}
	for (unsigned i = 0; i < net.count; i++) {
		struct net_if *n = &net.ifs[i];

		if (unlikely(n->tx_retry)) {
			n->tx_retry = false;
			tcp_txnow();
			done++;
		}
	}
	return done;
}

static void net_flush(struct device_poller *p)
{
	(void)p;
	for (unsigned i = 0; i < net.count; i++)
		net_if_kick(&net.ifs[i]);
}

static bool net_arm(struct device_poller *p)
{
	(void)p;
	for (unsigned i = 0; i < net.count; i++) {
		if (net.ifs[i].tx_retry)
			return true;
	}
	return !net.started || loop_is_waiting();
}

/* ---- the end --------------------------------------------------------------------------------- */

uint32_t net_objects_out(void)
{
	uint32_t out = net_socks_alive() + net_if_lent_count();

	for (unsigned i = 0; i < MEMP_MAX; i++) {
		out += memp_pools[i]->num;
		for (const struct memp *m = *memp_pools[i]->tab; m; m = m->next)
			out--;
	}
	return out;
}

/* Connections that have a socket go with its last reference. */
static void stop_connections(void)
{
	struct tcp_pcb *next;

	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = next) {
		next = pcb->next;
		if (!tcp_sock_of(pcb))
			tcp_abort(pcb);
	}
	while (tcp_tw_pcbs)
		tcp_abort(tcp_tw_pcbs);
}

static void stop_if(struct net_if *n)
{
	net_if_detach(n);
	dhcp_release_and_stop(&n->netif);
	dhcp_cleanup(&n->netif);
	netif_set_down(&n->netif); /* forgets neighbours, and what waits for them */
	net_if_kick(n);
}

uint32_t net_stop(void)
{
	stop_connections();
	while (loop_is_waiting()) /* resets to ourselves, which nothing answers */
		netif_poll_all();
	if (!net.stopped) {
		net.stopped = true;
		for (unsigned i = 0; i < net.count; i++)
			stop_if(&net.ifs[i]);
		for (unsigned i = 0; i <= IP_REASS_MAXAGE; i++)
			ip_reass_tmr();
		for (unsigned i = 0; i <= IPV6_REASS_MAXAGE; i++)
			ip6_reass_tmr();
	}
	return net_objects_out();
}

int net_init(void)
{
	struct core *c = core_with_role(ROLE_NET);
	int err = config_read(&net.config);

	if (err)
		return err;
	kassert(c);
	net.core = c->index;
	lwip_init();
	net_if_init_pools();
	socks_init();
	for (unsigned i = 0; i < nic_count && !net.config.off; i++) {
		if (nics[i]->core == net.core)
			net_if_attach(&net.ifs[net.count++], nics[i]);
		else
			kprint("net: a card that core %u owns is left out: the stack is on core "
			       "%u\n",
			       nics[i]->core, net.core);
	}
	net.poller = (struct device_poller){ .poll = net_poll, .flush = net_flush, .arm = net_arm };
	device_poller_add(net.core, &net.poller);
	return 0;
}
