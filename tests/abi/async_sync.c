/*
 * Do coroutines wait for one another as promised: channels keep order and lose nothing, a mutex
 * has one owner at a time and serves in order, wait-any and wait-all find who ended, sleeps end in
 * the order of their times, does a pipe carry what one writes to one who reads?
 */
#include "lib/async_check.h"

/* ---- channel: three senders, two receivers, a small queue ---- */

#define EACH 2000

struct item {
	uint32_t from, number;
};

static struct item slots[7];
static struct async_chan chan;
static uint64_t received;

static int64_t send_items(void *arg)
{
	struct item item = { .from = (uint32_t)(intptr_t)arg };

	for (; item.number < EACH; item.number++)
		CHECK_EQ(async_chan_send(&chan, &item), 0);
	return 0;
}

static int64_t recv_items(void *arg)
{
	uint32_t next[3] = { 0 };
	struct item item;
	int err;

	(void)arg;
	while ((err = async_chan_recv(&chan, &item)) == 0) {
		CHECK(item.number >= next[item.from]);
		next[item.from] = item.number + 1;
		received++;
		if (received % 64 == 0)
			async_yield();
	}
	CHECK_EQ(err, -EPIPE);
	return 0;
}

static void test_channel(void)
{
	struct async_group senders, receivers;
	struct item item;

	async_chan_init(&chan, slots, sizeof(slots[0]), 7);
	CHECK_EQ(async_chan_tryrecv(&chan, &item), -EAGAIN);
	async_group_init(&senders);
	async_group_init(&receivers);
	for (intptr_t i = 0; i < 2; i++)
		CHECK_EQ(async_group_spawn(&receivers, recv_items, NULL), 0);
	for (intptr_t i = 0; i < 3; i++)
		CHECK_EQ(async_group_spawn(&senders, send_items, (void *)i), 0);
	CHECK_EQ(async_group_wait(&senders), 0);
	async_chan_close(&chan);
	CHECK_EQ(async_group_wait(&receivers), 0);
	CHECK_EQ(received, 3 * EACH);
	CHECK_EQ(async_chan_send(&chan, &item), -EPIPE);
}

/* ---- mutex ---- */

static struct async_mutex mutex;
static int inside, turns[4], turn_count;

static int64_t lock_often(void *arg)
{
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(async_mutex_lock(&mutex), 0);
		CHECK_EQ(inside++, 0);
		turns[(intptr_t)arg]++;
		turn_count++;
		/* fair: nobody gets far ahead while the others wait */
		CHECK(turns[(intptr_t)arg] * 4 <= turn_count + 8);
		async_yield();
		CHECK_EQ(async_op(IORING_OP_NOP, -1, 0, NULL, 0, 0), 0);
		CHECK_EQ(--inside, 0);
		async_mutex_unlock(&mutex);
	}
	return 0;
}

static void test_mutex(void)
{
	struct async_group group;

	async_group_init(&group);
	for (intptr_t i = 0; i < 4; i++)
		CHECK_EQ(async_group_spawn(&group, lock_often, (void *)i), 0);
	CHECK_EQ(async_group_wait(&group), 0);
	CHECK_EQ(turn_count, 400);
	CHECK(async_mutex_trylock(&mutex));
	CHECK(!async_mutex_trylock(&mutex));
	CHECK_EQ(async_mutex_lock(&mutex), -EDEADLK);
	async_mutex_unlock(&mutex);
}

/* ---- sleep, wait-any, wait-all ---- */

static int woken[8], woken_count;

static int64_t sleeper(void *arg)
{
	intptr_t ms = (intptr_t)arg;

	CHECK_EQ(async_sleep((uint64_t)ms * ASYNC_MS), 0);
	woken[woken_count++] = (int)ms;
	return ms;
}

static void test_waits(void)
{
	static const int ms[6] = { 50, 10, 40, 20, 60, 30 };
	struct async_co *cos[6];
	int64_t result;
	int first;

	for (int i = 0; i < 6; i++)
		CHECK((cos[i] = async_spawn(sleeper, (void *)(intptr_t)ms[i])) != NULL);
	first = async_wait_any(cos, 6);
	CHECK(first >= 0 && cos[first]->state == ASYNC_ENDED);
	CHECK(woken_count >= 1); /* on a machine that stood still for a while, more */
	CHECK_EQ(async_wait_all(cos, 6), 0);
	CHECK_EQ(woken_count, 6);
	for (int i = 0; i < 6; i++) {
		CHECK_EQ(woken[i], 10 * (i + 1));
		CHECK_EQ(async_join(cos[i], &result), 0);
		CHECK_EQ(result, ms[i]);
	}
	CHECK_EQ(async_wait_any(cos, 0), -EINVAL);
	CHECK_EQ(async_wait_any(cos, ASYNC_WAIT_MAX + 1), -EINVAL);
}

/* ---- semaphore, event, group results ---- */

static struct async_sem sem = { .count = 2 };
static int together, most;

static int64_t take_give(void *arg)
{
	(void)arg;
	CHECK_EQ(async_sem_take(&sem), 0);
	together++;
	most = together > most ? together : most;
	async_yield();
	together--;
	async_sem_give(&sem);
	return 0;
}

static int64_t fail_with(void *arg)
{
	async_yield();
	return -(int64_t)(intptr_t)arg;
}

static void test_rest(void)
{
	struct async_event event = { 0 };
	struct async_group group;

	async_group_init(&group);
	for (int i = 0; i < 20; i++)
		CHECK_EQ(async_group_spawn(&group, take_give, NULL), 0);
	CHECK_EQ(async_group_wait(&group), 0);
	CHECK_EQ(most, 2);
	CHECK_EQ(sem.count, 2);

	async_event_set(&event);
	CHECK_EQ(async_event_wait(&event), 0);

	async_group_init(&group);
	CHECK_EQ(async_group_spawn(&group, fail_with, (void *)0), 0);
	CHECK_EQ(async_group_spawn(&group, fail_with, (void *)7), 0);
	CHECK_EQ(async_group_spawn(&group, fail_with, (void *)9), 0);
	CHECK_EQ(async_group_wait(&group), -7);
}

/* ---- a pipe between two ---- */

static int64_t write_pipe(void *arg)
{
	int fd = (int)(intptr_t)arg;

	CHECK_EQ(async_sleep(ASYNC_MS), 0); /* the reader waits by now */
	CHECK_EQ(async_write_all(fd, "through the pipe", 16), 16);
	return async_close(fd);
}

static void test_pipe(void)
{
	struct async_co *co;
	char buf[32];
	int fds[2];

	CHECK_EQ(async_pipe(fds, ~0), -EINVAL);
	CHECK_EQ(async_pipe(fds, O_CLOEXEC), 0);
	co = async_spawn(write_pipe, (void *)(intptr_t)fds[1]);
	CHECK_EQ(async_read(fds[0], buf, sizeof(buf)), 16);
	CHECK_EQ(__builtin_memcmp(buf, "through the pipe", 16), 0);
	CHECK_EQ(async_read(fds[0], buf, sizeof(buf)), 0);
	CHECK_EQ(async_join(co, NULL), 0);
	CHECK_EQ(async_close(fds[0]), 0);
}

/* ---- memory for programs ---- */

static void test_alloc(void)
{
	static const size_t sizes[] = { 1, 16, 17, 100, 1000, 5000, 16368, 16369, 100000 };
	char *ptrs[40];

	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 40; i++) {
			size_t size = sizes[i % 9];

			ptrs[i] = async_alloc(size);
			CHECK(ptrs[i] != NULL && ((uintptr_t)ptrs[i] & 15) == 0);
			__builtin_memset(ptrs[i], (int)i, size);
		}
		for (unsigned i = 0; i < 40; i++) {
			CHECK_EQ(ptrs[i][0], (char)i);
			CHECK_EQ(ptrs[i][sizes[i % 9] - 1], (char)i);
			async_free(ptrs[i]);
		}
	}
	async_free(NULL);
}

int main(void)
{
	test_channel();
	test_mutex();
	test_waits();
	test_rest();
	test_pipe();
	test_alloc();
	return async_printf("ok\n") == 3 ? 0 : 1;
}
