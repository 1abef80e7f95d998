/*
 * port: what lwIP asks of the system beneath it: the time, random numbers, a place to complain. And
 * the layouts that the port relies on without packing.
 *
 * Net core only.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/panic.h"
#include "base/print.h"
#include "cores/core.h"
#include "drivers/drivers.h"
#include "lwip/netif.h"
#include "lwip/prot/dhcp.h"
#include "lwip/prot/etharp.h"
#include "lwip/prot/ethernet.h"
#include "lwip/prot/icmp6.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/ip6.h"
#include "lwip/prot/nd6.h"
#include "lwip/prot/tcp.h"
#include "lwip/prot/udp.h"
#include "lwip/sys.h"

/* RFC 894, 826, 791, 8200, 9293, 768, 2131, 4861: header sizes on the wire. */
_Static_assert(sizeof(struct eth_hdr) == 14, "Ethernet header");
_Static_assert(sizeof(struct etharp_hdr) == 28, "ARP packet");
_Static_assert(sizeof(struct ip_hdr) == 20, "IPv4 header");
_Static_assert(sizeof(struct ip6_hdr) == 40, "IPv6 header");
_Static_assert(sizeof(struct tcp_hdr) == 20, "TCP header");
_Static_assert(sizeof(struct udp_hdr) == 8, "UDP header");
_Static_assert(offsetof(struct dhcp_msg, options) == 240, "DHCP message");
_Static_assert(sizeof(struct ns_header) == 24, "neighbour solicitation");
_Static_assert(sizeof(struct ra_header) == 16, "router advertisement");
_Static_assert(sizeof(struct prefix_option) == 32, "prefix option");

uint32_t sys_now(void)
{
	return (uint32_t)(this_core()->now / 1000000u);
}

uint32_t net_port_random(void)
{
	/* lwIP asks for one number per connection; a small stock keeps the generator off that path.
	 * Net core only. */
	static uint32_t stock[32];
	static unsigned left;

	if (!left) {
		random_bytes(stock, sizeof(stock));
		left = array_count(stock);
	}
	return stock[--left];
}

void net_port_say(const char *fmt, ...)
{
	char line[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	kprint("lwip: %s\n", line);
}

void net_port_assert(const char *what, const char *file, int line)
{
	panic_stop(file, line, "lwip: %s", what);
}
