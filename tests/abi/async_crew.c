/*
 * Do coroutines spread over several executors by themselves, the oldest first, and do all the
 * things they share stay whole: mutexes, channels, events, groups, cancels, deadlines, streams,
 * memory? Does a sleeping executor wake for work, and does nobody lose a wake-up? Does what is
 * pinned stay?
 */
#include "lib/async_check.h"
#include "libasync/crew.h"

#define EXECUTORS 2u
#define CROWD 64
#define ROUNDS 40
#define US 1000ull

static unsigned executors;

/* Computes for about `us` microseconds, without a call of the library. */
static void compute(uint64_t us)
{
	uint64_t until = async_now_ns() + us * US;

	while (async_now_ns() < until)
		async_relax();
}

/* ---- a load that begins on one executor ends on all */

static uint32_t served[ASYNC_EXECUTORS_MAX];

static int64_t computes(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20; i++) {
		compute(200);
		__atomic_fetch_add(&served[async_executor()], 1, __ATOMIC_RELAXED);
		async_yield();
	}
	return 0;
}

static void test_skew(void)
{
	struct async_group group;

	async_group_init(&group);
	for (int i = 0; i < CROWD; i++)
		CHECK_EQ(async_group_spawn(&group, computes, NULL), 0);
	CHECK_EQ(async_group_wait(&group), 0);
	for (unsigned i = 0; i < executors; i++)
		if (served[i] * executors * 10 < CROWD * 20 * 4)
			CHECK_FAIL("FAIL executor %u did %u of %u\n", i, served[i], CROWD * 20);
}

/* One computes for as long as it takes: the one behind it runs elsewhere meanwhile. */
static uint32_t ran;

static int64_t runs(void *arg)
{
	(void)arg;
	__atomic_store_n(&ran, 1, __ATOMIC_RELEASE);
	return 0;
}

static void test_behind(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct async_co *co;

		ran = 0;
		if (i % 4 == 0)
			async_sleep(2 * ASYNC_MS); /* the others sleep in the kernel by now */
		co = async_spawn(runs, NULL);
		while (!__atomic_load_n(&ran, __ATOMIC_ACQUIRE))
			async_relax(); /* no call of the library: only a thief can help */
		CHECK_EQ(async_join(co, NULL), 0);
	}
}

/* ---- what they share */

static struct async_mutex mutex;
static uint64_t guarded, twice;

static int64_t locks(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		CHECK_EQ(async_mutex_lock(&mutex), 0);
		guarded++;
		if (i % 8 == (int)(intptr_t)arg % 8)
			async_yield();
		twice++;
		CHECK_EQ(guarded, twice);
		async_mutex_unlock(&mutex);
	}
	return 1;
}

static void test_mutex(void)
{
	struct async_co *cos[CROWD];
	int64_t sum = 0, one;

	for (int i = 0; i < CROWD; i++)
		CHECK((cos[i] = async_spawn(locks, (void *)(intptr_t)i)) != NULL);
	for (int i = 0; i < CROWD; i++) {
		CHECK_EQ(async_join(cos[i], &one), 0);
		sum += one;
	}
	CHECK_EQ(sum, CROWD);
	CHECK_EQ(guarded, CROWD * ROUNDS);
}

/* Nothing but taking and giving, on all executors at the same time. */
#define BLOWS 50000

static struct async_sem units;
static uint32_t inside;

static int64_t hammers(void *arg)
{
	(void)arg;
	for (int i = 0; i < BLOWS; i++) {
		CHECK_EQ(async_sem_take(&units), 0);
		CHECK_EQ(__atomic_add_fetch(&inside, 1, __ATOMIC_RELAXED) <= 2, 1);
		__atomic_fetch_sub(&inside, 1, __ATOMIC_RELAXED);
		async_sem_give(&units);
		if (i % 64 == 0)
			async_yield();
	}
	return 0;
}

static void test_hammer(void)
{
	struct async_group group;

	async_group_init(&group);
	units.count = 2;
	for (int i = 0; i < 8; i++)
		CHECK_EQ(async_group_spawn(&group, hammers, NULL), 0);
	CHECK_EQ(async_group_wait(&group), 0);
	CHECK_EQ(units.count, 2);
}

static struct async_chan chan;
static uint64_t chan_slots[3];
static uint64_t received;
static uint32_t next_of[8];

static int64_t sends(void *arg)
{
	uint64_t from = (uint64_t)(uintptr_t)arg;

	for (uint64_t i = 0; i < 200; i++) {
		uint64_t value = from << 32 | i;

		CHECK_EQ(async_chan_send(&chan, &value), 0);
	}
	return 0;
}

static int64_t receives(void *arg)
{
	uint64_t value;
	int err;

	(void)arg;
	while ((err = async_chan_recv(&chan, &value)) == 0) {
		__atomic_fetch_add(&received, 1, __ATOMIC_RELAXED);
		/* several receivers: each sender's values leave the channel in order, but who took
		 * them may be overtaken; so only that none is missing in the end is asked */
		__atomic_fetch_add(&next_of[value >> 32], 1, __ATOMIC_RELAXED);
	}
	CHECK_EQ(err, -EPIPE);
	return 0;
}

static void test_channel(void)
{
	struct async_group senders, receivers;

	async_chan_init(&chan, chan_slots, sizeof(chan_slots[0]), 3);
	async_group_init(&senders);
	async_group_init(&receivers);
	for (uintptr_t i = 0; i < 8; i++) {
		CHECK_EQ(async_group_spawn(&receivers, receives, NULL), 0);
		CHECK_EQ(async_group_spawn(&senders, sends, (void *)i), 0);
	}
	CHECK_EQ(async_group_wait(&senders), 0);
	async_chan_close(&chan);
	CHECK_EQ(async_group_wait(&receivers), 0);
	CHECK_EQ(received, 1600);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(next_of[i], 200);
}

/* ---- being stopped, from wherever */

static struct async_event never;

static int64_t waits(void *arg)
{
	static struct async_sem none;
	int fds[2], err;
	char byte;

	switch ((intptr_t)arg % 5) {
	case 0:
		return async_sleep(3600 * ASYNC_S);
	case 1:
		return async_event_wait(&never);
	case 2:
		return async_sem_take(&none);
	case 3:
		for (;;) {
			if ((err = async_stopped()) != 0)
				return err;
			async_yield();
		}
	default:
		if ((err = async_pipe(fds, 0)) != 0)
			return err;
		err = (int)async_read(fds[0], &byte, 1);
		async_close(fds[0]);
		async_close(fds[1]);
		return err;
	}
}

static void test_cancel(void)
{
	struct async_group group;
	struct async_co *co;
	int64_t res;

	for (int round = 0; round < 6; round++) {
		async_group_init(&group);
		for (intptr_t i = 0; i < 40; i++)
			CHECK_EQ(async_group_spawn(&group, waits, (void *)i), 0);
		if (round & 1)
			async_sleep(500 * US);
		async_group_cancel(&group);
		CHECK_EQ(async_group_wait(&group), -ECANCELED);
	}
	for (intptr_t i = 0; i < 5; i++) {
		co = async_spawn(waits, (void *)i);
		for (intptr_t n = 0; n < i; n++)
			async_yield();
		async_cancel(co);
		CHECK_EQ(async_join(co, &res), 0);
		CHECK_EQ(res, -ECANCELED);
	}
}

static int64_t hurries(void *arg)
{
	struct async_scope scope;
	int64_t res;

	(void)arg;
	async_deadline_begin(&scope, 1 * ASYNC_MS);
	res = async_event_wait(&never);
	CHECK(async_deadline_end(&scope));
	return res == -ETIME ? 0 : -EIO;
}

static void test_deadline(void)
{
	struct async_group group;

	async_group_init(&group);
	for (int i = 0; i < CROWD; i++)
		CHECK_EQ(async_group_spawn(&group, hurries, NULL), 0);
	CHECK_EQ(async_group_wait(&group), 0);
}

/* ---- operations and memory, births and ends everywhere */

static int64_t works(void *arg)
{
	int depth = (int)(intptr_t)arg;
	struct async_co *child = NULL;
	char *room = async_alloc(100 + 50 * (size_t)depth);
	int fds[2];
	char got = 0;

	CHECK(room != NULL);
	*room = (char)depth;
	if (depth)
		CHECK((child = async_spawn(works, (void *)(intptr_t)(depth - 1))) != NULL);
	CHECK_EQ(async_pipe(fds, 0), 0);
	for (int i = 0; i < 8; i++) {
		char out = (char)(depth + i);

		CHECK_EQ(async_write(fds[1], &out, 1), 1);
		if (i & 1)
			async_yield();
		CHECK_EQ(async_read(fds[0], &got, 1), 1);
		CHECK_EQ(got, out);
	}
	if (depth & 1)
		CHECK_EQ(async_sleep(10 * US), 0);
	async_close(fds[0]);
	async_close(fds[1]);
	CHECK_EQ(*room, (char)depth);
	async_free(room);
	if (child)
		CHECK_EQ(async_join(child, NULL), 0);
	return 0;
}

static void test_work(void)
{
	struct async_group group;

	for (int round = 0; round < 4; round++) {
		async_group_init(&group);
		for (int i = 0; i < 16; i++)
			CHECK_EQ(async_group_spawn(&group, works, (void *)(intptr_t)6), 0);
		CHECK_EQ(async_group_wait(&group), 0);
	}
}

/* ---- staying */

static int64_t stays(void *arg)
{
	unsigned here = async_executor();

	(void)arg;
	for (int i = 0; i < 50; i++) {
		compute(20);
		if (i % 10 == 0)
			async_sleep(10 * US);
		else
			async_yield();
		CHECK_EQ(async_executor(), here);
	}
	return 0;
}

static void test_pin(void)
{
	struct async_group group;

	async_group_init(&group);
	async_pin(true);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(async_group_spawn(&group, stays, NULL), 0);
	async_pin(false);
	for (int i = 0; i < 16; i++)
		CHECK_EQ(async_group_spawn(&group, computes, NULL), 0);
	CHECK_EQ(async_group_wait(&group), 0);
}

/* ---- order: what waits longest runs first, and is stolen first */

static int order_log[60], order_count;

static int64_t take_turns(void *arg)
{
	for (int i = 0; i < 20; i++) {
		order_log[order_count++] = (int)(intptr_t)arg;
		async_yield();
	}
	return 0;
}

static void test_order(void)
{
	struct async_group group;

	async_group_init(&group);
	async_pin(true); /* all on one executor, so that there is an order to look at */
	for (intptr_t i = 0; i < 3; i++)
		CHECK_EQ(async_group_spawn(&group, take_turns, (void *)i), 0);
	CHECK_EQ(async_group_wait(&group), 0);
	async_pin(false);
	for (int i = 0; i < 60; i++)
		CHECK_EQ(order_log[i], i % 3);
}

/* A thief and its victim that nobody else knows: `count` coroutines, and what remains of them. */
static void steal_of(uint32_t count, uint32_t taken)
{
	static struct async_exec thief, victim;
	static struct async_co cos[64];
	struct async_co *co;

	__builtin_memset(&thief, 0, sizeof(thief));
	__builtin_memset(&victim, 0, sizeof(victim));
	victim.share.tail = &victim.share.head;
	thief.share.tail = &thief.share.head;
	for (uint32_t i = 0; i < count; i++) {
		cos[i] = (struct async_co){ .exec = &victim };
		*victim.share.tail = &cos[i];
		victim.share.tail = &cos[i].next;
	}
	victim.share.count = count;
	CHECK_EQ(crew_steal_from(&thief, &victim), taken);
	CHECK_EQ(thief.share.count, taken);
	CHECK_EQ(victim.share.count, count - taken);
	co = thief.share.head;
	for (uint32_t i = 0; i < taken; i++, co = co->next)
		CHECK(co == &cos[i] && co->exec == &thief);
	CHECK(!co);
	co = victim.share.head;
	for (uint32_t i = taken; i < count; i++, co = co->next)
		CHECK(co == &cos[i] && co->exec == &victim);
	CHECK(!co);
	victim.share.lock = 1; /* somebody is at it: no waiting */
	CHECK_EQ(crew_steal_from(&thief, &victim), 0);
}

static void test_steal(void)
{
	steal_of(0, 0);
	steal_of(1, 1);
	steal_of(2, 1);
	steal_of(7, 4);
	steal_of(31, 16);
	steal_of(64, 16);
}

int main(void)
{
	int n = async_executors(EXECUTORS);

	if (n == -EOPNOTSUPP)
		return async_printf("ok: this kernel has no futex operations\n") > 0 ? 0 : 1;
	CHECK_EQ(n, EXECUTORS);
	executors = EXECUTORS;
	CHECK_EQ(async_executors(2), -EBUSY);
	test_mutex();
	test_hammer();
	test_channel();
	test_cancel();
	test_deadline();
	test_work();
	test_pin();
	__builtin_memset(served, 0, sizeof(served));
	test_skew();
	test_order();
	test_steal();
	test_behind();
	return async_printf("ok\n") == 3 ? 0 : 1;
}
