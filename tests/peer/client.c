/*
 * client: connections to the guest's echo server, each with a plan of its own by seed: how much is
 * said, in which pieces, whether it reads at once or lets its window close, over IPv4 or IPv6, and
 * how it ends.
 *
 *   free --begin--> open --all echoed, half-closed, the end read--> free
 *                    |---our RST, at a moment of the plan---------> free
 *                    +---reset by the guest-----------------------> free (counted)
 *
 * A connection that is none of these after PATIENCE_MS is a stall, and ends the run.
 */
#include <stdio.h>
#include <string.h>

#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include "peer.h"

#define CLIENTS_MAX 1024u
#define PATIENCE_MS 90000u
#define PORT_FIRST 20000u
#define PORTS 6000u

struct client {
	struct tcp_pcb *pcb;
	bool used;
	bool by_v6, half_closed;
	uint32_t number;
	uint32_t total, sent, got;
	uint32_t reset_after; /* bytes got; UINT32_MAX: does not reset */
	uint64_t reset_at;    /* UINT64_MAX: does not reset by the clock */
	uint64_t slow_until;  /* 0: reads at once */
	uint32_t unread;      /* told to nobody */
	uint64_t began;
};

static struct client clients[CLIENTS_MAX];
static const struct profile *plan;
static unsigned wanted, begun, open_now;
static unsigned whole, reset_by_us, reset_by_guest;
static unsigned long long echoed;

static uint8_t byte_at(const struct client *c, uint32_t i)
{
	return (uint8_t)((c->number * 40503u + i) * 2654435761u >> 21);
}

static void end(struct client *c)
{
	echoed += c->got;
	c->used = false;
	c->pcb = NULL;
	open_now--;
}

static void forget(struct tcp_pcb *pcb)
{
	tcp_arg(pcb, NULL);
	tcp_recv(pcb, NULL);
	tcp_sent(pcb, NULL);
	tcp_err(pcb, NULL);
	tcp_poll(pcb, NULL, 0);
}

/* Ends by RST. From a callback: ERR_ABRT must be returned then. */
static void end_by_reset(struct client *c)
{
	struct tcp_pcb *pcb = c->pcb;

	forget(pcb);
	tcp_abort(pcb);
	reset_by_us++;
	end(c);
}

static void say(struct client *c)
{
	uint8_t bytes[TCP_MSS];

	while (c->sent < c->total) {
		uint32_t n = peer_chance(300) ? 1 + peer_below(64) : (uint32_t)sizeof(bytes);

		n = LWIP_MIN(n, LWIP_MIN(c->total - c->sent, tcp_sndbuf(c->pcb)));
		if (!n)
			break;
		for (uint32_t i = 0; i < n; i++)
			bytes[i] = byte_at(c, c->sent + i);
		if (tcp_write(c->pcb, bytes, (u16_t)n, TCP_WRITE_FLAG_COPY) != ERR_OK)
			break;
		c->sent += n;
	}
	if (c->sent == c->total && !c->half_closed && tcp_shutdown(c->pcb, 0, 1) == ERR_OK)
		c->half_closed = true;
	tcp_output(c->pcb);
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	(void)pcb;
	(void)len;
	say(arg);
	return ERR_OK;
}

static err_t on_poll(void *arg, struct tcp_pcb *pcb)
{
	(void)pcb;
	say(arg);
	return ERR_OK;
}

static void compare(struct client *c, const struct pbuf *p)
{
	for (const struct pbuf *q = p; q; q = q->next) {
		const uint8_t *at = q->payload;

		for (uint32_t i = 0; i < q->len; i++, c->got++)
			if (c->got >= c->sent || at[i] != byte_at(c, c->got))
				peer_fail("connection %u: byte %u came back wrong", c->number,
					  c->got);
	}
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct client *c = arg;

	(void)err;
	if (!p) {
		if (c->got != c->total)
			peer_fail("connection %u: ended after %u of %u bytes", c->number, c->got,
				  c->total);
		whole++;
		forget(pcb);
		end(c);
		if (tcp_close(pcb) != ERR_OK)
			peer_fail("no memory");
		return ERR_OK;
	}
	compare(c, p);
	if (c->slow_until)
		c->unread += p->tot_len;
	else
		tcp_recved(pcb, p->tot_len);
	pbuf_free(p);
	if (c->got < c->reset_after)
		return ERR_OK;
	end_by_reset(c);
	return ERR_ABRT;
}

static void on_error(void *arg, err_t err)
{
	struct client *c = arg;

	c->pcb = NULL;
	if (!plan->resets_allowed)
		peer_fail("connection %u: %s after %u of %u bytes", c->number,
			  err == ERR_RST ? "reset by the guest" : "gave up", c->got, c->total);
	reset_by_guest++;
	end(c);
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
	(void)pcb;
	(void)err;
	say(arg);
	return ERR_OK;
}

/* ---- beginnings ------------------------------------------------------------------------------ */

static void make_plan(struct client *c)
{
	*c = (struct client){ .used = true,
			      .number = begun++,
			      .by_v6 = peer_chance(400),
			      .total = 1 + peer_below(peer_chance(500) ? 200 : plan->bytes_max),
			      .reset_after = UINT32_MAX,
			      .reset_at = UINT64_MAX,
			      .began = peer_ms() };
	if (peer_chance(plan->slow))
		c->slow_until = c->began + peer_below(3000);
	if (!peer_chance(plan->resets))
		return;
	if (peer_chance(500))
		c->reset_after = 1 + peer_below(c->total);
	else
		c->reset_at = c->began + peer_below(peer_chance(500) ? 5 : 300);
}

static void begin(struct client *c)
{
	static uint32_t port;
	ip_addr_t to;
	err_t err = ERR_USE;

	make_plan(c);
	open_now++;
	c->pcb = tcp_new_ip_type(c->by_v6 ? IPADDR_TYPE_V6 : IPADDR_TYPE_V4);
	ipaddr_aton(c->by_v6 ? GUEST_IP6 : GUEST_IP, &to);
	if (c->by_v6)
		ip6_addr_assign_zone(ip_2_ip6(&to), IP6_UNICAST, &link_if);
	for (unsigned i = 0; i < PORTS && c->pcb && err == ERR_USE; i++)
		err = tcp_bind(c->pcb, c->by_v6 ? IP6_ADDR_ANY : IP4_ADDR_ANY,
			       (u16_t)(PORT_FIRST + port++ % PORTS));
	if (err != ERR_OK)
		peer_fail("connection %u: cannot begin: %d", c->number, err);
	tcp_arg(c->pcb, c);
	tcp_recv(c->pcb, on_recv);
	tcp_sent(c->pcb, on_sent);
	tcp_err(c->pcb, on_error);
	tcp_poll(c->pcb, on_poll, 2);
	if (peer_chance(500))
		tcp_nagle_disable(c->pcb);
	err = tcp_connect(c->pcb, &to, ECHO_PORT, on_connected);
	if (err != ERR_OK)
		peer_fail("connection %u: cannot connect: %d", c->number, err);
}

void clients_begin(const struct profile *p, unsigned count)
{
	plan = p;
	wanted = count;
	begun = whole = reset_by_us = reset_by_guest = 0;
	echoed = 0;
}

static void look(struct client *c, uint64_t now)
{
	if (now - c->began > PATIENCE_MS)
		peer_fail(
			"connection %u stalls: %s, port %u, state %d, %u of %u sent, %u came back",
			c->number, c->by_v6 ? "IPv6" : "IPv4", c->pcb->local_port, c->pcb->state,
			c->sent, c->total, c->got);
	if (c->slow_until && now >= c->slow_until) {
		c->slow_until = 0;
		while (c->unread) {
			uint32_t n = LWIP_MIN(c->unread, 0xffffu);

			tcp_recved(c->pcb, (u16_t)n);
			c->unread -= n;
		}
	}
	if (now >= c->reset_at)
		end_by_reset(c);
}

void clients_turn(void)
{
	uint64_t now = peer_ms();

	for (unsigned i = 0; i < plan->abreast; i++) {
		if (clients[i].used)
			look(&clients[i], now);
		else if (begun < wanted)
			begin(&clients[i]);
	}
}

bool clients_done(void)
{
	return begun == wanted && !open_now;
}

void clients_report(void)
{
	printf("# %s: %u connections: %u whole, %u reset by us, %u by the guest; %llu bytes "
	       "echoed\n",
	       plan->name, begun, whole, reset_by_us, reset_by_guest, echoed);
	if (whole < (begun - reset_by_us) * 9 / 10)
		peer_fail("the guest reset %u of %u connections", reset_by_guest, begun);
}

struct tcp_pcb *clients_any(void)
{
	const struct client *c = &clients[peer_below(plan->abreast)];

	return c->used && c->pcb && c->pcb->state == ESTABLISHED ? c->pcb : NULL;
}
