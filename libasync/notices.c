/*
 * notices: the executor told by user interrupts. Asleep it waits in `wfi`, in the program's own
 * mode; while a coroutine computes, a completion interrupts it and whoever waited for it runs
 * first.
 *
 *   exec_idle -> async_doze: arm the ring's word, look once more, wfi, serve
 *   async_compute: arm, look, notices on, fn ... interrupt: take completions, somebody runnable?
 *                  -> push the computing coroutine behind them, switch; come back, arm, look, sret
 *
 * Notices are off whenever the executor's own state is touched: they are on only inside fn.
 */
#include "internal.h"
#include "notice.h"

#define RING_ID 1u

static void ring_noticed(uint32_t id)
{
	(void)id; /* the completions are looked at after all handlers */
}

static uint64_t first_timer(void)
{
	return async_exec.timers ? async_exec.timers->ticks : UINT64_MAX;
}

/* We do not look from here on; true: completions came before the kernel knew. Pairs with the
 * kernel's fence between the tail and the word. */
static bool word_arm(struct async_exec *x)
{
	__atomic_store_n(notice_word(), SLUICE_NOTIFY_ARMED, __ATOMIC_RELAXED);
	async_fence_full();
	return __atomic_load_n(x->ring.cq_tail, __ATOMIC_RELAXED) != x->ring.cq_next;
}

/* "I am polling." */
static void word_disarm(void)
{
	__atomic_store_n(notice_word(), 0, __ATOMIC_RELAXED);
}

/* Serves what is pending. True: there was something. */
static bool notices_serve(void)
{
	uint32_t id = notice_claim();
	bool any = id;

	for (; id; id = notice_claim()) {
		notice_counts[id % SLUICE_NOTICE_IDS]++;
		notice_handlers[id % SLUICE_NOTICE_IDS](id);
	}
	return any;
}

void async_doze(void)
{
	struct async_exec *x = &async_exec;

	x->stats.dozes++;
	notice_timer(first_timer());
	if (!word_arm(x))
		while (!notices_serve() && !direct_timer_due() &&
		       __atomic_load_n(x->ring.cq_tail, __ATOMIC_RELAXED) == x->ring.cq_next)
			direct_sleep();
	word_disarm();
	notice_timer(UINT64_MAX);
}

/* ---- computing ---- */

/* Nobody looks for long: what was submitted must not lie before a poller that sleeps. */
static void compute_tell(struct async_exec *x)
{
	if (x->ring.sq_shown != x->ring.sq_next)
		ring_publish(&x->ring);
	if (x->ring.sq_signalled != x->ring.sq_shown)
		async_signal();
}

/* Inside the interrupt, on the computing coroutine's stack. */
static void compute_noticed(void)
{
	struct async_exec *x = &async_exec;
	struct notice_frame frame;

	do {
		x->stats.turns++;
		async_reap();
		if (x->timers)
			async_timer_turn();
		if (x->run_head) {
			word_disarm();
			x->stats.preempts++;
			notice_frame_save(&frame);
			async_run_push(x, x->self);
			async_suspend();
			notice_frame_load(&frame);
			notice_after = compute_noticed;
			compute_tell(x);
		}
		notice_timer(first_timer());
	} while (word_arm(x));
}

int64_t async_compute(int64_t (*fn)(void *arg), void *arg)
{
	struct async_exec *x = &async_exec;
	int64_t result;

	if (!x->notices)
		return fn(arg);
	if (x->run_head) /* whoever is runnable comes first */
		async_yield();
	compute_tell(x);
	notice_after = compute_noticed;
	notice_timer(first_timer());
	if (word_arm(x))
		compute_noticed();
	notice_on();
	result = fn(arg);
	notice_off();
	notice_after = NULL;
	notice_timer(UINT64_MAX);
	word_disarm();
	return result;
}

void async_notice_handle(uint32_t id, void (*fn)(uint32_t id))
{
	static uint64_t served;
	struct async_exec *x = &async_exec;

	x->outside -= served >> id & 1;
	served = fn ? served | 1ull << id : served & ~(1ull << id);
	x->outside += served >> id & 1;
	notice_handle(&x->ring, id, fn);
}

int async_notices(void)
{
	struct async_exec *x = &async_exec;
	struct ring *r = &x->ring;
	struct sluice_doorbell bell = { 0 };
	int res;

	if (!(ring_start_info->flags & SLUICE_START_UINTR) || !ring_is_polled(r))
		return 0;
	if (r->sq_next != r->cq_next)
		return -EBUSY; /* these calls are made without coroutines */
	res = notice_start(r);
	if (res <= 0)
		return res;
	notice_handle(r, RING_ID, ring_noticed);
	res = notice_call(r, SLUICE_NOTICE_RING, r->fd, RING_ID, NULL);
	if (!res)
		res = notice_call(r, SLUICE_NOTICE_WAKER, -1, 0, &bell);
	if (res)
		return res;
	x->waker = (volatile uint32_t *)(uintptr_t)bell.page;
	x->waker_id = bell.id;
	x->notices = true;
	return 1;
}
