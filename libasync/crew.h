/*
 * crew: several executors, each a thread with its own ring, and who may touch what when there are.
 *
 * A coroutine belongs to one executor (co->exec), whose thread alone changes it. It comes to
 * another one only while it is READY and lies in its executor's share: an idle executor takes the
 * older half of a share, oldest first. Nothing of an executor is remembered over a call that waits
 * (async_here). What others have for a coroutine that waits are news: bits in the coroutine, and
 * the coroutine in the inbox of its executor, which looks there between coroutines.
 *
 *   READY: in a share --taken by its own executor, or stolen--> runs --waits--> IN_IO, IN_QUEUE
 *     ^                                                                             |
 *     +-- completion of its executor's ring; a waker on the same executor; news ----+
 *
 * An operation answers on the ring it was submitted to, so a coroutine with anything on a ring or
 * in a heap of timers beyond the one operation it waits for is pinned (co->pins): it runs where it
 * is.
 *
 * A coroutine is suspended for good before anybody can take it: with several executors the slow
 * path of a switch goes through `sched`, which runs on a stack of its own. Between two coroutines
 * of the same batch the switch is the same as ever.
 *
 * With preemption (preempt.c) the share, and what else is runnable, is in levels (levels.h), a
 * batch is one coroutine, and every switch goes through `sched`.
 *
 * Queues of waiters, and what is built on them, are guarded by one lock (crew_lock), held for a few
 * list operations and never over a call that waits. A program with one executor takes no lock and
 * has no sched.
 */
#ifndef LIBASYNC_CREW_H
#define LIBASYNC_CREW_H

#include "internal.h"
#include "levels.h"
#include "notice.h"

struct async_crew {
	uint32_t count; /* executors; set before the second one runs */
	struct async_exec *execs[ASYNC_EXECUTORS_MAX];
	int32_t failed; /* why the executor that was started last does not take part; any */
	/* any executor */
	/* those that are in the kernel, or nearly */
	uint64_t sleepers __attribute__((aligned(64)));
	uint32_t lock __attribute__((aligned(64)));
};
extern struct async_crew async_crew;
/* count > 1: a word of its own, one load away */
extern uint32_t async_crew_several;

/* ---- locks: spinning, since what they guard takes no longer ---- */

static inline void spin_lock(uint32_t *lock)
{
	while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(lock, __ATOMIC_RELAXED))
			async_relax();
}

static inline void spin_unlock(uint32_t *lock)
{
	__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

static inline bool crew_is_several(void)
{
	return ring_unlikely(__atomic_load_n(&async_crew_several, __ATOMIC_RELAXED) != 0);
}

/* Asked once by calls that take it several times. */
static inline __attribute__((always_inline)) void crew_lock_if(bool several)
{
	if (several)
		spin_lock(&async_crew.lock);
}

static inline __attribute__((always_inline)) void crew_unlock_if(bool several)
{
	if (several)
		spin_unlock(&async_crew.lock);
}

static inline void crew_lock(void)
{
	crew_lock_if(crew_is_several());
}

static inline void crew_unlock(void)
{
	crew_unlock_if(crew_is_several());
}

/* ---- for the rest of the library ---- */

/* The running coroutine stays on its executor until it is let go as often. */
static inline void crew_pin(void)
{
	async_self()->pins++;
}
static inline void crew_unpin(void)
{
	async_self()->pins--;
}

/* Takes the older half of what `from` shares into x's share, which is empty: how many; 0 also when
 * somebody else is at it. x's thread. */
uint32_t crew_steal_from(struct async_exec *x, struct async_exec *from);
/* What async_ready does with several executors: `co` is x's own and suspended. */
void crew_ready(struct async_exec *x, struct async_co *co);
/* Hears what others have told x's coroutines: some may be READY then, in its queues or its
 * share. */
void crew_hear(struct async_exec *x);
/* If x has coroutines that others may take, one of the others is awake. */
void crew_offer(struct async_exec *x);
/* Tells `co`, whoever's it is. */
void crew_tell(struct async_co *co, uint32_t news);
/* From the running coroutine, whose state says what it waits for: returns when it is continued. */
void crew_switch(struct async_exec *x);
/* The running coroutine has ended. */
_Noreturn void crew_leave(struct async_exec *x);
/* group.c: what remains to be done for an ended coroutine once nobody is on its stack. */
void async_co_bury(struct async_co *co);
/* exec.c: the parts of a turn. */
void async_exec_init(struct async_exec *x, const struct ring *ring);
void async_exec_serve(struct async_exec *x);
void async_exec_flush(struct async_exec *x);
void async_exec_park(struct async_exec *x);
bool async_exec_wants_room(struct async_exec *x);

/* native.c, linux/crew.c: starts the thread of executor `index`, which calls crew_work. 0 or
 * -errno. May wait. */
int crew_start(uint32_t index);
/* Processors there are. */
unsigned crew_processors(void);
/* What an executor's thread needs for preemption, if the program has asked for it; zero at first,
 * and there as long as the thread. */
struct crew_own {
	struct notice_self notice;
	struct async_levels levels;
};
/* A thread's whole life: x is its executor, zero. Returns if that cannot take part, with
 * async_crew.failed. own: NULL where there is no preemption. */
void crew_work(struct async_exec *x, uint32_t index, const struct ring *ring,
	       struct crew_own *own);
/* preempt.c: an executor more in a program whose `first` preempts; on its thread, before anything
 * else. 0 or -errno. */
int async_preempt_more(struct async_exec *x, const struct async_exec *first,
		       struct async_levels *more, struct notice_self *self);

#endif
