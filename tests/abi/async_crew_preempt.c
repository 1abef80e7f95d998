/*
 * What if all executors compute, and the program asked for preemption? On each of them a coroutine
 * that waits for completions runs as soon as they come, not at the next tick; two that compute
 * share their executor; who is preempted goes on where it was, though others have nothing to do;
 * and meanwhile coroutines are stolen, woken and told to stop across executors: every count is
 * exact, registers of both kinds survive.
 *
 * also: SLUICE_UINTR=1
 * ends: exit status 0
 */
#define ASYNC_PREEMPT
#include "libasync/async.h"
#include "tests/abi/lib/async_check.h"

#define EXECUTORS 2u
#define QUANTUM_US 4000u

static uint32_t arrived[EXECUTORS], settled;
static bool stop;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

/* Takes an executor that nobody has, and stays there. Computes until all are taken: so the others
 * must be stolen. */
static unsigned settle(void)
{
	unsigned here;

	while (__atomic_exchange_n(&arrived[here = async_executor()], 1, __ATOMIC_RELAXED))
		async_yield();
	async_pin(true);
	__atomic_fetch_add(&settled, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&settled, __ATOMIC_RELAXED) < EXECUTORS)
		async_relax();
	return here;
}

static uint32_t seen[EXECUTORS];

/* Uses many registers of both kinds, and notices when one changes; no call of the library, except
 * to look at the clock. Counts how often it sees a completion of its executor that nobody took. */
static int64_t compute(void *arg)
{
	volatile uint64_t *share = arg;
	uint64_t n = 0, sum = 0, end = async_now_ns() + 60 * ASYNC_S;
	unsigned here = async_executor();
	const struct ring *r = &async_here()->ring;
	double a = 1.5, b = 2.25, c = 0;

	while (!stopped() && (n % 4096 || async_now_ns() < end)) {
		n++;
		sum += n;
		c = a * (double)n + b;
		if (c != 1.5 * (double)n + 2.25 || sum != n * (n + 1) / 2 ||
		    async_executor() != here)
			return -EIO;
		if (__atomic_load_n(r->cq_tail, __ATOMIC_RELAXED) !=
		    *(volatile uint32_t *)&r->cq_next)
			seen[here]++;
		*share = n;
	}
	return stopped() ? 0 : -ETIME;
}

/* ---- completions come at once, on every executor */

#define ROUNDS 40u
#define NAP_NS 100000
/* Of compute's loop: some 1,000 instructions; an upcall takes the host's, or the firmware's, time
 * to interrupt us. A look takes many times more. */
#define TURNS 50u
#define TURNS_UPCALL 1000u

static uint64_t shares[EXECUTORS][2], preempts[EXECUTORS];
static uint32_t ready, done;

/* The kernel answers when those who compute are long at it again; without a notice they go on till
 * the next tick. How many rounds end in time? */
static uint32_t prompt_rounds(unsigned here)
{
	struct __kernel_timespec nap = { .tv_nsec = NAP_NS };
	bool direct = ring_start_info->flags & SLUICE_START_UINTR;
	uint32_t prompt = 0;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		seen[here] = 0;
		CHECK_EQ(async_syscall(SYS_nanosleep, (uint64_t)(uintptr_t)&nap, 0, 0, 0, 0, 0), 0);
		prompt += seen[here] <= (direct ? TURNS : TURNS_UPCALL);
	}
	return prompt;
}

static int64_t inhabit(void *arg)
{
	unsigned here = settle();
	struct async_group group;
	uint64_t before = async_stats()->preempts;
	uint32_t prompt;

	(void)arg;
	async_group_init(&group);
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(async_group_spawn(&group, compute, &shares[here][i]), 0);
	while (!*(volatile uint64_t *)&shares[here][0] || !*(volatile uint64_t *)&shares[here][1])
		async_sleep(ASYNC_MS);
	__atomic_fetch_add(&ready, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&ready, __ATOMIC_RELAXED) < EXECUTORS)
		async_sleep(ASYNC_MS);
	prompt = prompt_rounds(here);
	/* a host may take its time to let the answer through; without a notice hardly any is */
	if (prompt * 4 < ROUNDS)
		CHECK_FAIL("FAIL executor %u: %u of %u in time\n", here, prompt, ROUNDS);
	__atomic_fetch_add(&done, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&done, __ATOMIC_RELAXED) < EXECUTORS)
		async_sleep(ASYNC_MS);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	CHECK_EQ(async_group_wait(&group), 0);
	preempts[here] = async_stats()->preempts - before;
	return 0;
}

static void test_prompt(void)
{
	struct async_group group;

	async_group_init(&group);
	for (unsigned i = 0; i < EXECUTORS; i++)
		CHECK_EQ(async_group_spawn(&group, inhabit, NULL), 0);
	CHECK_EQ(async_group_wait(&group), 0);
	for (unsigned i = 0; i < EXECUTORS; i++)
		CHECK(preempts[i] >= ROUNDS / 2);
	__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
}

/* ---- who is interrupted stays, though others have nothing to do; who is held is not
 * interrupted */

#define STAYERS 4u

static volatile uint64_t one[EXECUTORS], two[EXECUTORS], torn;

static int64_t stays(void *arg)
{
	unsigned here = async_executor();
	uint64_t until = async_now_ns() + 10 * QUANTUM_US * 1000;

	(void)arg;
	async_pin(false); /* so far it had to be here */
	while (async_now_ns() < until) {
		if (async_executor() != here)
			return -EIO;
		async_no_preempt_begin();
		torn += one[here] != two[here];
		one[here]++;
		for (volatile unsigned i = 0; i < 200; i++)
			;
		two[here]++;
		async_no_preempt_end();
	}
	return 0;
}

static void test_stay(void)
{
	struct async_group group;

	async_group_init(&group);
	async_pin(true);
	for (unsigned i = 0; i < STAYERS; i++)
		CHECK_EQ(async_group_spawn(&group, stays, NULL), 0);
	async_pin(false);
	CHECK_EQ(async_group_wait(&group), 0);
	CHECK_EQ(torn, 0);
}

/* ---- stealing, waking and stopping among coroutines that are preempted */

#define CROWD 24u
#define PIECES 12u

static struct async_mutex mutex;
static struct async_event never;
static uint64_t guarded, twice;
static uint32_t pieces, served[EXECUTORS], told;
static struct async_chan chan;
static uint64_t chan_slots[3], passed_on;

/* About as long as a quantum, in numbers that a lost register would change. */
static uint64_t piece(uint64_t seed)
{
	uint64_t until = async_now_ns() + QUANTUM_US * 1000 / 2, n = 0;
	double sum = (double)seed;

	while (async_now_ns() < until)
		for (unsigned i = 0; i < 256; i++, n++)
			sum += 0.5;
	CHECK(sum == (double)seed + 0.5 * (double)n);
	return n;
}

static int64_t works(void *arg)
{
	uint64_t me = (uint64_t)(uintptr_t)arg;

	CHECK_EQ(async_set_priority((unsigned)(me % SLUICE_PRIORITIES)), 0);
	for (uint64_t i = 0; i < PIECES; i++) {
		uint64_t value = me << 32 | i;

		piece(value);
		__atomic_fetch_add(&served[async_executor()], 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&pieces, 1, __ATOMIC_RELAXED);
		CHECK_EQ(async_mutex_lock(&mutex), 0);
		guarded++;
		if (i % 4 == me % 4)
			async_yield();
		twice++;
		CHECK_EQ(guarded, twice);
		async_mutex_unlock(&mutex);
		CHECK_EQ(async_chan_send(&chan, &value), 0);
	}
	return 0;
}

static int64_t receives(void *arg)
{
	uint64_t value;

	(void)arg;
	while (async_chan_recv(&chan, &value) == 0)
		passed_on += (value & 0xffffffff) + 1;
	return 0;
}

static int64_t waits(void *arg)
{
	(void)arg;
	CHECK_EQ(async_event_wait(&never), -ECANCELED);
	__atomic_fetch_add(&told, 1, __ATOMIC_RELAXED);
	return 0;
}

static void test_crowd(void)
{
	struct async_group group, waiting, receivers;

	async_group_init(&group);
	async_group_init(&waiting);
	async_group_init(&receivers);
	async_chan_init(&chan, chan_slots, sizeof(chan_slots[0]), 3);
	CHECK_EQ(async_group_spawn(&receivers, receives, NULL), 0);
	for (uintptr_t i = 0; i < CROWD; i++) {
		CHECK_EQ(async_group_spawn(&group, works, (void *)i), 0);
		CHECK_EQ(async_group_spawn(&waiting, waits, NULL), 0);
	}
	async_sleep(20 * ASYNC_MS); /* they wait where they are, among those that compute */
	async_group_cancel(&waiting);
	CHECK_EQ(async_group_wait(&waiting), 0);
	CHECK_EQ(told, CROWD);
	CHECK_EQ(async_group_wait(&group), 0);
	async_chan_close(&chan);
	CHECK_EQ(async_group_wait(&receivers), 0);
	CHECK_EQ(pieces, CROWD * PIECES);
	CHECK_EQ(guarded, CROWD * PIECES);
	CHECK_EQ(passed_on, CROWD * (PIECES * (PIECES + 1) / 2));
	for (unsigned i = 0; i < EXECUTORS; i++)
		if (served[i] * 10 < pieces)
			CHECK_FAIL("FAIL executor %u did %u of %u\n", i, served[i], pieces);
}

int main(int argc, char **argv)
{
	int err = async_preempt(QUANTUM_US);

	(void)argc, (void)argv;
	if (ASYNC_ON_LINUX) {
		CHECK_EQ(err, -EOPNOTSUPP);
		return 0;
	}
	CHECK_EQ(err, 0);
	CHECK_EQ(async_executors(EXECUTORS), EXECUTORS);
	CHECK_EQ(async_preempt(QUANTUM_US), -EBUSY);
	CHECK_EQ(async_executors(EXECUTORS), -EBUSY);
	test_prompt();
	test_stay();
	test_crowd();
	for (unsigned i = 0; i < 5; i++)
		CHECK_EQ(async_sleep(ASYNC_MS), 0);
	return 0;
}
