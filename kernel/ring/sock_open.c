/*
 * sock_open: SOCKET, BIND, LISTEN, CONNECT, SHUTDOWN: a socket's life but for what flows through
 * it. On the net core.
 *
 *   CONNECT:  BEGIN --handshake under way--> WAIT --writers woken--> WAIT ... --> done
 *
 * The others have one state and never wait.
 */
#include "ring/sock.h"
#include "uapi/errno.h"

/* ---- bodies */

struct socket_op {
	int32_t domain, type, protocol;
	uint32_t slot;
};

struct name_op {
	uaddr_t name;
	uint64_t len;
};

struct int_op {
	int32_t value;
};

/* ---- states */

static const char *const once_names[] = { "once" };

enum connect_state { CONNECT_BEGIN, CONNECT_WAIT };
static const char *const connect_names[] = { "begin", "wait" };

/* ---- check */

static int socket_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct socket_op *so = op_body(op, struct socket_op);
	uint64_t flags = sqe->off & ~(uint64_t)SOCK_TYPE_MASK;

	if (sqe->ioprio || sqe->addr || sqe->rw_flags || sqe->buf_index)
		return -EINVAL;
	if (flags & ~(uint64_t)(SOCK_CLOEXEC | SOCK_NONBLOCK))
		return -EINVAL;
	if (sqe->file_index && (flags & SOCK_CLOEXEC))
		return -EINVAL;
	so->domain = sqe->fd;
	so->type = (int32_t)sqe->off;
	so->protocol = (int32_t)sqe->len;
	so->slot = sqe->file_index;
	return 0;
}

static int name_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct name_op *no = op_body(op, struct name_op);

	if (sqe->ioprio || sqe->len || sqe->buf_index || sqe->rw_flags || sqe->splice_fd_in)
		return -EINVAL;
	no->name = sqe->addr;
	no->len = sqe->addr2;
	return 0;
}

static int listen_check(struct op *op, const struct io_uring_sqe *sqe)
{
	if (sqe->ioprio || sqe->addr || sqe->addr2 || sqe->buf_index || sqe->rw_flags ||
	    sqe->splice_fd_in)
		return -EINVAL;
	op_body(op, struct int_op)->value = (int32_t)sqe->len;
	return 0;
}

static int shutdown_check(struct op *op, const struct io_uring_sqe *sqe)
{
	if (sqe->ioprio || sqe->off || sqe->addr || sqe->rw_flags || sqe->buf_index ||
	    sqe->splice_fd_in)
		return -EINVAL;
	op_body(op, struct int_op)->value = (int32_t)sqe->len;
	return 0;
}

/* ---- helpers */

int sock_name_read(struct aspace *as, uaddr_t from, uint32_t len, struct sock_name *name)
{
	if (len > sizeof(name->bytes))
		return -EINVAL;
	name->len = len;
	name->any.sa_family = AF_UNSPEC;
	return len ? user_read(as, from, name->bytes, len) : 0;
}

int sock_name_write(struct aspace *as, uaddr_t at, uaddr_t len_at, const struct sock_name *name)
{
	int32_t room, full = (int32_t)name->len;
	int err;

	if (!at)
		return 0;
	err = user_read(as, len_at, &room, sizeof(room));
	if (err)
		return err;
	if (room < 0)
		return -EINVAL;
	room = min_of(room, full);
	if (room) {
		err = user_write(as, at, name->bytes, (size_t)room);
		if (err)
			return err;
	}
	return user_write(as, len_at, &full, sizeof(full));
}

int sock_cancel(struct op *op)
{
	op_wake(op);
	return 0;
}

/* The socket of a BIND or CONNECT and the address it names. */
static int name_args(struct op *op, struct sock **s, struct sock_name *name)
{
	struct name_op *no = op_body(op, struct name_op);

	*s = op_sock(op);
	if (!*s)
		return -ENOTSOCK;
	if ((*s)->file.closed)
		return -ECANCELED;
	if (no->len > sizeof(name->bytes))
		return -EINVAL;
	return sock_name_read(op_aspace(op), no->name, (uint32_t)no->len, name);
}

/* ---- steps */

static enum step socket_step(struct op *op)
{
	struct socket_op *so = op_body(op, struct socket_op);
	struct file *f;
	int res = sock_create(so->domain, so->type, so->protocol, &f);

	if (res)
		return op_finish(op, res);
	res = op_fd_install(op, f, so->slot, so->type & SOCK_CLOEXEC);
	file_put(f);
	return op_finish(op, res);
}

static enum step bind_step(struct op *op)
{
	struct sock_name name;
	struct sock *s;
	int err = name_args(op, &s, &name);

	return op_finish(op, err ? err : sock_bind(s, &name));
}

static enum step listen_step(struct op *op)
{
	struct sock *s = op_sock(op);

	if (!s)
		return op_finish(op, -ENOTSOCK);
	return op_finish(op, s->file.closed ? -ECANCELED
					    : sock_listen(s, op_body(op, struct int_op)->value));
}

static enum step shutdown_step(struct op *op)
{
	struct sock *s = op_sock(op);

	if (!s)
		return op_finish(op, -ENOTSOCK);
	return op_finish(op, s->file.closed ? -ECANCELED
					    : sock_shutdown(s, op_body(op, struct int_op)->value));
}

static enum step connect_begin(struct op *op)
{
	struct sock_name name;
	struct sock *s;
	int err = name_args(op, &s, &name);

	if (!err)
		err = sock_connect(s, &name);
	if (err != -EINPROGRESS || sock_is_nonblock(s))
		return op_finish(op, err);
	return op_goto(op, CONNECT_WAIT);
}

static enum step connect_step(struct op *op)
{
	struct sock *s = op_sock(op);
	int err;

	switch ((enum connect_state)op->state) {
	case CONNECT_BEGIN:
		return connect_begin(op);
	case CONNECT_WAIT:
		known(s); /* connect_begin has looked */
		if ((op->flags & OP_CANCELLED) || s->file.closed)
			return op_finish(op, -ECANCELED);
		err = sock_connect_result(s);
		return err == -EINPROGRESS ? op_park(op, &s->writers) : op_finish(op, err);
	}
	op_corrupt(op);
}

/* ---- rows */

const struct op_row row_socket = {
	.name = "socket",
	.body_size = sizeof(struct socket_op),
	.place = OP_PLACE_NET,
	.state_count = array_count(once_names),
	.state_names = once_names,
	.check = socket_check,
	.step = socket_step,
};

const struct op_row row_bind = {
	.name = "bind",
	.body_size = sizeof(struct name_op),
	.needs_file = 1,
	.state_count = array_count(once_names),
	.state_names = once_names,
	.check = name_check,
	.step = bind_step,
};

const struct op_row row_listen = {
	.name = "listen",
	.body_size = sizeof(struct int_op),
	.needs_file = 1,
	.state_count = array_count(once_names),
	.state_names = once_names,
	.check = listen_check,
	.step = listen_step,
};

const struct op_row row_shutdown = {
	.name = "shutdown",
	.body_size = sizeof(struct int_op),
	.needs_file = 1,
	.state_count = array_count(once_names),
	.state_names = once_names,
	.check = shutdown_check,
	.step = shutdown_step,
};

const struct op_row row_connect = {
	.name = "connect",
	.body_size = sizeof(struct name_op),
	.needs_file = 1,
	.state_count = array_count(connect_names),
	.state_names = connect_names,
	.check = name_check,
	.step = connect_step,
	.cancel = sock_cancel,
};
