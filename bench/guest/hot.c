/*
 * b_hot AT_MS AMOUNT [watch]: two programs that keep a polled ring full, each its own: who serves
 * them, and how long does an entry wait?
 *
 * Both begin when the machine's clock says AT_MS, with NOPs, 256 of them under way at any time.
 * AMOUNT is how many, or how long (300ms). The one that watches says, when both have done theirs,
 *
 *	bench: share=PERMILLE moves=N late_moves=N wait_ns=MEDIAN ops=N
 *
 * share: of all entries served from 2 ms on, what the core did that served fewer; moves: the
 * balancer's, from the beginning; late_moves: those from 10 ms on; wait_ns: from an entry's
 * publication to its answer, from 2 ms on. With a number of entries the share does not depend on
 * how much of the host each hart was given.
 *
 * To read what the cores say it lets its ring run dry, a moment only.
 */
#include <string.h>

#include "lib/guest.h"
#include "uapi/fs.h"

#define BATCH	  32u
#define BATCHES	  8u
#define QUIET_NS 100000000u /* nothing but our own questions meanwhile: both are done */
#define QUIET_OPS 64u
#define SHARE_NS  2000000u
#define STEADY_NS 10000000u
#define SERVERS	  2u /* cores 0 and 1 */
/* the columns of /dev/cores that are read */
#define COLUMN_SQES 8u
#define WAIT_UNIT_NS 1000u
#define WAITS	     20000u /* units told apart; what waits longer counts as that */

static struct ring *ring;
static uint64_t published_at[BATCHES], filled, taken, ops, waited[WAITS], waits;

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static const char *file_read(const char *path)
{
	static char text[8192];
	int64_t fd = ring_syscall(ring, SYS_openat, (uint64_t)AT_FDCWD, at(path), O_RDONLY, 0, 0,
				  0);
	int64_t n = ring_syscall(ring, SYS_read, (uint64_t)fd, at(text), sizeof(text) - 1, 0, 0, 0);

	ring_syscall(ring, SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0);
	if (n <= 0)
		ring_die(ring, "b_hot: the kernel does not say what its cores do\n");
	text[n] = 0;
	return text;
}

/* The number behind `words` words from here on. */
static uint64_t number_behind(const char *text, unsigned words)
{
	uint64_t n = 0;

	while (words--)
		text += strcspn(text, " \n") + 1;
	for (; *text >= '0' && *text <= '9'; text++)
		n = n * 10 + (uint64_t)(*text - '0');
	return n;
}

static void served(uint64_t sqes[SERVERS])
{
	const char *line = file_read("/dev/cores");

	for (unsigned i = 0; i < SERVERS; i++) {
		line = strchr(line, '\n');
		if (!line)
			ring_die(ring, "b_hot: there are not two cores\n");
		sqes[i] = number_behind(++line, COLUMN_SQES);
	}
}

static uint64_t moves(void)
{
	static const char name[] = "balance_moves ";
	const char *found = strstr(file_read("/dev/counters"), name);

	if (!found)
		ring_die(ring, "b_hot: the kernel does not count moves\n");
	return number_behind(found, 1);
}

static void batch_fill(void)
{
	published_at[filled++ % BATCHES] = guest_ns();
	for (unsigned i = 0; i < BATCH; i++)
		ring_fill(ring_sqe(ring), IORING_OP_NOP, -1, 0, 0, 0, 0, ops++);
	ring_publish(ring);
	if (ring_signal(ring))
		ring_die(ring, "b_hot: the doorbell failed\n");
}

/* Each batch whose last answer is there. */
static void batches_take(bool counts)
{
	for (; taken != filled && ring_ready(ring) >= BATCH; taken++) {
		uint64_t wait = guest_ns() - published_at[taken % BATCHES];

		for (unsigned i = 0; i < BATCH; i++)
			if (ring_cqe_at(ring, i)->res)
				ring_die(ring, "b_hot: a NOP failed\n");
		ring_advance(ring, BATCH);
		wait /= WAIT_UNIT_NS;
		waited[wait < WAITS ? wait : WAITS - 1] += counts;
		waits += counts;
	}
}

/* Full until the clock says `end` or all are asked, dry afterwards. */
static void load(uint64_t end, const struct guest_amount *amount, bool counts)
{
	uint64_t most = amount->ops ? amount->ops : UINT64_MAX;

	do {
		while (filled - taken < BATCHES && ring_space(ring) >= BATCH)
			batch_fill();
		batches_take(counts);
	} while (ops < most && guest_ns() < end);
	while (taken != filled)
		batches_take(counts);
}

static void wait_until(uint64_t ns)
{
	while (guest_ns() < ns)
		async_relax();
}

/* Both are done: what was served until then. */
static void served_all(uint64_t sqes[SERVERS])
{
	uint64_t before, now = 0;

	do {
		before = now;
		wait_until(guest_ns() + QUIET_NS);
		served(sqes);
		now = sqes[0] + sqes[1];
	} while (now - before > QUIET_OPS);
}

static uint64_t wait_median(void)
{
	uint64_t seen = 0, unit = 0;

	while (unit < WAITS && (seen += waited[unit]) * 2 < waits)
		unit++;
	return unit * WAIT_UNIT_NS;
}

static void watch(uint64_t begin, uint64_t end, const struct guest_amount *amount)
{
	uint64_t first[SERVERS], last[SERVERS], sum, less, before = moves(), early, all;

	wait_until(begin);
	load(begin + SHARE_NS, amount, false);
	served(first);
	load(begin + STEADY_NS, amount, true);
	early = moves();
	load(end, amount, true);
	all = moves();
	served_all(last);
	last[0] -= first[0];
	last[1] -= first[1];
	sum = last[0] + last[1];
	less = last[0] < last[1] ? last[0] : last[1];
	guest_say(ring, "bench: share=%llu moves=%llu late_moves=%llu wait_ns=%llu ops=%llu\n",
		  (unsigned long long)(less * 1000 / sum), (unsigned long long)(all - before),
		  (unsigned long long)(all - early), (unsigned long long)wait_median(),
		  (unsigned long long)sum);
}

int ring_main(struct ring *native, int argc, char **argv)
{
	struct guest_amount amount;
	uint64_t begin, end;

	ring = native;
	if (argc < 3)
		ring_die(ring, "usage: b_hot AT_MS AMOUNT [watch]\n");
	if (!ring_is_polled(ring))
		ring_die(ring, "b_hot: nobody polls its ring on this core map\n");
	begin = guest_number(ring, argv[1]) * 1000000;
	amount = guest_amount(ring, argv[2]);
	end = amount.ops ? UINT64_MAX : begin + amount.ns;
	if (guest_ns() >= begin)
		ring_die(ring, "b_hot: the machine came up too late\n");
	if (argc > 3) {
		watch(begin, end, &amount);
		return 0;
	}
	wait_until(begin);
	load(end, &amount, false);
	return 0;
}
