/*
 * exec: the executor: takes completions, picks who runs next, idles. The fast half of a switch is
 * inline in async_core.h; this is what happens when it finds the run queue empty, the completion
 * queue moved, or has not been here for ASYNC_TURNS_MAX switches.
 *
 * Runs on its thread, on the stack of whichever coroutine is being suspended.
 *
 *   completions -> timers -> somebody runnable? -> run
 *                                |no
 *                                v
 *                signal (doorbell if the poller sleeps) -> spin a while -> park in enter, which is
 *                a doorbell, too: all there is where some answers take longer than looks
 */
#include "crew.h"
#include "notice.h"

ASYNC_PER_THREAD struct async_exec async_exec_own;

struct async_config async_config = {
	.stack_bytes = 32 * 1024,
	.spin_ns = 100 * 1000,
};

/* ---- completions ---- */

void async_ready(struct async_co *co)
{
	struct async_exec *x = async_here();

	co->state = ASYNC_READY;
	if (ring_likely(!x->crew))
		async_run_push(x, co);
	else
		crew_ready(x, co);
}

/* The first half of an exchange answers because it failed. Then the kernel keeps silent about the
 * second half, for which its owner waits. */
static void exec_link_failed(struct async_co *co, int32_t res)
{
	co->link_error = res;
	co->io->res = -ECANCELED;
	co->io->done = 1;
	async_ready(co);
}

/* Any other answer than that of an operation with one. */
static __attribute__((noinline)) void exec_complete_rare(struct async_exec *x,
							 const struct io_uring_cqe *cqe)
{
	uint64_t user_data = cqe->user_data;
	void *record = (void *)(uintptr_t)(user_data & ~ASYNC_TAG_MASK);
	struct async_io *io = record;

	switch ((enum async_tag)(user_data & ASYNC_TAG_MASK)) {
	case ASYNC_TAG_IO:
		break; /* exec_complete's */
	case ASYNC_TAG_STREAM:
		if (cqe->flags & IORING_CQE_F_MORE)
			x->answers_extra++;
		async_stream_answer(record, cqe->res, cqe->flags);
		return;
	case ASYNC_TAG_LINK:
		exec_link_failed(record, cqe->res);
		return;
	case ASYNC_TAG_CANCEL:
		if (--io->cancels == 0 && io->done && io->co->state == ASYNC_IN_IO &&
		    io->co->io == io)
			async_ready(io->co);
		return;
	case ASYNC_TAG_CANCEL_STREAM:
		async_stream_cancelled(record);
		return;
	case ASYNC_TAG_NONE:
		return;
	case ASYNC_TAG_BELL:
		x->bell_armed = false;
		return;
	}
	ring_die(&x->ring, "async: a completion nobody asked for\n");
}

static inline void exec_complete(struct async_exec *x, const struct io_uring_cqe *cqe)
{
	struct async_io *io = (struct async_io *)(uintptr_t)cqe->user_data;

	if (ring_unlikely(cqe->user_data & ASYNC_TAG_MASK)) {
		exec_complete_rare(x, cqe);
		return;
	}
	io->res = cqe->res;
	io->flags = cqe->flags;
	io->done = 1;
	if (io->co->state == ASYNC_IN_IO && io->co->io == io)
		async_ready(io->co);
}

/* Takes every completion that is there. */
void async_reap(void)
{
	struct async_exec *x = async_here();
	struct ring *r = &x->ring;
	uint32_t ready;

	while ((ready = ring_ready(r)) != 0) {
		for (uint32_t i = 0; i < ready; i++)
			exec_complete(x, ring_cqe_at(r, i));
		ring_advance(r, ready);
	}
}

/* Completions that found the queue full wait in the kernel until they are asked for; on Linux so do
 * all those of a ring that defers its work to its owner. */
void async_exec_flush(struct async_exec *x)
{
	struct ring *r = &x->ring;

	if (ring_likely(!(__atomic_load_n(r->sq_flags, __ATOMIC_RELAXED) &
			  (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN))))
		return;
	ring_enter(r, ring_unsubmitted(r), 0, IORING_ENTER_GETEVENTS, NULL, 0);
	async_reap();
}

/* ---- the doorbell ---- */

/* "Not now" is an answer that another turn cures. */
static void exec_check(struct async_exec *x, int64_t answer)
{
	if (answer < 0 && answer != -ETIME && answer != -EINTR && answer != -EAGAIN &&
	    answer != -EBUSY)
		ring_die(&x->ring, "async: the doorbell answers an error\n");
}

/* Makes sure that the kernel works on what was published. */
void async_signal(void)
{
	struct async_exec *x = async_here();
	struct ring *r = &x->ring;
	uint32_t flags = ring_wake_flags(r);
	uint32_t count = ring_unsubmitted(r);

	r->sq_signalled = r->sq_shown;
	if (!flags && !count)
		return;
	x->stats.signals++;
	/* what woke the poller's neighbour would not wake the poller */
	if (flags && x->waker &&
	    !(__atomic_load_n(r->sq_flags, __ATOMIC_RELAXED) & SLUICE_SQ_AWAY)) {
		notice_store(x->waker, x->waker_id);
		return;
	}
	exec_check(x, ring_enter(r, count, 0, flags, NULL, 0));
}

/* A poller that sleeps is not woken for what it knows: that may wait for a device. */
void async_signal_new(void)
{
	const struct ring *r = &async_here()->ring;

	if (!ring_is_polled(r) || r->sq_signalled != r->sq_shown)
		async_signal();
}

/* ---- cancels ---- */

static void exec_cancel(struct async_exec *x, struct async_io *io, uint64_t user_data)
{
	io->cancels++;
	ring_fill(ring_sqe(&x->ring), IORING_OP_ASYNC_CANCEL, -1, 0, user_data, 0, 0,
		  (uint64_t)(uintptr_t)io | ASYNC_TAG_CANCEL);
	x->stats.cancels++;
}

/* A cancel needs an SQE; when there is none it waits here for the next turn. */
static void exec_cancels(struct async_exec *x)
{
	while (x->cancels && ring_space(&x->ring) >= 2) {
		struct async_io *io = x->cancels;

		x->cancels = io->cancel_next;
		if (!x->cancels)
			x->cancels_tail = &x->cancels;
		if (io->done)
			continue;
		if (io->linked)
			exec_cancel(x, io, (uint64_t)(uintptr_t)io->co | ASYNC_TAG_LINK);
		exec_cancel(x, io, (uint64_t)(uintptr_t)io);
	}
}

void async_io_cancel(struct async_io *io)
{
	struct async_exec *x = async_here();

	if (io->done || io->always || io->cancel_wanted)
		return;
	io->cancel_wanted = 1;
	io->co->pins++; /* till async_io_stopped: the cancel answers here */
	io->cancel_next = NULL;
	*x->cancels_tail = io;
	x->cancels_tail = &io->cancel_next;
	exec_cancels(x);
}

/* A record that leaves the stack must not stay on the list of cancels. */
static void exec_forget(struct async_exec *x, struct async_io *io)
{
	struct async_io **p = &x->cancels;

	while (*p && *p != io)
		p = &(*p)->cancel_next;
	if (!*p)
		return;
	*p = io->cancel_next;
	if (!*p)
		x->cancels_tail = p;
}

int32_t async_io_stopped(struct async_io *io)
{
	if (io->cancel_wanted) {
		exec_forget(async_here(), io);
		while (io->cancels) {
			io->co->io = io;
			io->co->state = ASYNC_IN_IO;
			async_suspend();
		}
		io->co->pins--;
	}
	if (io->res == -ECANCELED || io->res == -EINTR)
		return io->always ? io->res : io->co->stop;
	return io->res;
}

int64_t async_exchange_failed(struct async_io *io, int64_t res)
{
	struct async_co *me = io->co;
	int32_t why = me->link_error;

	me->link_error = 0;
	if (me->stop || res != -ECANCELED || why == 0)
		return res;
	return why < 0 ? why : -ECONNABORTED;
}

/* ---- room in the submission queue ---- */

/* Back-pressure: whoever finds the queue full waits, in order of arrival, for the kernel to take
 * entries. */
static bool exec_wait_room(struct async_io *io, uint32_t count)
{
	struct async_exec *x = async_here();
	struct ring *r = &x->ring;
	struct async_waiter w;
	bool good = true;

	crew_pin(); /* it waits for room on this ring */
	while (good && ring_space(r) < count) {
		ring_publish(r);
		async_signal();
		if (ring_space(r) >= count)
			break;
		waitq_add(&x->room, &w);
		waitq_suspend();
		waitq_remove(&w);
		if (x->self->stop && !io->always) {
			io->res = x->self->stop;
			io->done = 1;
			good = false;
		}
	}
	crew_unpin();
	return good;
}

/* Wakes as many as there is room for: an exchange takes two entries. */
static void exec_offer_room(struct async_exec *x)
{
	uint32_t space = ring_space(&x->ring);

	for (; space >= 2 && waitq_wake(&x->room); space -= 2)
		;
}

struct io_uring_sqe *async_sqe_wait(struct async_io *io)
{
	return exec_wait_room(io, 1) ? ring_sqe(&async_here()->ring) : NULL;
}

bool async_sqe_reserve(struct async_io *io, uint32_t count)
{
	return exec_wait_room(io, count);
}

struct io_uring_sqe *async_io_begin_always(struct async_io *io)
{
	struct io_uring_sqe *sqe = ring_sqe(&async_here()->ring);

	*io = (struct async_io){ .co = async_here()->self, .always = 1 };
	return sqe ? sqe : async_sqe_wait(io);
}

/* ---- idling ---- */

/* Operations whose (last) answer is still to come. */
static uint32_t exec_outstanding(const struct async_exec *x)
{
	return x->ring.sq_next - x->ring.cq_next + x->answers_extra;
}

/* Waits in the kernel for a completion, or until the first timer. */
void async_exec_park(struct async_exec *x)
{
	struct ring *r = &x->ring;
	struct __kernel_timespec ts;
	struct io_uring_getevents_arg arg = { 0 };
	uint32_t flags = IORING_ENTER_GETEVENTS | ring_wake_flags(r);
	uint64_t wait = async_timer_wait_ns();
	int64_t n;

	if (wait == 0)
		return;
	if (wait != UINT64_MAX) {
		ts.tv_sec = (int64_t)(wait / ASYNC_S);
		ts.tv_nsec = (int64_t)(wait % ASYNC_S);
		arg.ts = (uint64_t)(uintptr_t)&ts;
		flags |= IORING_ENTER_EXT_ARG;
	}
	x->stats.parks++;
	if (flags & IORING_ENTER_EXT_ARG)
		n = ring_enter(r, ring_unsubmitted(r), 1, flags, &arg, sizeof(arg));
	else
		n = ring_enter(r, ring_unsubmitted(r), 1, flags, NULL, 0);
	r->sq_signalled = r->sq_shown;
	exec_check(x, n);
}

/* Nobody is runnable, and somebody waits for room: waits for that, in the kernel. On a ring without
 * a poller entries stay only when the kernel has no memory for more operations; then one that ends
 * makes room. */
static void exec_idle_room(struct async_exec *x)
{
	struct ring *r = &x->ring;

	if (ring_is_polled(r)) {
		exec_check(x, ring_enter(r, 0, 0, IORING_ENTER_SQ_WAIT | ring_wake_flags(r), NULL,
					 0));
		return;
	}
	async_signal();
	if (!ring_space(r))
		async_exec_park(x);
}

/* Looks for as long as answers usually take to come, or until a timer is due. True: one of them is
 * there. */
static bool exec_look(struct async_exec *x, uint64_t begin)
{
	uint64_t max = async_ns_to_ticks(async_config.spin_ns), wait = async_timer_wait_ns();
	bool due;

	if (x->spin.max != max)
		spin_init(&x->spin, max, ring_start_info->flags & SLUICE_START_SPIN_FIXED);
	wait = wait < async_config.spin_ns ? async_ns_to_ticks(wait) : UINT64_MAX;
	due = wait <= x->spin.budget;
	if (!ring_spin(&x->ring, 1, due ? wait : x->spin.budget))
		return due;
	spin_waited(&x->spin, async_ticks_read() - begin);
	return true;
}

/* Some answers take longer than a sleep costs, and the poller sleeps, so that the next will take
 * its waking at least: the trap that parks wakes it, too. */
static bool exec_parks_at_once(struct async_exec *x)
{
	return x->spin.budget < x->spin.max && ring_wake_flags_polled(&x->ring);
}

/* Nobody is runnable: makes sure the kernel has what it was given, looks for a while, parks. */
static void exec_idle(struct async_exec *x)
{
	struct ring *r = &x->ring;
	uint64_t begin = 0;

	if (exec_outstanding(x) == 0 && !x->timers && !x->outside)
		ring_die(r, "async: every coroutine waits for another one\n");
	if (x->notices) {
		async_signal_new();
		async_doze(true);
		return;
	}
	if (ring_is_polled(r) && async_config.spin_ns) {
		if (exec_parks_at_once(x)) {
			begin = async_ticks_read();
		} else {
			async_signal_new();
			x->stats.spins++;
			if (!x->timers && ring_glance(r))
				return; /* as most answers come: no clock was read for it */
			begin = async_ticks_read();
			if (exec_look(x, begin))
				return;
		}
	}
	async_exec_park(x);
	if (begin && ring_ready(r))
		spin_waited(&x->spin, async_ticks_read() - begin);
}

/* As one who has nobody beside it usually waits: the first answer that comes is its own, and is
 * taken without passing through the run queue. Whatever is not as usual is async_pick's. */
bool async_io_look(struct async_io *io)
{
	struct async_exec *x = async_here();
	struct ring *r = &x->ring;
	const struct io_uring_cqe *cqe;

	if (!x->looks || !async_config.spin_ns || x->timers || x->cancels ||
	    !waitq_is_empty(&x->room))
		return false;
	if (r->sq_shown != r->sq_next)
		ring_publish(r);
	if (ring_unlikely(ring_wake_flags_polled(r) != 0))
		return false;
	r->sq_signalled = r->sq_shown;
	if (!ring_glance(r))
		return false;
	(void)__atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE); /* as ring_ready */
	cqe = ring_cqe(r);
	if (cqe->user_data != (uint64_t)(uintptr_t)io)
		return false;
	io->res = cqe->res;
	io->flags = cqe->flags;
	io->done = 1;
	ring_advance(r, 1);
	return true;
}

/* What a turn sees to besides completions. */
void async_exec_serve(struct async_exec *x)
{
	if (ring_unlikely(x->cancels != NULL))
		exec_cancels(x);
	if (ring_unlikely(!waitq_is_empty(&x->room)))
		exec_offer_room(x);
	if (ring_unlikely(x->timers != NULL))
		async_timer_turn();
}

/* Nobody is runnable, and somebody waits for room: it has been waited for. */
bool async_exec_wants_room(struct async_exec *x)
{
	if (waitq_is_empty(&x->room))
		return false;
	exec_idle_room(x);
	return true;
}

static __attribute__((noinline)) struct async_co *pick_crew(struct async_exec *x)
{
	struct async_co *me = x->self;

	crew_switch(x);
	return me; /* it has been switched to already */
}

__attribute__((noinline)) bool async_show(struct async_exec *x)
{
	struct ring *r = &x->ring;

	if (r->sq_shown != r->sq_next)
		ring_publish(r);
	return x->turns_left != 0;
}

struct async_co *async_pick(void)
{
	struct async_exec *x = async_here();
	struct ring *r = &x->ring;
	struct async_co *next;
	/* nobody idled for a while: entries may lie before a poller that sleeps */
	bool late = x->turns_left == 0;

	if (!x->run_head && r->sq_shown != r->sq_next)
		ring_publish(r);
	if (ring_unlikely(x->crew))
		return pick_crew(x);
	x->stats.turns++;
	async_reap();
	if (late)
		async_exec_flush(x);
	for (;;) {
		async_exec_serve(x);
		if (x->run_head && !late)
			break;
		if (r->sq_shown != r->sq_next)
			ring_publish(r);
		x->turns_left = ASYNC_TURNS_MAX;
		if (x->run_head || x->queued)
			break;
		async_exec_flush(x);
		if (x->run_head)
			break;
		if (!async_exec_wants_room(x))
			exec_idle(x);
		async_reap();
	}
	if (r->sq_shown - r->sq_signalled >= (late ? 1 : ASYNC_UNSIGNALLED_MAX))
		async_signal();
	if (ring_unlikely(x->levels != NULL))
		return async_urgent();
	next = x->run_head;
	if (!next)
		__builtin_unreachable();
	x->run_head = next->next;
	if (!x->run_head)
		x->run_tail = &x->run_head;
	return next;
}

/* ---- start and end ---- */

void async_exec_init(struct async_exec *x, const struct ring *ring)
{
	const struct sluice_start *info = ring_start_info;

	x->here = x;
	x->ring = *ring;
	x->run_tail = &x->run_head;
	x->cancels_tail = &x->cancels;
	x->looks = ring_is_polled(ring);
	x->turns_left = ASYNC_TURNS_MAX;
	x->tick_hz = info->time_hz ? info->time_hz : ASYNC_S;
	x->share.tail = &x->share.head;
	x->stay_tail = &x->stay_head;
	x->main.is_main = true;
	x->main.priority = SLUICE_PRIORITY_NORMAL;
	x->main.exec = x;
	x->main.home = x;
	x->self = &x->main;
}

void async_start(const struct ring *ring)
{
	const struct sluice_start *info = ring_start_info;

	async_thread_set(&async_exec_own);
	async_exec_init(&async_exec_own, ring);
	if (info->flags & SLUICE_START_SPIN_GIVEN)
		async_config.spin_ns = info->spin_us * 1000ull;
	else if (!info->time_hz)
		async_config.spin_ns = 0; /* time does not pass for one who only looks */
}

int main(int argc, char **argv);

/* Weak: a program that uses the bare ring brings its own. */
__attribute__((weak)) int ring_main(struct ring *ring, int argc, char **argv)
{
	async_start(ring);
	async_exit(main(argc, argv));
}

_Noreturn void async_exit(int status)
{
	async_self()->held++; /* nobody else runs any more */
	ring_exit(&async_here()->ring, status);
}
