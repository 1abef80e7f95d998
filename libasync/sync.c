/*
 * sync: coroutines waiting for one another: queues of waiters, and what is built on them.
 *
 * Queues are first come, first served. Waking is idempotent: a waiter is taken off its queue by
 * whoever wakes it, or by its own coroutine when that is told to stop. With several executors
 * crew_lock guards queues and what is built on them; a coroutine that was woken is told when it is
 * let go, and looks itself what there is (crew.h).
 */
#include "crew.h"

/* ---- queues of waiters ---- */

static void waitq_prepare(struct async_waitq *q)
{
	if (!q->head.next)
		q->head.next = q->head.prev = &q->head;
}

/* Not inlined: the waiter is in its caller's frame and always off the queue before that ends, which
 * GCC cannot see. */
__attribute__((noinline)) void waitq_put(struct async_waitq *q, struct async_waiter *w)
{
	waitq_prepare(q);
	w->co = async_self();
	w->woken = false;
	w->link.prev = q->head.prev;
	w->link.next = &q->head;
	w->link.prev->next = &w->link;
	q->head.prev = &w->link;
}

static inline __attribute__((always_inline)) void waiter_drop(struct async_waiter *w)
{
	if (!w->link.next)
		return;
	w->link.prev->next = w->link.next;
	w->link.next->prev = w->link.prev;
	w->link.next = NULL;
}

void waitq_drop(struct async_waiter *w)
{
	waiter_drop(w);
}

void waitq_add(struct async_waitq *q, struct async_waiter *w)
{
	crew_lock();
	waitq_put(q, w);
	crew_unlock();
}

void waitq_remove(struct async_waiter *w)
{
	crew_lock();
	waitq_drop(w);
	crew_unlock();
}

static bool waiter_is_woken(const struct async_waiter *w)
{
	return __atomic_load_n(&w->woken, __ATOMIC_RELAXED);
}

/* Release: whoever sees it waiting knows whose it is (waitq_notify). */
static inline __attribute__((always_inline)) void suspend_in_queue(void)
{
	struct async_exec *x = async_here();

	__atomic_store_n(&x->self->state, ASYNC_IN_QUEUE, __ATOMIC_RELEASE);
	async_suspend_on(x);
}

void waitq_suspend(void)
{
	suspend_in_queue();
}

/* Not inlined: whoever switches saves every register, and most callers do not wait. */
static __attribute__((noinline)) int waitq_wait_if(struct async_waitq *q, bool several)
{
	struct async_waiter w;
	bool woken;

	waitq_put(q, &w);
	crew_unlock_if(several);
	while (!waiter_is_woken(&w) && !async_stopped())
		suspend_in_queue();
	crew_lock_if(several);
	waiter_drop(&w);
	woken = w.woken;
	crew_unlock_if(several);
	return woken ? 0 : async_stopped();
}

int waitq_wait_locked(struct async_waitq *q)
{
	return waitq_wait_if(q, crew_is_several());
}

int waitq_wait(struct async_waitq *q)
{
	int stop = async_stopped();

	if (stop)
		return stop;
	crew_lock();
	return waitq_wait_locked(q);
}

/* The first waiter's coroutine, off the queue; it must be notified when the lock is let go. */
static inline __attribute__((always_inline)) struct async_co *waitq_take(struct async_waitq *q)
{
	struct async_waiter *w;
	struct async_co *co;

	if (waitq_is_empty(q))
		return NULL;
	w = (struct async_waiter *)q->head.next; /* link is its first member */
	waiter_drop(w);
	co = w->co;
	__atomic_store_n(&w->woken, true, __ATOMIC_RELAXED);
	return co;
}

_Static_assert(offsetof(struct async_waiter, link) == 0, "a queue link is its waiter");

/* A coroutine of another executor is told there. The fence pairs with that of a thief: a coroutine
 * that changes hands just now is either found where it is, or looks after our change. The state is
 * read first: who sees it waiting sees where. */
static inline __attribute__((always_inline)) void waitq_notify_if(struct async_co *co, bool several)
{
	uint8_t state;

	if (several) {
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		state = __atomic_load_n(&co->state, __ATOMIC_ACQUIRE);
		if (__atomic_load_n(&co->exec, __ATOMIC_RELAXED) != async_here()) {
			crew_tell(co, ASYNC_NEWS_WAKE);
			return;
		}
		if (state != ASYNC_IN_QUEUE)
			return;
	}
	if (co->state == ASYNC_IN_QUEUE)
		async_ready(co);
}

static void waitq_notify(struct async_co *co)
{
	waitq_notify_if(co, crew_is_several());
}

struct async_co *waitq_wake(struct async_waitq *q)
{
	struct async_co *co;

	crew_lock();
	co = waitq_take(q);
	crew_unlock();
	if (co)
		waitq_notify(co);
	return co;
}

/* In one go: what `q` belongs to may be gone when the first of them goes on. */
void waitq_wake_all_locked(struct async_waitq *q)
{
	struct async_co *co;

	while ((co = waitq_take(q)) != NULL)
		waitq_notify(co);
}

void waitq_wake_all(struct async_waitq *q)
{
	crew_lock();
	waitq_wake_all_locked(q);
	crew_unlock();
}

/* ---- mutex: the owner hands it to the first waiter ---- */

static bool mutex_take(struct async_mutex *mutex)
{
	if (mutex->owner)
		return false;
	mutex->owner = async_self();
	return true;
}

bool async_mutex_trylock(struct async_mutex *mutex)
{
	bool mine;

	crew_lock();
	mine = mutex_take(mutex);
	crew_unlock();
	return mine;
}

int async_mutex_lock(struct async_mutex *mutex)
{
	int err = async_stopped();

	if (err)
		return err;
	crew_lock();
	if (mutex->owner == async_self())
		err = -EDEADLK;
	else if (!mutex_take(mutex))
		return waitq_wait_locked(&mutex->waiters);
	crew_unlock();
	return err;
}

void async_mutex_unlock(struct async_mutex *mutex)
{
	struct async_co *next;

	crew_lock();
	if (mutex->owner != async_self())
		ring_die(&async_here()->ring, "async: a mutex was unlocked by a stranger\n");
	next = waitq_take(&mutex->waiters);
	mutex->owner = next;
	crew_unlock();
	if (next)
		waitq_notify(next);
}

/* ---- semaphore: a unit given while somebody waits goes to that one ---- */

int async_sem_take(struct async_sem *sem)
{
	int stop = async_stopped();

	if (stop)
		return stop;
	crew_lock();
	if (!sem->count)
		return waitq_wait_locked(&sem->waiters);
	sem->count--;
	crew_unlock();
	return 0;
}

void async_sem_give(struct async_sem *sem)
{
	struct async_co *next;

	crew_lock();
	next = waitq_take(&sem->waiters);
	if (!next)
		sem->count++;
	crew_unlock();
	if (next)
		waitq_notify(next);
}

/* ---- event ---- */

int async_event_wait(struct async_event *event)
{
	int stop = async_stopped();

	crew_lock();
	if (!stop && !event->set)
		return waitq_wait_locked(&event->waiters);
	crew_unlock();
	return stop;
}

void async_event_set(struct async_event *event)
{
	crew_lock();
	event->set = true;
	waitq_wake_all_locked(&event->waiters);
	crew_unlock();
}

void async_event_clear(struct async_event *event)
{
	crew_lock();
	event->set = false;
	crew_unlock();
}

/* ---- channel ---- */

void async_chan_init(struct async_chan *chan, void *slots, uint32_t size, uint32_t capacity)
{
	*chan = (struct async_chan){ .slots = slots, .size = size, .capacity = capacity };
}

static char *chan_slot(struct async_chan *chan, uint32_t index)
{
	return chan->slots + (size_t)(index % chan->capacity) * chan->size;
}

/* The lock is held; who waits for what was done comes through *other. */
static inline __attribute__((always_inline)) int
chan_put(struct async_chan *chan, const void *value, struct async_co **other)
{
	if (chan->closed)
		return -EPIPE;
	if (chan->count == chan->capacity)
		return -EAGAIN;
	__builtin_memcpy(chan_slot(chan, chan->head + chan->count), value, chan->size);
	chan->count++;
	*other = waitq_take(&chan->receivers);
	return 0;
}

static inline __attribute__((always_inline)) int chan_take(struct async_chan *chan, void *value,
							   struct async_co **other)
{
	if (!chan->count)
		return chan->closed ? -EPIPE : -EAGAIN;
	__builtin_memcpy(value, chan_slot(chan, chan->head), chan->size);
	chan->head = (chan->head + 1) % chan->capacity;
	chan->count--;
	*other = waitq_take(&chan->senders);
	return 0;
}

static inline __attribute__((always_inline)) int chan_done(int err, struct async_co *other,
							   bool several)
{
	crew_unlock_if(several);
	if (other)
		waitq_notify_if(other, several);
	return err;
}

int async_chan_trysend(struct async_chan *chan, const void *value)
{
	struct async_co *other = NULL;
	bool several = crew_is_several();

	crew_lock_if(several);
	return chan_done(chan_put(chan, value, &other), other, several);
}

int async_chan_tryrecv(struct async_chan *chan, void *value)
{
	struct async_co *other = NULL;
	bool several = crew_is_several();

	crew_lock_if(several);
	return chan_done(chan_take(chan, value, &other), other, several);
}

/* The lock is held, and let go. A waiter that was woken but is told to stop before it runs passes
 * its wake on: otherwise a value could lie in the channel with a receiver asleep beside it. */
static inline __attribute__((always_inline)) int chan_wait(struct async_waitq *q, bool several)
{
	int err = waitq_wait_if(q, several);

	if (!err && async_stopped()) {
		waitq_wake(q);
		err = async_stopped();
	}
	return err;
}

static inline __attribute__((always_inline)) int chan_send(struct async_chan *chan,
							   const void *value, bool several)
{
	int err = async_stopped();

	while (!err) {
		struct async_co *other = NULL;

		crew_lock_if(several);
		err = chan_put(chan, value, &other);
		if (err != -EAGAIN)
			return chan_done(err, other, several);
		err = chan_wait(&chan->senders, several);
	}
	return err;
}

static inline __attribute__((always_inline)) int chan_recv(struct async_chan *chan, void *value,
							   bool several)
{
	int err = async_stopped();

	while (!err) {
		struct async_co *other = NULL;

		crew_lock_if(several);
		err = chan_take(chan, value, &other);
		if (err != -EAGAIN)
			return chan_done(err, other, several);
		err = chan_wait(&chan->receivers, several);
	}
	return err;
}

/* Two of each: with one executor nothing is asked about locks more than once. */
int async_chan_send(struct async_chan *chan, const void *value)
{
	return crew_is_several() ? chan_send(chan, value, true) : chan_send(chan, value, false);
}

int async_chan_recv(struct async_chan *chan, void *value)
{
	return crew_is_several() ? chan_recv(chan, value, true) : chan_recv(chan, value, false);
}

void async_chan_close(struct async_chan *chan)
{
	crew_lock();
	chan->closed = true;
	waitq_wake_all_locked(&chan->senders);
	waitq_wake_all_locked(&chan->receivers);
	crew_unlock();
}
