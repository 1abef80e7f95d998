/*
 * thread: a user thread as a core sees it: a saved user context in one address space, on one core's
 * run queue.
 *
 * READY on the core's queue -> RUNNING (arch_user_run) -> trap -> the process layer's handler
 * decides: goes on, PARKED, or DEAD. A thread has no kernel stack: whatever would block is an op,
 * and the thread is parked until the op's completion wakes it. Its core changes its state; others
 * post thread_wake.
 */
#ifndef SCHED_THREAD_H
#define SCHED_THREAD_H

#include "base/list.h"
#include "cores/core.h"

enum thread_state { THREAD_NEW, THREAD_READY, THREAD_RUNNING, THREAD_PARKED, THREAD_DEAD };

struct inbox;

struct thread {
	struct arch_user user;

	/* owner core only */
	struct list link;  /* run queue */
	uint8_t state;
	uint8_t kill;	   /* set on its own core: dies at the next chance instead of running */
	uint8_t woken;	   /* a wake came while it was not parked; the next park answers false */
	nsec_t slice_end;
	nsec_t ready_since;  /* when it last came onto the queue */
	struct inbox *inbox; /* NULL: it receives no notices */

	/* set once */
	struct aspace *as;
	uint32_t core; /* index of the core it runs on */
	/* Handed down by proc/: the thread trapped. Returns true if it may go on at once. Runs on
	 * the thread's core. */
	bool (*trap)(struct thread *t, enum arch_exit_kind kind, const struct arch_exit *exit);
	/* Handed down by proc/: the thread will never run again; called once, on its core. */
	void (*dead)(struct thread *t);

	/* any core */
	struct mail wake_mail;
	/* nonzero: wake_mail is under way, further wakes have nothing to add */
	_Atomic uint32_t wakes;
};

/* Creates a core's user placement; sets PART_USER. Boot. */
void placement_init(struct core *c);

/* Makes a new thread ready on its core (t->core). Any core. */
void thread_start(struct thread *t);
/* On the thread's core, from its trap handler: it will not run until woken. A wake that came first
 * makes this return false. */
bool thread_park(struct thread *t);
/* Any core. Idempotent. */
void thread_wake(struct thread *t);
/* On the thread's core only. */
void thread_kill(struct thread *t);

/* For a quick door (arch.h): nothing came up on this core that the running thread must make way
 * for. */
static inline bool thread_may_go_on(const struct core *c)
{
	return !c->attention;
}

unsigned placement_ready_count(struct core *c);

#endif
