/*
 * sock_cmd: URING_CMD on sockets: options, queue lengths, names. On the core that owns the file;
 * one state, never waits.
 *
 * A file that is not a socket has no commands: -EOPNOTSUPP. The transmit timestamp command is left
 * out (-EOPNOTSUPP).
 */
#include "ring/sock.h"
#include "uapi/errno.h"

/* ---- body */

struct cmd_op {
	uaddr_t at;	/* option value, or name */
	uaddr_t len_at; /* GETSOCKNAME */
	uint32_t cmd;
	uint32_t level, name;
	uint32_t len;	/* GETSOCKNAME: 1, the peer's */
};

static const char *const cmd_names[] = { "once" };

/* ---- check */

static int cmd_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct cmd_op *co = op_body(op, struct cmd_op);

	if (sqe->__pad1 || sqe->ioprio || sqe->uring_cmd_flags || sqe->buf_index)
		return -EINVAL;
	co->cmd = sqe->cmd_op;
	co->level = sqe->level;
	co->name = sqe->optname;
	co->len = sqe->optlen;
	co->at = sqe->optval;
	if (co->cmd == SOCKET_URING_OP_GETSOCKNAME) {
		co->at = sqe->addr;
		co->len_at = sqe->addr3;
		if (co->len > 1)
			return -EINVAL;
	}
	return 0;
}

/* ---- helpers */

static int cmd_set(struct op *op, struct sock *s, struct cmd_op *co)
{
	char value[SOCK_OPTION_BYTES] = { 0 };
	uint32_t len = min_of(co->len, SOCK_OPTION_BYTES);
	int err;

	if ((int32_t)co->len < 0)
		return -EINVAL;
	err = len ? user_read(op_aspace(op), co->at, value, len) : 0;
	return err ? err : sock_option_set(s, (int)co->level, (int)co->name, value, len);
}

static int cmd_get(struct op *op, struct sock *s, struct cmd_op *co)
{
	char value[SOCK_OPTION_BYTES];
	int n, err;

	if ((int32_t)co->len < 0)
		return -EINVAL;
	n = sock_option_get(s, (int)co->level, (int)co->name, value,
			    min_of(co->len, SOCK_OPTION_BYTES));
	if (n <= 0)
		return n;
	err = user_write(op_aspace(op), co->at, value, (size_t)n);
	return err ? err : n;
}

static int cmd_name(struct op *op, struct sock *s, struct cmd_op *co)
{
	struct sock_name name;
	int err = co->len ? sock_name_peer(s, &name) : sock_name_local(s, &name);

	return err ? err : sock_name_write(op_aspace(op), co->at, co->len_at, &name);
}

/* ---- step */

static enum step cmd_step(struct op *op)
{
	struct cmd_op *co = op_body(op, struct cmd_op);
	struct sock *s = op_sock(op);

	if (!s)
		return op_finish(op, -EOPNOTSUPP);
	if (s->file.closed)
		return op_finish(op, -ECANCELED);
	switch (co->cmd) {
	case SOCKET_URING_OP_SIOCINQ:
		return op_finish(op, (int32_t)s->queued);
	case SOCKET_URING_OP_SIOCOUTQ:
		return op_finish(op, (int32_t)sock_unsent(s));
	case SOCKET_URING_OP_GETSOCKOPT:
		return op_finish(op, cmd_get(op, s, co));
	case SOCKET_URING_OP_SETSOCKOPT:
		return op_finish(op, cmd_set(op, s, co));
	case SOCKET_URING_OP_GETSOCKNAME:
		return op_finish(op, cmd_name(op, s, co));
	}
	return op_finish(op, -EOPNOTSUPP);
}

const struct op_row row_uring_cmd = {
	.name = "uring_cmd",
	.body_size = sizeof(struct cmd_op),
	.needs_file = 1,
	.state_count = array_count(cmd_names),
	.state_names = cmd_names,
	.check = cmd_check,
	.step = cmd_step,
};
