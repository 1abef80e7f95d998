/*
 * Does everything a coroutine had in registers survive a switch, floating point included? Do
 * runnable coroutines take turns in order? Do a thousand of them fit, are their stacks used again,
 * and is there really nothing below them?
 */
#include "lib/async_check.h"

#define ROUNDS 1000
#define CROWD 1000

/* ---- registers: more live values than a machine has callee-saved registers ---- */

static int64_t keep_values(void *arg)
{
	volatile int64_t seed = (int64_t)(intptr_t)arg;
	int64_t a = seed + 1, b = seed + 2, c = seed + 3, d = seed + 4, e = seed + 5, f = seed + 6;
	int64_t g = seed + 7, h = seed + 8, i = seed + 9, j = seed + 10, k = seed + 11;
	int64_t l = seed + 12, m = seed + 13, n = seed + 14, o = seed + 15, p = seed + 16;
	double v = (double)seed, w = v * 2, x = v * 3, y = v * 5, z = v * 7, u = v * 11;
	double q = v * 13, r = v * 17, s = v * 19, t = v * 23, aa = v * 29, bb = v * 31;
	double cc = v * 37, dd = v * 41;

	for (int round = 0; round < ROUNDS; round++) {
		async_yield();
		a++, b++, c++, d++, e++, f++, g++, h++, i++, j++, k++, l++, m++, n++, o++, p++;
		v += 1, w += 1, x += 1, y += 1, z += 1, u += 1, q += 1, r += 1, s += 1, t += 1;
		aa += 1, bb += 1, cc += 1, dd += 1;
	}
	CHECK_EQ(a + b + c + d + e + f + g + h + i + j + k + l + m + n + o + p,
		 16 * (seed + ROUNDS) + 136);
	CHECK_EQ((int64_t)(v + w + x + y + z + u + q + r + s + t + aa + bb + cc + dd),
		 seed * (1 + 2 + 3 + 5 + 7 + 11 + 13 + 17 + 19 + 23 + 29 + 31 + 37 + 41) +
			 14 * ROUNDS);
	return seed;
}

static void test_registers(void)
{
	struct async_co *cos[3];

	for (int i = 0; i < 3; i++)
		cos[i] = async_spawn(keep_values, (void *)(intptr_t)(1000 * (i + 1)));
	for (int i = 0; i < 3; i++) {
		int64_t result;

		CHECK(cos[i] != NULL);
		CHECK_EQ(async_join(cos[i], &result), 0);
		CHECK_EQ(result, 1000 * (i + 1));
	}
}

/* ---- order ---- */

static int order_log[30], order_count;

static int64_t take_turns(void *arg)
{
	for (int i = 0; i < 10; i++) {
		order_log[order_count++] = (int)(intptr_t)arg;
		async_yield();
	}
	return 0;
}

static void test_order(void)
{
	struct async_group group;

	async_group_init(&group);
	for (intptr_t i = 0; i < 3; i++)
		CHECK_EQ(async_group_spawn(&group, take_turns, (void *)i), 0);
	CHECK_EQ(async_group_wait(&group), 0);
	CHECK_EQ(order_count, 30);
	for (int i = 0; i < 30; i++)
		CHECK_EQ(order_log[i], i % 3);
}

/* ---- a crowd, twice: the second one finds the stacks of the first ---- */

static struct async_event crowd_go;
static int crowd_here;

static int64_t wait_in_crowd(void *arg)
{
	volatile char frame[2000];

	frame[0] = (char)(intptr_t)arg;
	frame[1999] = (char)~(intptr_t)arg;
	crowd_here++;
	CHECK_EQ(async_event_wait(&crowd_go), 0);
	CHECK_EQ((uint8_t)(frame[0] ^ frame[1999]), 0xff);
	return 0;
}

static void crowd(void)
{
	struct async_group group;

	crowd_here = 0;
	async_event_clear(&crowd_go);
	async_group_init(&group);
	for (intptr_t i = 0; i < CROWD; i++)
		CHECK_EQ(async_group_spawn(&group, wait_in_crowd, (void *)i), 0);
	while (crowd_here < CROWD)
		async_yield();
	async_event_set(&crowd_go);
	CHECK_EQ(async_group_wait(&group), 0);
}

/* ---- the guard: the kernel itself finds no memory below a stack ---- */

static int64_t look_below(void *arg)
{
	uint64_t top = (uint64_t)(uintptr_t)async_self() & ~4095ull;
	uint64_t low = top + 4096 - async_self()->stack_bytes;

	(void)arg;
	CHECK_EQ(async_syscall(SYS_getrandom, low, 8, 0, 0, 0, 0), 8);
	CHECK_EQ(async_syscall(SYS_getrandom, low - 8, 8, 0, 0, 0, 0), -EFAULT);
	CHECK_EQ(async_syscall(SYS_getrandom, low - 4096, 8, 0, 0, 0, 0), -EFAULT);
	return 0;
}

static void test_guard(void)
{
	struct async_co *co = async_spawn(look_below, NULL);

	CHECK_EQ(async_join(co, NULL), 0);
}

int main(void)
{
	void *first, *second;

	test_registers();
	test_order();
	test_guard();
	crowd();
	first = async_pages_alloc(4096, false);
	crowd();
	second = async_pages_alloc(4096, false);
	CHECK(first && second);
	async_pages_free(first, 4096);
	async_pages_free(second, 4096);
	return async_printf("ok\n") == 3 ? 0 : 1;
}
