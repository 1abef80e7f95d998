/*
 * enter: what a program traps for. io_uring_enter submits (rings without a poller), wakes a
 * sleeping poller and parks the thread until enough completions are there. Every other trap is the
 * ecall door: number and arguments become an SQE in the thread's kernel-private slot and take the
 * same path as everybody's.
 *
 *  thread's core:  trap -> this core serves the ring? do it here and now
 *                       -> else post enter_wait / door to the ring's core and park the thread;
 *                          it is one of the ring's letters until it arrives, wherever that is then
 *  ring's core:    take SQEs, enough ready? -> result into the parked thread's registers, wake it
 *                  else on ring->waiters; ring_publish and the timer look again
 */
#include "ring/internal.h"

#include "base/print.h"
#include "mm/frames.h"
#include "mm/pool.h"
#include "ring/notice.h"
#include "uapi/errno.h"
#include "uapi/fs.h"
#include "uapi/notice.h"
#include "uapi/signal.h"
#include "uapi/socket.h"
#include "uapi/syscall.h"

#define DOORS_MAX 1024

/* home core of every process that has threads is the first serving core: see door_init */
static struct pool door_pool;

#define ENTER_FLAGS                                                                                \
	(IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP | IORING_ENTER_SQ_WAIT |                  \
	 IORING_ENTER_EXT_ARG | IORING_ENTER_ABS_TIMER | IORING_ENTER_NO_IOWAIT)

/* ---- waiting, on the ring's core ------------------------------------------------------------- */

static void enter_finish(struct enter_wait *w, int64_t result)
{
	struct user_thread *t = w->thread;
	struct ring *r = w->ring;

	timer_disarm(&w->timer);
	if (list_is_linked(&w->link)) {
		list_remove(&w->link);
		r->watchers--;
	}
	w->ring = NULL;
	arch_user_set_result(&t->thread.user, result);
	file_put(&r->file);
	thread_answer(&t->thread);
}

static void enter_timeout(struct timer *timer)
{
	struct enter_wait *w = container_of(timer, struct enter_wait, timer);

	enter_finish(w, w->result ? w->result : -ETIME);
}

/* What the thread asked for is there: completions (GETEVENTS), room in the SQ (SQ_WAIT). */
static inline bool enter_is_over(struct ring *r, const struct enter_wait *w)
{
	if ((w->flags & IORING_ENTER_GETEVENTS) && ring_ready(r) < w->min_complete)
		return false;
	if (unlikely(w->flags & IORING_ENTER_SQ_WAIT))
		return atomic_load_explicit(&r->shared->sq_tail, memory_order_relaxed) -
			       r->sq_head <=
		       r->sq_mask;
	return true;
}

void enter_wake(struct core *c, struct ring *r)
{
	(void)c;
	list_for_each_safe(pos, &r->waiters) {
		struct enter_wait *w = list_item(pos, struct enter_wait, link);

		if (enter_is_over(r, w))
			enter_finish(w, w->result);
	}
}

void enter_forget(struct core *c, struct ring *r)
{
	struct list *first;

	(void)c;
	while ((first = list_pop_front(&r->waiters))) {
		struct enter_wait *w = list_item(first, struct enter_wait, link);

		timer_disarm(&w->timer);
		r->watchers--;
		w->ring = NULL;
		file_put(&r->file);
	}
}

void enter_leave(struct ring *r)
{
	list_for_each(pos, &r->waiters)
		timer_disarm(&list_item(pos, struct enter_wait, link)->timer);
}

void enter_join(struct ring *r)
{
	list_for_each(pos, &r->waiters) {
		struct enter_wait *w = list_item(pos, struct enter_wait, link);

		if (w->timed)
			timer_arm(&w->timer, w->deadline);
	}
}

/*
 * A notice reaches the home core; who waits on a ring away from there is told by letter. One that
 * arrives before its thread does leaves word.
 *
 *   NO --enter_interrupt--> SENT --nobody waits yet--> WORD --the thread comes to wait: -EINTR--> NO
 *                            +--it waits: -EINTR--> NO    +--or begins another enter--> NO
 */
enum enter_told { TOLD_NO, TOLD_SENT, TOLD_WORD };

static void enter_eintr(struct enter_wait *w)
{
	enter_finish(w, w->result ? w->result : -EINTR);
}

static void enter_told(struct mail *m)
{
	struct enter_wait *w = container_of(m, struct enter_wait, told_mail);
	struct ring *r = w->told_ring;
	struct core *c = this_core();
	bool waits;

	if (ring_is_elsewhere(c, r, m))
		return;
	waits = w->ring == r && list_is_linked(&w->link);
	/* release: the letter is free again, for enter_interrupt */
	atomic_store_explicit(&w->told, waits ? TOLD_NO : TOLD_WORD, memory_order_release);
	if (waits)
		enter_eintr(w);
	ring_letter_came(c, r);
}

void enter_interrupt(struct user_thread *t)
{
	struct enter_wait *w = t->enter;
	struct ring *r = w ? __atomic_load_n(&w->ring, __ATOMIC_RELAXED) : NULL;

	if (!r)
		return;
	if (ring_is_here(this_core(), r)) {
		if (list_is_linked(&w->link))
			enter_eintr(w);
		return;
	}
	if (atomic_exchange_explicit(&w->told, TOLD_SENT, memory_order_acq_rel) == TOLD_SENT)
		return;
	atomic_fetch_add_explicit(&r->letters, 1, memory_order_relaxed);
	w->told_ring = r;
	w->told_mail.deliver = enter_told;
	mailbox_post(ring_post_core(r), &w->told_mail);
}

/* The submitting half. Returns true when that was all, with the call's result through *result. */
static bool enter_submit(struct core *c, struct enter_wait *w, int64_t *result)
{
	struct ring *r = w->ring;

	*result = 0;
	if (unlikely(r->slow & (RING_SLOW_DISABLED | RING_SLOW_DEAD))) {
		*result = -EBADFD;
		return true;
	}
	if (r->kind == RING_ENTER) {
		if (w->to_submit)
			*result = ring_take(c, r, w->to_submit);
	} else {
		*result = w->to_submit;
		if (w->flags & IORING_ENTER_SQ_WAIT)
			(void)ring_take(c, r, (unsigned)r->sq_mask + 1);
	}
	w->result = *result;
	return !(w->flags & (IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAIT));
}

/* Submits and looks. Returns true when the call is over, with its result through *result. */
static bool enter_serve(struct core *c, struct enter_wait *w, int64_t *result)
{
	struct ring *r = w->ring;

	if (w->begun) {
		w->begun = 0; /* by the quick door: only the looking and waiting are left */
		*result = w->result;
	} else if (enter_submit(c, w, result)) {
		return true;
	}
	if (unlikely(!list_is_empty(&r->overflow))) {
		ring_flush_overflow(c, r);
		ring_publish(c, r);
	}
	return enter_is_over(r, w);
}

static void enter_wait_here(struct enter_wait *w)
{
	list_push_back(&w->ring->waiters, &w->link);
	w->ring->watchers++;
	if (w->timed)
		timer_arm(&w->timer, w->deadline);
	if (unlikely(atomic_load_explicit(&w->told, memory_order_relaxed) == TOLD_WORD)) {
		atomic_store_explicit(&w->told, TOLD_NO, memory_order_relaxed);
		enter_eintr(w);
	}
}

static void enter_arrive(struct mail *m)
{
	struct enter_wait *w = container_of(m, struct enter_wait, mail);
	struct core *c = this_core();
	struct ring *r = w->ring;
	int64_t result;

	if (ring_is_elsewhere(c, r, m))
		return;
	w->posted = 0;
	if (enter_serve(c, w, &result))
		enter_finish(w, result);
	else
		enter_wait_here(w);
	ring_letter_came(c, r);
}

/*
 * A dead thread leaves enter: a message behind everything that its core sent to the ring's core,
 * and back.
 */
static void leave_back(struct mail *m)
{
	struct door *d = container_of(m, struct door, leave_mail);

	d->leaving = false;
	d->left = true;
	thread_poke(d->wait.thread);
}

static void leave_there(struct mail *m)
{
	struct door *d = container_of(m, struct door, leave_mail);
	struct enter_wait *w = &d->wait;
	struct ring *r = w->ring;
	struct core *c = this_core();

	if (r && ring_is_elsewhere(c, r, m))
		return;
	if (w->posted || atomic_load_explicit(&w->told, memory_order_acquire) == TOLD_SENT) {
		mailbox_post(c->index, m); /* a ring that moves has put us before what we follow */
		return;
	}
	if (r) {
		timer_disarm(&w->timer);
		if (list_is_linked(&w->link)) {
			list_remove(&w->link);
			r->watchers--;
		}
		w->ring = NULL;
		file_put(&r->file);
	}
	m->deliver = leave_back;
	mailbox_post(w->thread->proc->home, m);
}

unsigned door_quiesce(struct user_thread *t)
{
	struct door *d = container_of(t->slot, struct door, slot);

	if (!d->left && !d->leaving) {
		d->leaving = true;
		d->leave_mail.deliver = leave_there;
		mailbox_post(d->wait.core, &d->leave_mail);
	}
	return ring_stop(this_core(), &d->slot) + d->leaving;
}

struct user_thread *ring_caller(const struct ring *r)
{
	return r->kind == RING_SLOT ? ((struct door *)r->door)->wait.thread : r->owner;
}

/* ---- the trap, on the thread's core ---------------------------------------------------------- */

static int enter_args(struct user_thread *t, struct enter_wait *w)
{
	const struct arch_user *u = &t->thread.user;
	struct io_uring_getevents_arg arg;
	nsec_t ns;
	int err;

	w->to_submit = (uint32_t)arch_user_arg(u, 1);
	w->min_complete = (uint32_t)arch_user_arg(u, 2);
	w->flags = (uint32_t)arch_user_arg(u, 3);
	w->timed = 0;
	if (unlikely(w->flags & ~ENTER_FLAGS))
		return -EINVAL;
	if (likely(!(w->flags & IORING_ENTER_EXT_ARG)))
		return 0; /* a signal mask changes nothing while there are no signals */
	if (arch_user_arg(u, 5) != sizeof(arg))
		return -EINVAL;
	err = user_read(t->proc->as, arch_user_arg(u, 4), &arg, sizeof(arg));
	if (err || !arg.ts)
		return err;
	err = timespec_read(t->proc->as, arg.ts, &ns);
	if (err)
		return err;
	w->timed = 1;
	w->deadline = w->flags & IORING_ENTER_ABS_TIMER ? ns : arch_time_ns() + ns;
	return 0;
}

/* The next enter on this descriptor may take the quick door: this core serves the ring and changes
 * the descriptor table itself. */
static void quick_remember(struct user_thread *t, struct ring *r)
{
	struct door *d = container_of(t->slot, struct door, slot);
	uint64_t fd = (uint32_t)arch_user_arg(&t->thread.user, 0);

	if (r->kind != RING_ENTER || t->proc->home != this_core()->index)
		return;
	d->quick_fd = fd;
	d->quick_slot = &t->proc->fds[fd];
	d->quick_ring = r;
}

void door_forget(struct ring *r)
{
	list_for_each(pos, &r->proc->threads) {
		struct user_thread *t = list_item(pos, struct user_thread, sibling);

		if (t->slot && container_of(t->slot, struct door, slot)->quick_ring == r)
			container_of(t->slot, struct door, slot)->quick_fd = QUICK_NONE;
	}
}

static bool enter_trap(struct user_thread *t)
{
	struct enter_wait *w = t->enter;
	struct arch_user *u = &t->thread.user;
	struct core *c = this_core();
	struct ring *r;
	struct file *f;
	int64_t result;
	int err = enter_args(t, w);

	if (unlikely(err)) {
		arch_user_set_result(u, err);
		return true;
	}
	f = fd_get(t->proc, (int)arch_user_arg(u, 0));
	if (unlikely(!f || f->ops != &ring_file_ops)) {
		if (f)
			file_put(f);
		arch_user_set_result(u, f ? -EOPNOTSUPP : -EBADF);
		return true;
	}
	w->ring = r = container_of(f, struct ring, file);
	w->core = ring_post_core(r);
	if (unlikely(atomic_load_explicit(&w->told, memory_order_relaxed) == TOLD_WORD))
		atomic_store_explicit(&w->told, TOLD_NO, memory_order_relaxed);
	if (ring_is_here(c, r)) {
		quick_remember(t, r);
		if (likely(enter_serve(c, w, &result))) {
			file_put(f);
			w->ring = NULL;
			arch_user_set_result(u, result);
			return true;
		}
		thread_park_served(&t->thread);
		enter_wait_here(w);
	} else {
		if (r->kind == RING_POLLED &&
		    !(w->flags & (IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAIT))) {
			/* Pairs with ring_adopt: who saw NEED_WAKEUP rings where it was set, or the
			 * ring is about to be looked at anyway. */
			atomic_thread_fence(memory_order_acquire);
			arch_doorbell(ring_post_core(r));
			c->count->doorbells++;
			file_put(f);
			w->ring = NULL;
			arch_user_set_result(u, w->to_submit);
			return true;
		}
		w->mail.deliver = enter_arrive;
		thread_park_served(&t->thread);
		w->posted = 1;
		w->core = ring_post_core(r);
		atomic_fetch_add_explicit(&r->letters, 1, memory_order_relaxed);
		mailbox_post(w->core, &w->mail);
	}
	return false;
}

/* ---- the ecall door -------------------------------------------------------------------------- */

#define QUICK_CALLS 128 /* calls in a row without a turn of their core */
#define UNSERVED_TOLD 8 /* different numbers that a program's lines name */

/* An unmodified program asked for what there is not: counted, and each number told once, but for
 * those that a C library asks for at its start and does without. */
static void door_unserved(struct process *p, uint32_t nr)
{
	unsigned told = 0;

	this_core()->count->unserved++;
	if (nr >= SYS_NUMBERS || nr == SYS_rseq)
		return;
	if (atomic_fetch_or(&p->unserved[nr / 64], 1ull << nr % 64) & 1ull << nr % 64)
		return;
	for (unsigned i = 0; i < array_count(p->unserved); i++)
		told += (unsigned)__builtin_popcountll(atomic_load(&p->unserved[i]));
	if (told <= UNSERVED_TOLD)
		kprint("%s: system call %u is not served%s\n", p->name, nr,
		       told == UNSERVED_TOLD ? "; others that are not will not be named" : "");
}

static const struct sluice_syscall_sqe *door_call(const struct door *d)
{
	return (const struct sluice_syscall_sqe *)&d->sqe;
}

/* Calls that wait for a time, or for a signal itself, never begin again. */
static bool door_may_restart(const struct sluice_syscall_sqe *call)
{
	uint32_t nr = call->nr;

	return nr != SYS_nanosleep && nr != SYS_clock_nanosleep && nr != SYS_ppoll &&
	       nr != SYS_rt_sigtimedwait && nr != SYS_rt_sigsuspend &&
	       !(nr == SYS_futex && call->a3);
}

static bool door_wants_pipe_signal(const struct sluice_syscall_sqe *call)
{
	switch (call->nr) {
	case SYS_write:
	case SYS_writev:
	case SYS_pwrite64:
	case SYS_pwritev:
		return true;
	case SYS_sendto:
		return !(call->a3 & MSG_NOSIGNAL);
	case SYS_sendmsg:
		return !(call->a2 & MSG_NOSIGNAL);
	}
	return false;
}

/* A call that failed: what else happens, and what it answers. Home core. */
static int64_t door_failed(struct door *d, int64_t result)
{
	const struct sluice_syscall_sqe *call = door_call(d);
	struct signal_info pipe = { .signo = SIGNAL_PIPE, .code = SI_KERNEL };
	struct user_thread *t = d->wait.thread;

	switch (result) {
	case -ENOSYS:
		door_unserved(t->proc, call->nr);
		break;
	case -EPIPE:
		if (ARCH_SIGNALS && door_wants_pipe_signal(call))
			(void)!signal_send(t->proc, t, &pipe);
		break;
	case -ECANCELED:
		if (!t->sig.cancelling)
			break;
		t->sig.broken = true;
		t->sig.again = door_may_restart(call);
		t->sig.first_arg = call->a0;
		return -EINTR;
	}
	return result;
}

/* A transfer of a disk, and the end of the thread, are not broken off. */
static bool door_may_break(const struct door *d, const struct op *op)
{
	uint32_t nr = door_call(d)->nr;

	return nr != SYS_exit && nr != SYS_exit_group && !(op->file && op->file->mode == S_IFBLK);
}

void door_interrupt(struct user_thread *t)
{
	struct door *d = container_of(t->slot, struct door, slot);

	enter_interrupt(t);
	for (unsigned i = 0; i < RING_HASH; i++)
		list_for_each_safe(pos, &d->slot.inflight[i]) {
			struct op *op = list_item(pos, struct op, inflight);

			if (!door_may_break(d, op))
				continue;
			t->sig.cancelling = true;
			(void)ring_cancel_op(this_core(), op);
		}
}

void door_deliver(struct ring *slot, int64_t result)
{
	struct door *d = slot->door;

	if (unlikely(result < 0))
		result = door_failed(d, result);
	arch_user_set_result(&d->wait.thread->thread.user, result);
	d->served = true;
	if (thread_is_served(&d->wait.thread->thread))
		thread_answer(&d->wait.thread->thread);
}

static void door_accept(struct core *c, struct door *d)
{
	if (!c->hand)
		c->hand = op_alloc(c); /* also one of those that are kept back for doors */
	if (unlikely(!c->hand)) {
		/* nothing was accepted: the program may try again */
		door_deliver(&d->slot, -EAGAIN);
		return;
	}
	ring_accept(c, &d->slot, &d->sqe);
	ring_begin_ready(c);
}

static void door_arrive(struct mail *m)
{
	struct door *d = container_of(m, struct door, mail);

	door_accept(this_core(), d);
}

/* Accepted on the thread's own core: true if the answer is there, else the thread parks for it. */
static bool door_waits(struct door *d)
{
	if (!d->served)
		thread_park_served(&d->wait.thread->thread);
	return d->served;
}

static bool door_trap(struct user_thread *t)
{
	struct door *d = container_of(t->slot, struct door, slot);
	const struct arch_user *u = &t->thread.user;
	struct sluice_syscall_sqe *sqe = (struct sluice_syscall_sqe *)&d->sqe;
	struct core *c = this_core();
	bool turn = !d->quick_left; /* so many were served without one */

	if (d->begun) {
		d->begun = false;
		return door_waits(d);
	}
	if (turn)
		d->quick_left = QUICK_CALLS;
	*sqe = (struct sluice_syscall_sqe){
		.opcode = IORING_OP_SYSCALL,
		.nr = (uint16_t)arch_user_nr(u),
		.a0 = arch_user_arg(u, 0),
		.a1 = arch_user_arg(u, 1),
		.a2 = arch_user_arg(u, 2),
		.a3 = arch_user_arg(u, 3),
		.a4 = arch_user_arg(u, 4),
		.a5 = arch_user_arg(u, 5),
		.user_data = t->tid,
	};
	if (arch_user_nr(u) > UINT16_MAX) {
		door_unserved(t->proc, UINT16_MAX);
		arch_user_set_result(&t->thread.user, -ENOSYS);
		return true;
	}
	d->served = false;
	if (d->slot.core == c->index) {
		door_accept(c, d);
		return door_waits(d) && !turn;
	}
	thread_park_served(&t->thread);
	d->mail.deliver = door_arrive;
	mailbox_post(d->slot.core, &d->mail);
	return false;
}

bool ring_door(struct user_thread *t)
{
	this_core()->count->enters++;
	if (likely(arch_user_nr(&t->thread.user) == SYS_io_uring_enter))
		return enter_trap(t);
	if (ARCH_SIGNALS && arch_user_nr(&t->thread.user) == SYS_rt_sigreturn) {
		signal_return(t);
		return false;
	}
	if (arch_user_nr(&t->thread.user) == SYS_clone ||
	    arch_user_nr(&t->thread.user) == SYS_clone3)
		arch_user_settle(&t->thread.user); /* the new thread's registers are to be its */
	if (arch_user_nr(&t->thread.user) == SLUICE_CALL_ALARM) {
		arch_user_set_result(&t->thread.user,
				     notice_alarm(t, arch_user_arg(&t->thread.user, 0)));
		return true;
	}
	return door_trap(t);
}

/* ---- doors ----------------------------------------------------------------------------------- */

int door_init(struct user_thread *t)
{
	struct door *d = pool_alloc(&door_pool);

	if (!d)
		return -EAGAIN;
	ring_init(&d->slot, t->proc, t->proc->home, RING_SLOT);
	if (t->proc->restricted)
		d->slot.slow |= RING_SLOW_RESTRICTED;
	d->slot.door = d;
	d->wait.thread = t;
	d->wait.ring = NULL;
	d->wait.core = t->proc->home;
	d->wait.begun = 0;
	d->wait.posted = 0;
	d->begun = false;
	d->quick_left = QUICK_CALLS;
	d->leaving = d->left = false;
	if (!t->proc->thread_count) /* the first one: the ring its process was born with is its */
		list_for_each(pos, &t->proc->rings)
			list_item(pos, struct ring, sibling)->owner = t;
	atomic_store_explicit(&d->wait.told, TOLD_NO, memory_order_relaxed);
	d->quick_fd = QUICK_NONE;
	d->quick_ring = NULL;
	t->thread.user.quick = ring_door_quick;
	list_init(&d->wait.link);
	timer_init(&d->wait.timer, enter_timeout);
	t->slot = &d->slot;
	t->enter = &d->wait;
	return 0;
}

/* Its quick ring may be another core's now. */
void door_moved(struct user_thread *t)
{
	container_of(t->slot, struct door, slot)->quick_fd = QUICK_NONE;
}

void door_fini(struct user_thread *t)
{
	struct door *d = container_of(t->slot, struct door, slot);

	list_for_each(pos, &t->proc->rings) {
		struct ring *r = list_item(pos, struct ring, sibling);

		if (r->owner == t)
			r->owner = NULL;
	}
	notice_thread_gone(t);
	t->slot = NULL;
	t->enter = NULL;
	pool_free(&door_pool, d);
}

void doors_init(void)
{
	pool_init(&door_pool, "doors", sizeof(struct door), DOORS_MAX);
}
