/*
 * b_hot AT_MS AMOUNT [watch]: two programs with a deep, polled ring each, full from one moment on:
 * who serves them, and how old does an entry become?
 *
 * When the machine's clock says AT_MS there are 8,192 entries in the ring at once, each of which
 * asks for 16 random bytes: two blocks of ChaCha20, some thousand instructions that any core may
 * execute. Then the program sleeps until half of them are done, and fills up. So one kernel core
 * (as long as nothing moves) or two (afterwards) are all that keeps a host busy: two of its
 * processors are enough. AMOUNT is how many, or how long (300ms). The one that watches says, when
 * both have done theirs,
 *
 *	bench: share=PERMILLE moves=N late_moves=N ops=N
 *
 * share: of all entries served, what the core did that served fewer; moves: the balancer's, from
 * the beginning; late_moves: those that came after 10 ms (of a load that goes on for longer). And
 * each
 *
 *	bench: ring=ID core=N hot_ns=TIME age_ns=AGE served=N,N,N...
 *
 * ring: its number in the trace; core: where the program began; hot_ns: when it became full, on the
 * machine's clock; age_ns: how old the median entry was when it was served; served: how many were,
 * in each millisecond since hot_ns, the first 40.
 *
 * When an entry is served the kernel says itself: the last one of a batch asks for the time, and is
 * answered when those before it are. The questions that the program has besides go through the ring
 * that it was born with.
 */
#include <stdio.h>
#include <string.h>

#include "lib/guest.h"
#include "uapi/fs.h"
#include "uapi/mman.h"
#include "uapi/time.h"

#define BATCH	  32u
#define BATCHES	  256u
#define WAKE_BATCHES (BATCHES / 2)
#define WARM	  64u
#define ENTRIES	  (BATCH * BATCHES)
#define BYTES	  16u
#define QUIET_NS  100000000u /* nothing but our own questions meanwhile: both are done */
#define QUIET_OPS 64u
#define STEADY_NS 10000000u
#define AWAKE_NS  1000000u /* so long before the beginning it looks at the clock */
#define SERVERS	  2u /* cores 0 and 1 */
#define COLUMN_SQES 8u /* of /dev/cores */
#define COLUMN_PID 2u  /* of /dev/rings */
#define AGE_UNIT_NS 10000u
#define AGES	    20000u /* units told apart; what waits longer counts as that */
#define SLICE_NS 1000000u
#define SLICES	 40u
#define TEXT	 256u

/* A batch under way. */
struct batch {
	uint64_t published;
	struct __kernel_timespec served;
};

static struct ring *questions;
static struct ring work;
static struct batch batches[BATCHES];
static char bytes[BYTES];
static uint64_t filled, shown, taken, ops, hot, ages[AGES], ages_count, slices[SLICES];

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static int64_t call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		    uint64_t a5)
{
	return ring_syscall(questions, nr, a0, a1, a2, a3, a4, a5);
}

static int64_t must(int64_t result, const char *otherwise)
{
	if (result < 0)
		ring_die(questions, otherwise);
	return result;
}

/* ---- what the kernel says of itself ---------------------------------------------------------- */

static const char *file_text(const char *path)
{
	static char text[8192];
	int64_t fd = must(call(SYS_openat, (uint64_t)AT_FDCWD, at(path), O_RDONLY, 0, 0, 0),
			  "b_hot: the kernel does not say what its cores do\n");

	text[must(call(SYS_read, (uint64_t)fd, at(text), sizeof(text) - 1, 0, 0, 0),
		  "b_hot: the kernel's words cannot be read\n")] = 0;
	call(SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0);
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

/* The number that the kernel has given our ring: the youngest of this process's. */
static uint64_t ring_number(void)
{
	uint64_t pid = (uint64_t)call(SYS_getpid, 0, 0, 0, 0, 0, 0), youngest = 0;

	for (const char *line = file_text("/dev/rings"); (line = strchr(line, '\n')) && line[1];) {
		uint64_t id = number_behind(++line, 0);

		if (number_behind(line, COLUMN_PID) == pid && id > youngest)
			youngest = id;
	}
	return youngest;
}

static void served(uint64_t sqes[SERVERS])
{
	const char *line = file_text("/dev/cores");

	for (unsigned i = 0; i < SERVERS; i++) {
		line = strchr(line, '\n');
		if (!line)
			ring_die(questions, "b_hot: there are not two cores\n");
		sqes[i] = number_behind(++line, COLUMN_SQES);
	}
}

static uint64_t moves(void)
{
	static const char name[] = "balance_moves ";
	const char *found = strstr(file_text("/dev/counters"), name);

	if (!found)
		ring_die(questions, "b_hot: the kernel does not count moves\n");
	return number_behind(found, 1);
}

/* ---- the load -------------------------------------------------------------------------------- */

static void *map(int64_t fd, uint64_t off, uint64_t len)
{
	return (void *)(uintptr_t)must(call(SYS_mmap, 0, len, PROT_READ | PROT_WRITE,
					    MAP_SHARED | MAP_POPULATE, (uint64_t)fd, off),
				       "b_hot: its ring cannot be mapped\n");
}

static void work_begin(void)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SQPOLL | IORING_SETUP_NO_SQARRAY };
	int64_t fd = must(call(SYS_io_uring_setup, ENTRIES, at(&params), 0, 0, 0, 0),
			  "b_hot: no ring\n");
	char *shared = map(fd, IORING_OFF_SQ_RING,
			   params.cq_off.cqes +
				   params.cq_entries * sizeof(struct io_uring_cqe));

	ring_init(&work, (int)fd, &params, shared, shared,
		  map(fd, IORING_OFF_SQES, ENTRIES * sizeof(struct io_uring_sqe)),
		  questions->door);
}

/* Full; nobody has been shown it yet. */
static void batches_fill(void)
{
	for (; filled - taken < BATCHES; filled++) {
		for (unsigned i = 0; i < BATCH - 1; i++)
			ring_fill_syscall(ring_sqe(&work), SYS_getrandom, at(bytes), BYTES, 0, 0, 0,
					  0, BYTES);
		ring_fill_syscall(ring_sqe(&work), SYS_clock_gettime, CLOCK_MONOTONIC,
				  at(&batches[filled % BATCHES].served), 0, 0, 0, 0, 0);
		ops += BATCH;
	}
}

static void batches_show(void)
{
	uint64_t now = guest_ns();

	for (; shown != filled; shown++)
		batches[shown % BATCHES].published = now;
	if (ring_submit(&work))
		ring_die(questions, "b_hot: the doorbell failed\n");
}

static void batch_count(const struct batch *b)
{
	uint64_t ns = (uint64_t)b->served.tv_sec * 1000000000u + (uint64_t)b->served.tv_nsec;
	uint64_t unit = (ns - b->published) / AGE_UNIT_NS, slice = (ns - hot) / SLICE_NS;

	ages[unit < AGES ? unit : AGES - 1]++;
	ages_count++;
	if (slice < SLICES)
		slices[slice] += BATCH;
}

/* Each batch whose last answer is there, when `count` of them are. */
static void batches_await(uint64_t count)
{
	if (ring_wait(&work, (uint32_t)count * BATCH))
		ring_die(questions, "b_hot: it cannot wait\n");
	for (; taken != filled && ring_ready(&work) >= BATCH; taken++) {
		for (unsigned i = 0; i < BATCH; i++)
			if (ring_cqe_at(&work, i)->res !=
			    (int32_t)ring_cqe_at(&work, i)->user_data)
				ring_die(questions, "b_hot: an entry failed\n");
		ring_advance(&work, BATCH);
		batch_count(&batches[taken % BATCHES]);
	}
}

/* For an emulator, which translates code when it first comes by. Through the other ring, one by
 * one: nobody is to find that this one has work, and move it. */
static void warm(void)
{
	for (unsigned i = 0; i < WARM; i++)
		must(call(SYS_getrandom, at(bytes), BYTES, 0, 0, 0, 0), "b_hot: no bytes\n");
}

/* The ring is full and shown: keeps it so until the clock says `end` or all are asked. */
static void load(uint64_t end, uint64_t most)
{
	while (ops < most && guest_ns() < end) {
		batches_await(WAKE_BATCHES);
		batches_fill();
		batches_show();
	}
}

/* Its own ring is at rest by then. */
static void sleep_until(uint64_t ns)
{
	struct __kernel_timespec nap = { 0 };
	uint64_t now = guest_ns();

	if (now + AWAKE_NS < ns) {
		nap.tv_sec = (int64_t)((ns - AWAKE_NS - now) / 1000000000u);
		nap.tv_nsec = (int64_t)((ns - AWAKE_NS - now) % 1000000000u);
		call(SYS_nanosleep, at(&nap), 0, 0, 0, 0, 0);
	}
	while (guest_ns() < ns)
		async_relax();
}

/* Both are done: what was served until then. */
static void served_all(uint64_t sqes[SERVERS])
{
	uint64_t before, now = 0;

	do {
		before = now;
		sleep_until(guest_ns() + QUIET_NS);
		served(sqes);
		now = sqes[0] + sqes[1];
	} while (now - before > QUIET_OPS);
}

/* ---- what is said ---------------------------------------------------------------------------- */

static uint64_t age_median(void)
{
	uint64_t seen = 0, unit = 0;

	while (unit < AGES && (seen += ages[unit]) * 2 < ages_count)
		unit++;
	return unit * AGE_UNIT_NS;
}

static void say_of_ring(void)
{
	char text[TEXT];
	unsigned end = SLICES, len = 0;

	while (end && !slices[end - 1])
		end--;
	for (unsigned i = 0; i < end && len < sizeof(text) - 8; i++)
		len += (unsigned)snprintf(text + len, sizeof(text) - len, "%s%llu", i ? "," : "",
					  (unsigned long long)slices[i]);
	guest_say(questions, "bench: ring=%llu core=%u hot_ns=%llu age_ns=%llu served=%s\n",
		  (unsigned long long)ring_number(), (unsigned)ring_start_info->core,
		  (unsigned long long)hot,
		  (unsigned long long)age_median(), text);
}

int ring_main(struct ring *native, int argc, char **argv)
{
	uint64_t before[SERVERS], after[SERVERS], sum, less, moved, early, begin, end;
	struct guest_amount amount;

	questions = native;
	if (argc < 3)
		ring_die(native, "usage: b_hot AT_MS AMOUNT [watch]\n");
	if (!ring_is_polled(native))
		ring_die(native, "b_hot: nobody polls its ring on this core map\n");
	begin = guest_number(native, argv[1]) * 1000000;
	amount = guest_amount(native, argv[2]);
	end = amount.ops ? UINT64_MAX : begin + amount.ns;
	work_begin();
	warm();
	batches_fill();
	served(before);
	early = moved = moves();
	if (guest_ns() >= begin)
		ring_die(native, "b_hot: the machine came up too late\n");
	sleep_until(begin);
	hot = guest_ns();
	batches_show();
	if (!amount.ops) {
		load(begin + STEADY_NS, UINT64_MAX);
		early = moves();
	}
	load(end, amount.ops ? amount.ops : UINT64_MAX);
	batches_await(filled - taken);
	if (argc > 3) {
		uint64_t all = moves();

		served_all(after);
		after[0] -= before[0];
		after[1] -= before[1];
		sum = after[0] + after[1];
		less = after[0] < after[1] ? after[0] : after[1];
		guest_say(native, "bench: share=%llu moves=%llu late_moves=%llu ops=%llu\n",
			  (unsigned long long)(less * 1000 / sum),
			  (unsigned long long)(all - moved), (unsigned long long)(all - early),
			  (unsigned long long)sum);
	}
	say_of_ring();
	return 0;
}
