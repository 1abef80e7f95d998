/*
 * sys_sock: the system calls on sockets: each is an opcode's entry (translate). getsockopt, whose
 * length comes back in memory, and recvfrom that asks for the sender answer -ENOSYS (RECVMSG
 * tells it).
 */
#include "ring/internal.h"
#include "ring/sys.h"
#include "uapi/errno.h"

static int socket_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	sqe->opcode = IORING_OP_SOCKET;
	sqe->fd = (int32_t)args->a[0];
	sqe->off = (uint32_t)args->a[1];
	sqe->len = (uint32_t)args->a[2];
	return 0;
}

static int as_name(const struct sys_args *args, struct io_uring_sqe *sqe, uint8_t opcode)
{
	sqe->opcode = opcode;
	sqe->fd = (int32_t)args->a[0];
	sqe->addr = args->a[1];
	sqe->addr2 = args->a[2];
	return 0;
}

static int bind_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	return as_name(args, sqe, IORING_OP_BIND);
}

static int connect_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	return as_name(args, sqe, IORING_OP_CONNECT);
}

static int accept_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	return as_name(args, sqe, IORING_OP_ACCEPT);
}

static int accept4_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	sqe->accept_flags = (uint32_t)args->a[3];
	return as_name(args, sqe, IORING_OP_ACCEPT);
}

static int as_number(const struct sys_args *args, struct io_uring_sqe *sqe, uint8_t opcode)
{
	sqe->opcode = opcode;
	sqe->fd = (int32_t)args->a[0];
	sqe->len = (uint32_t)args->a[1];
	return 0;
}

static int listen_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	return as_number(args, sqe, IORING_OP_LISTEN);
}

static int shutdown_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	return as_number(args, sqe, IORING_OP_SHUTDOWN);
}

static int as_message(const struct sys_args *args, struct io_uring_sqe *sqe, uint8_t opcode)
{
	sqe->opcode = opcode;
	sqe->fd = (int32_t)args->a[0];
	sqe->addr = args->a[1];
	sqe->len = 1;
	sqe->msg_flags = (uint32_t)args->a[2];
	return 0;
}

static int sendmsg_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	return as_message(args, sqe, IORING_OP_SENDMSG);
}

static int recvmsg_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	return as_message(args, sqe, IORING_OP_RECVMSG);
}

static int as_bytes(const struct sys_args *args, struct io_uring_sqe *sqe, uint8_t opcode)
{
	sqe->opcode = opcode;
	sqe->fd = (int32_t)args->a[0];
	sqe->addr = args->a[1];
	sqe->len = (uint32_t)min_of(args->a[2], (uint64_t)INT32_MAX);
	sqe->msg_flags = (uint32_t)args->a[3];
	return 0;
}

static int sendto_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	if (args->a[5] > UINT16_MAX)
		return -EINVAL;
	sqe->addr2 = args->a[4];
	sqe->addr_len = args->a[4] ? (uint16_t)args->a[5] : 0;
	return as_bytes(args, sqe, IORING_OP_SEND);
}

static int recvfrom_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	if (args->a[4])
		return -ENOSYS;
	return as_bytes(args, sqe, IORING_OP_RECV);
}

static int as_command(const struct sys_args *args, struct io_uring_sqe *sqe, uint32_t command)
{
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = (int32_t)args->a[0];
	sqe->cmd_op = command;
	return 0;
}

static int getsockname_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	sqe->addr = args->a[1];
	sqe->addr3 = args->a[2];
	return as_command(args, sqe, SOCKET_URING_OP_GETSOCKNAME);
}

static int getpeername_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	sqe->optlen = 1; /* the other end's */
	return getsockname_translate(args, sqe);
}

static int setsockopt_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	sqe->level = (uint32_t)args->a[1];
	sqe->optname = (uint32_t)args->a[2];
	sqe->optval = args->a[3];
	sqe->optlen = (uint32_t)args->a[4];
	return as_command(args, sqe, SOCKET_URING_OP_SETSOCKOPT);
}

SYS_AS(socket);
SYS_AS(bind);
SYS_AS(listen);
SYS_AS(accept);
SYS_AS(accept4);
SYS_AS(connect);
SYS_AS(getsockname);
SYS_AS(getpeername);
SYS_AS(sendto);
SYS_AS(recvfrom);
SYS_AS(setsockopt);
SYS_AS(shutdown);
SYS_AS(sendmsg);
SYS_AS(recvmsg);
