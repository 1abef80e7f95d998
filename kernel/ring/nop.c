/*
 * nop: does nothing, all the way: copied, checked, executed, completed like any other entry. The
 * template of a family: body, states and diagram, check, helpers, step.
 *
 *   ACT --> done with 0, or with the result the program asked for
 */
#include "ring/ring.h"
#include "uapi/errno.h"

/* ---- body */

struct nop_op {
	int32_t result;
};

/* ---- states */

static const char *const nop_state_names[] = { "act" };

/* ---- check */

static int nop_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct nop_op *nop = op_body(op, struct nop_op);

	nop->result = 0;
	if (likely(!(sqe->ioprio | sqe->nop_flags)))
		return 0;
	if (sqe->ioprio || sqe->nop_flags != IORING_NOP_INJECT_RESULT)
		return -EINVAL;
	nop->result = (int32_t)sqe->len;
	return 0;
}

/* ---- step */

static enum step nop_step(struct op *op)
{
	return op_finish(op, op_body(op, struct nop_op)->result);
}

const struct op_row row_nop = {
	.name = "nop",
	.body_size = sizeof(struct nop_op),
	.state_count = 1,
	.state_names = nop_state_names,
	.check = nop_check,
	.step = nop_step,
};
