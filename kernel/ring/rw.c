/*
 * rw: READ, WRITE, their fixed and vectored forms, and FSYNC, on anything that is a file. Runs on
 * the file's core.
 *
 *   PIN --piece proved, and acted on at once--> done, or
 *    |--short and in many buffers, and may not be mixed with others--> GATHER --> ACT
 *    |--file parked us--> ACT ... --piece moved--> NEXT, which is PIN for the pieces behind the
 *    |                                             first --nothing left--> done
 *    +--much to do, and its own work--> NEXT, one long step for all that is left
 *
 * A transfer goes piece by piece (a piece is at most PIN_BYTES_MAX bytes of one buffer): partial
 * progress wins over a late error. A short piece ends the transfer, as on Linux. Cancelled between
 * or inside pieces: what was moved, or -ECANCELED.
 */
#include "fs/pipe.h"
#include "mm/frames.h"
#include "ring/ring.h"
#include "sched/preempt.h"
#include "uapi/errno.h"
#include "uapi/fs.h"
#include "uapi/socket.h"

/* ---- body */

struct rw_op {
	struct transfer t;
	uaddr_t addr;	   /* the current buffer's claim; vectored: see vec_at */
	uint32_t left;	   /* bytes of the current buffer still to move */
	int32_t done;	   /* bytes moved in all */
	uint16_t vec_left; /* iovecs after the current one */
	uint16_t index;	   /* registered buffer, or buffer group */
	uint8_t form;	   /* enum rw_form */
	uint8_t use_pos;
};

enum rw_form { RW_PLAIN, RW_FIXED, RW_VECTOR, RW_SELECT };

/* ---- states */

enum rw_state { RW_PIN, RW_ACT, RW_NEXT, RW_GATHER };
static const char *const rw_state_names[] = { "pin", "act", "next", "gather" };

#define RW_FLAGS_KNOWN (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT)
#define RW_BYTES_MAX 0x7ffff000u
#define RW_VECS_MAX 1024u /* as UIO_MAXIOV on Linux, readv(2) */
#define RW_BYTES_PER_NS 32u  /* roughly, of memory that is near: bench/cost.conf */
#define RW_VECS_SHORT 32u /* gathered without a pause */
#define RW_VECS_AT_ONCE 8u /* empty ones of a step; as many gathered between two windows */
#define RW_LONG_PIECE (4 * (uint32_t)PAGE_SIZE) /* so much is pinned between two windows */

/* ---- check */

static int rw_check(struct op *op, const struct io_uring_sqe *sqe, uint8_t write, uint8_t form)
{
	struct rw_op *rw = op_body(op, struct rw_op);

	if (unlikely(sqe->ioprio || (sqe->rw_flags & ~RW_FLAGS_KNOWN) || sqe->splice_fd_in ||
		     sqe->addr3))
		return -EINVAL;
	rw->addr = sqe->addr;
	rw->left = sqe->len;
	rw->done = 0;
	rw->vec_left = 0;
	rw->index = sqe->buf_index;
	rw->form = form;
	rw->t.off = sqe->off;
	rw->t.write = write;
	rw->t.fua = !!(sqe->rw_flags & (RWF_DSYNC | RWF_SYNC));
	rw->t.nonblock = !!(sqe->rw_flags & RWF_NOWAIT);
	rw->t.started = 0;
	rw->t.pin.pages = 0;
	rw->use_pos = sqe->off == UINT64_MAX;
	if (form == RW_PLAIN && (sqe->flags & IOSQE_BUFFER_SELECT)) {
		if (write)
			return -EINVAL;
		rw->form = RW_SELECT;
		rw->index = sqe->buf_group;
	}
	if (form == RW_VECTOR) {
		if (sqe->len > RW_VECS_MAX)
			return -EINVAL;
		rw->vec_left = (uint16_t)sqe->len;
		rw->left = 0;
	} else if (rw->left > RW_BYTES_MAX) {
		rw->left = RW_BYTES_MAX;
	}
	return 0;
}

static int read_check(struct op *op, const struct io_uring_sqe *sqe)
{
	return rw_check(op, sqe, 0, RW_PLAIN);
}

static int write_check(struct op *op, const struct io_uring_sqe *sqe)
{
	return rw_check(op, sqe, 1, RW_PLAIN);
}

static int read_fixed_check(struct op *op, const struct io_uring_sqe *sqe)
{
	return rw_check(op, sqe, 0, RW_FIXED);
}

static int write_fixed_check(struct op *op, const struct io_uring_sqe *sqe)
{
	return rw_check(op, sqe, 1, RW_FIXED);
}

static int readv_check(struct op *op, const struct io_uring_sqe *sqe)
{
	return rw_check(op, sqe, 0, RW_VECTOR);
}

static int writev_check(struct op *op, const struct io_uring_sqe *sqe)
{
	return rw_check(op, sqe, 1, RW_VECTOR);
}

/* ---- helpers */

/* First step only: rights, file position, selected buffer. 0 or -errno. */
static int rw_begin(struct op *op, struct rw_op *rw)
{
	struct file *f = op->file;
	uint32_t flags = atomic_load_explicit(&f->flags, memory_order_relaxed);

	if (!(flags & (rw->t.write ? FILE_WRITABLE : FILE_READABLE)))
		return -EBADF;
	if (!f->ops->transfer)
		return -EINVAL;
	if (flags & FILE_NONBLOCK)
		rw->t.nonblock = 1;
	if (rw->use_pos)
		rw->t.off = atomic_load_explicit(&f->pos, memory_order_relaxed);
	else if (rw->t.off > INT64_MAX)
		return -EINVAL;
	else if (op->opcode == IORING_OP_SYSCALL && !(flags & FILE_SEEKABLE))
		return -ESPIPE; /* pread64 minds; an entry's offset is ignored, as on Linux */
	if (rw->form == RW_SELECT)
		return op_buf_select(op, rw->index, &rw->addr, &rw->left, &op->cqe_flags);
	return 0;
}

/* The next iovec that is not empty becomes the current buffer; `addr` walks the program's array in
 * `vec_at`. None so far, though there are more: left is 0. */
static int rw_next_vec(struct op *op, struct rw_op *rw)
{
	struct iovec iov;
	uaddr_t *vec_at = &op->extra;

	for (unsigned i = 0; rw->vec_left && i < RW_VECS_AT_ONCE; i++) {
		int err = user_read(op_aspace(op), *vec_at, &iov, sizeof(iov));

		if (err)
			return err;
		*vec_at += sizeof(iov);
		rw->vec_left--;
		rw->addr = (uaddr_t)(uintptr_t)iov.iov_base;
		rw->left = (uint32_t)min_of((uint64_t)iov.iov_len,
					    (uint64_t)(RW_BYTES_MAX - (uint32_t)rw->done));
		if (rw->left)
			return 0;
	}
	return 0;
}

static bool rw_is_atomic(const struct op *op, const struct rw_op *rw)
{
	return rw->t.write && (atomic_load_explicit(&op->file->flags, memory_order_relaxed) &
			       FILE_ATOMIC);
}

/* What it has gathered so far is in a frame of its own. */
static void rw_gather_pause(uint32_t i)
{
	if (i % RW_VECS_AT_ONCE == RW_VECS_AT_ONCE - 1 && preempt_may())
		preempt_here();
}

/*
 * A short vectored write to a FILE_ATOMIC file goes as one piece, gathered into a frame that the
 * pin holds. 1: it lies there; 0: it is too long for that; -errno.
 */
static int rw_gather(struct op *op, struct rw_op *rw)
{
	uint32_t total = 0, off = 0, count = rw->vec_left;
	uaddr_t at = op->extra;
	struct iovec iov;
	paddr_t frame;
	int err = 0;

	for (uint32_t i = 0; i < count && total <= PIPE_BUF; i++) {
		rw_gather_pause(i);
		err = user_read(op_aspace(op), at + i * sizeof(iov), &iov, sizeof(iov));
		if (err)
			return err;
		total += (uint32_t)min_of((uint64_t)iov.iov_len, (uint64_t)PIPE_BUF + 1);
	}
	if (!total || total > PIPE_BUF)
		return 0;
	frame = frame_alloc(0);
	if (!frame)
		return -ENOMEM;
	for (uint32_t i = 0; i < count && !err; i++) {
		rw_gather_pause(i);
		err = user_read(op_aspace(op), at + i * sizeof(iov), &iov, sizeof(iov));
		if (!err && iov.iov_len > total - off)
			err = -EFAULT; /* another length than a moment ago */
		if (!err)
			err = user_read(op_aspace(op), (uaddr_t)(uintptr_t)iov.iov_base,
					(char *)arch_direct(frame) + off, iov.iov_len);
		off += err ? 0 : (uint32_t)iov.iov_len;
	}
	if (err) {
		frame_put(frame);
		return err;
	}
	rw->vec_left = 0;
	rw->left = off;
	rw->t.pin = (struct pin){ .len = off,
				  .pages = 1,
				  .frame = { (uint32_t)(frame >> PAGE_SHIFT) } };
	return 1;
}

static enum step rw_gathered(struct op *op, struct rw_op *rw)
{
	int there = rw_gather(op, rw);

	if (there < 0)
		return op_finish(op, there);
	return there ? op_goto(op, RW_ACT) : op_goto(op, RW_NEXT);
}

static noinline_fn enum step rw_next(struct op *op, const struct rw_op *rw)
{
	uint32_t least = op->file->ops->long_bytes;

	if (least && (rw->left >= least || (uint32_t)rw->done >= least ||
		      (least < FILE_COPY_BYTES && rw->vec_left > RW_VECS_AT_ONCE)))
		return op_goto_long(op, RW_NEXT);
	return op_goto(op, RW_NEXT);
}

static enum step rw_end(struct op *op, struct rw_op *rw, int32_t res)
{
	bool is_short = res >= 0 && (rw->left || rw->vec_left);

	if (rw->use_pos && res > 0)
		atomic_fetch_add_explicit(&op->file->pos, (uint64_t)res, memory_order_relaxed);
	if (rw->form == RW_SELECT && res < 0)
		op_buf_return(op, rw->index);
	op->extra = is_short;
	return op_finish(op, res);
}

static enum step rw_act(struct op *op, struct rw_op *rw)
{
	uint32_t piece = rw->t.pin.len;
	int32_t moved;

	if ((op->flags & OP_CANCELLED) && !rw->t.started) {
		pin_release(&rw->t.pin);
		return rw_end(op, rw, rw->done ? rw->done : -ECANCELED);
	}
	if (op->file->ops->transfer(op->file, op, &rw->t) == STEP_PARKED)
		return STEP_PARKED;
	moved = rw->t.moved;
	pin_release(&rw->t.pin);
	if (moved < 0)
		return rw_end(op, rw, rw->done ? rw->done : moved);
	rw->done += moved;
	rw->addr += (uint32_t)moved;
	rw->left -= (uint32_t)moved;
	rw->t.off += (uint32_t)moved;
	if ((uint32_t)moved < piece || (!rw->left && !rw->vec_left))
		return rw_end(op, rw, rw->done);
	/* a read of a stream does not wait for more than there is */
	if (!rw->t.write &&
	    (atomic_load_explicit(&op->file->flags, memory_order_relaxed) & FILE_STREAM))
		rw->t.nonblock = 1;
	return rw_next(op, rw);
}

/* The next piece: what is left of the buffer, or less for a long step. */
static inline __attribute__((always_inline)) enum step rw_pin(struct op *op, struct rw_op *rw,
							      bool is_long)
{
	uint32_t piece;
	int64_t n;

	if (!rw->left && rw->vec_left) {
		int err = rw_next_vec(op, rw);

		if (err)
			return rw_end(op, rw, rw->done ? rw->done : err);
		if ((!rw->left && rw->vec_left) ||
		    (op->state == RW_PIN && rw->left > op->file->ops->long_bytes - 1))
			return rw_next(op, rw);
	}
	if (!rw->left) {
		if (rw->done || rw->form == RW_VECTOR)
			return rw_end(op, rw, rw->done);
		/* an empty transfer still asks the file: it may be closed or in error */
		rw->t.pin.len = 0;
		rw->t.pin.pages = 0;
		return op_goto(op, RW_ACT);
	}
	piece = is_long ? min_of(rw->left, RW_LONG_PIECE) : rw->left;
	if (rw->form == RW_FIXED)
		n = op_pin_fixed(op, rw->index, rw->addr, piece, &rw->t.pin);
	else
		n = pin_user(op_aspace(op), rw->addr, piece,
			     rw->t.write ? ACCESS_READ : ACCESS_WRITE, &rw->t.pin);
	if (n < 0)
		return rw_end(op, rw, rw->done ? rw->done : (int32_t)n);
	op->state = RW_ACT;
	return rw_act(op, rw); /* at once: an entry that need not wait never leaves the hand */
}

/* Piece by piece without giving the stack back: whoever wants the core takes it in a window. */
static noinline_fn enum step rw_go_on(struct op *op, struct rw_op *rw)
{
	enum step v;

	if (!preempt_may())
		return rw_pin(op, rw, false);
	do {
		op->flags &= (uint8_t)~OP_LONG;
		v = rw_pin(op, rw, true);
		if (v != STEP_AGAIN)
			return v;
		preempt_here();
	} while (true);
}

/* A long read of a file that does not mind where. */
static uint8_t rw_placed(const struct op *op)
{
	const struct rw_op *rw = (const struct rw_op *)(const void *)op->body;

	return op->state == RW_NEXT && !rw->t.write && op->file->ops->roams ? OP_PLACE_ANY :
									      OP_PLACE_RING;
}

static uint32_t rw_work(const struct op *op)
{
	return ((const struct rw_op *)(const void *)op->body)->left / RW_BYTES_PER_NS;
}

/* ---- step */

static enum step rw_step(struct op *op)
{
	struct rw_op *rw = op_body(op, struct rw_op);

	switch ((enum rw_state)op->state) {
	case RW_PIN:
		if (!rw->done) {
			int err = rw_begin(op, rw);

			if (unlikely(err))
				return op_finish(op, err);
			if (rw->form == RW_VECTOR) {
				op->extra = rw->addr;
				if (rw_is_atomic(op, rw))
					return rw->vec_left > RW_VECS_SHORT ?
						       op_goto_long(op, RW_GATHER) :
						       op_goto(op, RW_GATHER);
			}
			if (unlikely(rw->left > op->file->ops->long_bytes - 1))
				return rw_next(op, rw);
		}
		return rw_pin(op, rw, false);
	case RW_ACT:
		return rw_act(op, rw);
	case RW_NEXT:
		return rw_go_on(op, rw);
	case RW_GATHER:
		return rw_gathered(op, rw);
	}
	op_corrupt(op);
}

static int rw_cancel(struct op *op)
{
	struct rw_op *rw = op_body(op, struct rw_op);

	if (!op->file->ops->transfer_cancel)
		return -EALREADY;
	if (op->file->ops->transfer_cancel(op->file, op, &rw->t))
		return -EALREADY;
	op_wake(op);
	return 0;
}

/* ---- quick: a short plain transfer that the file does at once, with no op, pin or reference -- */

/* Its file, if it is this core's and has a quick way. Another core (the home core, if the ring is
 * away from it) may take its last handle at this moment; but the file's close and its end come by
 * mail to its own core, which is this one. A file of another core may be a stranger by now, and is
 * left alone. */
static inline struct file *quick_file(struct core *c, struct ring *r,
				      const struct io_uring_sqe *sqe)
{
	uint32_t fd = (uint32_t)sqe->fd;
	struct file *f;

	if (unlikely(sqe->flags & IOSQE_FIXED_FILE))
		f = fd < r->file_count ?
			    atomic_load_explicit(&r->files[fd], memory_order_acquire) :
			    NULL;
	else
		f = fd < PROCESS_FDS_MAX ?
			    atomic_load_explicit(&r->proc->fds[fd], memory_order_acquire) :
			    NULL;
	return f && f->ops->quick && f->core == c->index ? f : NULL;
}

/* Not inlined: who has no such file is to find out without saving a register. */
static noinline_fn bool rw_quick(struct file *f, struct ring *r, const struct io_uring_sqe *sqe,
				 int32_t *res, bool write)
{
	uint64_t off = sqe->off;
	void *view;
	bool done;

	if (unlikely(sqe->ioprio | sqe->personality | (uint32_t)sqe->rw_flags |
			   (uint32_t)sqe->splice_fd_in | sqe->addr3))
		return false;
	if (unlikely(!(atomic_load_explicit(&f->flags, memory_order_relaxed) &
		       (write ? FILE_WRITABLE : FILE_READABLE))))
		return false;
	if (off == UINT64_MAX)
		off = atomic_load_explicit(&f->pos, memory_order_relaxed);
	else if (unlikely(off > INT64_MAX))
		return false;
	view = pin_view_one(r->as, sqe->addr, sqe->len, write ? ACCESS_READ : ACCESS_WRITE);
	if (unlikely(!view))
		return false;
	done = f->ops->quick(f, view, sqe->len, off, write);
	pin_view_done(view);
	if (done && sqe->off == UINT64_MAX)
		atomic_fetch_add_explicit(&f->pos, sqe->len, memory_order_relaxed);
	*res = (int32_t)sqe->len;
	return done;
}

static bool read_quick(struct core *c, struct ring *r, const struct io_uring_sqe *sqe, int32_t *res)
{
	struct file *f = quick_file(c, r, sqe);

	return f && rw_quick(f, r, sqe, res, false);
}

static bool write_quick(struct core *c, struct ring *r, const struct io_uring_sqe *sqe,
			int32_t *res)
{
	struct file *f = quick_file(c, r, sqe);

	return f && rw_quick(f, r, sqe, res, true);
}

#define RW_ROW(row, row_name, row_check, selects, row_quick)                                       \
	const struct op_row row = {                                                                \
		.name = row_name,                                                                  \
		.body_size = sizeof(struct rw_op),                                                 \
		.needs_file = 1,                                                                   \
		.spread = 1,                                                                       \
		.buf_select = selects,                                                             \
		.preemptible = 1,                                                                  \
		.state_count = 4,                                                                  \
		.state_names = rw_state_names,                                                     \
		.check = row_check,                                                                \
		.quick = row_quick,                                                                \
		.step = rw_step,                                                                   \
		.cancel = rw_cancel,                                                               \
		.placed = rw_placed,                                                               \
		.work = rw_work,                                                                   \
	}

RW_ROW(row_read, "read", read_check, 1, read_quick);
RW_ROW(row_write, "write", write_check, 0, write_quick);
RW_ROW(row_read_fixed, "read_fixed", read_fixed_check, 0, NULL);
RW_ROW(row_write_fixed, "write_fixed", write_fixed_check, 0, NULL);
RW_ROW(row_readv, "readv", readv_check, 0, NULL);
RW_ROW(row_writev, "writev", writev_check, 0, NULL);

/* ---- FSYNC: FLUSH --device done--> done ------------------------------------------------------ */

static int fsync_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct rw_op *rw = op_body(op, struct rw_op);

	if (sqe->ioprio || sqe->addr || sqe->buf_index || sqe->splice_fd_in ||
	    (sqe->fsync_flags & ~IORING_FSYNC_DATASYNC))
		return -EINVAL;
	rw->t = (struct transfer){ .write = 1 };
	return 0;
}

static enum step fsync_step(struct op *op)
{
	struct rw_op *rw = op_body(op, struct rw_op);

	if (!op->file->ops->flush)
		return op_finish(op, 0);
	if (op->file->ops->flush(op->file, op, &rw->t) == STEP_PARKED)
		return STEP_PARKED;
	return op_finish(op, rw->t.moved);
}

const struct op_row row_fsync = {
	.name = "fsync",
	.body_size = sizeof(struct rw_op),
	.needs_file = 1,
	.spread = 1,
	.state_count = 1,
	.state_names = (const char *const[]){ "flush" },
	.check = fsync_check,
	.step = fsync_step,
};
