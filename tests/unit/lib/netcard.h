/*
 * netcard: a machine whose time the test makes, with a made-up network card: what arrives is the
 * test's, what the stack sends is kept in `sent`. One core, the calling thread. A test includes
 * this once.
 */
#ifndef UNIT_LIB_NETCARD_H
#define UNIT_LIB_NETCARD_H

#include "unit/lib/unit.h"

#include "arch/hosted/hosted.h"
#include "base/cmdline.h"
#include "drivers/nic.h"
#include "mm/frames.h"
#include "net/net.h"
#include "sched/op.h"
#include "sched/timer.h"

#define BUFFERS 64u
#define SENT_MAX 256u

/* ---- a machine whose time the test makes ----------------------------------------------------- */

static nsec_t now_ns = 1000000000;

static nsec_t sim_time(void)
{
	return now_ns;
}

static void sim_nothing(nsec_t deadline)
{
	(void)deadline;
}

static void sim_doorbell(unsigned index)
{
	(void)index;
}

static uint64_t sim_entropy(void)
{
	return 42;
}

static void sim_console(const char *text, size_t len)
{
	fwrite(text, 1, len, stderr); /* the test's log: a panic's last words are in it */
}

static noreturn_fn void sim_poweroff(int status)
{
	exit(status ? status : 1);
}

static const struct hosted_sim machine = { .time_ns = sim_time,
					   .idle = sim_nothing,
					   .doorbell = sim_doorbell,
					   .entropy = sim_entropy,
					   .console = sim_console,
					   .poweroff = sim_poweroff };

/* ---- a card ---------------------------------------------------------------------------------- */

struct buffer {
	uint8_t bytes[2048] __attribute__((aligned(8)));
	bool kept;
};

static struct buffer rx_buffers[BUFFERS], tx_buffer;
static struct {
	uint32_t len;
	uint8_t bytes[1600] __attribute__((aligned(8)));
} sent[SENT_MAX];
static unsigned sent_count;
static uint32_t rx_free_claim; /* nonzero: what the card says it has left */
static bool tx_full;

static void *card_reserve(struct nic *n)
{
	(void)n;
	return tx_full ? NULL : tx_buffer.bytes + 10;
}

static void card_commit(struct nic *n, uint32_t len)
{
	(void)n;
	assert_true(len <= 1514);
	if (sent_count == SENT_MAX)
		return;
	memcpy(sent[sent_count].bytes + 2, tx_buffer.bytes + 10, len);
	sent[sent_count++].len = len;
}

static void card_kick(struct nic *n)
{
	(void)n;
}

static void card_return(struct nic *n, void *buf)
{
	struct buffer *b = buf;

	(void)n;
	assert_true(b->kept);
	b->kept = false;
}

static inline unsigned kept_count(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < BUFFERS; i++)
		n += rx_buffers[i].kept;
	return n;
}

static uint32_t card_free(struct nic *n)
{
	(void)n;
	return rx_free_claim ? rx_free_claim : BUFFERS - kept_count();
}

static const struct nic_ops card_ops = { .tx_reserve = card_reserve,
					 .tx_commit = card_commit,
					 .tx_kick = card_kick,
					 .rx_return = card_return,
					 .rx_free = card_free };
static struct nic card = { .ops = &card_ops, .mac = { 2, 0, 0, 0, 0, 1 }, .mtu = 1500 };
static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 2 };

/* A frame arrives. False: the card has no buffer for it. */
static inline bool arrive(const uint8_t *frame, uint32_t len)
{
	for (unsigned i = 0; i < BUFFERS; i++) {
		struct buffer *b = &rx_buffers[i];

		if (b->kept)
			continue;
		memset(b->bytes, 0xee, sizeof(b->bytes));
		memcpy(b->bytes + 10, frame, len);
		b->kept = true; /* so that a return from inside would be seen as one too many */
		b->kept = card.rx(&card, b, b->bytes + 10, len);
		return true;
	}
	return false;
}

static inline void turns(unsigned n)
{
	while (n--) {
		now_ns += 100000;
		core_turn(cores[0]);
	}
}

static inline void time_passes(unsigned ms)
{
	for (unsigned i = 0; i < ms; i += 10) {
		now_ns += 10000000;
		core_turn(cores[0]);
	}
}

/* Everything up to net_init, at 10.0.2.15. 0, or -1. */
static inline int netcard_boot(void)
{
	hosted_sim = &machine;
	unit_machine(256, 1);
	frames_init();
	if (cmdline_init("net=10.0.2.15/24,10.0.2.2") || cores_init())
		return -1;
	arch_core_set(cores[0]);
	executor_init(cores[0], 64);
	timers_init(cores[0]);
	nic_add(&card);
	return net_init() ? -1 : 0;
}

#endif
