/*
 * timers: lwIP's cyclic work on the net core's timer heap.
 *
 * Net core only. Two timers: TCP's 250 ms one, armed only while a connection exists (lwIP says so
 * through tcp_timer_needed), and the housekeeping second (ARP, reassembly, neighbour discovery,
 * DHCP leases), which turns into half seconds while DHCP has not found an address yet. An idle
 * machine without connections wakes once a second.
 */
#include "net/timers.h"

#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/ip4_frag.h"
#include "lwip/ip6_frag.h"
#include "lwip/nd6.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/timeouts.h"
#include "sched/timer.h"

#define MSEC 1000000ull

static void tcp_fire(struct timer *t);
static void house_fire(struct timer *t);

static struct {
	struct timer tcp;
	struct timer house;
	uint32_t halves; /* half seconds since start */
	bool running;
} timers;

static void tcp_fire(struct timer *t)
{
	tcp_tmr();
	if (tcp_active_pcbs || tcp_tw_pcbs)
		timer_arm(t, this_core()->now + TCP_TMR_INTERVAL * MSEC);
}

/* Called by lwIP whenever it registers a connection. */
void tcp_timer_needed(void)
{
	if (timers.running && !timer_is_armed(&timers.tcp))
		timer_arm(&timers.tcp, this_core()->now + TCP_TMR_INTERVAL * MSEC);
}

/* Called by lwip_init: the cycle starts later, on the net core. */
void sys_timeouts_init(void)
{
}

static bool dhcp_is_searching(void)
{
	struct netif *n;

	NETIF_FOREACH(n) {
		if (netif_dhcp_data(n) && !dhcp_supplied_address(n))
			return true;
	}
	return false;
}

static void house_fire(struct timer *t)
{
	bool searching = dhcp_is_searching();
	unsigned step = searching ? 1 : 2;

	dhcp_fine_tmr();
	if (step == 2)
		dhcp_fine_tmr();
	for (unsigned i = 0; i < step; i++) {
		if (++timers.halves & 1)
			continue;
		etharp_tmr();
		ip_reass_tmr();
		nd6_tmr();
		ip6_reass_tmr();
		if (timers.halves % (2 * DHCP_COARSE_TIMER_SECS) == 0)
			dhcp_coarse_tmr();
	}
	timer_arm(t, this_core()->now + (dhcp_is_searching() ? 500 : 1000) * MSEC);
}

void net_timers_hurry(void)
{
	timer_arm(&timers.house, this_core()->now + 500 * MSEC);
}

void net_timers_start(void)
{
	timer_init(&timers.tcp, tcp_fire);
	timer_init(&timers.house, house_fire);
	timers.running = true;
	tcp_timer_needed();
	timer_arm(&timers.house, this_core()->now + 500 * MSEC);
}
