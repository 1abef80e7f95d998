/*
 * sys_sched: which core runs a thread, and which may; and how nice it is, which nobody changes.
 *
 *   all: ACT --> done
 *
 * A core counts as a CPU by its index; a mask holds those that run programs, the others are not the
 * programs' to choose (which core polls a ring: IORING_SETUP_SQ_AFF). A thread that is on a core it
 * may no longer be on is told to leave before the answer is posted: a parked one has left when the
 * answer comes, a running one leaves at the doorbell's interrupt.
 *
 * The process's home core.
 */
#include "ring/internal.h"
#include "ring/sys.h"
#include "uapi/errno.h"

/* A thread of the caller's process; 0: the caller. NULL: there is none. */
static struct user_thread *sched_thread(struct op *op, uint64_t tid)
{
	return (uint32_t)tid ? process_thread_find(op_process(op), (uint32_t)tid) :
			       ring_caller(op->ring);
}

static void user_cores(uint64_t mask[CORE_WORDS])
{
	memset(mask, 0, CORE_WORDS * sizeof(*mask));
	for (unsigned i = 0; i < cores_count; i++)
		if (cores[i] && (cores[i]->roles & ROLE_USER))
			mask[i / 64] |= 1ull << i % 64;
}

static enum step setaffinity_step(struct op *op, const struct sys_args *args)
{
	uint64_t mask[CORE_WORDS] = { 0 }, users[CORE_WORDS], any = 0;
	struct user_thread *t;
	int err = user_read(op_aspace(op), args->a[2], mask,
			    min_of(args->a[1], (uint64_t)sizeof(mask)));

	if (err)
		return op_finish(op, err);
	t = sched_thread(op, args->a[0]);
	if (!t)
		return op_finish(op, -ESRCH);
	user_cores(users);
	for (unsigned i = 0; i < CORE_WORDS; i++)
		any |= mask[i] & users[i];
	if (!any)
		return op_finish(op, -EINVAL);
	thread_allow(&t->thread, mask);
	return op_finish(op, 0);
}

static enum step getaffinity_step(struct op *op, const struct sys_args *args)
{
	uint64_t mask[CORE_WORDS], len = min_of(args->a[1], (uint64_t)sizeof(mask));
	struct user_thread *t = sched_thread(op, args->a[0]);
	int err;

	if (args->a[1] % sizeof(uint64_t) || args->a[1] * 8 < cores_count)
		return op_finish(op, -EINVAL);
	if (!t)
		return op_finish(op, -ESRCH);
	user_cores(mask);
	for (unsigned i = 0; i < CORE_WORDS; i++)
		mask[i] &= atomic_load_explicit(&t->thread.allowed[i], memory_order_relaxed);
	err = user_write(op_aspace(op), args->a[2], mask, len);
	return op_finish(op, err ? err : (int32_t)len);
}

/* The third argument has meant nothing since Linux 2.6.24. */
static enum step getcpu_step(struct op *op, const struct sys_args *args)
{
	const struct user_thread *t = ring_caller(op->ring);
	uint32_t core, node = 0;
	int err = 0;

	if (!t)
		return op_finish(op, -EINVAL);
	core = thread_core(&t->thread);
	if (args->a[0])
		err = user_write(op_aspace(op), args->a[0], &core, sizeof(core));
	if (!err && args->a[1])
		err = user_write(op_aspace(op), args->a[1], &node, sizeof(node));
	return op_finish(op, err);
}

/* All threads are as nice as each other, 0, and stay so; 20 less that is how the call says it. */
#define PRIO_PROCESS 0u
#define NICE_ANSWER 20

static int priority_check(struct op *op, const struct sys_args *args)
{
	uint32_t who = (uint32_t)args->a[1];

	if (args->a[0] > 2)
		return -EINVAL;
	if (args->a[0] != PRIO_PROCESS || !who || process_find(who))
		return 0;
	return sched_thread(op, who) ? 0 : -ESRCH;
}

static enum step getpriority_step(struct op *op, const struct sys_args *args)
{
	int err = priority_check(op, args);

	return op_finish(op, err ? err : NICE_ANSWER);
}

static enum step setpriority_step(struct op *op, const struct sys_args *args)
{
	int err = priority_check(op, args);

	return op_finish(op, err ? err : (int32_t)args->a[2] ? -EPERM : 0);
}

const struct sys_row sys_getpriority = { .name = "getpriority", .step = getpriority_step };
const struct sys_row sys_setpriority = { .name = "setpriority", .step = setpriority_step };
const struct sys_row sys_sched_setaffinity = { .name = "sched_setaffinity",
					       .step = setaffinity_step };
const struct sys_row sys_sched_getaffinity = { .name = "sched_getaffinity",
					       .step = getaffinity_step };
const struct sys_row sys_getcpu = { .name = "getcpu", .step = getcpu_step };
