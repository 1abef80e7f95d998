/*
 * What if a coroutine is told to stop, wherever it waits: in the kernel, in a queue, asleep? What
 * if the canceller and the completion come in the same turn? Does clean-up run, do shields hold,
 * does the kernel let go before the call returns?
 */
#include "lib/async_check.h"

/* ---- one coroutine per kind of wait ---- */

static struct async_event never;
static struct async_mutex held;
static struct async_sem empty;
static struct async_chan chan;
static uint64_t chan_slot;
static int cleaned;

/* A wait in the kernel that ends only by a cancel: a timeout of an hour. */
static int wait_in_kernel(void)
{
	struct __kernel_timespec hour = { .tv_sec = 3600 };

	return async_op(IORING_OP_TIMEOUT, -1, 0, &hour, 1, 0);
}

static int wait_somewhere(int where)
{
	uint64_t value;

	switch (where) {
	case 0:
		return wait_in_kernel();
	case 1:
		return async_event_wait(&never);
	case 2:
		return async_mutex_lock(&held);
	case 3:
		return async_sem_take(&empty);
	case 4:
		return async_chan_recv(&chan, &value);
	}
	return async_sleep(3600 * ASYNC_S);
}

#define WHERES 6

static int64_t be_stopped(void *arg)
{
	int err = wait_somewhere((int)(intptr_t)arg);
	struct async_scope shield;

	CHECK_EQ(err, -ECANCELED);
	/* from now on every waiting call says so at once */
	CHECK_EQ(async_sleep(1), -ECANCELED);
	CHECK_EQ(wait_in_kernel(), -ECANCELED);
	CHECK(async_spawn(be_stopped, NULL) == NULL);
	/* but not behind a shield, where clean-up may wait */
	async_shield_begin(&shield);
	CHECK_EQ(async_sleep(ASYNC_MS), 0);
	CHECK_EQ(async_op(IORING_OP_NOP, -1, 0, NULL, 0, 0), 0);
	async_shield_end(&shield);
	CHECK_EQ(async_stopped(), -ECANCELED);
	cleaned++;
	return err;
}

static void test_every_wait(void)
{
	for (intptr_t where = 0; where < WHERES; where++) {
		struct async_co *co = async_spawn(be_stopped, (void *)where);
		int64_t result;

		CHECK(co != NULL);
		for (int i = 0; i < 5; i++)
			async_yield(); /* it waits by now */
		async_cancel(co);
		async_cancel(co); /* twice is once */
		CHECK_EQ(async_join(co, &result), 0);
		CHECK_EQ(result, -ECANCELED);
	}
	CHECK_EQ(cleaned, WHERES);
}

/* ---- stopped before it ever ran ---- */

static void test_before_start(void)
{
	struct async_co *co = async_spawn(be_stopped, (void *)(intptr_t)0);

	async_cancel(co);
	CHECK_EQ(async_join(co, NULL), 0);
}

/* ---- the race: a timeout that is due about when the cancel is submitted ---- */

static int64_t short_wait(void *arg)
{
	struct __kernel_timespec ts = { .tv_nsec = (int64_t)(intptr_t)arg };
	int32_t res = async_op(IORING_OP_TIMEOUT, -1, 0, &ts, 1, 0);

	CHECK(res == -ETIME || res == -ECANCELED);
	/* the frame's memory is used again at once: a late store of the kernel would show */
	ts.tv_nsec = -1;
	async_yield();
	CHECK_EQ(ts.tv_nsec, -1);
	return res == -ETIME;
}

static void test_race(void)
{
	int64_t in_time = 0;

	for (int i = 0; i < 400; i++) {
		struct async_co *co = async_spawn(short_wait, (void *)(intptr_t)(i * 1000));
		uint64_t end = async_now_ns() + 100000;
		int64_t result;

		while (async_now_ns() < end)
			async_yield();
		async_cancel(co);
		CHECK_EQ(async_join(co, &result), 0);
		in_time += result;
	}
	/* early ones finished, late ones were cancelled: both happened */
	CHECK(in_time > 0 && in_time < 400);
}

/* ---- deadlines ---- */

static void test_deadline(void)
{
	struct async_scope outer, inner;
	uint64_t start = async_now_ns();

	async_deadline_begin(&outer, 3600 * ASYNC_S);
	async_deadline_begin(&inner, 20 * ASYNC_MS);
	CHECK_EQ(wait_in_kernel(), -ETIME);
	CHECK_EQ(async_sleep(1), -ETIME);
	CHECK(async_deadline_end(&inner));
	CHECK_EQ(async_stopped(), 0);
	CHECK_EQ(async_sleep(ASYNC_MS), 0);
	CHECK(!async_deadline_end(&outer));
	CHECK(async_now_ns() - start >= 20 * ASYNC_MS);
	CHECK(async_now_ns() - start < 10 * ASYNC_S);

	/* in time: nothing is felt of it */
	async_deadline_begin(&outer, 10 * ASYNC_S);
	CHECK_EQ(async_sleep(ASYNC_MS), 0);
	CHECK(!async_deadline_end(&outer));
}

/* ---- groups ---- */

static int64_t member(void *arg)
{
	int err = wait_somewhere((int)(intptr_t)arg);

	CHECK_EQ(err, -ECANCELED);
	return 0;
}

static bool family;

static int64_t parent(void *arg)
{
	struct async_group group;

	(void)arg;
	async_group_init(&group);
	for (intptr_t i = 0; i < 3 * WHERES; i++)
		CHECK_EQ(async_group_spawn(&group, member, (void *)(i % WHERES)), 0);
	family = true;
	return async_group_wait(&group);
}

static void test_groups(void)
{
	struct async_co *co = async_spawn(parent, NULL);
	struct async_group group;
	int64_t result;

	while (!family)
		async_yield();
	async_yield();
	async_cancel(co); /* the parent is told: its children end before it */
	CHECK_EQ(async_join(co, &result), 0);
	CHECK_EQ(result, -ECANCELED);

	async_group_init(&group);
	for (intptr_t i = 0; i < 100; i++)
		CHECK_EQ(async_group_spawn(&group, member, (void *)(i % WHERES)), 0);
	async_yield();
	async_group_cancel(&group);
	CHECK_EQ(async_group_wait(&group), 0);
}

int main(void)
{
	async_chan_init(&chan, &chan_slot, sizeof(chan_slot), 1);
	CHECK_EQ(async_mutex_lock(&held), 0);
	test_every_wait();
	test_before_start();
	test_race();
	test_deadline();
	test_groups();
	return async_printf("ok\n") == 3 ? 0 : 1;
}
