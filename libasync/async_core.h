/*
 * async_core: the inline half of libasync: the switch, the wait for a completion, and the calls
 * that are too frequent to be functions. Programs include async.h; the manual is there.
 *
 * Owner of everything here: the thread that runs the coroutine; what holds with several of them is
 * in crew.h. The life of a call:
 *
 *   begin (take an SQE) -> fill -> wait: publish (several entries at once, when others are
 *   runnable), look at the CQ, continue the next runnable coroutine ... the CQE marks the io
 *   record done and makes its coroutine runnable -> result
 *
 * An io record lives in the waiting coroutine's frame; its address is the SQE's user_data. The
 * frame does not go away before the CQE came, cancelled or not; nor before a cancel of it was
 * answered, since that could otherwise hit the next operation that has the same address.
 */
#ifndef LIBASYNC_ASYNC_CORE_H
#define LIBASYNC_ASYNC_CORE_H

#include "ring.h"
#include "uapi/socket.h"
#include "uapi/spin.h"

typedef int64_t (*async_fn)(void *arg);

struct async_co;

/* What user_data points at, in its lowest bits; the records are 8-byte aligned. */
enum async_tag {
	ASYNC_TAG_IO = 0,     /* struct async_io: one answer */
	ASYNC_TAG_STREAM = 1, /* struct async_stream: many answers */
	ASYNC_TAG_LINK = 2,   /* struct async_co: first half of an exchange: answers if it fails */
	ASYNC_TAG_CANCEL = 3, /* struct async_io: a cancel of it was carried out */
	ASYNC_TAG_CANCEL_STREAM = 4,
	ASYNC_TAG_NONE = 5, /* nobody waits */
	ASYNC_TAG_BELL = 6, /* another executor woke this one */
};
#define ASYNC_TAG_MASK 7ull

struct async_list {
	struct async_list *prev, *next;
};

/* One operation in flight. */
struct async_io {
	struct async_co *co;
	int32_t res;
	uint32_t flags;
	uint8_t done;	      /* the CQE came */
	uint8_t cancel_wanted; /* the waiter was told to stop; a cancel is or will be submitted */
	uint8_t always;	      /* not to be cancelled */
	uint8_t linked;	      /* second half of an exchange */
	uint8_t cancels;      /* submitted and not yet answered: the record stays till then */
	struct async_io *cancel_next; /* list of cancels waiting for a free SQE */
};

/* A coroutine in a queue of waiters; lives in its frame. */
struct async_waiter {
	struct async_list link; /* next NULL: not queued */
	struct async_co *co;
	bool woken;
};

/* First come, first served. Zeroed = empty. */
struct async_waitq {
	struct async_list head;
};

struct async_timer {
	uint64_t ticks; /* when */
	struct async_timer *child, *sibling, *parent_or_prev; /* pairing heap, timer.c */
	struct async_co *co; /* sleep: woken; scope: stopped */
	struct async_scope *scope;
	bool armed;
};

/* A deadline or a shield, in the frame of the coroutine it is about. */
struct async_scope {
	struct async_scope *outer;
	struct async_timer timer;
	bool shield, fired;
};

struct async_group {
	struct async_list members;
	struct async_waitq empty;
	int64_t first_error;
	uint32_t count;
	bool cancelled;
};

struct async_mutex {
	struct async_waitq waiters;
	struct async_co *owner;
};

struct async_sem {
	struct async_waitq waiters;
	uint32_t count;
};

struct async_event {
	struct async_waitq waiters;
	bool set;
};

struct async_chan {
	struct async_waitq senders, receivers;
	char *slots;
	uint32_t size, capacity, head, count;
	bool closed;
};

struct async_bufs {
	struct io_uring_buf_ring *ring;
	char *data;
	size_t ring_bytes, data_bytes;
	uint32_t count, size;
	uint32_t held; /* buffers with data, not yet given back */
	uint16_t group, tail;
	struct async_waitq waiters; /* streams that found no buffer */
};

/* What is kept of a CQE. */
struct async_answer {
	int32_t res;
	uint32_t flags;
};

struct async_stream {
	struct async_co *waiter;   /* in next or end */
	struct async_bufs *bufs;   /* NULL: answers are descriptors */
	struct async_answer *kept; /* ring of `kept_size` (power of two) answers */
	uint32_t kept_size, kept_head, kept_count;
	int32_t fd;
	int32_t flags;
	bool running;	 /* submitted, and no last answer yet */
	bool cancelling; /* a cancel was submitted and is not yet answered */
	bool pausing;	 /* cancelled because too much was kept: next starts it again */
	bool pinned;	 /* its coroutine stays where the answers come */
};

enum async_state {
	ASYNC_READY,   /* runnable, or running */
	ASYNC_IN_IO,   /* until co->io is done */
	ASYNC_IN_QUEUE, /* until a waiter of its is woken */
	ASYNC_ENDED,
};

/* A coroutine: control data at the top of its stack. */
struct async_co {
	struct async_context context;
	struct async_co *next; /* run queue, or free list */
	uint8_t state;	       /* enum async_state */
	bool cancelled, detached, is_main;
	int32_t stop; /* 0, or what waiting calls answer at once */
	uint8_t priority; /* 0 is the most urgent */
	/* that, as its entries ask for it; 0: normal. [1]: of opcodes with flags there */
	uint16_t ioprio[2];
	struct async_io *io; /* in IN_IO: what it waits for */
	struct async_scope *scope; /* innermost */
	struct async_group *group;
	struct async_list member; /* of group */
	struct async_waitq joiners;
	async_fn fn;
	void *arg;
	int64_t result;
	int32_t link_error; /* result of the failed first half of an exchange */
	uint32_t held;	    /* not to be preempted: depth; 1 while it is not in its own code */

	/* with several executors: crew.h */
	bool pinned;	   /* asked to stay; what it spawns stays, too */
	uint32_t pins;	   /* reasons to stay, that one among them: 0: others may take it */
	struct async_exec *exec; /* whose it is; changed by who takes it while it is READY */
	/* these stay what they are when the stack is used again */
	uint64_t stack_bytes;
	struct async_exec *home; /* to whose pool the stack belongs */
	struct async_co *news_next;
	uint32_t news; /* enum async_news, bits: nonzero: it is in its executor's inbox */
	uint64_t came; /* in a queue of levels: order of arrival there */
};

/* What others tell a coroutine's executor. */
enum async_news {
	ASYNC_NEWS_WAKE = 1, /* some waiter of its was woken */
	ASYNC_NEWS_STOP = 2, /* it was cancelled */
};

_Static_assert(sizeof(struct async_co) <= 256, "a coroutine's control data stays small");

struct async_stats {
	uint64_t parks;	  /* waits in the kernel */
	uint64_t signals; /* doorbells rung for a sleeping poller, or to submit */
	uint64_t spins;	  /* idle polls of the completion queue, after the first looks */
	uint64_t turns;	  /* visits of the slow path */
	uint64_t spawned;
	uint64_t cancels; /* ASYNC_CANCEL entries submitted */
	uint64_t dozes;	  /* waits in the program's own mode (async_notices) */
	uint64_t preempts; /* computing coroutines that made way for others */
	uint64_t ticks;	   /* looks of async_preempt at who computes */
	uint64_t steals;   /* times it took coroutines of another executor */
	uint64_t stolen;   /* coroutines that it took so */
	uint64_t bells;	   /* sleeping executors it woke */
};

/* Runnable coroutines that other executors may take, first come, first served. */
struct async_share {
	uint32_t lock; /* 1: somebody is at it */
	uint32_t count;
	struct async_co *head, **tail;
};

/* The executor: what one thread runs coroutines with. */
struct async_exec {
	struct async_exec *here; /* itself: see async_here */
	struct notice_self *notice; /* x86_64: where notice_here finds it */
	struct ring ring;
	struct async_co *self;
	struct async_co *run_head;
	struct async_co **run_tail;
	/* switches until timers, signals and entries are seen to anyway; 0: now */
	uint32_t turns_left;
	uint32_t answers_extra; /* CQEs beyond one per SQE; silent SQEs count negative */
	struct async_io *cancels, **cancels_tail;
	struct async_waitq room; /* coroutines that found the submission queue full */
	volatile uint32_t *waker; /* a store there wakes the poller; NULL: the doorbell does */
	uint32_t waker_id;
	bool notices; /* completions come by user interrupt: notices.c */
	bool looks;   /* its own thread alone finds completions, while the kernel polls its ring */
	uint32_t outside; /* identities that others post: somebody else may end a wait */
	struct async_timer *timers;
	uint64_t served; /* those identities */
	struct async_levels *levels; /* runnable ones by priority: levels.h; NULL: not asked for */
	uint32_t queued; /* how many are there, not in the run queue, and not to be taken */
	bool late; /* an interrupt found the running one held, and left notices off */
	struct async_co *free_stacks;
	struct async_stats stats;
	uint64_t tick_hz;
	struct spin spin; /* how long it looks for answers before it parks, in ticks */
	struct async_co main;

	/* one of several: crew.h */
	bool crew;
	uint32_t index;
	uint32_t since_late; /* switches since timers and signals were seen to */
	struct async_co *sched; /* what runs between coroutines: never in a queue */
	struct async_co *ended; /* left its stack for good: sched takes it apart */
	struct async_co *stay_head, **stay_tail; /* runnable and pinned */
	uint64_t bells_owed; /* executors that no entry was free to wake */
	bool bell_armed; /* a FUTEX_WAIT on `bell` is in flight */
	/* any executor */
	struct async_share share __attribute__((aligned(64)));
	struct async_co *inbox;	   /* coroutines with news, newest first */
	struct async_co *returned; /* stacks that came home, newest first */
	uint32_t bell;
};

/* preempt.c: an interrupt came while the running one was held. */
void async_preempt_late(void);

extern ASYNC_PER_THREAD struct async_exec async_exec_own;

/* Look at timers, signals and the completion queue at least once in so many switches. */
#define ASYNC_TURNS_MAX 64
/* Ring the doorbell at the latest when so many entries may be unknown to the poller. */
#define ASYNC_UNSIGNALLED_MAX 16
/* Show the kernel new entries every so many switches, and when nobody else is runnable: one store
 * for all of them, and the kernel finds them together (docs/decisions/0009). */
#define ASYNC_SHOW_TURNS 8u

static inline struct async_co *async_self(void)
{
	return async_here()->self;
}

static inline unsigned async_priority(void)
{
	return async_here()->self->priority;
}

static inline int async_stopped(void)
{
	return async_here()->self->stop;
}

static inline const struct async_stats *async_stats(void)
{
	return &async_here()->stats;
}

/* Puts a coroutine that is READY at the end of the run queue. */
static inline void async_run_push(struct async_exec *x, struct async_co *co)
{
	co->next = NULL;
	*x->run_tail = co;
	x->run_tail = &co->next;
}

/* The slow half of a switch: completions, timers, signals, idling. Returns who runs next. */
struct async_co *async_pick(void);
/* Each ASYNC_SHOW_TURNS switches: shows entries. False when it is time for async_pick. */
bool async_show(struct async_exec *x);

/* The first of the run queue may go on: there is one, no completion came, and nothing else is
 * due. */
static inline __attribute__((always_inline)) bool async_goes_on(struct async_exec *x)
{
	uint32_t left = --x->turns_left;

	if (ring_unlikely(left % ASYNC_SHOW_TURNS == 0) && !async_show(x))
		return false;
	return ring_likely(x->run_head != NULL &&
			   __atomic_load_n(x->ring.cq_tail, __ATOMIC_RELAXED) == x->ring.cq_next);
}

/* Continues the next runnable coroutine; returns when this one is continued. The caller has set its
 * state, or queued it. */
static inline __attribute__((always_inline)) void async_suspend_on(struct async_exec *x)
{
	struct async_co *me, *next;

	if (async_goes_on(x)) {
		me = x->self;
		next = x->run_head;
		x->run_head = next->next;
		if (!x->run_head)
			x->run_tail = &x->run_head;
	} else {
		next = async_pick();
		x = async_here();
		me = x->self;
	}
	if (next != me) {
		x->self = next;
		async_switch(&me->context, &next->context);
	}
}

static inline void async_suspend(void)
{
	async_suspend_on(async_here());
}

static inline void async_yield(void)
{
	struct async_exec *x = async_here();
	struct async_co *me, *next;

	if (async_goes_on(x)) {
		me = x->self;
		next = x->run_head;
		async_run_push(x, me);
		x->run_head = next->next; /* we, at the latest */
	} else {
		async_run_push(x, x->self);
		next = async_pick();
		x = async_here();
		me = x->self;
		if (next == me)
			return;
	}
	x->self = next;
	async_switch(&me->context, &next->context);
}

/* ---- one operation ---- */

/* Waits for a free SQE: NULL when the caller is told to stop first and `io` is not "always". */
struct io_uring_sqe *async_sqe_wait(struct async_io *io);

/* Starts an operation: the SQE to fill with user_data = (uint64_t)(uintptr_t)io. NULL: the caller
 * was told to stop; async_io_wait answers that. */
static inline struct io_uring_sqe *async_io_begin(struct async_io *io)
{
	struct async_exec *x = async_here();
	struct async_co *me = x->self;
	struct io_uring_sqe *sqe;

	io->co = me;
	io->done = 0;
	io->cancel_wanted = 0;
	io->always = 0;
	io->linked = 0;
	io->cancels = 0;
	if (ring_unlikely(me->stop != 0)) {
		io->res = me->stop;
		io->done = 1;
		return NULL;
	}
	sqe = ring_sqe(&x->ring);
	if (ring_unlikely(!sqe))
		sqe = async_sqe_wait(io);
	return sqe;
}

/* As async_io_begin, for what is done even when the caller is told to stop: never NULL. */
struct io_uring_sqe *async_io_begin_always(struct async_io *io);

/* The answer of an operation that ended while the caller was told to stop. */
int32_t async_io_stopped(struct async_io *io);

/* Nobody is runnable: looks for the answer in place, a bounded number of times. False: it is not
 * there, or something else is to be done first; async_pick finds out what. */
bool async_io_look(struct async_io *io);

/* Waits until the operation is done and gives its result. */
static inline __attribute__((always_inline)) int32_t async_io_wait(struct async_io *io)
{
	struct async_exec *x = async_here();
	struct async_co *me = x->self;

	while (!io->done) {
		if (!x->run_head && async_io_look(io))
			break;
		me->io = io;
		me->state = ASYNC_IN_IO;
		async_suspend_on(x);
		x = async_here();
	}
	if (ring_unlikely(me->stop != 0))
		return async_io_stopped(io);
	return io->res;
}

/* Makes room for `count` SQEs that must be published together. False: told to stop meanwhile. */
bool async_sqe_reserve(struct async_io *io, uint32_t count);

#define ASYNC_LEN_MAX 0x7ffff000ull /* longest transfer, as on Linux */

static inline uint32_t async_len(size_t len)
{
	return (uint32_t)(len < ASYNC_LEN_MAX ? len : ASYNC_LEN_MAX);
}

/* The entry has the priority of `me`, the running coroutine. Linux would want privileges for it. */
static inline __attribute__((always_inline)) void
async_ask_priority(struct io_uring_sqe *sqe, uint8_t opcode, const struct async_co *me)
{
	bool flags = opcode == IORING_OP_ACCEPT || opcode == IORING_OP_SEND ||
		     opcode == IORING_OP_RECV || opcode == IORING_OP_SENDMSG ||
		     opcode == IORING_OP_RECVMSG;

	if (!ASYNC_ON_LINUX)
		sqe->ioprio = me->ioprio[flags];
}

/* An operation of the common shape. */
static inline __attribute__((always_inline)) int32_t async_op(uint8_t opcode, int fd, uint64_t off,
							      const void *addr, uint32_t len,
							      uint32_t op_flags)
{
	struct async_io io;
	struct io_uring_sqe *sqe = async_io_begin(&io);

	if (ring_likely(sqe != NULL)) {
		ring_fill(sqe, opcode, fd, off, (uint64_t)(uintptr_t)addr, len, op_flags,
			  (uint64_t)(uintptr_t)&io);
		async_ask_priority(sqe, opcode, io.co);
	}
	return async_io_wait(&io);
}

static inline int64_t async_read(int fd, void *buf, size_t len)
{
	return async_op(IORING_OP_READ, fd, ~0ull, buf, async_len(len), 0);
}

static inline int64_t async_write(int fd, const void *buf, size_t len)
{
	return async_op(IORING_OP_WRITE, fd, ~0ull, buf, async_len(len), 0);
}

static inline int64_t async_pread(int fd, void *buf, size_t len, uint64_t off)
{
	return async_op(IORING_OP_READ, fd, off, buf, async_len(len), 0);
}

static inline int64_t async_pwrite(int fd, const void *buf, size_t len, uint64_t off, int rw_flags)
{
	return async_op(IORING_OP_WRITE, fd, off, buf, async_len(len), (uint32_t)rw_flags);
}

static inline int64_t async_recv(int fd, void *buf, size_t len, int flags)
{
	return async_op(IORING_OP_RECV, fd, 0, buf, async_len(len), (uint32_t)flags);
}

static inline int64_t async_send(int fd, const void *buf, size_t len, int flags)
{
	return async_op(IORING_OP_SEND, fd, 0, buf, async_len(len), (uint32_t)flags);
}

/* Second half only when the first failed: why. */
int64_t async_exchange_failed(struct async_io *io, int64_t res);

static inline __attribute__((always_inline)) int64_t async_exchange(int fd, const void *out,
								    size_t out_len, void *in,
								    size_t in_len)
{
	struct async_exec *x = async_here();
	struct async_co *me = x->self;
	struct async_io io = { .co = me, .linked = 1 };
	struct io_uring_sqe *send, *recv;
	int64_t res;

	if (!out_len)
		return async_recv(fd, in, in_len, 0);
	if (ring_unlikely(me->stop != 0))
		return me->stop;
	if (ring_unlikely(x->ring.sq_next + 2 - x->ring.sq_seen > x->ring.sq_entries) &&
	    !async_sqe_reserve(&io, 2))
		return io.res;
	send = ring_sqe(&x->ring);
	ring_fill(send, IORING_OP_SEND, fd, 0, (uint64_t)(uintptr_t)out, async_len(out_len),
		  MSG_WAITALL | MSG_NOSIGNAL, (uint64_t)(uintptr_t)me | ASYNC_TAG_LINK);
	async_ask_priority(send, IORING_OP_SEND, me);
	send->flags = IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
	x->answers_extra--; /* the send answers only if it fails; then it is counted back */
	recv = ring_sqe(&x->ring);
	ring_fill(recv, IORING_OP_RECV, fd, 0, (uint64_t)(uintptr_t)in, async_len(in_len), 0,
		  (uint64_t)(uintptr_t)&io);
	async_ask_priority(recv, IORING_OP_RECV, me);
	res = async_io_wait(&io);
	return ring_unlikely(res < 0) ? async_exchange_failed(&io, res) : res;
}

#endif
