/*
 * internal: what the files of ring/ say to each other and to nobody else.
 */
#ifndef RING_INTERNAL_H
#define RING_INTERNAL_H

#include <string.h>

#include "ring/ring.h"
#include "sched/timer.h"
#include "uapi/errno.h"

#define IOSQE_KNOWN 0x7fu /* bits 0 to 6; bit 7 is refused */

/* Per-core ring state. Owner core only. */
struct ring_core {
	/* every RING_POLLED ring of this core, which alone changes it, and holds `listing` then;
	 * another core may read while it holds that */
	struct list rings;
	atomic_flag listing;
	struct list entered;  /* every RING_ENTER ring of this core */
	/* chain members whose turn has come: begun by ring_begin_ready, never recursively */
	struct list ready;
	bool beginning; /* that is under way, and has begun so many */
	uint32_t begun;
	uint32_t polled_count;
	uint32_t unsorted; /* a priority has changed since rings_sort */
	/* set once: ops that only doors may take, one per thread or a quarter of the pool */
	uint32_t door_ops;
	/* move_us: move.c */
	struct timer tick;
	struct mail tick_mail;
};

static inline void rings_lock(struct ring_core *rc)
{
	while (atomic_flag_test_and_set_explicit(&rc->listing, memory_order_acquire))
		arch_relax();
}

static inline void rings_unlock(struct ring_core *rc)
{
	atomic_flag_clear_explicit(&rc->listing, memory_order_release);
}

/* A thread parked in enter, or a trap on its way to the ring's core. One per thread, see
 * enter.c. */
struct enter_wait {
	struct mail mail;
	struct list link; /* ring->waiters */
	struct user_thread *thread;
	struct ring *ring; /* its file is referenced */
	uint32_t core;	   /* where the last ring it entered was */
	uint32_t to_submit, min_complete, flags;
	uint8_t timed; /* `deadline` is meant */
	uint8_t posted; /* `mail` is out */
	uint8_t begun; /* the quick door has submitted already: `result` */
	nsec_t deadline;
	int64_t result; /* entries submitted so far */
	struct timer timer;

	/* a notice for a thread that waits on a ring away from home; any core, atomic */
	_Atomic uint32_t told; /* enum enter_told */
	/* home core, until the letter has arrived */
	struct mail told_mail;
	struct ring *told_ring;
};

#define QUICK_NONE UINT64_MAX

/* A thread's door: the slot for its traps and its place to wait. From a pool; user_thread.slot and
 * .enter point into it. */
struct door {
	struct ring slot;
	struct enter_wait wait;
	struct io_uring_sqe sqe; /* the trap as an SQE, kernel-private */
	struct mail mail;
	bool served; /* the result came before the thread parked */
	bool begun; /* the quick half has submitted the call already: call.c */
	uint32_t quick_left; /* calls that it serves before the core's turn is due */

	/* its thread has ended and is taken out of enter; home core but for the mail */
	struct mail leave_mail;
	bool leaving, left;

	/* the last enter that this core could serve itself: what the quick door may take without
	 * looking further */
	uint64_t quick_fd; /* QUICK_NONE: there is none */
	/* where the descriptor table holds quick_ring's file, unless it was closed since */
	struct file *_Atomic *quick_slot;
	struct ring *quick_ring;
};

/* ---- ring.c: take and complete */

/* Takes at most `max` entries (more to complete an open chain). Returns entries consumed. Ring's
 * core. */
unsigned ring_take(struct core *c, struct ring *r, unsigned max);
/* One SQE, already copied, goes into the core's hand (which must not be NULL). */
void ring_accept(struct core *c, struct ring *r, struct io_uring_sqe *sqe);
/* May `r` take another op, or does it hold its share of the pool? */
bool ring_may_take(const struct core *c, const struct ring *r);
/* The core's hand, from the pool if it has none. NULL: `r` holds its share of the pool. */
struct op *ring_refill_hand(struct core *c, const struct ring *r);
/* The hand, accepted for `r`, goes on from verdict `v` of its first step: answered, or in
 * flight. */
void ring_hand_went(struct core *c, struct ring *r, struct op *op, enum step v);
/* Gives a finished op back to the pool it came from. */
void op_release(struct core *c, struct op *op);
/* The op's terminal CQE, and what hangs on it: chain, drain, timeouts. Ring's core; op->life is
 * OP_DONE. */
void ring_complete(struct core *c, struct ring *r, struct op *op);
/* Those who look at the CQ tail other than by polling it: counting timeouts, threads in enter,
 * pollers of the ring's descriptor. */
void ring_tell(struct core *c, struct ring *r);
/* The executor's op_done_hook: an op of a ring is done, on whatever core it ran. */
void ring_op_done(struct op *op);
/* Stores the CQ tail if it moved and tells who waits for it. */
static inline void ring_publish(struct core *c, struct ring *r)
{
	uint32_t tail = ring_cq_tail(r);

	if (tail == r->cq_published || unlikely(!r->shared))
		return;
	c->count->cqes += tail - r->cq_published;
	r->cq_published = tail;
	atomic_store_explicit(&r->shared->cq_tail, tail, memory_order_release);
	if (unlikely(r->watchers))
		ring_tell(c, r);
}
/* Moves held CQEs into the CQ as far as they fit. */
void ring_flush_overflow(struct core *c, struct ring *r);
/* CQEs the program has not consumed yet. */
static inline uint32_t ring_ready(const struct ring *r)
{
	return ring_cq_tail(r) - atomic_load_explicit(&r->shared->cq_head, memory_order_acquire);
}
/* From now on every CQE takes the slow way in, behind those that are held back. */
void cq_note_overflow(struct core *c, struct ring *r, struct op *op);
/*
 * cq_at has come to cq_stop: wraps, and reads the program's head again. False: the queue is full. A
 * program that lies about its head only overwrites its own CQEs.
 */
bool cq_find_room(struct ring *r);

static inline void cq_write(struct ring *r, uint64_t user_data, int32_t res, uint32_t flags)
{
	struct io_uring_cqe *cqe = r->cq_at;

	cqe->user_data = user_data;
	cqe->res = res;
	cqe->flags = flags;
	r->cq_at = cqe + 1;
}

/* False: there is no room, or others that found none come first. */
static inline bool cq_post(struct ring *r, uint64_t user_data, int32_t res, uint32_t flags)
{
	if (unlikely(r->cq_at == r->cq_stop) && (!list_is_empty(&r->overflow) || !cq_find_room(r)))
		return false;
	cq_write(r, user_data, res, flags);
	return true;
}

static inline void more_credit_give(struct ring *r)
{
	atomic_fetch_add_explicit(&r->more_credit, 1, memory_order_relaxed);
}

struct list *ring_bucket(struct ring *r, uint64_t user_data);
/* Was it an error or a short transfer? Then a soft link behind it breaks, and CQE_SKIP_SUCCESS does
 * not keep its CQE back. */
bool ring_op_failed(const struct op *op);
/* Ends an op that has not begun with `res`. */
void ring_complete_unbegun(struct core *c, struct ring *r, struct op *op, int32_t res);

/* ---- chain.c: links and drain */

/* The careful path of ring_accept: the hand leaves as a chain member or a held-back op. */
void ring_accept_careful(struct core *c, struct ring *r, struct io_uring_sqe *sqe);
/* A batch ended: an open chain ends with it. */
void ring_chain_end(struct core *c, struct ring *r);
/* Starts an op that was accepted earlier: file, place, link timeout, first step. */
void ring_begin(struct core *c, struct ring *r, struct op *op);
/* Begins everything on the core's ready list. */
unsigned ring_begin_listed(struct core *c);
static inline unsigned ring_begin_ready(struct core *c)
{
	return likely(list_is_empty(&c->rings->ready)) ? 0 : ring_begin_listed(c);
}
/* Called by ring_complete: what the end of `op` means for the rest of its chain. */
void ring_chain_advance(struct core *c, struct ring *r, struct op *op);
/* Called by ring_complete: the last op in flight may let a drained one go. */
void ring_drain_advance(struct core *c, struct ring *r);
/* Checks of flags and fields that every opcode shares, then the row's own. 0 or -errno. */
must_use static inline int ring_check(struct op *op, const struct op_row *row,
				      const struct io_uring_sqe *sqe)
{
	if (unlikely(!row || (sqe->flags & ~IOSQE_KNOWN)))
		return -EINVAL;
	if (likely(!row->raw)) {
		if (unlikely(sqe->personality))
			return -EINVAL; /* none can be registered here */
		if (unlikely((sqe->flags & IOSQE_BUFFER_SELECT) && !row->buf_select))
			return -EOPNOTSUPP;
	} else if (sqe->flags & (IOSQE_BUFFER_SELECT | IOSQE_FIXED_FILE)) {
		return -EINVAL;
	}
	return row->check(op, sqe);
}
/* A SYSCALL whose number is another opcode's work: *sqe names the entry that asks for it from now
 * on, made in `room`, and the answer is that opcode's row; else `row` as it was. The call's error,
 * if its arguments already are one, through *err. */
must_use const struct op_row *sys_translate(const struct op_row *row,
					    const struct io_uring_sqe **sqe,
					    struct io_uring_sqe *room, int *err);
/* Resolves op->file from the descriptor kept in op->res. 0 or -EBADF. */
must_use int ring_resolve_file(struct ring *r, struct op *op);
/* The core `op` must run on. Ring's core. */
uint32_t ring_place(const struct ring *r, const struct op *op);

/* ---- priority.c */

/* Of entries that do not say otherwise. */
static inline uint32_t ring_priority(const struct ring *r)
{
	return r->op_word >> OP_WORD_PRIORITY & 0xff;
}
/* Is a priority among what ioprio says? */
static inline bool ioprio_asks(const struct op_row *row, uint16_t ioprio)
{
	return row && row->ioprio_bits ? ioprio >> SLUICE_IOPRIO_HIGH_SHIFT : ioprio;
}
/* The priority that the entry asks for, else its ring's; takes it out of ioprio. -EINVAL for what
 * is none. */
must_use int ring_take_priority(const struct ring *r, const struct op_row *row,
				struct io_uring_sqe *sqe);
/* From the next turn on; what was accepted before keeps its priority. ioprio 0: normal. 0 or
 * -EINVAL. */
must_use int ring_set_priority(struct core *c, struct ring *r, uint32_t ioprio);
/* A polled ring takes its place among the core's: the most urgent first. */
void ring_list(struct core *c, struct ring *r);
/* Puts them in order again. Not while somebody walks the list. */
void rings_sort(struct core *c);

/* ---- timeout.c */

void link_timeout_start(struct op *lt, struct op *guarded);
/* The guarded op is done: stops the timer. Returns true if the timeout had fired. */
bool link_timeout_stop(struct op *lt);
/* A TIMEOUT that ended by its time: was that what it was for (ETIME_SUCCESS)? */
bool timeout_is_success(const struct op *op);
/* The ring leaves this core, and comes to one: with what waits here for it. */
void timeout_leave(struct op *op);
void timeout_join(struct core *c, struct op *op);
void link_timeout_leave(struct op *lt);
void link_timeout_join(struct op *lt);
/* CQEs were posted: TIMEOUT ops that count them may be done. */
void timeouts_count(struct core *c, struct ring *r);
/* Reads a struct __kernel_timespec. 0, -EFAULT or -EINVAL. */
must_use int timespec_read(struct aspace *as, uaddr_t at, nsec_t *ns);
/* Deadline on our monotonic clock for a timespec under IORING_TIMEOUT_* flags. */
nsec_t timeout_deadline(nsec_t ns, uint32_t flags);

/* ---- cancel.c */

/* Asks an op in flight to end, wherever it runs. Ring's core. 0, -EALREADY (left to itself) or
 * -EINPROGRESS (asked on another core). */
int ring_cancel_op(struct core *c, struct op *op);
/* Cancels everything in flight on `r`; returns what is left. */
unsigned ring_cancel_all(struct core *c, struct ring *r);

/* ---- move.c */

/* Mail `m` about `r` is delivered here. True: the ring is not here; the mail goes there, or waits
 * for it. */
must_use bool ring_is_elsewhere(struct core *c, struct ring *r, struct mail *m);
/* It is here, and no move of it has begun. */
static inline bool ring_rests_here(const struct core *c, const struct ring *r)
{
	return ring_is_here(c, r) && !r->moving;
}
/* An op of the ring goes to that core. Any core that has the op. */
void ring_visits(struct ring *r, uint32_t core);
/* On its home core, for a ring that does not rest there: it will come, and ring_is_home be
 * called. */
void ring_call_home(struct ring *r);
/* A step on the home core that needs the ring of `f` there: true if it is not, and the op is parked
 * until it is; then it looks again. Takes the reference of `f` over, in op->file, until that. */
must_use bool ring_park_until_home(struct op *op, struct file *f);
/* Boot argument move_us: every core moves each of its rings elsewhere, that often. Boot, for every
 * serving core. */
void ring_moves_init(struct core *c);

/* ---- life.c */

extern const struct file_ops ring_file_ops;
/* Among the rings of this core, which is theirs now. */
void ring_enlist(struct core *c, struct ring *r);
/* The ring has come home and rests: what waited for that goes on. */
void ring_is_home(struct core *c, struct ring *r);
/* A letter (ring->letters) has arrived at the ring's core. */
void ring_letter_came(struct core *c, struct ring *r);
/* Initialises the fields every kind of ring shares. */
void ring_init(struct ring *r, struct process *p, uint32_t core, enum ring_kind kind);
/* An op of a dead ring has completed. If it was the last: its process waits for that, or, where the
 * last descriptor went first, the ring is freed. */
void ring_reap(struct core *c, struct ring *r);
/* turn.c: gives a serving core its rings part. Boot. */
void ring_core_attach(struct core *c);
/* A native ring for a thread of `p`: fills what `start` says about it. `p` is loading, or ring_drop
 * takes it back. 0 or -errno. Home core. */
must_use int ring_create_native(struct process *p, struct sluice_start *start, struct ring **out);
/* Takes a ring back of which the program was told nothing. Home core. */
void ring_drop_native(struct process *p, const struct sluice_start *start, const struct ring *r);
unsigned ring_stop(struct core *c, struct ring *r);
/* io_uring_setup: a descriptor or -errno. Ring's core. */
int ring_setup(struct process *p, uint32_t entries, struct io_uring_params *params);
/* Address of the part of a ring that mmap offset `off` names: through *out its frame block and
 * length. */
must_use int ring_mmap(struct file *f, uint64_t off, uint64_t len, paddr_t *block, uint64_t *bytes);

/* ---- path.c */

/* What has the name at `at`, from descriptor `dir` on; with `empty` and no name the descriptor
 * itself. A reference that is the caller's, good for looking only. 0 or -errno. Home core. */
must_use int path_find(struct op *op, int32_t dir, uaddr_t at, bool empty, struct file **out);

/* ---- futex.c */

/* The word at `at` becomes 0 and everybody who waits on it is woken. Home core. */
void futex_clear(struct process *p, uaddr_t at);
/* The words of the robust list at `head` (0: none) that thread `tid` still holds say that their
 * owner died, and one who waits on each is woken. Home core. */
void futex_abandon_all(struct process *p, uaddr_t head, uint32_t tid);

/* ---- enter.c */

bool ring_door(struct user_thread *t);
/* The same for what this core can serve at once, an enter (ring.c) or a call (call.c); see
 * arch_quick_fn. */
bool ring_door_quick(struct arch_user *user, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		     uint64_t a5, uint64_t a6, uint64_t nr);
/* Its half for calls. False with door->begun: only answering or waiting is left. */
bool ring_call_quick(struct arch_user *user, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		     uint64_t a5, uint64_t a6, uint64_t nr);
int door_init(struct user_thread *t);
void door_moved(struct user_thread *t);
void door_fini(struct user_thread *t);
/* The call that the thread is in ends for a signal, if it can. Home core. */
void door_interrupt(struct user_thread *t);
/* A CQE for a RING_SLOT: the trap's result. */
void door_deliver(struct ring *slot, int64_t result);
/* Wakes threads whose count has come. */
void enter_wake(struct core *c, struct ring *r);
/* Forgets threads of a dying process that wait on `r`. */
void enter_forget(struct core *c, struct ring *r);
/* The ring leaves this core, and comes to one: with those who wait on it. */
void enter_leave(struct ring *r);
void enter_join(struct ring *r);
/* No thread takes the quick door to `r` any more. Home core. */
void door_forget(struct ring *r);
void doors_init(void);
/* The thread of `t` is dead: nothing of it is in flight any more, neither in its slot nor in enter?
 * Asks for that, and says thread_poke when it may have become true. Home core. */
unsigned door_quiesce(struct user_thread *t);
/* "The calling thread" of an entry of `r`, NULL: it has none. Home core. */
struct user_thread *ring_caller(const struct ring *r);

/* ---- table.c */

/* Panics if a row of the op table is not complete. Boot. */
void table_check(void);
/* While steps are measured: each operation and each call has a row, whether it ever runs or not.
 * Boot. */
void table_measure(void);
/* What an op is measured as: its row's name, or its call's. */
const char *sys_op_name(const struct op *op);

/* ---- register.c, bufs.c */

void ring_files_drop(struct ring *r);
/* The file in a registered slot, referenced; NULL if there is none. Ring's core. */
struct file *ring_fixed_file(struct ring *r, int32_t slot);
void ring_bufs_drop(struct ring *r);
void ring_groups_drop(struct ring *r);
extern const struct sys_row sys_io_uring_setup, sys_io_uring_register;

#endif
