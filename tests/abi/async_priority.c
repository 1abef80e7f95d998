/*
 * Does a coroutine's priority stay its own, pass on to those it makes, and travel with every kind
 * of entry it submits afterwards?
 */
#include "libasync/async.h"
#include "tests/abi/lib/async_check.h"

/* The entry that was filled last. */
static uint16_t submitted(void)
{
	const struct ring *r = &async_here()->ring;

	return r->sqes[(r->sq_next - 1) & r->sq_mask].ioprio;
}

static int64_t child(void *arg)
{
	unsigned inherited = async_priority();

	CHECK(inherited == (unsigned)(uintptr_t)arg);
	async_yield();
	CHECK(async_set_priority(7 - inherited) == 0);
	async_yield();
	CHECK(async_priority() == 7 - inherited);
	return 0;
}

int main(void)
{
	char byte;

	CHECK(async_priority() == SLUICE_PRIORITY_NORMAL);
	CHECK(async_set_priority(SLUICE_PRIORITIES) == -EINVAL);
	for (unsigned priority = 0; priority < SLUICE_PRIORITIES; priority++) {
		bool asks = !ASYNC_ON_LINUX && priority != SLUICE_PRIORITY_NORMAL;
		struct async_co *co;

		CHECK(async_set_priority(priority) == 0 && async_priority() == priority);
		CHECK(async_op(IORING_OP_NOP, -1, 0, NULL, 0, 0) == 0);
		CHECK(submitted() == (asks ? sluice_ioprio(priority, 0) : 0));
		CHECK(async_recv(1, &byte, 1, 0) < 0);
		CHECK(submitted() == (asks ? sluice_ioprio(priority, 1) : 0));
		if (!ASYNC_ON_LINUX) {
			CHECK(async_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0) > 0);
			CHECK(submitted() == (asks ? sluice_ioprio(priority, 0) : 0));
		}
		co = async_spawn(child, (void *)(uintptr_t)priority);
		CHECK(co && async_join(co, NULL) == 0 && async_priority() == priority);
	}
	async_printf("async_priority: ok\n");
	return 0;
}
