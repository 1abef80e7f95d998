/*
 * core: what a hart is to Sluice: its roles, its turn, how it idles.
 *
 * A core's state is changed by that core only; others post to its mailbox. One turn runs the parts
 * below in their fixed order, each bounded, each returning how much it did. A core with nothing to
 * do polls for its spin budget, announces its sleep through every part's arm(), re-checks, waits,
 * and calls disarm().
 */
#ifndef CORES_CORE_H
#define CORES_CORE_H

#include <stdatomic.h>

#include "arch/arch.h"
#include "base/counters.h"
#include "cores/mailbox.h"
#include "cores/policy.h"
#include "uapi/spin.h"

#define ROLE_USER 1u   /* runs user threads */
#define ROLE_KERNEL 2u /* serves rings */
#define ROLE_IO 4u     /* owns disks (a kernel core) */
#define ROLE_NET 8u    /* owns NICs and the TCP/IP stack (a kernel core) */
#define ROLE_MIXED (ROLE_USER | ROLE_KERNEL | ROLE_IO | ROLE_NET)
#define ROLE_RT 16u
#define ROLE_ELASTIC 32u /* ROLE_USER or ROLE_KERNEL, one at a time */
#define ROLE_SERVES (ROLE_KERNEL | ROLE_IO | ROLE_NET)
/* What it must be able to do, now or later. */
#define ROLE_MAY_SERVE (ROLE_SERVES | ROLE_ELASTIC)
#define ROLE_MAY_RUN (ROLE_USER | ROLE_ELASTIC)

/* The order of a turn. Upper floors fill their slots at boot: core_part_set. PART_FLUSH tells
 * devices what the parts before it queued, with one doorbell each, before a user thread may keep
 * the core; it reports no work of its own. */
enum core_part {
	PART_MAILBOX,
	PART_DEVICES,
	PART_TIMERS,
	PART_OPS,
	PART_RINGS,
	PART_FLUSH,
	PART_USER,
	CORE_PARTS
};

struct core_part_ops {
	const char *name;
	/* Bounded work; returns how much was done (0: nothing to do). */
	unsigned (*run)(struct core *c);
	/* About to sleep: make sure the world will ring the doorbell, then look once more. Returns
	 * true if there is work after all. May be NULL. A full fence stands between all arms and
	 * the mailbox's last look. */
	bool (*arm)(struct core *c);
	/* Awake again. May be NULL. */
	void (*disarm)(struct core *c);
	/* Earliest time this part wants to run; NSEC_NEVER if none. May be NULL. */
	nsec_t (*deadline)(struct core *c);
};

struct executor; /* sched/ */
struct timers;	 /* sched/ */
struct placement; /* sched/: user threads of this core */
struct ring_core; /* ring/ */
struct net_core;  /* net/ */
struct inbox_slots; /* sched/inbox.c */
struct balance_desk; /* cores/balance.c */
struct op;

/* What a core says of itself to whoever balances or watches: one line, written by its owner only,
 * read by anybody, field by field (balance.h). */
struct core_signals {
	nsec_t stamp;	     /* the end of its last window */
	union {		     /* written as one word */
		struct core_window window;
		uint64_t window_word;
	};
	union {		     /* read as one word; as struct balance_core has it */
		struct {
			uint8_t index, told; /* what it does, BALANCE_*: kept by roles.c */
			uint16_t ready;	     /* threads that waited when the last turn chose one */
		};
		uint32_t who_word;
	};
	nsec_t ready_since;  /* since when the next of them does; 0: none */
	nsec_t asleep_since; /* 0: it is awake */
	/* since when some ring has had entries that a turn left behind, 0: none; kept by ring/ */
	nsec_t behind_since;
};

/*
 * A thread that waits in its own mode says so in a word of its program's (uapi/notice.h, dozed),
 * and only there is it known. It is believed for the time the thread was on its core, no more. Its
 * memory is type-stable: whoever looks from another core may meet it just when the thread has left,
 * and the page behind `word` is a stranger's by then, which makes one figure wrong.
 */
struct core_doze {
	const int64_t *word; /* core_doze_silent: it says nothing */
	uint64_t turn;	     /* of its core, in which the thread ran last */
	/* its core only, while the thread is not in user mode: the word when it was counted,
	 * negative: it waited then; and what it had said by then */
	int64_t seen;
	nsec_t said;
};

struct core {
	/* owner core only: the hot line */
	struct op *hand;	    /* the op that the next SQE is checked into; see ring/ */
	struct executor *exec;	    /* set once at boot, and so are the next four */
	struct timers *timers;
	struct placement *users;
	struct ring_core *rings;
	struct net_core *net;
	struct counters *count;
	uint64_t turn; /* turns begun */
	/* time read at the start of this turn, and again where its rings were left behind */
	nsec_t now;
	union {
		struct {
			/* bit per priority with runnable ops: kept by sched/executor.c */
			uint32_t ops_ready;
			uint32_t calls;	    /* CORE_CALL_* */
		};
		uint64_t attention; /* nonzero: the running thread must make way for the turn */
	};
	/* deadline of the earliest timer, NSEC_NEVER if none: kept by sched/timer.c */
	nsec_t timer_next;
	nsec_t look_at; /* when it looks at itself: balance_look; NSEC_NEVER: nobody balances */
	nsec_t user_deadline; /* what arch_user_deadline was last told: kept by sched/thread.c */

	/* a long step runs, and may be interrupted in its windows; kept by sched/fiber.c */
	bool preemptible;

	/* set once at boot, NULL: this core has no such part */
	const struct core_part_ops *part[CORE_PARTS];

	/* set once at boot */
	uint32_t index;
	/* of an elastic core, its own code changes it: roles.c. Others: core_has_role */
	uint32_t roles;
	/* The doorbell line: a page of its own, mapped by the programs whose rings this core polls.
	 * Who gives this core work while it is awake adds 1; an idle core waits on it
	 * (arch_relax_on). Only a hint: what it holds means nothing, and a core that was not told
	 * looks soon by itself. NULL: the machine cannot wait like that. */
	_Atomic uint32_t *watch;

	struct inbox_slots *inboxes;
	struct balance_desk *desk;

	/* owner core only */
	/* since the last look: most mails of a turn; and what was counted then */
	uint32_t mails_deep;
	uint64_t idle_seen, sqes_seen, degrades_seen;
	/* an elastic core: the role it is being drained for, 0: none, read by others; until when,
	 * and who got the last it gave away */
	uint32_t role_next, drain_last;
	nsec_t leave_until;
	uint32_t inboxes_used; /* slots that somebody is in */
	nsec_t busy_until; /* last time a turn did something */
	struct spin spin; /* how long it then looks before it sleeps */
	uint32_t watch_seen; /* what *watch held before the last turn that found nothing */
	nsec_t started; /* read by whoever watches (fs/report.c) */
	struct core_doze *doze; /* of the last thread here that has one; likewise */

	/* raised by the owner, set back by whoever reads /dev/cores: the most mails delivered, the
	 * most ops run in one turn */
	_Atomic uint32_t mails_peak, ops_peak;

	/* owner core only: the last sample that the trace took of it */
	nsec_t sample_time, sample_busy;
	uint64_t sample_frames;

	struct core_signals signals __attribute__((aligned(CACHE_LINE)));

	/* any core, atomic; nonzero while the core does not look at its mailbox: asleep, or in user
	 * mode. Pairs with mailbox_post */
	_Atomic uint32_t away __attribute__((aligned(CACHE_LINE)));
	struct mailbox mailbox __attribute__((aligned(CACHE_LINE)));
};

/*
 * Marks for the instruction-counting plugin (arch.h, ARCH_MARK): what lies between BEGIN and IDLE
 * on one hart was polling for nothing. A program's poll loop carries the same pair.
 */
#define MARK_POLL_BEGIN 0x10
#define MARK_POLL_IDLE 0x11

#define CORE_CALL_MAIL 1u  /* the core has posted to itself: no doorbell rings for that */
#define CORE_CALL_TIMER 2u /* a timer is due before the deadline that user mode was given */

_Static_assert(sizeof(struct core_signals) <= CACHE_LINE, "one line");

extern struct core *cores[CORES_MAX]; /* set once at boot; NULL: a hart the map does not name */
extern unsigned cores_count;

static inline struct core *this_core(void)
{
	return arch_core();
}

/* The owner's look into its mailbox. */
static inline bool mailbox_is_empty(const struct core *c)
{
	return !atomic_load_explicit(&c->mailbox.newest, memory_order_relaxed);
}

/* Reads the core map (boot arguments `map`, `spin_us`, `spin`, `policy`), creates a struct core for
 * each hart named. Boot core, before any part is set. Refuses a senseless map (unknown role, hart
 * twice, hart that does not exist, no core that serves for good, none that runs programs, no such
 * policy) with a sentence that names the place: returns -EINVAL. */
must_use int cores_init(void);

/* Fills a slot of `c`'s turn. Before the core is started. */
void core_part_set(struct core *c, enum core_part slot, const struct core_part_ops *ops);

/* Starts the other cores and enters this one's loop. A core that does not start is reported and
 * left out; if it owns devices, or nobody is left to run programs, the machine ends with a
 * sentence. */
noreturn_fn void cores_start(void);

/* A core's life: turns, spinning, sleep. cores_start enters it; the simulator does so itself. */
noreturn_fn void core_loop(struct core *c);
/* The hart does not start: nobody gives it anything any more. roles.c, boot. */
void role_lost(struct core *c);
/* One turn; returns the work done. The simulator may call this itself; core_loop calls it for
 * ever. */
unsigned core_turn(struct core *c);
/* What a core does when core_turn returned 0 past its spin budget: announce, re-check, wait.
 * Returns after waking. */
void core_sleep(struct core *c);
/* The core will not look for a while: from now on mail, devices and rings interrupt it. True: there
 * is work already, in any part `but` that one. core_return, in any case, when it looks again. */
must_use bool core_announce(struct core *c, unsigned but);
void core_return(struct core *c);

extern const int64_t core_doze_silent;
/* The word has changed: what the thread has waited since it was last counted, at most this turn,
 * was no work of the core's (doze_ns). True: it waits still. Own core. */
bool core_doze_count(struct core *c, struct core_doze *d);
/* What it waits until now was not on this core. Own core. */
void core_doze_skip(struct core_doze *d);
/* What threads have waited in their own mode on `c` by `now`; does the one that runs there wait?
 * Any core. */
nsec_t core_dozed(const struct core *c, nsec_t now);
bool core_dozes(const struct core *c);

/* The core's roles as a map names them, joined by +. `text` of CORE_ROLES_TEXT. */
#define CORE_ROLES_TEXT 32
void core_roles_text(const struct core *c, char *text);

/* The owner raises a peak; the load and the store need not be one: a reader that sets it back in
 * between loses one reading. */
static inline void core_peak(_Atomic uint32_t *peak, uint32_t n)
{
	if (n > atomic_load_explicit(peak, memory_order_relaxed))
		atomic_store_explicit(peak, n, memory_order_relaxed);
}

/* Has it one of these roles now? Any core. */
static inline bool core_has_role(const struct core *c, uint32_t role)
{
	return __atomic_load_n(&c->roles, __ATOMIC_RELAXED) & role;
}

/* Is it giving away what it has, to change its role? Any core. */
static inline bool core_is_leaving(const struct core *c)
{
	return __atomic_load_n(&c->role_next, __ATOMIC_RELAXED);
}

/* Is it to be given what its role `role` is for? Any core. */
static inline bool core_takes(const struct core *c, uint32_t role)
{
	return core_has_role(c, role) && !core_is_leaving(c);
}

/* May `c` be a process's home: does it serve, and always will? */
static inline bool core_is_home(const struct core *c)
{
	return core_has_role(c, ROLE_SERVES) && !core_has_role(c, ROLE_ELASTIC);
}

/* First started core that has the role for good: an elastic one is never it. NULL if none. */
struct core *core_with_role(uint32_t role);

#endif
