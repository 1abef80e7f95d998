/*
 * op: one in-flight operation; the mechanism (header, park, wake, executor). Its meaning is in
 * ring/.
 *
 *            op_start            DONE
 *   (taken) ---------> STEPPING ------> ring posts the CQE, op returns to its pool
 *                       ^    |PARKED
 *                 wake  |    v
 *                      on one wait list
 *
 * An op runs on one core at a time (op->core). Each call of its step visits one state and returns a
 * verdict; the only loop is the executor's. A parked op sits on exactly one wait list, or waits for
 * a device or a timer that will wake it; a state re-checks its condition on entry, so spurious
 * wakes are legal and waking is idempotent. Foreign cores wake through the mailbox
 * (op_wake_remote).
 */
#ifndef SCHED_OP_H
#define SCHED_OP_H

#include "base/list.h"
#include "base/panic.h"
#include "cores/core.h"

struct ring;
struct file;

enum step {
	STEP_DONE,    /* res is final; zero, because it is asked for most */
	STEP_AGAIN,   /* call me again, in another state */
	STEP_PARKED,  /* somebody will wake me */
	STEP_DEGRADE, /* the rest needs a stack of its own: run row->fiber */
};

/* Where an op is, for cancel, assertions and the epitaph. */
enum op_life {
	OP_FREE,
	OP_HELD,
	OP_RUNNABLE,
	OP_STEPPING,
	OP_PARKED,
	OP_FIBER,
	OP_TRAVELLING,
	OP_DONE
};

#define OP_PLACE_RING 0 /* on the ring's core */
#define OP_PLACE_NET 1  /* on the first core with ROLE_NET */
#define OP_PLACE_HOME 2 /* on the process's home core */
#define OP_PLACE_ANY 3  /* on any core that serves: the ring's, until that gives it away */

#define OP_BYTES 256
#define OP_BODY_BYTES 128
#define OP_PRIORITIES 8 /* 0 is the most urgent */
#define OP_PRIORITY_NORMAL 4u
#define OP_PICKS_MAX 40 /* the first op of a run queue is among the next so many that run */

struct op_row;

struct op {
	struct list link; /* run queue or the one wait list */
	struct mail mail;	 /* travelling between cores, remote wake */
	/* a cancellation on its way to the op's core; deliver != NULL: it is out, keep the op */
	struct mail cancel_mail;

	const struct op_row *row;
	struct ring *ring;	/* where the completion goes; NULL: kernel's own, see `complete` */
	struct file *file;	/* reference held while the op runs, or NULL */
	uint64_t user_data;

	struct op *chain;	/* next op of the link chain, waiting for this one */
	/* ring's hash of ops in flight, ring's core only; linked only once the op has left the
	 * hand */
	struct list inflight;

	int32_t res;
	uint32_t cqe_flags;

	union {
		struct {
			uint8_t state;	   /* row's own */
			uint8_t life;	   /* enum op_life */
			uint8_t opcode;
			uint8_t sqe_flags; /* IOSQE_* */
			uint8_t priority;
			uint8_t core;	   /* index of the core that executes it */
			uint8_t flags;	   /* OP_* below */
			uint8_t home;	   /* index of the core whose pool it came from */
		};
		uint64_t word; /* all eight at once */
	};

	uint64_t extra;	   /* upper half of a 64-bit result, or ring-private */

	char body[OP_BODY_BYTES] __attribute__((aligned(8)));
};
_Static_assert(sizeof(struct op) == OP_BYTES, "an in-flight operation is 256 bytes");

/* where these are in op->word */
#define OP_WORD_OPCODE 16
#define OP_WORD_PRIORITY 32

/* The eight bytes of op->word (little-endian, as both machines are): state 0, no flags. */
static inline uint64_t op_word(uint32_t life, uint32_t opcode, uint32_t sqe_flags,
			       uint32_t priority, uint32_t core, uint32_t home)
{
	return life << 8 | opcode << OP_WORD_OPCODE | (uint64_t)sqe_flags << 24 |
	       (uint64_t)priority << OP_WORD_PRIORITY | (uint64_t)core << 40 |
	       (uint64_t)home << 56;
}

#define OP_CANCELLED                                                                               \
	1u /* cancel was asked for; a step that parks again should finish with -ECANCELED instead */
#define OP_WAKE_PENDING                                                                            \
	2u /* woken while stepping: the executor runs it again instead of parking it */
#define OP_GIVEN 4u	    /* a crowded core has given it away: once is enough */
#define OP_SILENT 8u	    /* ends without a CQE, whatever its result */
#define OP_LONG 8u	    /* its next step computes long: op_goto_long */
#define OP_TIMED 16u	    /* a link timeout is armed for it */
#define OP_MULTISHOT 32u
#define OP_RESULT64 64u	    /* `extra` carries the upper half of the result */
#define OP_ON_FIBER 128u    /* a wake continues its fiber, not its step */

/* What the checking half sees: the private copy of the SQE, and nothing else of the program's
 * memory. */
struct io_uring_sqe;

/*
 * One row per opcode. `check` copies what it needs out of the SQE copy into the body and rejects
 * unknown bits with a negative errno; it has no side effects that need undoing (no pins, no
 * references). `step` acts. `cancel` runs on the op's core while the op is parked: it takes the op
 * off what it waits for and returns 0 when the op is now finished (op_finish called, or the step
 * will see OP_CANCELLED after op_wake), -EALREADY when it must be left to complete by itself. NULL
 * cancel: never parks, or -EALREADY.
 */
struct op_row {
	const char *name;
	uint16_t body_size;
	union {
		struct {
			/* fd of the SQE is resolved to op->file before the first step */
			uint8_t needs_file;
			uint8_t place;	    /* OP_PLACE_*: where it runs when no file says so */
			/* the SQE's generic fields (personality, ...) are arguments: do not look at
			 * them */
			uint8_t raw;
			uint8_t spread;	    /* the file may name another core: file_ops.place */
		};
		uint32_t special; /* any of the four */
	};
	uint8_t buf_select;   /* accepts IOSQE_BUFFER_SELECT */
	uint8_t ioprio_bits;  /* the lower bits of ioprio are its own flags */
	uint8_t preemptible;  /* has long steps: op_goto_long */
	uint8_t state_count;
	/* Does all of a plain entry at once, without an op: true, and *res is its result. False:
	 * nothing was done. On the ring's core, for entries without flags but FIXED_FILE. NULL:
	 * never. */
	bool (*quick)(struct core *c, struct ring *r, const struct io_uring_sqe *sqe, int32_t *res);
	/* Where this very op can run from its present state on: OP_PLACE_*. NULL: as `place`
	 * says. */
	uint8_t (*placed)(const struct op *op);
	/* Roughly how many nanoseconds the rest of this very op computes, which waits in a run
	 * queue; 0: not worth a word. NULL: 0. What `placed` lets run anywhere may then be given to
	 * a core that has less to do. */
	uint32_t (*work)(const struct op *op);
	int (*check)(struct op *op, const struct io_uring_sqe *sqe);
	enum step (*step)(struct op *op);
	int (*cancel)(struct op *op);
	/* for STEP_DEGRADE: runs on a fiber, may park anywhere, ends with op->res set */
	void (*fiber)(struct op *op);
	const char *const *state_names;
};

/* The body as the family's struct; boot checks body_size <= OP_BODY_BYTES. */
#define op_body(op, type)                                                                          \
	({                                                                                         \
		_Static_assert(sizeof(type) <= OP_BODY_BYTES, "op body too large");                \
		(type *)(void *)(op)->body;                                                        \
	})

/* ---- for steps ------------------------------------------------------------------------------ */

static inline enum step op_finish(struct op *op, int32_t res)
{
	op->res = res;
	return STEP_DONE;
}

/* The core that runs it, as who does not run it may see. Pairs with op_send. */
static inline unsigned op_core(const struct op *op)
{
	return __atomic_load_n(&op->core, __ATOMIC_ACQUIRE);
}

/* A cancellation travels to or from the op's core. Ring's core only. */
static inline bool op_cancel_is_out(const struct op *op)
{
	return op->cancel_mail.deliver;
}

static inline enum step op_goto(struct op *op, uint8_t state)
{
	op->state = state;
	return STEP_AGAIN;
}

/*
 * The same, and the next step computes long: it runs from the run queue, on a stack of its own, and
 * in its windows (sched/preempt.h) it may be interrupted and go on later, on the same core. With no
 * stack free it runs as any other. Only in rows that are `preemptible`.
 */
static inline enum step op_goto_long(struct op *op, uint8_t state)
{
	audit(op->row->preemptible);
	op->flags |= OP_LONG;
	return op_goto(op, state);
}

/* The same state again, from the run queue: a long loop whose pieces are steps. */
static inline enum step op_pause(struct op *op)
{
	return op_goto_long(op, op->state);
}

/* Things ops wait for. Owner core only. */
struct waitlist {
	struct list ops;
};

static inline void waitlist_init(struct waitlist *w)
{
	list_init(&w->ops);
}

/* Puts the op on the list (behind those that wait already) and returns STEP_PARKED. */
static inline enum step op_park(struct op *op, struct waitlist *w)
{
	audit(!list_is_linked(&op->link) && !arch_window_is_open());
	list_push_back(&w->ops, &op->link);
	return STEP_PARKED;
}

/* Parked on nothing: a device or timer holds a pointer to the op and will call op_wake. */
static inline enum step op_park_alone(struct op *op)
{
	(void)op;
	return STEP_PARKED;
}

noreturn_fn void op_corrupt(struct op *op);

/* ---- for whoever an op waits for; owner core (op->core) only --------------------------------- */

/* Makes a parked op runnable (unlinks it from its wait list). Harmless if it already is. While it
 * is stepping: it steps again. */
void op_wake(struct op *op);
/* Wakes the oldest / all. Returns how many. */
unsigned waitlist_wake_one(struct waitlist *w);
unsigned waitlist_wake_all(struct waitlist *w);

/* ---- for the ring and for kernel-internal ops ------------------------------------------------ */

/* Runs the op on this core until it parks or is done, at most the step budget; then it goes on from
 * the run queue. */
void op_run(struct op *op);
/* Queued, behind what is runnable already and as urgent; before it. */
void op_run_later(struct op *op);
void op_run_soon(struct op *op);
/* Hands the op to core `index`, which runs it from its current state. */
void op_send(struct op *op, unsigned index);

/* Called by the executor, on the core where the op ran, when it is done. Set once at boot by
 * ring/. */
extern void (*op_done_hook)(struct op *op);

/* What an op is called where it is measured (base/meter.h). Set once at boot by ring/. */
extern const char *(*op_measured_as)(const struct op *op);
/* While that is on: a stretch of the op begins. */
void op_measure(const struct op *op);
/* It is on: from now on ops that are done end their stretches. Boot, when op_done_hook is set. */
void op_measure_init(void);

/* Marks the op cancelled and, if it is parked on this core, runs its row's cancel. 0: it will
 * complete soon with the cancellation seen; -EALREADY: it cannot be stopped and completes by
 * itself; -ENOENT: it is already done. op->core only. */
int op_cancel(struct op *op);

/* From another core than op->core: makes it run again there. One remote wake may be under way at a
 * time (uses op->mail). */
void op_wake_remote(struct op *op);

/* Takes a runnable op off this core's queue: it is parked, on nothing. */
void op_unqueue(struct op *op);
/*
 * Gives runnable ops of this core to core `to`, which runs them from their present state, until
 * they are `work_ns` of work: those that may run anywhere and whose rest is worth the way (their
 * row says both: `placed`, `work`). What would run last here goes first. Each op is given away once
 * in its life. Returns how many. In the core's turn, not from a step.
 */
unsigned op_give(struct core *c, unsigned to, uint64_t work_ns);
/* Tells the balancer of them: BALANCE_OP. Boot. */
void op_give_init(void);
/* Told before an op is sent on from where its ring had it run. Set once at boot by ring/. */
extern void (*op_given_hook)(struct op *op, unsigned to);

/* What the ring does after an op's first step: goes on from verdict `v`. */
void op_continue(struct op *op, enum step v);

/* ---- executor -------------------------------------------------------------------------------- */

/* Creates the executor of a core that serves and its pool of `ops` operations; sets PART_OPS.
 * Boot. */
void executor_init(struct core *c, uint32_t ops);
/* Its queue of priority `prio`: give.c. Own core. */
struct list *executor_queue_at(struct core *c, unsigned prio);
/* The op whose step or fiber runs now on core `c`, for the epitaph; NULL if none. */
struct op *executor_running(const struct core *c);
/* Runnable ops wait on this core. */
static inline bool executor_has_work(const struct core *c)
{
	return c->ops_ready;
}

/* Ops this core's pool holds / has free. */
uint32_t ops_free_count(struct core *c);
uint32_t ops_total_count(struct core *c);
/* An op of this core's pool, life OP_HELD, header zeroed except pool links; NULL when the pool is
 * empty. */
struct op *op_alloc(struct core *c);
/* Returns it. Owner core (the pool it came from) only. */
void op_free(struct core *c, struct op *op);

#endif
