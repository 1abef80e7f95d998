/*
 * sys_thread: more threads of a program of Linux: clone and clone3, as far as a C library's
 * pthread_create asks, and what it tells the kernel about a thread's words.
 *
 *   all: ACT --> done
 *
 * The new thread has the registers of the caller, but for its stack, thread pointer and result, so
 * these calls are the trap door's alone, which has them settled (enter.c). What makes a process of
 * its own, or anything between a process and a thread, is not served: -ENOSYS, but -EINVAL where
 * Linux says that.
 *
 * The process's home core.
 */
#include "ring/internal.h"
#include "ring/sys.h"
#include "uapi/errno.h"

/* Linux, linux/sched.h */
#define CLONE_VM 0x100u
#define CLONE_FS 0x200u
#define CLONE_FILES 0x400u
#define CLONE_SIGHAND 0x800u
#define CLONE_THREAD 0x10000u
#define CLONE_SYSVSEM 0x40000u
#define CLONE_SETTLS 0x80000u
#define CLONE_PARENT_SETTID 0x100000u
#define CLONE_CHILD_CLEARTID 0x200000u
#define CLONE_DETACHED 0x400000u /* means nothing since 2.6 */
#define CLONE_CHILD_SETTID 0x1000000u
#define CLONE_SIGNAL 0xffu

#define CLONE_SHARED (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define CLONE_SERVED                                                                               \
	(CLONE_SHARED | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |                       \
	 CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID)

/* Its head, as of the first version; what later ones added asks for what is not served. */
struct clone_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};
_Static_assert(sizeof(struct clone_args) == 64, "CLONE_ARGS_SIZE_VER0");

#define CLONE_ARGS_KNOWN 88u /* set_tid, set_tid_size, cgroup: not served */
#define CLONE_ARGS_MAX 128u

/* ---- helpers --------------------------------------------------------------------------------- */

static int clone_flags(uint64_t flags)
{
	if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND))
		return -EINVAL;
	if ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM))
		return -EINVAL;
	return (flags & CLONE_SHARED) != CLONE_SHARED || (flags & ~(uint64_t)CLONE_SERVED) ?
		       -ENOSYS :
		       0;
}

/* The core with the fewest threads, or its maker's if it may not be there. */
static uint32_t clone_core(const struct user_thread *caller)
{
	uint32_t core = placement_least_loaded();

	return thread_may_be_on(&caller->thread, core) ? core : thread_core(&caller->thread);
}

static int clone_thread(struct op *op, const struct clone_args *ask)
{
	struct process *p = op_process(op);
	struct user_thread *caller = ring_caller(op->ring), *t;
	struct thread_spec spec;
	int err;

	if (!ARCH_SIGNALS || op->ring->kind != RING_SLOT)
		return -ENOSYS;
	err = clone_flags(ask->flags);
	if (err)
		return err;
	spec = (struct thread_spec){
		.core = clone_core(caller),
		.like = caller,
		.sp = ask->stack + ask->stack_size,
		.tp = ask->tls,
		.tid_at = ask->flags & CLONE_CHILD_CLEARTID ? ask->child_tid : 0,
	};
	if (!spec.sp)
		spec.sp = arch_user_sp(&caller->thread.user);
	if (!(ask->flags & CLONE_SETTLS))
		spec.tp = arch_user_tp(&caller->thread.user);
	err = process_thread_make(p, &spec, &t);
	if (err)
		return err;
	/* Linux, too, makes the thread when these words cannot be written. */
	if (ask->flags & CLONE_PARENT_SETTID)
		(void)!user_write(p->as, ask->parent_tid, &t->tid, sizeof(t->tid));
	if (ask->flags & CLONE_CHILD_SETTID)
		(void)!user_write(p->as, ask->child_tid, &t->tid, sizeof(t->tid));
	process_thread_start(t);
	return (int)t->tid;
}

/* ---- the calls */

static enum step clone_step(struct op *op, const struct sys_args *args)
{
	struct clone_args ask = { .flags = args->a[0] & ~(uint64_t)(CLONE_SIGNAL | CLONE_DETACHED),
				  .stack = args->a[1],
				  .parent_tid = args->a[2],
				  .tls = args->a[3],
				  .child_tid = args->a[4] };

	return op_finish(op, clone_thread(op, &ask));
}

/* What is behind the part that is served must be zero. */
static int clone3_read(struct aspace *as, uaddr_t at, uint64_t size, struct clone_args *ask)
{
	uint8_t more[CLONE_ARGS_MAX - sizeof(*ask)] = { 0 };
	int err;

	if (size < sizeof(*ask))
		return -EINVAL;
	if (size > CLONE_ARGS_MAX)
		return -E2BIG;
	err = user_read(as, at, ask, sizeof(*ask));
	if (!err && size > sizeof(*ask))
		err = user_read(as, at + sizeof(*ask), more, size - sizeof(*ask));
	for (size_t i = sizeof(more); !err && i-- > 0;)
		if (more[i])
			err = sizeof(*ask) + i < CLONE_ARGS_KNOWN ? -ENOSYS : -E2BIG;
	return err;
}

static enum step clone3_step(struct op *op, const struct sys_args *args)
{
	struct clone_args ask;
	int err = clone3_read(op_aspace(op), args->a[0], args->a[1], &ask);

	if (!err && (ask.flags & (CLONE_SIGNAL | CLONE_DETACHED)))
		err = -EINVAL;
	if (!err && (ask.flags & CLONE_THREAD) && ask.exit_signal)
		err = -EINVAL;
	if (!err && !ask.stack != !ask.stack_size)
		err = -EINVAL;
	return op_finish(op, err ? err : clone_thread(op, &ask));
}

const struct sys_row sys_clone = { .name = "clone", .step = clone_step, .whole = true };
const struct sys_row sys_clone3 = { .name = "clone3", .step = clone3_step, .whole = true };

/* ---- a thread's words ------------------------------------------------------------------------ */

/* The word at the caller's address becomes 0 when it ends, as that of a thread's `tid`. */
static enum step set_tid_address_step(struct op *op, const struct sys_args *args)
{
	struct user_thread *t = ring_caller(op->ring);

	if (!t)
		return op_finish(op, -EINVAL);
	t->tid_at = args->a[0];
	return op_finish(op, (int32_t)t->tid);
}

#define ROBUST_HEAD_BYTES 24u

static enum step set_robust_list_step(struct op *op, const struct sys_args *args)
{
	struct user_thread *t = ring_caller(op->ring);

	if (!t || args->a[1] != ROBUST_HEAD_BYTES)
		return op_finish(op, -EINVAL);
	t->robust_at = args->a[0];
	return op_finish(op, 0);
}

static enum step get_robust_list_step(struct op *op, const struct sys_args *args)
{
	static const uint64_t bytes = ROBUST_HEAD_BYTES;
	const struct user_thread *t = process_thread_find(op_process(op), (uint32_t)args->a[0]);
	int err;

	if (!(uint32_t)args->a[0])
		t = ring_caller(op->ring);
	if (!t)
		return op_finish(op, -ESRCH);
	err = user_write(op_aspace(op), args->a[2], &bytes, sizeof(bytes));
	if (!err)
		err = user_write(op_aspace(op), args->a[1], &t->robust_at, sizeof(t->robust_at));
	return op_finish(op, err);
}

const struct sys_row sys_set_tid_address = { .name = "set_tid_address",
					     .step = set_tid_address_step };
const struct sys_row sys_set_robust_list = { .name = "set_robust_list",
					     .step = set_robust_list_step };
const struct sys_row sys_get_robust_list = { .name = "get_robust_list",
					     .step = get_robust_list_step };
