/*
 * sync: coroutines waiting for one another: queues of waiters, and what is built on them.
 *
 * Runs on the process's one thread, so nothing here is atomic. Queues are first come, first
 * served. Waking is idempotent: a waiter is taken off its queue by whoever wakes it, or by its own
 * coroutine when that is told to stop.
 */
#include "internal.h"

/* ---- queues of waiters ---- */

static void waitq_prepare(struct async_waitq *q)
{
	if (!q->head.next)
		q->head.next = q->head.prev = &q->head;
}

/* Not inlined: the waiter is in its caller's frame and always off the queue before that ends, which
 * GCC cannot see. */
__attribute__((noinline)) void waitq_add(struct async_waitq *q, struct async_waiter *w)
{
	waitq_prepare(q);
	w->co = async_self();
	w->woken = false;
	w->link.prev = q->head.prev;
	w->link.next = &q->head;
	w->link.prev->next = &w->link;
	q->head.prev = &w->link;
}

void waitq_remove(struct async_waiter *w)
{
	if (!w->link.next)
		return;
	w->link.prev->next = w->link.next;
	w->link.next->prev = w->link.prev;
	w->link.next = NULL;
}

void waitq_suspend(void)
{
	async_self()->state = ASYNC_IN_QUEUE;
	async_suspend();
}

int waitq_wait(struct async_waitq *q)
{
	struct async_waiter w;
	int stop = async_stopped();

	if (stop)
		return stop;
	waitq_add(q, &w);
	while (!w.woken && !async_stopped())
		waitq_suspend();
	waitq_remove(&w);
	return w.woken ? 0 : async_stopped();
}

struct async_co *waitq_wake(struct async_waitq *q)
{
	struct async_waiter *w;

	if (waitq_is_empty(q))
		return NULL;
	w = (struct async_waiter *)q->head.next; /* link is its first member */
	waitq_remove(w);
	w->woken = true;
	if (w->co->state == ASYNC_IN_QUEUE)
		async_ready(w->co);
	return w->co;
}

_Static_assert(offsetof(struct async_waiter, link) == 0, "a queue link is its waiter");

void waitq_wake_all(struct async_waitq *q)
{
	while (waitq_wake(q))
		;
}

/* ---- mutex: the owner hands it to the first waiter ---- */

bool async_mutex_trylock(struct async_mutex *mutex)
{
	if (mutex->owner)
		return false;
	mutex->owner = async_self();
	return true;
}

int async_mutex_lock(struct async_mutex *mutex)
{
	int stop = async_stopped();

	if (stop)
		return stop;
	if (mutex->owner == async_self())
		return -EDEADLK;
	if (async_mutex_trylock(mutex))
		return 0;
	return waitq_wait(&mutex->waiters);
}

void async_mutex_unlock(struct async_mutex *mutex)
{
	if (mutex->owner != async_self())
		ring_die(&async_exec.ring, "async: a mutex was unlocked by a stranger\n");
	mutex->owner = waitq_wake(&mutex->waiters);
}

/* ---- semaphore: a unit given while somebody waits goes to that one ---- */

int async_sem_take(struct async_sem *sem)
{
	int stop = async_stopped();

	if (stop)
		return stop;
	if (sem->count) {
		sem->count--;
		return 0;
	}
	return waitq_wait(&sem->waiters);
}

void async_sem_give(struct async_sem *sem)
{
	if (!waitq_wake(&sem->waiters))
		sem->count++;
}

/* ---- event ---- */

int async_event_wait(struct async_event *event)
{
	if (event->set)
		return async_stopped();
	return waitq_wait(&event->waiters);
}

void async_event_set(struct async_event *event)
{
	event->set = true;
	waitq_wake_all(&event->waiters);
}

void async_event_clear(struct async_event *event)
{
	event->set = false;
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

int async_chan_trysend(struct async_chan *chan, const void *value)
{
	if (chan->closed)
		return -EPIPE;
	if (chan->count == chan->capacity)
		return -EAGAIN;
	__builtin_memcpy(chan_slot(chan, chan->head + chan->count), value, chan->size);
	chan->count++;
	waitq_wake(&chan->receivers);
	return 0;
}

int async_chan_tryrecv(struct async_chan *chan, void *value)
{
	if (!chan->count)
		return chan->closed ? -EPIPE : -EAGAIN;
	__builtin_memcpy(value, chan_slot(chan, chan->head), chan->size);
	chan->head = (chan->head + 1) % chan->capacity;
	chan->count--;
	waitq_wake(&chan->senders);
	return 0;
}

/* A waiter that was woken but is told to stop before it runs passes its wake on: otherwise a value
 * could lie in the channel with a receiver asleep beside it. */
static int chan_wait(struct async_waitq *q)
{
	int err = waitq_wait(q);

	if (!err && async_stopped()) {
		waitq_wake(q);
		err = async_stopped();
	}
	return err;
}

int async_chan_send(struct async_chan *chan, const void *value)
{
	int err = async_stopped();

	while (!err && (err = async_chan_trysend(chan, value)) == -EAGAIN)
		err = chan_wait(&chan->senders);
	return err;
}

int async_chan_recv(struct async_chan *chan, void *value)
{
	int err = async_stopped();

	while (!err && (err = async_chan_tryrecv(chan, value)) == -EAGAIN)
		err = chan_wait(&chan->receivers);
	return err;
}

void async_chan_close(struct async_chan *chan)
{
	chan->closed = true;
	waitq_wake_all(&chan->senders);
	waitq_wake_all(&chan->receivers);
}
