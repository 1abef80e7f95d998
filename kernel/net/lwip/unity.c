/*
 * unity: lwIP as one translation unit, so that the compiler sees through the many small functions
 * between a frame and a connection. The sources are the fetched ones, unchanged; being found
 * through the system include path they bring no warnings of ours.
 *
 * Net core only, like everything in lwIP.
 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3") /* at O2 it leaves most of the small functions apart */
#endif

#include "lwip/ip6_frag.h"
#include "lwip/priv/tcp_priv.h"
void net_tcp_input(struct pbuf *p, struct netif *n);
struct pbuf *net_ip6_reass(struct pbuf *p);

#include "../core/altcp.c"
#include "../core/altcp_alloc.c"
#include "../core/altcp_tcp.c"
#include "../core/def.c"
#include "../core/dns.c"
#include "../core/inet_chksum.c"
#include "../core/init.c"
#include "../core/ip.c"
#include "../core/mem.c"
#include "../core/memp.c"
#include "../core/netif.c"
#include "../core/pbuf.c"
#include "../core/raw.c"
#include "../core/stats.c"
#include "../core/sys.c"
#include "../core/tcp.c"
#include "../core/tcp_in.c"
#include "../core/tcp_out.c"
#include "../core/udp.c"
#include "../core/ipv4/autoip.c"
#include "../core/ipv4/dhcp.c"
#include "../core/ipv4/etharp.c"
#include "../core/ipv4/icmp.c"
#include "../core/ipv4/igmp.c"
#define tcp_input net_tcp_input /* net/tcp_in.c looks at a segment first */
#include "../core/ipv4/ip4.c"
#undef tcp_input
#include "../core/ipv4/ip4_addr.c"
#include "../core/ipv4/ip4_frag.c"
#include "../core/ipv6/dhcp6.c"
#include "../core/ipv6/ethip6.c"
#include "../core/ipv6/icmp6.c"
#include "../core/ipv6/inet6.c"
#define tcp_input net_tcp_input
#define ip6_reass net_ip6_reass /* net/ip6_in.c */
#include "../core/ipv6/ip6.c"
#undef tcp_input
#undef ip6_reass
#include "../core/ipv6/ip6_addr.c"
#define reassdatagrams reassdatagrams6 /* a file-local name that ip4_frag.c has too */
#include "../core/ipv6/ip6_frag.c"
#undef reassdatagrams
#include "../core/ipv6/mld6.c"
#include "../core/ipv6/nd6.c"
#include "../netif/ethernet.c"
