/*
 * pipe: PIPE makes a pipe and gives the program both ends, as descriptors or in direct slots.
 *
 *   ACT --> done
 *
 * The process's home core, which the pipe belongs to from then on.
 */
#include "fs/pipe.h"
#include "ring/internal.h"
#include "uapi/fs.h"

/* ---- body */

struct pipe_op {
	uaddr_t out; /* int[2] */
	uint32_t flags, slot;
};

/* ---- states */

static const char *const pipe_state_names[] = { "act" };

/* ---- check */

static int pipe_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct pipe_op *pipe = op_body(op, struct pipe_op);

	if (sqe->ioprio || sqe->fd || sqe->off || sqe->len || sqe->buf_index || sqe->addr3)
		return -EINVAL;
	if ((sqe->pipe_flags & ~(O_CLOEXEC | O_NONBLOCK)) || (op->sqe_flags & IOSQE_FIXED_FILE))
		return -EINVAL;
	if (sqe->file_index && (sqe->pipe_flags & O_CLOEXEC))
		return -EINVAL; /* a direct slot has no close-on-exec mark */
	pipe->out = sqe->addr;
	pipe->flags = sqe->pipe_flags;
	pipe->slot = sqe->file_index;
	return 0;
}

/* ---- helpers */

/* The direct slot of the second end. */
static uint32_t pipe_second(uint32_t slot)
{
	return slot && slot != ~0u ? slot + 1 : slot;
}

static void pipe_uninstall(struct op *op, uint32_t slot, int32_t fd)
{
	int err;

	if (!slot)
		err = fd_close(op_process(op), fd);
	else
		err = op_fixed_close(op, slot == ~0u ? (uint32_t)fd : slot - 1);
	(void)err; /* the program may have closed it itself meanwhile */
}

static int pipe_install(struct op *op, const struct pipe_op *pipe, struct file *ends[2])
{
	uint32_t second = pipe_second(pipe->slot);
	int32_t fd[2];
	int err;

	fd[0] = op_fd_install(op, ends[0], pipe->slot, pipe->flags & O_CLOEXEC);
	if (fd[0] < 0)
		return fd[0];
	fd[1] = op_fd_install(op, ends[1], second, pipe->flags & O_CLOEXEC);
	err = fd[1];
	if (err < 0)
		goto out_first;
	err = user_write(op_aspace(op), pipe->out, fd, sizeof(fd));
	if (!err)
		return 0;
	pipe_uninstall(op, second, fd[1]);
out_first:
	pipe_uninstall(op, pipe->slot, fd[0]);
	return err;
}

/* ---- step */

static enum step pipe_step(struct op *op)
{
	struct pipe_op *pipe = op_body(op, struct pipe_op);
	struct file *ends[2];
	int err = pipe_make(pipe->flags, ends);

	if (err)
		return op_finish(op, err);
	err = pipe_install(op, pipe, ends);
	file_put(ends[0]);
	file_put(ends[1]);
	return op_finish(op, err);
}

const struct op_row row_pipe = {
	.name = "pipe",
	.body_size = sizeof(struct pipe_op),
	.place = OP_PLACE_HOME,
	.state_count = 1,
	.state_names = pipe_state_names,
	.check = pipe_check,
	.step = pipe_step,
};
