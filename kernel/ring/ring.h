/*
 * ring: the roof: submission -> op -> completion.
 *
 * A ring belongs to one serving core (ring->core): only that core takes its SQEs, writes its CQ tail, and knows its ops in flight. Everybody else
 * posts to it. A program's stores are never trusted: the SQE is copied once, indices are masked with our own mask, heads and tails are private.
 *
 *   SQE copied -> checked into the core's "hand" op -> first step
 *        done at once:   CQE written, the hand is used again (nothing left the ring's own slot)
 *        parked:         the hand leaves with it and the core takes another op from its pool; none left: the ring waits (back-pressure)
 *
 * Every accepted SQE yields exactly one terminal CQE. If the CQ is full the op keeps its CQE and queues on ring->overflow, in order.
 */
#ifndef RING_RING_H
#define RING_RING_H

#include "proc/process.h"
#include "uapi/io_uring.h"
#include "uapi/sluice.h"

struct ring_shared; /* layout of the shared header page: ring/layout.h */
struct buf_group;
struct fixed_buf;

enum ring_kind {
	RING_POLLED, /* SQPOLL and native rings: the core looks at the tail in every turn */
	RING_ENTER,  /* consumed at io_uring_enter */
	RING_SLOT,   /* a thread's kernel-private door: one entry, result goes to the thread */
};

#define RING_HASH 64

struct ring {
	/* ring's core only: the hot lines */
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	struct ring_shared *shared;
	uint32_t *sq_array;    /* NULL with NO_SQARRAY */
	uint32_t sq_head;      /* private; published after each batch */
	uint32_t sq_mask;
	uint32_t cq_tail;      /* private */
	uint32_t cq_head_seen; /* last value read from the program */
	uint32_t cq_mask;
	uint32_t cq_entries;
	uint32_t setup;	       /* IORING_SETUP_* */
	uint8_t kind;
	uint8_t slow;	       /* any of: restricted, disabled, draining, dying: take the careful path */
	uint8_t dead;
	uint8_t result64;      /* opted in to 64-bit results in 16-byte CQEs */
	uint32_t cq_published; /* tail as last stored */
	struct process *proc;
	struct aspace *as;

	uint32_t core;	       /* index */
	uint32_t id;
	uint32_t inflight_count;
	uint32_t sq_entries;
	struct list overflow;  /* ops that hold a CQE the CQ had no room for */
	struct list waiters;   /* threads parked in enter */
	struct op *chain_tail; /* link chain being collected; NULL between chains */
	struct list inflight[RING_HASH]; /* by user_data */

	struct list link;      /* all rings of this core */
	struct list sibling;   /* all rings of the process */

	/* registered resources; ring's core */
	struct file **files;
	uint32_t file_count;
	struct fixed_buf *bufs;
	uint32_t buf_count;
	struct list groups;    /* provided-buffer groups */
	struct file *eventfd;

	/* drain */
	uint32_t drain_waiting;
	struct list drained;   /* ops held back by IO_DRAIN, oldest first */

	struct file file;      /* the ring's own descriptor */
	paddr_t block_ring, block_sqes;
	uint8_t order_ring, order_sqes;
	uint8_t restricted;
	uint8_t disabled;
	uint64_t more_credit;  /* CQEs that multishot ops may still post while the CQ is full */
	void *door_thread;     /* RING_SLOT: the thread */
};

/* Creates per-core ring state, the op table's checks, hooks into proc/ and sched/. Boot, after executors. */
void rings_init(void);

/* ---- for op families (kernel/ring/NAME.c), on the op's core ------------------------------------------- */

static inline struct aspace *op_aspace(struct op *op)
{
	return op->ring->as;
}
static inline struct process *op_process(struct op *op)
{
	return op->ring->proc;
}

/* Multishot: posts a CQE with IORING_CQE_F_MORE now and lets the op go on. False when there is no room and no credit: the op must end
 * (finish without MORE). Works from any serving core (travels by mailbox when op->core is not the ring's core, in order). */
must_use bool op_post_more(struct op *op, int32_t res, uint32_t cqe_flags);

/* Provided buffers: takes the next buffer of the group the SQE named (at most *len bytes if *len != 0): 0 with *addr, *len and the CQE flags to
 * add (IORING_CQE_F_BUFFER | id << 16) through *cqe_flags; -ENOBUFS. op_buf_return gives back one that was not used. On the op's core. */
must_use int op_buf_select(struct op *op, uint16_t group, uaddr_t *addr, uint32_t *len, uint32_t *cqe_flags);
void op_buf_return(struct op *op, uint16_t group, uint32_t cqe_flags);

/* Gives the program a descriptor for `f` (slot: 0 a normal descriptor, n: direct slot n-1, ~0u: any direct slot). The caller keeps its reference. Result
 * as the CQE wants it: descriptor, 0, slot, or -EMFILE/-ENFILE/-EINVAL. Any serving core (installation is an atomic slot claim). */
must_use int op_fd_install(struct op *op, struct file *f, uint32_t slot, bool cloexec);

/* The registered buffer `index` covering [addr, addr+len): a borrowed pin of its first piece. 0 bytes.. or -EFAULT. */
must_use int64_t op_pin_fixed(struct op *op, uint16_t index, uaddr_t addr, uint64_t len, struct pin *pin);

/* ---- the table ------------------------------------------------------------------------------------------- */

/* One row per opcode; NULL: -EINVAL. Rows are defined in their family's file and listed in table.c. */
extern const struct op_row *const op_table[256];

/* The family rows (kernel/ring/NAME.c). */
extern const struct op_row row_nop, row_readv, row_writev, row_fsync, row_read_fixed, row_write_fixed, row_poll_add,
	row_poll_remove, row_sendmsg, row_recvmsg, row_timeout, row_timeout_remove, row_accept, row_cancel, row_link_timeout,
	row_connect, row_fallocate, row_openat, row_close, row_files_update, row_statx, row_read, row_write, row_send, row_recv,
	row_shutdown, row_socket, row_uring_cmd, row_bind, row_listen, row_syscall, row_msg_ring;

/* ---- the 0xE0 table: kernel/ring/sys_*.c ---------------------------------------------------------------------- */

struct sys_args {
	uint64_t a[6];
};
/* A system call by number. `check`-free: arguments are values; user memory through user_read/user_write. Returns a verdict like a step; result in
 * op->res, or op_finish64(op, value) for results past 32 bits. */
struct sys_row {
	const char *name;
	enum step (*step)(struct op *op, const struct sys_args *args);
	int (*cancel)(struct op *op);
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
