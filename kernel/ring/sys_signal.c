/*
 * sys_signal: the system calls on signals (docs/signals.md; rt_sigreturn is a trap of its own,
 * enter.c).
 *
 *   kill, tkill, tgkill, rt_sigqueueinfo: ACT --on the receiver's home core--> done
 *   rt_sigtimedwait: ACT --none of the set is pending, parked--> WAIT --one came; its time is over--> done
 *   rt_sigsuspend:   ACT --masked, parked--> WAIT --a handler is to run--> -EINTR
 *   the others: ACT --> done
 *
 * "The thread" is the caller of the trap door, or the owner of the ring. Home core of its process.
 */
#include "ring/internal.h"
#include "ring/sys.h"
#include "uapi/errno.h"
#include "uapi/signal.h"

#define SET_BYTES 8u

enum { SIG_ACT, SIG_WAIT };

/* The caller, and its process's signals: 0, -EINVAL (nobody calls), -ENOSYS (not on this machine),
 * -ENOMEM. */
static int signal_caller(struct op *op, struct user_thread **t, struct signals **s)
{
	*t = ring_caller(op->ring);
	if (!ARCH_SIGNALS)
		return -ENOSYS;
	if (!*t)
		return -EINVAL;
	*s = signals_get(op_process(op));
	return *s ? 0 : -ENOMEM;
}

/* ---- actions and masks ----------------------------------------------------------------------- */

static int sigaction(struct op *op, const struct sys_args *args)
{
	uint64_t signo = args->a[0];
	struct sigaction_in to, was;
	struct user_thread *t;
	struct signals *s;
	int err = signal_caller(op, &t, &s);

	if (err)
		return err;
	if (args->a[3] != SET_BYTES || !signo || signo > SIGNALS ||
	    (args->a[1] && (signo == SIGNAL_KILL || signo == SIGNAL_STOP)))
		return -EINVAL;
	was = s->action[signo - 1];
	if (args->a[1]) {
		err = user_read(op_aspace(op), args->a[1], &to, sizeof(to));
		if (!err && to.handler > SIG_IGN)
			err = signal_trampoline(op_process(op), s);
		if (err)
			return err;
		signal_action_set(s, op_process(op), (uint32_t)signo, &to);
	}
	return args->a[2] ? user_write(op_aspace(op), args->a[2], &was, sizeof(was)) : 0;
}

static enum step rt_sigaction_step(struct op *op, const struct sys_args *args)
{
	return op_finish(op, sigaction(op, args));
}

static int sigprocmask(struct op *op, const struct sys_args *args)
{
	struct user_thread *t;
	struct signals *s;
	uint64_t set, was;
	int err = signal_caller(op, &t, &s);

	if (err)
		return err;
	if (args->a[3] != SET_BYTES || (args->a[1] && args->a[0] > SIG_SETMASK))
		return -EINVAL;
	was = t->sig.mask;
	if (args->a[1]) {
		err = user_read(op_aspace(op), args->a[1], &set, sizeof(set));
		if (err)
			return err;
		signal_mask_set(t, args->a[0] == SIG_BLOCK     ? was | set
				   : args->a[0] == SIG_UNBLOCK ? was & ~set
							       : set);
	}
	return args->a[2] ? user_write(op_aspace(op), args->a[2], &was, sizeof(was)) : 0;
}

static enum step rt_sigprocmask_step(struct op *op, const struct sys_args *args)
{
	return op_finish(op, sigprocmask(op, args));
}

static enum step rt_sigpending_step(struct op *op, const struct sys_args *args)
{
	struct user_thread *t;
	struct signals *s;
	uint64_t set;
	int err = signal_caller(op, &t, &s);

	if (!err && args->a[1] > SET_BYTES)
		err = -EINVAL;
	if (err)
		return op_finish(op, err);
	set = (t->sig.pending.bits | s->pending.bits) & t->sig.mask;
	return op_finish(op, user_write(op_aspace(op), args->a[0], &set, args->a[1]));
}

/* The stack that the caller is on must not go: its pointer is known, for it is parked in its
 * trap. */
static int sigaltstack(struct op *op, const struct sys_args *args)
{
	struct signal_stack to, was;
	struct user_thread *t;
	struct signals *s;
	int err = signal_caller(op, &t, &s);

	if (!err && op->ring->kind != RING_SLOT)
		err = -EINVAL;
	if (err)
		return err;
	was = t->sig.alt;
	if (signal_is_on_alt(t))
		was.ss_flags |= SS_ONSTACK;
	if (args->a[0]) {
		err = user_read(op_aspace(op), args->a[0], &to, sizeof(to));
		if (err)
			return err;
		if (was.ss_flags & SS_ONSTACK)
			return -EPERM;
		if (to.ss_flags & ~(SS_DISABLE | SS_ONSTACK))
			return -EINVAL;
		if (to.ss_flags & SS_DISABLE)
			to.ss_sp = to.ss_size = 0;
		else if (to.ss_size < MINSIGSTKSZ)
			return -ENOMEM;
		to.ss_flags &= SS_DISABLE;
		t->sig.alt = to;
	}
	return args->a[1] ? user_write(op_aspace(op), args->a[1], &was, sizeof(was)) : 0;
}

static enum step sigaltstack_step(struct op *op, const struct sys_args *args)
{
	return op_finish(op, sigaltstack(op, args));
}

const struct sys_row sys_rt_sigaction = { .name = "rt_sigaction", .step = rt_sigaction_step };
const struct sys_row sys_rt_sigprocmask = { .name = "rt_sigprocmask",
					    .step = rt_sigprocmask_step };
const struct sys_row sys_rt_sigpending = { .name = "rt_sigpending", .step = rt_sigpending_step };
const struct sys_row sys_sigaltstack = { .name = "sigaltstack", .step = sigaltstack_step };

/* ---- sending --------------------------------------------------------------------------------- */

/*
 * To process `pid`, or to thread `tid` of it (0: to all of it). On the receiver's home core, to
 * which the op goes first.
 */
static enum step send_to(struct op *op, uint32_t pid, uint32_t tid, struct signal_info *info)
{
	struct process *p = process_find(pid);
	struct user_thread *t = NULL;

	if (!ARCH_SIGNALS)
		return op_finish(op, -ENOSYS);
	if (info->signo > SIGNALS)
		return op_finish(op, -EINVAL);
	if (p && p->home != this_core()->index)
		return sys_leave(op, p->home);
	if (p && p->state == PROCESS_ALIVE && tid)
		t = process_thread_find(p, tid);
	if (!p || p->state != PROCESS_ALIVE || (tid && !t))
		return op_finish(op, -ESRCH);
	info->pid = op_process(op)->pid;
	return op_finish(op, info->signo ? signal_send(p, t, info) : 0);
}

/* Groups and "everybody" are not there. */
static enum step kill_step(struct op *op, const struct sys_args *args)
{
	struct signal_info info = { .signo = (uint32_t)args->a[1], .code = SI_USER };

	if ((int32_t)args->a[0] <= 0)
		return op_finish(op, -ENOSYS);
	return send_to(op, (uint32_t)args->a[0], 0, &info);
}

static enum step tgkill_step(struct op *op, const struct sys_args *args)
{
	struct signal_info info = { .signo = (uint32_t)args->a[2], .code = SI_TKILL };

	if ((int32_t)args->a[0] <= 0 || (int32_t)args->a[1] <= 0)
		return op_finish(op, -EINVAL);
	return send_to(op, (uint32_t)args->a[0], (uint32_t)args->a[1], &info);
}

/* A thread of the caller's process, or the first one of another. */
static enum step tkill_step(struct op *op, const struct sys_args *args)
{
	struct signal_info info = { .signo = (uint32_t)args->a[1], .code = SI_TKILL };
	uint32_t tid = (uint32_t)args->a[0], own = op_process(op)->pid;

	if ((int32_t)tid <= 0)
		return op_finish(op, -EINVAL);
	return send_to(op, process_find(tid) ? tid : own, tid, &info);
}

static enum step rt_sigqueueinfo_step(struct op *op, const struct sys_args *args)
{
	struct signal_info info = { .signo = (uint32_t)args->a[1] };
	struct siginfo_out in;
	int err = user_read(op_aspace(op), args->a[2], &in, offsetof(struct siginfo_out, room[3]));

	if (err)
		return op_finish(op, err);
	if ((in.si_code >= 0 || in.si_code == SI_TKILL) && args->a[0] != op_process(op)->pid)
		return op_finish(op, -EPERM); /* the kernel's own are not to be made up */
	info.code = in.si_code >= 0 ? SI_USER : in.si_code;
	info.value = in.si_value;
	if ((int32_t)args->a[0] <= 0)
		return op_finish(op, -ESRCH);
	return send_to(op, (uint32_t)args->a[0], 0, &info);
}

/* It leaves its core once, and answers on the other: nothing to stop. */
const struct sys_row sys_kill = { .name = "kill", .step = kill_step };
const struct sys_row sys_tgkill = { .name = "tgkill", .step = tgkill_step };
const struct sys_row sys_tkill = { .name = "tkill", .step = tkill_step };
const struct sys_row sys_rt_sigqueueinfo = { .name = "rt_sigqueueinfo",
					     .step = rt_sigqueueinfo_step };

/* ---- waiting --------------------------------------------------------------------------------- */

static enum step wait_end(struct op *op, int32_t res)
{
	timer_disarm(&sys_op_of(op)->wait_timer);
	return op_finish(op, res);
}

/* A signal of the set, or its time is over. */
static enum step timedwait_look(struct op *op, const struct sys_args *args, struct user_thread *t,
				struct signals *s)
{
	struct sys_op *sys = sys_op_of(op);
	struct siginfo_out out;
	struct signal_info info;
	uint64_t set;
	int err = user_read(op_aspace(op), args->a[0], &set, sizeof(set));

	if (err)
		return wait_end(op, err);
	if (signal_take(t, set, &info)) {
		signal_info_fill(&out, &info);
		err = args->a[1] ? user_write(op_aspace(op), args->a[1], &out, sizeof(out)) : 0;
		return wait_end(op, err ? err : (int32_t)info.signo);
	}
	if (op->flags & OP_CANCELLED)
		return wait_end(op, -ECANCELED);
	if (sys->deadline <= arch_time_ns())
		return wait_end(op, -EAGAIN);
	if (sys->deadline != NSEC_NEVER)
		timer_arm(&sys->wait_timer, sys->deadline);
	op->state = SIG_WAIT;
	return op_park(op, &s->waiters);
}

static enum step rt_sigtimedwait_step(struct op *op, const struct sys_args *args)
{
	struct sys_op *sys = sys_op_of(op);
	struct user_thread *t;
	struct signals *s;
	nsec_t ns;
	int err = signal_caller(op, &t, &s);

	if (!err && args->a[3] != SET_BYTES)
		err = -EINVAL;
	if (!err && op->state == SIG_ACT) {
		timer_init(&sys->wait_timer, sys_fire);
		sys->deadline = NSEC_NEVER;
		if (args->a[2])
			err = timespec_read(op_aspace(op), args->a[2], &ns);
		if (!err && args->a[2])
			sys->deadline = timeout_deadline(ns, 0);
	}
	return err ? op_finish(op, err) : timedwait_look(op, args, t, s);
}

static enum step rt_sigsuspend_step(struct op *op, const struct sys_args *args)
{
	struct user_thread *t;
	struct signals *s;
	uint64_t set;
	int err;

	if (op->state == SIG_WAIT)
		return op->flags & OP_CANCELLED ? op_finish(op, -ECANCELED) : op_park_alone(op);
	err = signal_caller(op, &t, &s);
	if (!err && (args->a[1] != SET_BYTES || op->ring->kind != RING_SLOT))
		err = -EINVAL;
	if (!err)
		err = user_read(op_aspace(op), args->a[0], &set, sizeof(set));
	if (err)
		return op_finish(op, err);
	t->sig.saved_mask = t->sig.mask;
	t->sig.saved = true;
	signal_mask_set(t, set);
	return op_goto(op, SIG_WAIT);
}

static int wait_cancel(struct op *op)
{
	op_wake(op);
	return 0;
}

const struct sys_row sys_rt_sigtimedwait = { .name = "rt_sigtimedwait",
					     .step = rt_sigtimedwait_step,
					     .cancel = wait_cancel };
const struct sys_row sys_rt_sigsuspend = { .name = "rt_sigsuspend",
					   .step = rt_sigsuspend_step,
					   .cancel = wait_cancel };
