/*
 * table: which opcode is which row. Checked at boot; tests walk it, not a list of their own. An
 * empty slot answers -EINVAL.
 */
#include "ring/internal.h"

#include "base/meter.h"
#include "base/panic.h"
#include "uapi/notice.h"

const struct op_row *const op_table[256] = {
	[IORING_OP_NOP] = &row_nop,
	[IORING_OP_READV] = &row_readv,
	[IORING_OP_WRITEV] = &row_writev,
	[IORING_OP_FSYNC] = &row_fsync,
	[IORING_OP_READ_FIXED] = &row_read_fixed,
	[IORING_OP_WRITE_FIXED] = &row_write_fixed,
	[IORING_OP_POLL_ADD] = &row_poll_add,
	[IORING_OP_POLL_REMOVE] = &row_poll_remove,
	[IORING_OP_SENDMSG] = &row_sendmsg,
	[IORING_OP_RECVMSG] = &row_recvmsg,
	[IORING_OP_TIMEOUT] = &row_timeout,
	[IORING_OP_TIMEOUT_REMOVE] = &row_timeout_remove,
	[IORING_OP_ACCEPT] = &row_accept,
	[IORING_OP_ASYNC_CANCEL] = &row_cancel,
	[IORING_OP_LINK_TIMEOUT] = &row_link_timeout,
	[IORING_OP_CONNECT] = &row_connect,
	[IORING_OP_FALLOCATE] = &row_fallocate,
	[IORING_OP_OPENAT] = &row_openat,
	[IORING_OP_CLOSE] = &row_close,
	[IORING_OP_FILES_UPDATE] = &row_files_update,
	[IORING_OP_STATX] = &row_statx,
	[IORING_OP_READ] = &row_read,
	[IORING_OP_WRITE] = &row_write,
	[IORING_OP_SEND] = &row_send,
	[IORING_OP_RECV] = &row_recv,
	[IORING_OP_SHUTDOWN] = &row_shutdown,
	[IORING_OP_SOCKET] = &row_socket,
	[IORING_OP_URING_CMD] = &row_uring_cmd,
	[IORING_OP_BIND] = &row_bind,
	[IORING_OP_LISTEN] = &row_listen,
	[IORING_OP_FTRUNCATE] = &row_ftruncate,
	[IORING_OP_WAITID] = &row_waitid,
	[IORING_OP_FUTEX_WAIT] = &row_futex_wait,
	[IORING_OP_FUTEX_WAKE] = &row_futex_wake,
	[IORING_OP_SPAWN] = &row_spawn,
	[IORING_OP_THREAD] = &row_thread,
	[IORING_OP_PIPE] = &row_pipe,
	[IORING_OP_SYSCALL] = &row_syscall,
	[IORING_OP_NOTICE] = &row_notice,
};

void table_check(void)
{
	for (unsigned i = 0; i < 256; i++) {
		const struct op_row *row = op_table[i];

		if (!row)
			continue;
		if (!row->name || !row->check || !row->step || !row->state_names ||
		    !row->state_count || row->body_size > OP_BODY_BYTES)
			panic("op table: row %u is not complete", i);
	}
}

void table_measure(void)
{
	op_measured_as = sys_op_name;
	op_measure_init();
	for (unsigned i = 0; i < 256; i++)
		if (op_table[i] && op_table[i] != &row_syscall)
			meter_expect((struct meter_key){ METER_OP, op_table[i]->name });
	for (unsigned i = 0; i < array_count(sys_table); i++)
		if (sys_table[i] && !sys_table[i]->translate)
			meter_expect((struct meter_key){ METER_OP, sys_table[i]->name });
}
