/*
 * inbox: what a thread receives notices with: identities 1 to 63 that others post to it.
 *
 *   OUT --its thread is about to run--> IN a slot of its core --another thread needs the slot--> OUT
 *
 * In a slot (arch.h, mailboxes) a notice is a store, by a kernel core or by a program to which the
 * slot's page is mapped (a wire), and no kernel code runs. Out of it, or on a machine without
 * slots, the kernel keeps the pending bits: a wire then has no page, the sender's store faults, and
 * the fault posts. Whoever moves an inbox takes the page from every wire, waits until no core has
 * it, and then moves what is pending: nothing is lost, and nothing reaches a stranger. An inbox
 * that is never in a slot may have upcalls (upcall.h): then the pending bits are in the program's
 * memory.
 *
 * An inbox in a slot whose thread does not run is watched: what comes ends the core's sleep, or the
 * program that runs there, and `told` is called on the home core; unless the thread has turned
 * notices off, and so does not want to be woken by them. A lock guards what more than one
 * core touches; it is held for a store, or for a move.
 */
#ifndef SCHED_INBOX_H
#define SCHED_INBOX_H

#include "base/list.h"
#include "cores/core.h"
#include "mm/aspace.h"
#include "sched/timer.h"
#include "sched/upcall.h"

struct thread;

struct inbox {
	/* any core; these three, and `home`, survive the inbox: somebody may be at them until the
	 * end, and a told that comes late is one too many and no harm */
	_Atomic uint32_t lock;
	_Atomic uint32_t mails; /* nonzero: `mail` is under way */
	struct mail mail;	/* to the home core: told */

	/* any core, under the lock */
	uint32_t slot;		 /* 0: out; else of `core` */
	uint32_t core;
	bool open;		 /* somebody receives */
	struct arch_inbox state; /* while it is out */
	struct list wires;	 /* struct wire */
	struct list sources;	 /* struct inbox_source: none but an empty list leaves its slot */

	/* written by the thread's core: it has turned notices off, so that nothing need wake it; it
	 * is parked until something comes, wanted or not */
	_Atomic bool deaf, waits;
	struct timer alarm; /* thread's core: its own timer, while it waits; that of upcalls */
	struct upcall upcall;

	/* thread's core only */
	bool watched;
	bool undo;    /* one of `watched`, `waits`, or doze.seen < 0: not while its thread runs */
	bool alarmed; /* while it moves: `alarm` is to be armed where it arrives */
	struct core_doze doze;

	/* set once */
	struct thread *thread;
	uint32_t home;
	bool direct; /* its thread is of the kind uintr: it can be in a slot */
	/* Handed down by ring/: something came while the thread did not run, or cannot know. On the
	 * home core. */
	void (*told)(struct inbox *ib);
};

/* A page of some program through which it posts to an inbox. The table is the machine's. */
struct wire {
	struct list link;   /* inbox->wires, under the inbox's lock */
	struct inbox *inbox; /* NULL: what is stored goes nowhere */
	const void *via;     /* set once: by what it may be revoked */
	struct aspace *as;
	uaddr_t at;
	_Atomic uint32_t used; /* slot of the table: 0 free, 1 being made, 2 in use */
};
#define WIRES_MAX 1024u
#define WIRES_PER_SPACE 16u

/* Gives `t` the inbox `ib` (zero, or an inbox before and nothing since). Home core; the thread's
 * core learns of it by inbox_attach there. */
void inbox_init(struct inbox *ib, struct thread *t, uint32_t home, void (*told)(struct inbox *ib));
/* On the thread's core, whenever the thread is not in user mode. area: what the program shares, or
 * NULL: its upcalls, or its word of how long it has waited; whoever attaches it keeps that memory
 * until the inbox is closed. */
void inbox_attach(struct inbox *ib, struct sluice_upcall *area);
/* Upcalls: identity 0 is posted at `when`; NSEC_NEVER: not. Thread's core. */
void inbox_alarm_set(struct inbox *ib, nsec_t when);
/* The thread ends: out of its slot for good, wires lead nowhere. Thread's core. */
void inbox_close(struct inbox *ib);

/*
 * A device's interrupt that posts to an inbox by itself. Its memory is whoever's claims the device,
 * and outlives the inbox: `inbox` says whether it is attached.
 */
struct inbox_source {
	struct list link;	     /* inbox->sources, under the inbox's lock */
	struct inbox *_Atomic inbox; /* NULL: masked */
	uint32_t irq, id;
	uint32_t line; /* by upcalls: of INBOX_LINES, plus 1; 0: none */
	bool held;     /* under the lock: it came, and its line is held until it was served */
};
/* `irq` posts `id` to `ib` from now on, wherever `ib` was attached before. -EPIPE: nobody is there
 * any more, -EOPNOTSUPP: it is never in a slot and has no upcalls, -ENOSPC: as many inboxes have
 * devices as a core has slots, less one, or all lines are in use. Whoever claims the device, one at
 * a time. */
must_use int inbox_source_attach(struct inbox_source *s, struct inbox *ib, uint32_t irq,
				 uint32_t id);
/* Masks it. Any core. */
void inbox_source_detach(struct inbox_source *s);

/* Posts identity `id` (1 to 63). Any core. False: nobody is there any more. */
bool inbox_post(struct inbox *ib, unsigned id);
/* For an inbox that is never in a slot: takes what is pending of `mask`, or has its home core told
 * of the next that comes; sets what is told of at all (without upcalls). Home core. */
uint64_t inbox_take(struct inbox *ib, uint64_t mask);
void inbox_enable(struct inbox *ib, uint64_t mask);

/* The thread is about to run (others want the core, too: share), has left user mode, or has parked.
 * Thread's core. */
void inbox_run(struct core *c, struct inbox *ib, bool share);
static inline void inbox_stop(struct core *c, struct inbox *ib)
{
	if (unlikely(*ib->doze.word != ib->doze.seen))
		ib->undo |= core_doze_count(c, &ib->doze);
}
/* From its trap: it waits for something of its own, and leaves the core to others until then. */
void inbox_wait(struct inbox *ib);
void inbox_rest(struct inbox *ib);
/* Its thread leaves this core; it has come to this core. Thread's core, the old and the new. */
void inbox_leave(struct inbox *ib, bool parked);
void inbox_arrive(struct core *c, struct inbox *ib, bool parked);
/* Its handler has returned, by a trap: it goes on where it was interrupted. False: it has no
 * upcalls.
 */
must_use bool inbox_return(struct inbox *ib);
/* Looks at the watched slots of this core. */
void inboxes_look(struct core *c);
/* Boot: memory for the slots of a core that runs threads. */
void inboxes_init(struct core *c);

/* A wire of `as` to `ib`: maps one page, (*out)->at. -ENOMEM, -ENOSPC (no wire left), -EPIPE
 * (closed). Home core of `as`. */
must_use int wire_make(struct inbox *ib, struct aspace *as, const void *via, struct wire **out);
/* What is stored there goes nowhere from now on: one, or all that were made `via`. Any core. */
void wire_cut(struct wire *w);
void wires_cut(struct inbox *ib, const void *via);
/* `as` ends: its wires are free again. Home core of `as`, no thread runs it. */
void wires_drop(struct aspace *as);
/* The wire whose page is at `va`, NULL: none. Any core, while `as` is alive. */
struct wire *wire_find(struct aspace *as, uaddr_t va);
/* Posts through it what a store would have posted. */
void wire_post(struct wire *w, uint32_t id);

/*
 * The waker of a serving core: an inbox that stays in its slot, so that a program's store ends the
 * core's sleep. NULL: the machine has no slots, or this core runs programs too. Own core.
 */
struct inbox *waker_inbox(struct core *c);
#define WAKER_ID 1u
/* About to sleep, and awake again. Own core. */
void waker_arm(struct core *c, bool on);

/* ---- what the files of an inbox know of each other: inbox.c, upcall.c, source.c */

void inbox_lock(struct inbox *ib);
void inbox_unlock(struct inbox *ib);
/* Has `told` called on the home core, soon and once. Any core. */
void inbox_tell(struct inbox *ib);
/* Under the lock, on the thread's core: its sources post to it where it is now, or not; it ends. */
void inbox_sources_lead(struct inbox *ib, bool on);
void inbox_sources_end(struct inbox *ib);
/* arch_line_taken. */
bool inbox_line_taken(unsigned line);
/* Its thread has served, or is about to sleep: lines whose identity is not pending may come again.
 * Thread's core; it has upcalls. */
void inbox_lines_release(struct inbox *ib);

#endif
