/*
 * ring: the roof: submission -> op -> completion.
 *
 * A ring belongs to one serving core (ring_is_here): only that core takes its SQEs, writes its CQ
 * tail, and knows its ops in flight. Everybody else posts to it. It begins on its process's home
 * core and may move to another (move.c, docs/moves.md). A program's stores are never trusted: the
 * SQE is copied once, indices are masked with our own mask, heads and tails are private.
 *
 *   SQE copied -> checked into the core's "hand" op -> first step
 *        done at once:   CQE written, the hand is used again (nothing left the ring's own slot)
 *        parked:         the hand leaves with it and the core takes another op from its pool;
 *                        none left: the ring waits (back-pressure)
 *
 * Every accepted SQE yields exactly one terminal CQE. If the CQ is full the op keeps its CQE and
 * queues on ring->overflow, in order.
 */
#ifndef RING_RING_H
#define RING_RING_H

#include "proc/process.h"
#include "uapi/io_uring.h"
#include "uapi/sluice.h"

/*
 * The shared header: one line that the kernel writes and one that the program writes, so that a
 * publication in either direction moves one line. Programs learn the offsets from io_uring_params
 * and may not assume them.
 */
struct ring_shared {
	/* kernel writes; stores with release, pairs with the program's acquire loads */
	_Atomic uint32_t sq_head;
	_Atomic uint32_t cq_tail;
	_Atomic uint32_t sq_flags; /* IORING_SQ_* */
	_Atomic uint32_t sq_dropped;
	_Atomic uint32_t cq_overflow;
	uint32_t pad0[11];
	/* program writes; read with acquire, never trusted */
	_Atomic uint32_t sq_tail;
	_Atomic uint32_t cq_head;
	_Atomic uint32_t cq_flags;
	_Atomic uint32_t notify; /* uapi/notice.h, SLUICE_NOTICE_RING */
	uint32_t pad1[12];
	/* set once */
	uint32_t sq_mask, cq_mask, sq_entries, cq_entries;
	uint32_t pad2[12];
};
_Static_assert(sizeof(struct ring_shared) == 3 * CACHE_LINE, "CQEs start on a line of their own");

struct buf_group;
struct fixed_buf;

enum ring_kind {
	RING_POLLED, /* SQPOLL and native rings: the core looks at the tail in every turn */
	RING_ENTER,  /* consumed at io_uring_enter */
	RING_SLOT,   /* a thread's kernel-private door: one entry, result goes to the thread */
};

#define RING_HASH 64

/* Why a ring takes the careful path at accept; any bit set means "careful". */
#define RING_SLOW_RESTRICTED 1u /* allow-lists are to be consulted */
#define RING_SLOW_CHAIN 2u	/* a link chain is being collected */
#define RING_SLOW_DRAIN 4u	/* an IO_DRAIN entry waits, later ones wait behind it */
#define RING_SLOW_DISABLED 8u	/* R_DISABLED and not yet enabled */
#define RING_SLOW_DEAD 16u	/* the process is dying: nothing is accepted any more */
/* every entry is traced (boot argument trace=on); otherwise as quick as others */
#define RING_SLOW_TRACE 32u

/* somebody has polled the ring's descriptor: its pollers are to be told, from then on */
#define RING_POLLED_FD (1u << 31)
/* its program wants to be told of completions by notice */
#define RING_NOTICE (1ull << 32)

struct ring {
	/* ring's core only: the hot lines */
	struct io_uring_sqe *sqes;
	struct ring_shared *shared;
	struct io_uring_sqe *sqes_end;
	uint32_t *sq_array;	     /* NULL with NO_SQARRAY */
	const struct op_row *const *table; /* op_table, within reach */
	/* op->word of an entry of this ring, opcode and flags still 0 */
	uint64_t op_word;
	struct io_uring_cqe *cq_at;  /* where the next CQE goes */
	/* where to look before writing: the end of the array, of the known room, or cq_at itself
	 * while CQEs are held back */
	struct io_uring_cqe *cq_stop;
	struct io_uring_cqe *cqes;
	uint32_t cq_lap;	     /* CQ tail when cq_at was last at the start of the array */
	uint32_t cq_published;	     /* tail as last stored */
	uint32_t sq_head;	     /* private; published after each batch */
	uint32_t cq_mask;
	uint64_t sq_mask;
	uint8_t kind;	       /* enum ring_kind */
	uint8_t slow;	       /* RING_SLOW_* */
	uint8_t result64;      /* opted in to 64-bit results in 16-byte CQEs */
	/* ops of this core's pool that left the hand for this ring and are not back: its share */
	uint32_t ops_held;
	/* entries on waiters, counted and overflow together, RING_POLLED_FD and RING_NOTICE: 0 is
	 * the quick answer */
	uint64_t watchers;
	/* an entry of this batch was refused: without SUBMIT_ALL the batch ends behind it */
	uint8_t batch_failed;
	uint8_t native;	       /* the last close of a file cancels its operations */
	uint32_t inflight_count; /* ops begun and not completed */
	struct process *proc;
	struct aspace *as;
	struct list waiters;   /* struct enter_wait: threads parked in enter */
	struct list overflow;  /* ops that hold a CQE the CQ had no room for, oldest first */

	uint32_t setup;	       /* IORING_SETUP_* */
	/* index of the core that it belongs to; RING_NOWHERE while it is in the mail. Changed by
	 * that core and by the next one; any core may ask whether it is itself */
	_Atomic uint32_t core;
	/* index of the core that mail about the ring goes to: `core`, or where it is going */
	_Atomic uint32_t post;
	uint32_t id;
	/* CQEs of multishots that may still be on their way or held back while the CQ is full; any
	 * core, atomic */
	_Atomic uint32_t more_credit;
	struct list inflight[RING_HASH]; /* by user_data */
	struct list link;      /* all rings of this core */
	nsec_t behind_since;   /* turn that left the oldest entry behind, 0: all were taken */
	uint32_t behind_tail;  /* the SQ's tail then */
	uint32_t head_listed;  /* sq_head when the balancer last asked */
	struct list sibling;   /* all rings of the process */
	struct list counted;   /* TIMEOUT ops that wait for a number of completions */

	/* link chains and drain */
	struct op *chain_head, *chain_tail; /* being collected; NULL between chains */
	struct list drained;   /* ops (chain heads) held back by IO_DRAIN, oldest first */
	/* entries that were let go, but begin later: on the ready list, or behind in their chain */
	uint32_t unbegun_count;
	uint8_t chain_failed;
	uint8_t orphan;	       /* enum ring_orphan, life.c: how far the end of its file has come */

	/* moving: move.c */
	uint8_t moving;	       /* a move is under way */
	uint8_t wanted_home;   /* its home core waits for it */
	uint8_t pinned;	       /* set once: one more than the core that SQ_AFF names, 0: none */
	uint8_t call_heard;    /* home_mail has arrived where the ring was */
	uint8_t watched;       /* set once: its program knows the doorbell line of its home core */
	/* cores that may run ops of it, besides its own; any core, atomic */
	_Atomic uint64_t visited[CORES_MAX / 64];
	uint64_t fenced[CORES_MAX / 64]; /* of these, the ones that know where mail goes now */
	struct mail move_mail; /* from core to core: the fence, then the ring itself */
	uint16_t held_away[CORES_MAX]; /* ops_held of the pools it has left */
	/* the core `post` only, before the ring is there: mail that came early, oldest first */
	struct mail *early, *early_last;
	/* home core only */
	struct waitlist home_waiters; /* ops that go on when the ring is home, at rest */
	bool called;	       /* home_mail is out, or the ring brings it back */
	struct mail home_mail;
	/* mails about it on behalf of a thread that have not arrived; any core, atomic */
	_Atomic uint32_t letters;

	struct inbox *notice;  /* with RING_NOTICE: who is told, by which identity */
	uint32_t notice_id;

	/* registered resources */
	/* slots: emptied, filled and replaced by exchange, from any core that serves; see
	 * register.c */
	struct file *_Atomic *_Atomic files;
	uint32_t file_count; /* set before `files` */
	uint32_t buf_count;
	struct fixed_buf *_Atomic bufs;
	struct buf_group *_Atomic groups;
	/* other cores at work on files, bufs and groups; any core, atomic */
	_Atomic uint32_t lookers;

	/* set once */
	struct file file;      /* the ring's own descriptor */
	paddr_t block_ring, block_sqes;
	uint64_t ring_bytes, sqes_bytes;
	void *door;	       /* RING_SLOT: the struct door it belongs to */

	/* home core only: whom "the calling thread" means in its entries; NULL: nobody */
	struct user_thread *owner;
};

#define RING_NOWHERE UINT32_MAX

/* Its birthplace: home core of its process, whose table of descriptors has it. */
static inline uint32_t ring_home(const struct ring *r)
{
	return r->file.core;
}

static inline bool ring_is_here(const struct core *c, const struct ring *r)
{
	return atomic_load_explicit(&r->core, memory_order_relaxed) == c->index;
}

/* Where mail about the ring goes. Any core. */
static inline uint32_t ring_post_core(const struct ring *r)
{
	return atomic_load_explicit(&r->post, memory_order_relaxed);
}

/*
 * Moves the ring to core `to`, which goes on where this one stops. On the ring's core, in its turn.
 * 0: it was asked for, and is there some mails later. -EALREADY: it is there. -EINVAL: a thread's
 * slot does not move, nor a pinned ring but to its core; `to` does not serve, or would not poll it
 * while a program runs. -EBUSY: it is
 * moving, its home core wants it, somebody polls its descriptor, or it is dying. -EXDEV: it is not
 * here.
 */
must_use int ring_move(struct ring *r, unsigned to);

/* Pins a fresh ring to core `cpu`, which is to poll it, and sends it there. Its home core. 0, or
 * -EINVAL if that core does not, or not always, serve rings alone. */
must_use int ring_pin(struct ring *r, uint32_t cpu);
/* A pinned ring that was called home for something may go back now. On its home core. */
void ring_settle(struct ring *r);

/* The CQ tail: private, free-running; the program sees what was published of it. */
static inline uint32_t ring_cq_tail(const struct ring *r)
{
	return r->cq_lap + (uint32_t)(r->cq_at - r->cqes);
}

/* Creates per-core ring state, the op table's checks, hooks into proc/ and sched/. Boot, after
 * executors. */
void rings_init(void);

/* ---- for op families (kernel/ring/NAME.c), on the op's core ---------------------------------- */

static inline struct aspace *op_aspace(struct op *op)
{
	return op->ring->as;
}
static inline struct process *op_process(struct op *op)
{
	return op->ring->proc;
}

/* Multishot: posts a CQE with IORING_CQE_F_MORE now and lets the op go on. False when there is no
 * room and no credit: the op must end (finish without MORE). Works from any serving core (travels
 * by mailbox when op->core is not the ring's core, in order). */
must_use bool op_post_more(struct op *op, int32_t res, uint32_t cqe_flags);

/* Provided buffers: takes the next buffer of the group the SQE named (at most *len bytes if *len !=
 * 0): 0 with *addr, *len and the CQE flags to add (IORING_CQE_F_BUFFER | id << 16) through
 * *cqe_flags; -ENOBUFS. op_buf_return gives back one that was not used, and takes the
 * flags off the op; if others were taken since it cannot, and the CQE names the buffer although it
 * holds nothing. On the op's core. */
must_use int op_buf_select(struct op *op, uint16_t group, uaddr_t *addr, uint32_t *len,
			   uint32_t *cqe_flags);
void op_buf_return(struct op *op, uint16_t group);

/* Gives the program a descriptor for `f` (slot: 0 a normal descriptor, n: direct slot n-1, ~0u: any
 * direct slot). The caller keeps its reference. Result as the CQE wants it: descriptor, 0, slot, or
 * -EMFILE/-ENFILE/-EINVAL. Any serving core (installation is an atomic slot claim). */
must_use int op_fd_install(struct op *op, struct file *f, uint32_t slot, bool cloexec);

/* Empties direct slot `slot` (0-based). 0, -ENXIO, -EINVAL, -EBADF. */
must_use int op_fixed_close(struct op *op, uint32_t slot);

/* The registered buffer `index` covering [addr, addr+len): a pin of its first piece. 0
 * bytes.. or -EFAULT. */
must_use int64_t op_pin_fixed(struct op *op, uint16_t index, uaddr_t addr, uint64_t len,
			      struct pin *pin);

/* A short transfer: the result stands, and a soft link behind it breaks. */
static inline enum step op_finish_short(struct op *op, int32_t res)
{
	op->extra = 1;
	return op_finish(op, res);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* One row per opcode; NULL: -EINVAL. Rows are defined in their family's file and listed in
 * table.c. */
extern const struct op_row *const op_table[256];

/* The family rows (kernel/ring/NAME.c). */
extern const struct op_row row_nop, row_readv, row_writev, row_fsync, row_read_fixed,
	row_write_fixed, row_poll_add, row_poll_remove, row_sendmsg, row_recvmsg, row_timeout,
	row_timeout_remove, row_accept, row_cancel, row_link_timeout, row_connect, row_fallocate,
	row_openat, row_close, row_files_update, row_statx, row_read, row_write, row_send, row_recv,
	row_shutdown, row_socket, row_uring_cmd, row_bind, row_listen, row_pipe, row_ftruncate,
	row_spawn, row_waitid, row_thread, row_futex_wait, row_futex_wake, row_notice,
	row_syscall;

/* ---- the 0xE0 table: kernel/ring/sys_*.c ----------------------------------------------------- */

struct sys_args {
	uint64_t a[6];
};
/* A system call by number. `check`-free: arguments are values; user memory through
 * user_read/user_write. Returns a verdict like a step; result in op->res, or op_finish64(op, value)
 * for results past 32 bits. A call that has an opcode of its own has only `translate`: it fills the
 * zeroed entry that asks for the same (0, or the call's error), and that opcode's row does the
 * work. */
struct sys_row {
	const char *name;
	enum step (*step)(struct op *op, const struct sys_args *args);
	int (*cancel)(struct op *op);
	int (*translate)(const struct sys_args *args, struct io_uring_sqe *sqe);
	/* Or a row of its own does, which checks the entry as it is. */
	const struct op_row *row;
	/* it touches nothing that is the home core's: any serving core may run it, from the first
	 * step on, or from its second state on */
	bool anywhere, anywhere_begun;
	/* its step wants all registers of the calling thread in memory (arch_user_settle): not for
	 * call.c */
	bool whole;
	/* as op_row.work; NULL: 0 */
	uint32_t (*work)(const struct op *op);
};
extern const struct sys_row *const sys_table[512];

static inline enum step op_finish64(struct op *op, int64_t value)
{
	op->res = (int32_t)value;
	op->extra = (uint64_t)value >> 32;
	op->flags |= OP_RESULT64;
	return STEP_DONE;
}

#endif
