/*
 * internal: what the files of libasync know of each other and programs need not.
 *
 * What several executors do at the same time is in crew.h.
 */
#ifndef LIBASYNC_INTERNAL_H
#define LIBASYNC_INTERNAL_H

#include "async.h"

/* exec.c: once, before anything else: who calls becomes the first coroutine, on `ring`. */
void async_start(const struct ring *ring);
/* exec.c: takes every completion that is there. */
void async_reap(void);
/* exec.c: makes sure that the kernel works on what was published. */
void async_signal(void);
/* The same if there may be something that it does not know. */
void async_signal_new(void);
/* notices.c: nobody is runnable: sleeps until a completion, another notice, or the first timer.
 * look: by upcalls it looks for a while before. */
void async_doze(bool look);
/* preempt.c: the most urgent runnable coroutine, off its queue; x->levels, and there is one. */
struct async_co *async_urgent(void);
/* preempt.c: before and behind a sleep of the executor's, notices on or off as it needs them. */
void async_preempt_rest(bool rests);
/* notices.c: we do not look from here on; true: completions came before the kernel knew. And "I am
 * polling". */
bool async_word_arm(void);
void async_word_disarm(void);
/* notices.c: the kernel has what was submitted. */
void async_tell(void);
/* notices.c: registers the thread that runs, which keeps `self`; 0, or -errno. The first one gives
 * notice_first, before all others. */
struct notice_self;
int async_notices_start(struct notice_self *self);
/* exec.c: `co` leaves whatever it waits in; the caller has checked that it does wait. */
void async_ready(struct async_co *co);
/* exec.c: asks the kernel to end `io` early, now or when an SQE is free. Idempotent. */
void async_io_cancel(struct async_io *io);

/* exec.c: waits until `count` SQEs are free; false: told to stop meanwhile and !io->always. */
bool async_sqe_reserve(struct async_io *io, uint32_t count);

/* stream.c: one answer of a multishot operation; its cancel was carried out. */
void async_stream_answer(struct async_stream *stream, int32_t res, uint32_t flags);
void async_stream_cancelled(struct async_stream *stream);

/* timer.c */
void async_timer_set(struct async_timer *timer, uint64_t ns);
void async_timer_clear(struct async_timer *timer);
/* Fires what is due. */
void async_timer_turn(void);
/* Nanoseconds until the first timer, 0 when it is due, UINT64_MAX without one. */
uint64_t async_timer_wait_ns(void);
uint64_t async_ns_to_ticks(uint64_t ns);

/* scope.c: a scope fired or the coroutine was cancelled: recomputes what its calls answer, and
 * takes it out of the call it waits in. */
void async_stop_update(struct async_co *co);

/* sync.c: queues of waiters. */
static inline bool waitq_is_empty(const struct async_waitq *q)
{
	return q->head.next == NULL || q->head.next == &q->head;
}
/* With crew_lock held: as waitq_add and _remove; as waitq_wait, which lets go of it; as
 * waitq_wake_all, which does not. */
void waitq_put(struct async_waitq *q, struct async_waiter *w);
void waitq_drop(struct async_waiter *w);
int waitq_wait_locked(struct async_waitq *q);
void waitq_wake_all_locked(struct async_waitq *q);
/* Queues `w` for the running coroutine. */
void waitq_add(struct async_waitq *q, struct async_waiter *w);
/* Takes it off, if it is still queued. */
void waitq_remove(struct async_waiter *w);
/* Waits until woken: 0; or until told to stop: its errno, and off the queue. */
int waitq_wait(struct async_waitq *q);
/* Suspends the running coroutine until some waiter of its is woken or it is told to stop. */
void waitq_suspend(void);
/* Wakes the first waiter and returns its coroutine; NULL when there is none. */
struct async_co *waitq_wake(struct async_waitq *q);
void waitq_wake_all(struct async_waitq *q);

/* stack.c: a coroutine with its stack, from the pool or fresh; NULL without memory. May wait. */
struct async_co *async_stack_get(void);
void async_stack_put(struct async_co *co);

#endif
