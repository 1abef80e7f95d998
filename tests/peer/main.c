/*
 * peer: the other end of the guest's cable (QEMU's `-netdev stream`): a TCP/IP stack of its own
 * (lwIP) behind a link that loses, repeats, delays, damages and splits frames by seed, clients of
 * the guest's echo server that compare every byte, and forged frames beside them.
 *
 * usage: peer PATH SEED (PROFILE CONNECTIONS)...
 *
 * Listens on the UNIX socket PATH, says "listening", takes the guest's machine, waits for a line,
 * runs one round after the other and says "ok NAME" or "FAIL NAME: why". The seed names the choices
 * made, not the moments the guest answers: a replay is the same storm, not the same history.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/ip4_frag.h"
#include "lwip/ip6_frag.h"
#include "lwip/nd6.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/sys.h"
#include "lwip/timeouts.h"
#include "peer.h"

static const struct profile profiles[] = {
	{ .name = "clean", .abreast = 200, .bytes_max = 20000, .slow = 50, .resets = 100 },
	{ .name = "cycles", .abreast = 64, .bytes_max = 600, .resets = 300 },
	{ .name = "lossy",
	  .abreast = 300,
	  .bytes_max = 30000,
	  .drop = 20,
	  .twice = 20,
	  .later = 40,
	  .damage = 20,
	  .slow = 50,
	  .resets = 200,
	  .resets_allowed = true },
	{ .name = "hostile",
	  .abreast = 200,
	  .bytes_max = 12000,
	  .drop = 10,
	  .twice = 10,
	  .later = 20,
	  .damage = 10,
	  .split = 50,
	  .slow = 100,
	  .resets = 300,
	  .forge = 100,
	  .resets_allowed = true },
};
static const struct profile fresh = { .name = "fresh", .abreast = 16, .bytes_max = 5000 };

static uint64_t random_state;
static uint32_t seed;
static const char *round_name = "start";

/* splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014) */
uint32_t peer_random(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (uint32_t)(z >> 32);
}

uint32_t peer_below(uint32_t n)
{
	return n ? (uint32_t)((uint64_t)peer_random() * n >> 32) : 0;
}

bool peer_chance(unsigned permille)
{
	return permille && peer_below(1000) < permille;
}

uint64_t peer_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

_Noreturn void peer_fail(const char *fmt, ...)
{
	va_list args;

	printf("FAIL %s: ", round_name);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf(" (seed %u)\n", seed);
	exit(1);
}

/* ---- what lwIP asks for ---------------------------------------------------------------------- */

u32_t sys_now(void)
{
	return (u32_t)peer_ms();
}

void sys_timeouts_init(void)
{
}

void tcp_timer_needed(void)
{
}

/* kernel/net/lwip/unity.c leads lwIP's IP layers here. */
void net_tcp_input(struct pbuf *p, struct netif *n);
struct pbuf *net_ip6_reass(struct pbuf *p);
struct pbuf *net_ip6_reass(struct pbuf *p)
{
	return ip6_reass(p);
}

void net_tcp_input(struct pbuf *p, struct netif *n)
{
	tcp_input(p, n);
}

static void timers_turn(void)
{
	static uint64_t tcp_at, house_at;
	uint64_t now = peer_ms();

	if (now >= tcp_at) {
		tcp_tmr();
		tcp_at = now + TCP_TMR_INTERVAL;
	}
	if (now >= house_at) {
		etharp_tmr();
		ip_reass_tmr();
		nd6_tmr();
		ip6_reass_tmr();
		house_at = now + 1000;
	}
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void turn(void)
{
	link_turn(5);
	timers_turn();
	clients_turn();
	forge_turn();
}

static void run_round(const struct profile *p, unsigned count)
{
	uint64_t began = peer_ms();
	unsigned long in = link_frames[0], out = link_frames[1];

	round_name = p->name;
	link_now = p;
	clients_begin(p, count);
	while (!clients_done())
		turn();
	clients_report();
	printf("# %s: %.1f s, %lu frames to the guest, %lu from it\n", p->name,
	       (double)(peer_ms() - began) / 1000, link_frames[1] - out, link_frames[0] - in);
	printf("ok %s\n", p->name);
	fflush(stdout);
}

/* The clients are gone; their last words are still being exchanged. */
static void settle(void)
{
	uint64_t until = peer_ms() + 30000;

	link_now = &fresh;
	while (tcp_active_pcbs && peer_ms() < until)
		turn();
	if (tcp_active_pcbs)
		peer_fail("a connection does not end");
}

static const struct profile *profile_named(const char *name)
{
	for (unsigned i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
		if (!strcmp(profiles[i].name, name))
			return &profiles[i];
	peer_fail("%s is no profile", name);
}

int main(int argc, char **argv)
{
	char line[16];

	if (argc < 5 || argc % 2 == 0)
		peer_fail("usage: peer PATH SEED (PROFILE CONNECTIONS)...");
	seed = (uint32_t)strtoul(argv[2], NULL, 10);
	random_state = seed * 0x2545f4914f6cdd1dull;
	lwip_init();
	link_now = &fresh;
	link_open(argv[1]);
	puts("listening");
	fflush(stdout);
	link_accept();
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (int i = 3; i + 1 < argc; i += 2) {
		run_round(profile_named(argv[i]), (unsigned)strtoul(argv[i + 1], NULL, 10));
		settle();
	}
	run_round(&fresh, 200);
	settle();
	return 0;
}
