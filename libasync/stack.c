/*
 * stack: the stacks of coroutines: mapped in batches, guarded, kept and used again.
 *
 * One stack, from low to high addresses:
 *
 *   | guard page (no access) | ... grows down ... | struct async_co |
 *
 * Pages below the first are committed when they are first touched. The free list is last in,
 * first out, so that warm pages are used first. Stacks are never unmapped: the most that were
 * alive at once stay mapped. A coroutine puts its own stack back while it still runs on it for its
 * very last steps; that is sound because nobody takes one in between (one thread, no wait). With
 * several executors sched puts it back, to the executor that mapped it: `returned`.
 */
#include "crew.h"
#include "uapi/mman.h"

#define STACK_GUARD 4096ull
#define STACK_BATCH 8u

static struct async_co *stack_top(char *base, uint64_t bytes)
{
	uint64_t top = (uint64_t)(uintptr_t)base + STACK_GUARD + bytes - sizeof(struct async_co);

	return (struct async_co *)(uintptr_t)(top & ~63ull);
}

/* Guards are set together: STACK_BATCH entries in flight at once. */
static int stack_guard_batch(char *base, uint64_t stride)
{
	struct async_io io[STACK_BATCH];
	int err = 0;

	for (uint32_t i = 0; i < STACK_BATCH; i++)
		ring_fill_syscall(async_io_begin_always(&io[i]), SYS_mprotect,
				  (uint64_t)(uintptr_t)(base + i * stride), STACK_GUARD, PROT_NONE,
				  0, 0, 0, (uint64_t)(uintptr_t)&io[i]);
	for (uint32_t i = 0; i < STACK_BATCH; i++) {
		int res = async_io_wait(&io[i]);

		err = err ? err : res;
	}
	return err;
}

static int stack_map_batch(void)
{
	uint64_t bytes = (async_config.stack_bytes + 4095ull) & ~4095ull;
	uint64_t stride = bytes + STACK_GUARD;
	char *base = async_pages_alloc(stride * STACK_BATCH, false);
	int err;

	if (!base)
		return -ENOMEM;
	err = stack_guard_batch(base, stride);
	if (err) {
		async_pages_free(base, stride * STACK_BATCH);
		return -ENOMEM;
	}
	for (uint32_t i = STACK_BATCH; i-- > 0;) {
		struct async_co *co = stack_top(base + i * stride, bytes);

		co->stack_bytes = bytes;
		co->home = async_here();
		async_stack_put(co);
	}
	return 0;
}

struct async_co *async_stack_get(void)
{
	struct async_exec *x = async_here();
	struct async_co *co;
	int err = 0;

	crew_pin(); /* while it maps some */
	/* while this one waits for a batch, others may take it all: so a loop */
	while (!x->free_stacks && !err) {
		x->free_stacks = __atomic_exchange_n(&x->returned, NULL, __ATOMIC_ACQUIRE);
		if (!x->free_stacks)
			err = stack_map_batch();
	}
	crew_unpin();
	if (err)
		return NULL;
	co = x->free_stacks;
	x->free_stacks = co->next;
	__builtin_memset(co, 0, offsetof(struct async_co, stack_bytes));
	co->priority = x->self->priority;
	co->held = 1;
	co->ioprio[0] = x->self->ioprio[0];
	co->ioprio[1] = x->self->ioprio[1];
	co->context.pc = (uint64_t)(uintptr_t)async_co_entry;
	co->context.sp = (uint64_t)(uintptr_t)co;
	return co;
}

void async_stack_put(struct async_co *co)
{
	struct async_exec *home = co->home;

	co->state = ASYNC_ENDED;
	if (home == async_here()) {
		co->next = home->free_stacks;
		home->free_stacks = co;
		return;
	}
	co->next = __atomic_load_n(&home->returned, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&home->returned, &co->next, co, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
}

int async_prepare(unsigned count, uint32_t depth)
{
	struct async_co *taken = NULL, *co;
	unsigned made;

	crew_pin(); /* for this executor's pool */
	for (made = 0; made < count && (co = async_stack_get()) != NULL; made++) {
		for (uint32_t at = 0; at < depth && at < co->stack_bytes; at += 4096)
			((volatile char *)co)[-(int64_t)at - 1] = 0;
		co->next = taken;
		taken = co;
	}
	while ((co = taken) != NULL) {
		taken = co->next;
		async_stack_put(co);
	}
	crew_unpin();
	return made == count ? 0 : -ENOMEM;
}
