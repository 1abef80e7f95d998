/*
 * crew: see crew.h. What runs between coroutines when there are several executors:
 *
 *   leftovers back into the share -> completions -> news -> timers -> a batch from the share?
 *        |none                                                              |yes
 *        v                                                                  v
 *   steal -> look a while -> announce sleep, look once more, park      run it, coroutine by coroutine
 *
 * A batch is a small part of the share, so that what waits can be taken by others even while a
 * coroutine of this executor computes. Whoever makes work that it does not run at once wakes one
 * sleeping executor.
 */
#include "crew.h"

#define CREW_BATCH_MAX 16u /* coroutines out of others' reach at a time */
#define CREW_STEAL_MAX 16u

struct async_crew async_crew = { .count = 1 };
uint32_t async_crew_several;

/* ---- lists of coroutines, by co->next ---- */

static inline void list_append(struct async_co **head, struct async_co ***tail, struct async_co *co)
{
	co->next = NULL;
	if (!*head)
		*tail = head;
	**tail = co;
	*tail = &co->next;
}

static inline struct async_co *list_take(struct async_co **head)
{
	struct async_co *co = *head;

	*head = co->next;
	return co;
}

static uint32_t share_count(const struct async_share *s)
{
	return __atomic_load_n(&s->count, __ATOMIC_RELAXED);
}

static void share_put(struct async_share *s, struct async_co *co)
{
	spin_lock(&s->lock);
	list_append(&s->head, &s->tail, co);
	__atomic_store_n(&s->count, s->count + 1, __ATOMIC_RELAXED);
	spin_unlock(&s->lock);
}

/* ---- bells ---- */

/* Wakes `to`, which announced its sleep. */
static void bell_ring(struct async_exec *x, uint32_t to)
{
	struct async_exec *other = async_crew.execs[to];
	struct io_uring_sqe *sqe = ring_sqe(&x->ring);

	if (!sqe) {
		x->bells_owed |= 1ull << to;
		return;
	}
	__atomic_fetch_add(&other->bell, 1, __ATOMIC_RELEASE);
	ring_fill_futex_wake(sqe, &other->bell, 1, ASYNC_TAG_NONE);
	x->stats.bells++;
	ring_publish(&x->ring);
	async_signal();
}

/* The caller has made something that a sleeper should see. Its fence pairs with that of
 * crew_sleep. */
static void bells_wake(struct async_exec *x, uint64_t which, bool all)
{
	uint64_t sleeping;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	while ((sleeping = __atomic_load_n(&async_crew.sleepers, __ATOMIC_RELAXED) & which) != 0) {
		uint64_t one = sleeping & -sleeping;

		if (!(__atomic_fetch_and(&async_crew.sleepers, ~one, __ATOMIC_ACQ_REL) & one))
			continue; /* somebody else wakes it */
		bell_ring(x, (uint32_t)__builtin_ctzll(one));
		if (!all)
			return;
	}
}

static void bells_pay(struct async_exec *x)
{
	uint64_t owed = x->bells_owed;

	x->bells_owed = 0;
	for (; owed; owed &= owed - 1)
		bell_ring(x, (uint32_t)__builtin_ctzll(owed));
}

/* ---- becoming runnable ---- */

/* Where it waits to run again. */
static void ready_put(struct async_exec *x, struct async_co *co)
{
	if (ring_unlikely(x->levels != NULL))
		level_push(x, co);
	else if (co->pins)
		list_append(&x->stay_head, &x->stay_tail, co);
	else
		share_put(&x->share, co);
}

void crew_ready(struct async_exec *x, struct async_co *co)
{
	bool stays = co->pins; /* else it may be somebody else's at once */

	ready_put(x, co);
	/* in sched the next batch is about to be taken; the interrupt chooses itself */
	if (!stays && x->self != x->sched && !(x->levels && x->levels->noticing))
		bells_wake(x, ~0ull, false);
}

void crew_offer(struct async_exec *x)
{
	if (share_count(&x->share))
		bells_wake(x, ~0ull, false);
}

/* ---- news ---- */

/* The bits before the push: whoever finds bits there leaves the push to who set them. */
void crew_tell(struct async_co *co, uint32_t news)
{
	struct async_exec *to, *x = async_here();

	if (__atomic_fetch_or(&co->news, news, __ATOMIC_SEQ_CST))
		return;
	to = __atomic_load_n(&co->exec, __ATOMIC_RELAXED);
	co->news_next = __atomic_load_n(&to->inbox, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&to->inbox, &co->news_next, co, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
	if (to != x)
		bells_wake(x, 1ull << to->index, false);
}

/* Everything runnable of this executor out of others' reach: what is not in here then is not its
 * own, or waits. */
static void news_recall(struct async_exec *x)
{
	struct async_share *s = &x->share;

	if (x->levels) {
		levels_recall(x);
		return;
	}
	spin_lock(&s->lock);
	while (s->head)
		async_run_push(x, list_take(&s->head));
	__atomic_store_n(&s->count, 0, __ATOMIC_RELAXED);
	spin_unlock(&s->lock);
}

static void news_hear(struct async_exec *x, struct async_co *co)
{
	uint32_t news = __atomic_exchange_n(&co->news, 0, __ATOMIC_SEQ_CST);

	if (news & ASYNC_NEWS_STOP)
		news_recall(x);
	if (__atomic_load_n(&co->exec, __ATOMIC_RELAXED) != x) {
		crew_tell(co, news); /* it has been taken since */
		return;
	}
	if (news & ASYNC_NEWS_STOP)
		async_stop_update(co);
	if (news & ASYNC_NEWS_WAKE && co->state == ASYNC_IN_QUEUE)
		async_ready(co);
}

static void news_take(struct async_exec *x)
{
	struct async_co *newest = __atomic_exchange_n(&x->inbox, NULL, __ATOMIC_ACQUIRE);
	struct async_co *oldest = NULL;

	while (newest) {
		struct async_co *co = newest;

		newest = co->news_next;
		co->news_next = oldest;
		oldest = co;
	}
	while (oldest) {
		struct async_co *co = oldest;

		oldest = co->news_next;
		news_hear(x, co);
	}
}

void crew_hear(struct async_exec *x)
{
	if (__atomic_load_n(&x->inbox, __ATOMIC_RELAXED))
		news_take(x);
}

/* ---- batches ---- */

/* What the last batch left: coroutines that yielded, or were recalled. */
static void batch_return(struct async_exec *x)
{
	while (x->run_head)
		ready_put(x, list_take(&x->run_head));
	x->run_tail = &x->run_head;
}

/* By priority one at a time. */
static uint32_t batch_of_levels(struct async_exec *x)
{
	struct async_co *co = async_urgent();

	if (!co)
		return 0;
	async_run_push(x, co);
	return 1;
}

static uint32_t batch_of_stay(struct async_exec *x)
{
	uint32_t n = 0;

	for (; x->stay_head && n < CREW_BATCH_MAX; n++)
		async_run_push(x, list_take(&x->stay_head));
	return n;
}

static uint32_t batch_of_share(struct async_exec *x)
{
	struct async_share *s = &x->share;
	uint32_t n = 0, most;

	if (!share_count(s))
		return 0;
	spin_lock(&s->lock);
	most = s->count / (2 * async_crew.count) + 1;
	if (most > CREW_BATCH_MAX)
		most = CREW_BATCH_MAX;
	for (; s->head && n < most; n++)
		async_run_push(x, list_take(&s->head));
	__atomic_store_n(&s->count, s->count - n, __ATOMIC_RELAXED);
	spin_unlock(&s->lock);
	return n;
}

/* ---- stealing ---- */

/* Nobody waits for a share that is in use. The fence: whoever wakes one of them sees where it is,
 * or we see the wake. */
__attribute__((noinline)) uint32_t crew_steal_from(struct async_exec *x, struct async_exec *from)
{
	struct async_share *s = &from->share;
	struct async_co *first, *last = NULL;
	uint32_t n = 0, most;

	if (__atomic_exchange_n(&s->lock, 1, __ATOMIC_ACQUIRE))
		return 0;
	most = (s->count + 1) / 2;
	if (most > CREW_STEAL_MAX)
		most = CREW_STEAL_MAX;
	first = s->head;
	for (struct async_co *co = first; n < most; n++, co = co->next) {
		__atomic_store_n(&co->exec, x, __ATOMIC_RELAXED);
		last = co;
	}
	if (last) {
		s->head = last->next;
		last->next = NULL;
	}
	__atomic_store_n(&s->count, s->count - n, __ATOMIC_RELAXED);
	spin_unlock(&s->lock);
	if (!last)
		return 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	spin_lock(&x->share.lock);
	if (!x->share.head)
		x->share.tail = &x->share.head;
	*x->share.tail = first;
	x->share.tail = &last->next;
	__atomic_store_n(&x->share.count, x->share.count + n, __ATOMIC_RELAXED);
	spin_unlock(&x->share.lock);
	x->stats.steals++;
	x->stats.stolen += n;
	return n;
}

static uint32_t steal_from(struct async_exec *x, struct async_exec *from)
{
	return x->levels ? levels_steal_from(x, from) : crew_steal_from(x, from);
}

static bool steal_anywhere(struct async_exec *x)
{
	uint32_t at = x->index;

	for (uint32_t i = 1; i < async_crew.count; i++) {
		struct async_exec *from;

		at = at + 1 == async_crew.count ? 0 : at + 1;
		from = async_crew.execs[at];
		if (share_count(&from->share) && steal_from(x, from))
			return true;
	}
	return false;
}

static bool steal_possible(const struct async_exec *x)
{
	for (uint32_t i = 0; i < async_crew.count; i++)
		if (i != x->index && share_count(&async_crew.execs[i]->share))
			return true;
	return false;
}

/* ---- idling ---- */

static bool idle_over(const struct async_exec *x)
{
	return __atomic_load_n(x->ring.cq_tail, __ATOMIC_RELAXED) != x->ring.cq_next ||
	       __atomic_load_n(&x->inbox, __ATOMIC_RELAXED) || steal_possible(x);
}

/* As ring_spin: the whole function is the wait, for those who count instructions. */
static __attribute__((noinline)) bool idle_spin(struct async_exec *x, uint64_t ticks)
{
	uint64_t start = async_ticks_read();
	bool over;

	ASYNC_MARK(RING_MARK_SPIN_BEGIN);
	do {
		over = idle_over(x);
		async_relax();
	} while (!over && async_ticks_read() - start < ticks);
	ASYNC_MARK(RING_MARK_SPIN_END);
	return over;
}

static void idle_park(struct async_exec *x)
{
	if (x->notices)
		async_doze(false);
	else
		async_exec_park(x);
}

/* Announces the sleep, looks once more, parks. Whoever clears the announcement rings the bell,
 * whose word is read by the kernel after it was read here. */
static void idle_sleep(struct async_exec *x)
{
	uint64_t me = 1ull << x->index;
	uint32_t bell = __atomic_load_n(&x->bell, __ATOMIC_ACQUIRE);
	struct io_uring_sqe *sqe;

	if (!x->bell_armed) {
		sqe = ring_sqe(&x->ring);
		if (!sqe) { /* then something is in flight, and ends */
			idle_park(x);
			return;
		}
		ring_fill_futex_wait(sqe, &x->bell, bell, ASYNC_TAG_BELL);
		x->bell_armed = true;
		ring_publish(&x->ring);
	}
	__atomic_fetch_or(&async_crew.sleepers, me, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!idle_over(x))
		idle_park(x);
	__atomic_fetch_and(&async_crew.sleepers, ~me, __ATOMIC_ACQ_REL);
}

static void crew_idle(struct async_exec *x)
{
	uint64_t spin = async_config.spin_ns, wait = async_timer_wait_ns();

	async_signal_new();
	if (ring_is_polled(&x->ring) && spin) {
		x->stats.spins++;
		if (idle_spin(x, async_ns_to_ticks(spin < wait ? spin : wait)) || wait <= spin)
			return;
	}
	idle_sleep(x);
}

/* ---- the turn ---- */

/* Fills the run queue with the next batch; waits for one. */
static void crew_pick(struct async_exec *x)
{
	struct ring *r = &x->ring;
	uint32_t n;

	x->stats.turns++;
	batch_return(x);
	for (;;) {
		async_reap();
		crew_hear(x);
		async_exec_serve(x);
		if (ring_unlikely(x->bells_owed != 0))
			bells_pay(x);
		if (r->sq_shown != r->sq_next)
			ring_publish(r);
		if (x->since_late >= ASYNC_TURNS_MAX) {
			x->since_late = 0;
			async_exec_flush(x);
			async_signal();
		}
		batch_return(x); /* what the news recalled */
		if (x->levels) {
			n = batch_of_levels(x);
		} else {
			n = batch_of_stay(x);
			n += batch_of_share(x);
		}
		if (n)
			break;
		async_exec_flush(x);
		if (!share_count(&x->share) && !x->stay_head && !steal_anywhere(x)) {
			if (async_exec_wants_room(x))
				continue;
			crew_idle(x);
		}
	}
	x->turns_left = n;
	x->since_late += n;
	if (r->sq_shown - r->sq_signalled >= ASYNC_UNSIGNALLED_MAX)
		async_signal();
	crew_offer(x); /* more than we run now */
}

/* What runs between coroutines. */
static _Noreturn void crew_loop(struct async_exec *x)
{
	for (;;) {
		struct async_co *co = x->ended;

		if (co) {
			x->ended = NULL;
			async_co_bury(co);
		}
		crew_pick(x);
		co = list_take(&x->run_head);
		if (!x->run_head)
			x->run_tail = &x->run_head;
		x->self = co;
		async_switch(&x->sched->context, &co->context);
	}
}

static int64_t crew_sched(void *arg)
{
	crew_loop(arg);
}

void crew_switch(struct async_exec *x)
{
	struct async_co *me = x->self;

	x->self = x->sched;
	async_switch(&me->context, &x->sched->context);
}

_Noreturn void crew_leave(struct async_exec *x)
{
	struct async_co *me = x->self;

	x->ended = me;
	x->self = x->sched;
	async_switch(&me->context, &x->sched->context);
	__builtin_unreachable();
}

/* ---- birth ---- */

void crew_work(struct async_exec *x, uint32_t index, const struct ring *ring, struct crew_own *own)
{
	const struct async_exec *first = async_crew.execs[0];
	int err = 0;

	async_thread_set(x);
	async_exec_init(x, ring);
	x->main.held = 1; /* it is never in a program's own code */
	if (own && first->levels)
		err = async_preempt_more(x, first, &own->levels, &own->notice);
	if (err) {
		__atomic_store_n(&async_crew.failed, err, __ATOMIC_RELEASE);
		return;
	}
	x->crew = true;
	x->looks = false;
	x->index = index;
	x->sched = &x->main;
	x->self = x->sched;
	x->main.exec = x;
	__atomic_store_n(&async_crew.execs[index], x, __ATOMIC_RELEASE);
	/* all at once: nobody looks at an executor that is not there */
	while (!__atomic_load_n(&async_crew_several, __ATOMIC_ACQUIRE))
		async_relax();
	crew_loop(x);
}

/* The executor of the caller gets a sched: a coroutine that is never in a queue. */
static int crew_join_first(struct async_exec *x)
{
	struct async_co *sched = async_stack_get();

	if (!sched)
		return -ENOMEM;
	sched->fn = crew_sched;
	sched->arg = x;
	sched->held = 2; /* one of them for good: it is never in a program's own code */
	x->sched = sched;
	x->index = 0;
	async_crew.execs[0] = x;
	return 0;
}

/* One more, from its beginning until it waits for the others. 0 or -errno. */
static int crew_add(uint32_t index)
{
	int err = crew_start(index);

	while (!err && !__atomic_load_n(&async_crew.execs[index], __ATOMIC_ACQUIRE)) {
		async_sleep(50000);
		err = __atomic_load_n(&async_crew.failed, __ATOMIC_ACQUIRE);
	}
	return err;
}

int async_executors(unsigned count)
{
	struct async_exec *x = async_here();
	struct async_co *co;
	int err = async_stopped();
	uint32_t n = 1;

	if (!count)
		count = crew_processors();
	if (count > ASYNC_EXECUTORS_MAX)
		count = ASYNC_EXECUTORS_MAX;
	if (async_crew.count > 1 || (x->notices && !x->levels))
		return -EBUSY;
	if (err || count == 1)
		return err ? err : 1;
	crew_pin();
	err = crew_join_first(x);
	for (; n < count && !err; n += !err)
		err = crew_add(n);
	crew_unpin();
	if (n == 1)
		return err;
	while (x->levels && (co = levels_pop(x)) != NULL)
		async_run_push(x, co); /* to where others may take them */
	x->crew = true;
	x->looks = false;
	async_crew.count = n; /* those that started are what there is */
	__atomic_store_n(&async_crew_several, 1, __ATOMIC_RELEASE);
	async_yield();
	return (int)n;
}

unsigned async_executor(void)
{
	return async_here()->index;
}

void async_pin(bool stay)
{
	struct async_co *me = async_self();

	if (me->pinned == stay)
		return;
	me->pinned = stay;
	me->pins = stay ? me->pins + 1 : me->pins - 1;
}
