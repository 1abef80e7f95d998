/*
 * thread: a user thread as a core sees it: a saved user context in one address space, on one core's
 * run queue.
 *
 * READY on the core's queue -> RUNNING (arch_user_run) -> trap -> the process layer's handler
 * decides: goes on, PARKED, or DEAD. A thread has no kernel stack: whatever would block is an op,
 * and the thread is parked until the op's completion wakes it. Its core changes its state; others
 * post thread_wake.
 *
 * READY or PARKED -> MOVING to another core -> what it was, there (docs/moves.md). The core it is
 * on alone sends it away, so only a thread's own core may rely on t->core; a message that finds it
 * gone follows it (thread_follow).
 */
#ifndef SCHED_THREAD_H
#define SCHED_THREAD_H

#include "base/list.h"
#include "cores/core.h"

enum thread_state { THREAD_NEW, THREAD_READY, THREAD_RUNNING, THREAD_PARKED, THREAD_MOVING,
		    THREAD_DEAD };

/* thread.kill: it dies, or parks until thread_answer, at the next chance. */
#define THREAD_DIE 1u
#define THREAD_STOP 2u

struct inbox;

#define CORE_WORDS (CORES_MAX / 64) /* of a set of cores */

struct thread {
	struct arch_user user;

	/* owner core only */
	struct list link;  /* run queue */
	struct list at;	   /* every thread of its core */
	uint8_t state;
	uint8_t kill;	   /* THREAD_*: set on its own core, obeyed instead of running */
	uint8_t woken;	   /* a wake came while it was not parked; the next park answers false */
	bool parked;	   /* MOVING: it was */
	uint16_t from;	   /* MOVING: the core it left */
	nsec_t slice_end;	   /* 0: it has not run since it came to this core */
	nsec_t seen;	   /* slice_end as proc/move.c has seen it; 0: not yet */
	nsec_t ready_since;  /* when it last came onto the queue */
	nsec_t since;	   /* when it came to this core */
	struct inbox *inbox; /* NULL: it receives no notices */
	uint64_t been[CORE_WORDS]; /* bit per core that it has left */

	/* set once */
	struct aspace *as;
	/* Handed down by proc/: the thread trapped. Returns true if it may go on at once. Runs on
	 * the thread's core. */
	bool (*trap)(struct thread *t, enum arch_exit_kind kind, const struct arch_exit *exit);
	/* Handed down by proc/: the thread will never run again; called once, on its core. */
	void (*dead)(struct thread *t);
	/* Handed down by proc/: it has parked, as thread_stop wanted. On its core. */
	void (*stopped)(struct thread *t);
	/* Handed down by proc/: the thread has come to this core. */
	void (*moved)(struct thread *t);

	/* index of the core that it belongs to, which alone changes it: release, pairs with the
	 * acquire of thread_core. Everybody else's knowledge of it is a hint. */
	_Atomic uint32_t core;

	/* any core */
	struct mail wake_mail;
	/* nonzero: wake_mail is under way, further wakes have nothing to add */
	_Atomic uint32_t wakes;
	/* nonzero: parked until its trap is answered (thread_answer), whatever else wakes it */
	_Atomic uint32_t serving;
	struct mail move_mail;	  /* asks its core to send it away; then travels ahead of it */
	_Atomic uint32_t move_to; /* core that it is asked to go to, plus one; 0: none */
	/* bit per core that it may move to; all ones unless its affinity was set */
	_Atomic uint64_t allowed[CORE_WORDS];
};

/* Creates a core's user placement; sets PART_USER. Boot. */
void placement_init(struct core *c);

/* The user core with the fewest threads, the first of these; threads are counted from their birth
 * on. Any core. */
unsigned placement_least_loaded(void);
/* A new thread (zero, but for what proc/ hands down) belongs to user core `core`. Any core. */
void thread_place(struct thread *t, unsigned core);

/* Makes a new thread ready on its core. Any core. */
void thread_start(struct thread *t);
/* On the thread's core, from its trap handler: it will not run until woken. A wake that came first
 * makes this return false. */
bool thread_park(struct thread *t);
/* The same for a trap that is served elsewhere, or later: only thread_answer, by who serves it and
 * from any core, lets it run again. */
void thread_park_served(struct thread *t);
void thread_answer(struct thread *t);
static inline bool thread_is_served(const struct thread *t)
{
	return atomic_load_explicit(&t->serving, memory_order_relaxed);
}
/* Any core. Idempotent. */
void thread_wake(struct thread *t);
/* On the thread's core only. */
void thread_kill(struct thread *t);
/* On the thread's core, from a message: before its next instruction in user mode it parks as by
 * thread_park_served, and t->stopped is called. True: it is in a call that is being served, and
 * stops when that is answered. */
must_use bool thread_stop(struct thread *t);

/*
 * Asks for the thread to move to core `to`. Any core; whoever asks knows that the thread is not
 * taken apart meanwhile: its core while it is on it, or its process's home core while the process
 * is alive. 0: asked for, or it is there already; it moves when its core next looks. -EBUSY: a move
 * that was asked for is not over, or it has not begun to run or has ended; -EINVAL: `to` runs no
 * threads, or not this one (t->allowed).
 */
must_use int thread_send(struct thread *t, unsigned to);
/* A message about `t` was delivered here: false if it belongs to this core. Else the message
 * follows it, and nothing of `t` may be touched any more. */
bool thread_follow(struct thread *t, struct mail *m);
static inline unsigned thread_core(const struct thread *t)
{
	return atomic_load_explicit(&t->core, memory_order_acquire);
}
/* Where `t` may be from now on: at least one core that runs users is in `mask`. If it is elsewhere
 * it is sent away; one that is under way looks when it arrives, one that has not begun when it
 * does. Who may call: as for thread_send. */
void thread_allow(struct thread *t, const uint64_t mask[CORE_WORDS]);
static inline bool thread_may_be_on(const struct thread *t, unsigned core)
{
	return atomic_load_explicit(&t->allowed[core / 64], memory_order_relaxed) >> core % 64 & 1;
}
/* The next core behind `after` that runs users and that the thread may be on; `after` if there is
 * no other. */
unsigned thread_next_core(const struct thread *t, unsigned after);

/* For a quick door (arch.h): nothing came up on this core that the running thread must make way
 * for. */
static inline bool thread_may_go_on(const struct core *c)
{
	return !c->attention;
}

unsigned placement_ready_count(struct core *c);
/* Threads that belong to `c`, under way to it included. Any core. */
unsigned placement_count(const struct core *c);
/* The first thread of this core behind `t` (NULL: of all), NULL at the end. Own core; a thread that
 * has been sent away is not of it. */
struct thread *placement_next(struct core *c, const struct thread *t);

#endif
