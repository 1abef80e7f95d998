/*
 * notices: the executor told by user interrupts, or upcalls. Asleep it waits in `wfi`, in the
 * program's own mode (by upcalls: in the kernel); while a coroutine computes, a completion
 * interrupts it and whoever waited for it runs first.
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
	return async_here()->timers ? async_here()->timers->ticks : UINT64_MAX;
}

/* Pairs with the kernel's fence between the tail and the word. */
bool async_word_arm(void)
{
	const struct ring *r = &async_here()->ring;

	__atomic_store_n(r->notify, SLUICE_NOTIFY_ARMED, __ATOMIC_RELAXED);
	async_fence_full();
	return __atomic_load_n(r->cq_tail, __ATOMIC_RELAXED) != r->cq_next;
}

void async_word_disarm(void)
{
	__atomic_store_n(async_here()->ring.notify, 0, __ATOMIC_RELAXED);
}

/* Serves what is pending. True: there was something. */
static bool notices_serve(void)
{
	uint32_t id = notice_claim();
	bool any = id;

	for (; id; id = notice_claim()) {
		notice_count(id % SLUICE_NOTICE_IDS);
		notice_handlers[id % SLUICE_NOTICE_IDS](id);
	}
	return any;
}

static void doze_direct(struct async_exec *x)
{
	if (!async_word_arm())
		while (!notices_serve() && !direct_timer_due() &&
		       __atomic_load_n(x->ring.cq_tail, __ATOMIC_RELAXED) == x->ring.cq_next)
			notice_doze();
	async_word_disarm();
}

/* By upcalls the sleep is in the kernel, which a completion ends, or a notice; before it we look
 * for as long as executors do. */
static bool doze_look(struct async_exec *x)
{
	struct ring *r = &x->ring;
	uint64_t end = async_ticks_read() + async_ns_to_ticks(async_config.spin_ns);
	bool awake = false;

	while (!awake && async_ticks_read() < end) {
		awake = notices_serve() || ring_glance(r) || first_timer() <= async_ticks_read();
		if (!ring_is_polled(r))
			break;
	}
	return awake;
}

static void doze_kernel(struct async_exec *x, bool look)
{
	struct ring *r = &x->ring;

	if (look && doze_look(x))
		return;
	x->stats.parks++;
	upcall_enter(r, ring_unsubmitted(r), 1, IORING_ENTER_GETEVENTS | ring_wake_flags(r), NULL,
		     0);
	r->sq_signalled = r->sq_shown;
	notices_serve();
}

void async_doze(bool look)
{
	struct async_exec *x = async_here();

	x->stats.dozes++;
	if (x->levels)
		async_preempt_rest(true);
	notice_timer(first_timer());
	if (notice_direct)
		doze_direct(x);
	else
		doze_kernel(x, look);
	if (x->levels)
		async_preempt_rest(false);
	else
		notice_timer(UINT64_MAX);
}

/* ---- computing ---- */

/* Nobody looks for long: what was submitted must not lie before a poller that sleeps. */
void async_tell(void)
{
	struct async_exec *x = async_here();

	if (x->ring.sq_shown != x->ring.sq_next)
		ring_publish(&x->ring);
	if (x->ring.sq_signalled != x->ring.sq_shown)
		async_signal();
}

/* Inside the interrupt, on the computing coroutine's stack. */
static void compute_noticed(void)
{
	struct async_exec *x = async_here();
	struct notice_frame frame;
	uint32_t heard;

	do {
		x->stats.turns++;
		async_reap();
		if (x->timers)
			async_timer_turn();
		heard = x->ring.cq_next;
		if (x->run_head) {
			async_word_disarm();
			x->stats.preempts++;
			notice_frame_save(&frame);
			async_run_push(x, x->self);
			async_suspend();
			notice_frame_load(&frame);
			notice_after = compute_noticed;
			async_tell();
		}
		notice_timer(first_timer());
		/* what came while others ran has made somebody runnable behind us */
	} while (x->ring.cq_next != heard || async_word_arm());
}

int64_t async_compute(int64_t (*fn)(void *arg), void *arg)
{
	struct async_exec *x = async_here();
	uint32_t heard = x->ring.cq_next;
	int64_t result;

	if (!x->notices || x->levels) /* everybody makes way, or nobody can */
		return fn(arg);
	if (x->run_head) /* whoever is runnable comes first */
		async_yield();
	async_tell();
	notice_after = compute_noticed;
	notice_timer(first_timer());
	if (x->ring.cq_next != heard || async_word_arm()) /* as in compute_noticed */
		compute_noticed();
	notice_on();
	result = fn(arg);
	notice_off();
	notice_after = NULL;
	notice_timer(UINT64_MAX);
	async_word_disarm();
	return result;
}

void async_notice_handle(uint32_t id, void (*fn)(uint32_t id))
{
	struct async_exec *x = async_here();

	x->outside -= x->served >> id & 1;
	x->served = fn ? x->served | 1ull << id : x->served & ~(1ull << id);
	x->outside += x->served >> id & 1;
	notice_handle(&x->ring, id, fn);
}

int async_notices_start(struct notice_self *self)
{
	struct async_exec *x = async_here();
	struct ring *r = &x->ring;
	struct sluice_doorbell bell = { 0 };
	bool first = self == &notice_first;
	int res;

	if (r->sq_next != r->cq_next || x->crew)
		return -EBUSY; /* these calls are made without coroutines */
	res = first ? notice_start(r) : notice_start_more(r, self);
	if (res < 0)
		return res;
	notice_handle(r, RING_ID, ring_noticed);
	res = notice_call(r, SLUICE_NOTICE_RING, r->fd, RING_ID, NULL);
	if (!res && notice_direct && first)
		res = notice_call(r, SLUICE_NOTICE_WAKER, -1, 0, &bell);
	if (res)
		return res;
	if (first) { /* the others have it of this one */
		x->waker = (volatile uint32_t *)(uintptr_t)bell.page;
		x->waker_id = bell.id;
	}
	x->notices = true;
	x->looks = false;
	return 0;
}

int async_notices(void)
{
	const uint32_t asked = SLUICE_START_UINTR | SLUICE_START_UPCALLS;
	int err;

	if (!(ring_start_info->flags & asked) || !ring_is_polled(&async_here()->ring))
		return 0;
	err = async_notices_start(&notice_first);
	return err ? err : 1;
}
