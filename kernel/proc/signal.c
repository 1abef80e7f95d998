/*
 * signal: signals of processes (docs/signals.md): who gets them, and how a thread is stopped and
 * sent into a handler.
 *
 *   pending --signal_order--> order_mail to the thread's core: STOP --parked--> stop_mail home
 *                             in a call: back home, the call is cancelled; it stops when answered
 *   home: faults, frames given back (rt_sigreturn), then one frame per pending signal --> answered
 *
 * All of it belongs to the process's home core but what struct signal_thread says. A thread whose
 * stop_mail is at home is parked until it is answered there; one that dies meanwhile is not
 * answered. The mails never outlive their thread: the barrier at its end stands behind them.
 */
#include "proc/signal.h"

#include <string.h>

#include "mm/frames.h"
#include "proc/internal.h"
#include "sched/inbox.h"
#include "uapi/errno.h"
#include "uapi/signal.h"

#define SIGNAL_BIT(signo) (1ull << ((signo)-1))
#define SIGNALS_UNBLOCKABLE (SIGNAL_BIT(SIGNAL_KILL) | SIGNAL_BIT(SIGNAL_STOP))
#define SIGNALS_STOPPING                                                                           \
	(SIGNAL_BIT(SIGNAL_STOP) | SIGNAL_BIT(SIGNAL_TSTP) | SIGNAL_BIT(SIGNAL_TTIN) |             \
	 SIGNAL_BIT(SIGNAL_TTOU))
#define SIGNALS_IGNORED                                                                            \
	(SIGNAL_BIT(SIGNAL_CHLD) | SIGNAL_BIT(SIGNAL_CONT) | SIGNAL_BIT(SIGNAL_URG) |              \
	 SIGNAL_BIT(SIGNAL_WINCH))

/* ---- what there is --------------------------------------------------------------------------- */

struct signals *signals_get(struct process *p)
{
	struct signals *s = atomic_load_explicit(&p->signals, memory_order_relaxed);
	paddr_t page;

	if (s || !ARCH_SIGNALS)
		return s;
	page = frame_alloc(0);
	if (!page)
		return NULL;
	s = arch_direct(page);
	memset(s, 0, sizeof(*s));
	list_init(&s->pending.nodes);
	list_init(&s->free);
	waitlist_init(&s->waiters);
	for (unsigned i = 0; i < SIGNAL_NODES; i++)
		list_push_back(&s->free, &s->node[i].link);
	/* release: pairs with signal_fault */
	atomic_store_explicit(&p->signals, s, memory_order_release);
	return s;
}

void signals_free(struct process *p)
{
	struct signals *s = atomic_load_explicit(&p->signals, memory_order_relaxed);

	if (s)
		frame_put(arch_direct_paddr(s));
	atomic_store_explicit(&p->signals, NULL, memory_order_relaxed);
}

void signal_thread_init(struct user_thread *t)
{
	memset(&t->sig, 0, sizeof(t->sig));
	list_init(&t->sig.pending.nodes);
	t->sig.alt.ss_flags = SS_DISABLE;
}

void signal_thread_fini(struct user_thread *t)
{
	struct signals *s = atomic_load_explicit(&t->proc->signals, memory_order_relaxed);

	if (s)
		list_append_all(&s->free, &t->sig.pending.nodes);
}

static const struct sigaction_in *signal_action(const struct process *p, uint32_t signo)
{
	static const struct sigaction_in none;
	const struct signals *s = atomic_load_explicit(&p->signals, memory_order_relaxed);

	return s ? &s->action[signo - 1] : &none;
}

static bool signal_is_ignored(const struct process *p, uint32_t signo)
{
	uint64_t handler = signal_action(p, signo)->handler;

	return handler == SIG_IGN ||
	       (handler == SIG_DFL && (SIGNALS_IGNORED & SIGNAL_BIT(signo)));
}

/* ---- queues ---------------------------------------------------------------------------------- */

static struct signal_node *queue_find(struct signal_queue *q, uint32_t signo)
{
	list_for_each(pos, &q->nodes) {
		struct signal_node *n = list_item(pos, struct signal_node, link);

		if (n->info.signo == signo)
			return n;
	}
	return NULL;
}

/* A plain signal that finds no room is pending all the same, without its details. */
static int queue_put(struct signals *s, struct signal_queue *q, const struct signal_info *info)
{
	uint64_t bit = SIGNAL_BIT(info->signo);
	struct list *room;

	if ((q->bits & bit) && info->signo < SIGNAL_RT_MIN)
		return 0;
	room = list_pop_front(&s->free);
	if (!room && info->code == SI_QUEUE)
		return -EAGAIN;
	q->bits |= bit;
	if (room) {
		list_item(room, struct signal_node, link)->info = *info;
		list_push_back(&q->nodes, room);
	}
	return 0;
}

static void queue_take(struct signals *s, struct signal_queue *q, uint32_t signo,
		       struct signal_info *info)
{
	struct signal_node *n = queue_find(q, signo);

	*info = (struct signal_info){ .signo = signo };
	if (n) {
		*info = n->info;
		list_remove(&n->link);
		list_push_back(&s->free, &n->link);
	}
	if (!queue_find(q, signo))
		q->bits &= ~SIGNAL_BIT(signo);
}

static void queue_drop(struct signals *s, struct signal_queue *q, uint32_t signo)
{
	struct signal_info info;

	while (q->bits & SIGNAL_BIT(signo))
		queue_take(s, q, signo, &info);
}

bool signal_take(struct user_thread *t, uint64_t set, struct signal_info *info)
{
	struct signals *s = atomic_load_explicit(&t->proc->signals, memory_order_relaxed);
	struct signal_queue *q = &t->sig.pending;

	if (!s)
		return false;
	if (!(q->bits & set))
		q = &s->pending;
	if (!(q->bits & set))
		return false;
	queue_take(s, q, (uint32_t)__builtin_ctzll(q->bits & set) + 1, info);
	return true;
}

void signal_action_set(struct signals *s, struct process *p, uint32_t signo,
		       const struct sigaction_in *to)
{
	s->action[signo - 1] = *to;
	s->action[signo - 1].mask &= ~SIGNALS_UNBLOCKABLE;
	if (!signal_is_ignored(p, signo))
		return;
	queue_drop(s, &s->pending, signo);
	list_for_each(pos, &p->threads)
		queue_drop(s, &list_item(pos, struct user_thread, sibling)->sig.pending, signo);
}

/* ---- stopping a thread ----------------------------------------------------------------------- */

static bool thread_is_ending(const struct user_thread *t)
{
	if (t->stage) /* apart: GCC's analyzer does not follow a load of both bytes */
		return true;
	return t->dead || atomic_load(&t->proc->dying);
}

static void order_returns(struct mail *m)
{
	struct user_thread *t = container_of(m, struct user_thread, sig.order_mail);

	t->sig.order_out = false;
	if (t->sig.busy && !thread_is_ending(t))
		process_hooks.thread_interrupt(t);
}

static void order_reached(struct mail *m)
{
	struct user_thread *t = container_of(m, struct user_thread, sig.order_mail);

	if (thread_follow(&t->thread, m))
		return;
	t->sig.busy = thread_stop(&t->thread);
	m->deliver = order_returns;
	mailbox_post(t->proc->home, m);
}

static void signal_order(struct user_thread *t)
{
	if (t->sig.order_out || thread_is_ending(t))
		return;
	t->sig.order_out = true;
	t->sig.order_mail.deliver = order_reached;
	mailbox_post(thread_core(&t->thread), &t->sig.order_mail);
}

void signal_mask_set(struct user_thread *t, uint64_t mask)
{
	const struct signals *s = atomic_load_explicit(&t->proc->signals, memory_order_relaxed);

	t->sig.mask = mask & ~SIGNALS_UNBLOCKABLE;
	if (s && ((t->sig.pending.bits | s->pending.bits) & ~t->sig.mask))
		signal_order(t);
}

/* On the thread's core: parked, and nothing of it is anywhere but in its struct. */
static void stop_home(struct user_thread *t, enum signal_stop why);

void signal_stopped(struct thread *t)
{
	stop_home(container_of(t, struct user_thread, thread), SIGNAL_STOPPED);
}

void signal_return(struct user_thread *t)
{
	thread_park_served(&t->thread);
	stop_home(t, SIGNAL_RETURN);
}

bool signal_fault(struct user_thread *t, const struct signal_info *info,
		  const struct arch_exit *exit)
{
	/* acquire: pairs with signals_get */
	if (!atomic_load_explicit(&t->proc->signals, memory_order_acquire))
		return false;
	t->sig.fault = *exit;
	t->sig.fault_info = *info;
	thread_park_served(&t->thread);
	stop_home(t, SIGNAL_FAULT);
	return true;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* A thread that does not block it: the first one rather than another. */
static struct user_thread *signal_choose(struct process *p, uint64_t bit)
{
	list_for_each(pos, &p->threads) {
		struct user_thread *t = list_item(pos, struct user_thread, sibling);

		if (!(t->sig.mask & bit) && !thread_is_ending(t))
			return t;
	}
	return NULL;
}

int signal_send(struct process *p, struct user_thread *t, const struct signal_info *info)
{
	uint64_t bit = SIGNAL_BIT(info->signo), handler = signal_action(p, info->signo)->handler;
	struct user_thread *gets = t && (t->sig.mask & bit) ? NULL : t ? t : signal_choose(p, bit);
	struct signals *s;
	int err;

	if (p->state != PROCESS_ALIVE || atomic_load(&p->dying))
		return 0;
	if (info->signo != SIGNAL_KILL && (SIGNALS_STOPPING & bit) &&
	    (handler == SIG_DFL || info->signo == SIGNAL_STOP))
		return -ENOSYS;
	if (gets && signal_is_ignored(p, info->signo))
		return 0;
	if (info->signo == SIGNAL_KILL || (gets && handler == SIG_DFL)) {
		process_kill(p, (int32_t)info->signo);
		return 0;
	}
	s = signals_get(p);
	if (!s)
		return -EAGAIN;
	err = queue_put(s, t ? &t->sig.pending : &s->pending, info);
	waitlist_wake_all(&s->waiters);
	if (!err && gets)
		signal_order(gets);
	return err;
}

/* ---- frames ---------------------------------------------------------------------------------- */

void signal_info_fill(struct siginfo_out *out, const struct signal_info *info)
{
	memset(out, 0, sizeof(*out));
	out->si_signo = (int32_t)info->signo;
	out->si_code = info->code;
	if (info->code > 0 && info->signo != SIGNAL_CHLD && info->code != SI_KERNEL) {
		out->si_addr = info->value;
		return;
	}
	out->si_pid = info->pid;
	out->si_value = info->value;
}

int signal_trampoline(struct process *p, struct signals *s)
{
	static const uint32_t code[2] = { 0x08b00893 /* li a7, 139 */, 0x00000073 /* ecall */ };
	uaddr_t at;
	int err;

	if (s->trampoline)
		return 0;
	err = aspace_map_anon(p->as, 0, PAGE_SIZE, ACCESS_READ | ACCESS_EXEC, 0, &at);
	if (!err)
		err = aspace_fill(p->as, at, code, sizeof(code));
	if (err)
		return -ENOMEM;
	arch_icache_sync();
	s->trampoline = at;
	return 0;
}

static bool alt_holds(const struct signal_stack *alt, uaddr_t sp)
{
	return !(alt->ss_flags & SS_DISABLE) && sp > alt->ss_sp && sp - alt->ss_sp <= alt->ss_size;
}

bool signal_is_on_alt(const struct user_thread *t)
{
	return alt_holds(&t->sig.alt, arch_user_sp(&t->thread.user));
}

/* Where the frame goes; 0: it would not fit the alternate stack that the thread is on. */
static uaddr_t frame_place(const struct user_thread *t, const struct sigaction_in *act)
{
	const struct signal_stack *alt = &t->sig.alt;
	uaddr_t sp = arch_user_sp(&t->thread.user), at;
	bool on_alt = alt_holds(alt, sp);

	if ((act->flags & SA_ONSTACK) && !on_alt && !(alt->ss_flags & SS_DISABLE)) {
		sp = alt->ss_sp + alt->ss_size;
		on_alt = true;
	}
	at = align_down(sp - sizeof(struct sigframe), 16ull);
	return on_alt && !alt_holds(alt, at) ? 0 : at;
}

/* The thread goes on in its handler. False: there is no room for the frame. */
static bool frame_push(struct user_thread *t, struct signals *s, const struct signal_info *info)
{
	struct sigaction_in *act = &s->action[info->signo - 1];
	uaddr_t at = frame_place(t, act);
	struct sigframe frame;

	if (t->sig.broken && t->sig.again && (act->flags & SA_RESTART))
		arch_user_redo(&t->thread.user, t->sig.first_arg);
	t->sig.broken = false;
	memset(&frame, 0, sizeof(frame));
	signal_info_fill(&frame.info, info);
	frame.uc_stack = t->sig.alt;
	frame.uc_sigmask = t->sig.saved ? t->sig.saved_mask : t->sig.mask;
	arch_signal_save(&t->thread.user, &frame);
	if (!at || user_write(t->proc->as, at, &frame, sizeof(frame)))
		return false;
	t->sig.saved = false;
	t->sig.mask |= act->mask | (act->flags & SA_NODEFER ? 0 : SIGNAL_BIT(info->signo));
	arch_signal_enter(&t->thread.user, act->handler, at, info->signo,
			  at + offsetof(struct sigframe, uc_flags), s->trampoline);
	if (act->flags & SA_RESETHAND)
		act->handler = SIG_DFL;
	return true;
}

/* rt_sigreturn. False: there is no frame. */
static bool frame_pop(struct user_thread *t)
{
	struct sigframe frame;

	if (user_read(t->proc->as, arch_user_sp(&t->thread.user), &frame, sizeof(frame)))
		return false;
	t->sig.mask = frame.uc_sigmask & ~SIGNALS_UNBLOCKABLE;
	t->sig.broken = false;
	arch_signal_restore(&t->thread.user, &frame);
	return true;
}

/* ---- the stop, at home ----------------------------------------------------------------------- */

/* A fault of the thread: false if nobody handles it, and the program ends. */
static bool stop_fault(struct user_thread *t, struct signals *s)
{
	struct signal_info *info = &t->sig.fault_info;
	const struct sigaction_in *act = &s->action[info->signo - 1];

	if (info->signo == SIGNAL_SEGV &&
	    aspace_covers(t->proc->as, align_down(info->value, PAGE_SIZE), PAGE_SIZE))
		info->code = SEGV_ACCERR;
	if (act->handler == SIG_DFL || act->handler == SIG_IGN ||
	    (t->sig.mask & SIGNAL_BIT(info->signo))) {
		thread_fault_kill(t, info, &t->sig.fault);
		return false;
	}
	if (frame_push(t, s, info))
		return true;
	process_kill_because(t->proc, SIGNAL_SEGV, "no room for the frame of signal %u",
			     (unsigned)info->signo);
	return false;
}

/* Everything that may come now, one frame on the other. False: the program ends. */
static bool stop_deliver(struct user_thread *t, struct signals *s)
{
	struct signal_info info;

	while (signal_take(t, ~t->sig.mask, &info)) {
		uint64_t handler = s->action[info.signo - 1].handler;

		if (signal_is_ignored(t->proc, info.signo))
			continue;
		if (handler == SIG_DFL) {
			process_kill(t->proc, (int32_t)info.signo);
			return false;
		}
		if (frame_push(t, s, &info))
			continue;
		process_kill_because(t->proc, SIGNAL_SEGV, "no room for the frame of signal %u",
				     (unsigned)info.signo);
		return false;
	}
	return true;
}

static bool stop_serve(struct user_thread *t, struct signals *s)
{
	switch (t->sig.why) {
	case SIGNAL_STOPPED:
		break;
	case SIGNAL_FAULT:
		if (!stop_fault(t, s))
			return false;
		break;
	case SIGNAL_RETURN:
		if (s && frame_pop(t))
			break;
		process_kill_because(t->proc, SIGNAL_SEGV, "rt_sigreturn without a frame");
		return false;
	}
	return !s || stop_deliver(t, s);
}

static void stop_arrives(struct mail *m)
{
	struct user_thread *t = container_of(m, struct user_thread, sig.stop_mail);
	struct signals *s = atomic_load_explicit(&t->proc->signals, memory_order_relaxed);

	if (thread_is_ending(t) || !stop_serve(t, s))
		return;
	/* No handler took it: as if nobody had asked. */
	if (t->sig.broken && t->sig.again)
		arch_user_redo(&t->thread.user, t->sig.first_arg);
	t->sig.broken = false;
	if (t->sig.saved) {
		t->sig.mask = t->sig.saved_mask;
		t->sig.saved = false;
	}
	t->sig.cancelling = false;
	thread_answer(&t->thread);
}

static void stop_home(struct user_thread *t, enum signal_stop why)
{
	arch_user_settle(&t->thread.user);
	t->sig.why = why;
	t->sig.stop_mail.deliver = stop_arrives;
	mailbox_post(t->proc->home, &t->sig.stop_mail);
}
