/*
 * sys: IORING_OP_SYSCALL, any system call as one entry: number and six arguments fill the SQE
 * (uapi/sluice.h).
 *
 *   the number's own states, 0 first; every number either never parks or has a cancel
 *
 * The number's row does the work; this file finds it and refuses the rest: an unknown number is
 * -ENOSYS, a personality or a bit of ioprio -EINVAL. Calls that change the process run on its home
 * core. A number that is an opcode's work too is turned into that opcode's entry before it is
 * checked, and never gets here: there is no second implementation.
 */
#include "ring/sys.h"

#include "ring/internal.h"
#include "uapi/errno.h"
#include "uapi/syscall.h"

/* ---- the numbers */

const struct sys_row *const sys_table[512] = {
	[SYS_dup] = &sys_dup,
	[SYS_dup3] = &sys_dup3,
	[SYS_fcntl] = &sys_fcntl,
	[SYS_ftruncate] = &sys_ftruncate,
	[SYS_memfd_create] = &sys_memfd_create,
	[SYS_fallocate] = &sys_fallocate,
	[SYS_fadvise64] = &sys_fadvise64,
	[SYS_openat] = &sys_openat,
	[SYS_close] = &sys_close,
	[SYS_fstat] = &sys_fstat,
	[SYS_newfstatat] = &sys_newfstatat,
	[SYS_faccessat] = &sys_faccessat,
	[SYS_readlinkat] = &sys_readlinkat,
	[SYS_getcwd] = &sys_getcwd,
	[SYS_mkdirat] = &sys_mkdirat,
	[SYS_ioctl] = &sys_ioctl,
	[SYS_ppoll] = &sys_ppoll,
	[SYS_pselect6] = &sys_pselect6,
	[SYS_pipe2] = &sys_pipe2,
	[SYS_lseek] = &sys_lseek,
	[SYS_read] = &sys_read,
	[SYS_write] = &sys_write,
	[SYS_readv] = &sys_readv,
	[SYS_writev] = &sys_writev,
	[SYS_preadv] = &sys_preadv,
	[SYS_pwritev] = &sys_pwritev,
	[SYS_pread64] = &sys_pread64,
	[SYS_pwrite64] = &sys_pwrite64,
	[SYS_fsync] = &sys_fsync,
	[SYS_fdatasync] = &sys_fdatasync,
	[SYS_statx] = &sys_statx,
	[SYS_mmap] = &sys_mmap,
	[SYS_munmap] = &sys_munmap,
	[SYS_mprotect] = &sys_mprotect,
	[SYS_madvise] = &sys_madvise,
	[SYS_brk] = &sys_brk,
	[SYS_clock_gettime] = &sys_clock_gettime,
	[SYS_clock_getres] = &sys_clock_getres,
	[SYS_gettimeofday] = &sys_gettimeofday,
	[SYS_clock_nanosleep] = &sys_clock_nanosleep,
	[SYS_nanosleep] = &sys_nanosleep,
	[SYS_exit] = &sys_exit,
	[SYS_exit_group] = &sys_exit_group,
	[SYS_getpid] = &sys_getpid,
	[SYS_gettid] = &sys_gettid,
	[SYS_getppid] = &sys_getppid,
	[SYS_getuid] = &sys_getid,
	[SYS_geteuid] = &sys_getid,
	[SYS_getgid] = &sys_getid,
	[SYS_getegid] = &sys_getid,
	[SYS_sched_yield] = &sys_sched_yield,
	[SYS_sched_setaffinity] = &sys_sched_setaffinity,
	[SYS_sched_getaffinity] = &sys_sched_getaffinity,
	[SYS_getcpu] = &sys_getcpu,
	[SYS_getpriority] = &sys_getpriority,
	[SYS_setpriority] = &sys_setpriority,
	[SYS_uname] = &sys_uname,
	[SYS_getrandom] = &sys_getrandom,
	[SYS_futex] = &sys_futex,
	[SYS_rt_sigaction] = &sys_rt_sigaction,
	[SYS_rt_sigprocmask] = &sys_rt_sigprocmask,
	[SYS_rt_sigpending] = &sys_rt_sigpending,
	[SYS_rt_sigtimedwait] = &sys_rt_sigtimedwait,
	[SYS_rt_sigsuspend] = &sys_rt_sigsuspend,
	[SYS_rt_sigqueueinfo] = &sys_rt_sigqueueinfo,
	[SYS_sigaltstack] = &sys_sigaltstack,
	[SYS_kill] = &sys_kill,
	[SYS_tkill] = &sys_tkill,
	[SYS_tgkill] = &sys_tgkill,
	[SYS_set_tid_address] = &sys_set_tid_address,
	[SYS_set_robust_list] = &sys_set_robust_list,
	[SYS_get_robust_list] = &sys_get_robust_list,
	[SYS_clone] = &sys_clone,
	[SYS_clone3] = &sys_clone3,
	[SYS_prlimit64] = &sys_prlimit64,
	[SYS_sysinfo] = &sys_sysinfo,
	[SYS_riscv_hwprobe] = &sys_riscv_hwprobe,
	[SYS_socket] = &sys_socket,
	[SYS_bind] = &sys_bind,
	[SYS_listen] = &sys_listen,
	[SYS_accept] = &sys_accept,
	[SYS_accept4] = &sys_accept4,
	[SYS_connect] = &sys_connect,
	[SYS_getsockname] = &sys_getsockname,
	[SYS_getpeername] = &sys_getpeername,
	[SYS_sendto] = &sys_sendto,
	[SYS_recvfrom] = &sys_recvfrom,
	[SYS_setsockopt] = &sys_setsockopt,
	[SYS_shutdown] = &sys_shutdown,
	[SYS_sendmsg] = &sys_sendmsg,
	[SYS_recvmsg] = &sys_recvmsg,
	[SYS_io_uring_setup] = &sys_io_uring_setup,
	[SYS_io_uring_register] = &sys_io_uring_register,
};

/* ---- states: each number's own; the first two are all that most have */

static const char *const sys_state_names[] = { "act", "wait", "look" };

/* ---- check */

const struct op_row *sys_translate(const struct op_row *row, const struct io_uring_sqe **sqe,
				   struct io_uring_sqe *room, int *err)
{
	const struct sluice_syscall_sqe *call = (const struct sluice_syscall_sqe *)*sqe;
	const struct sys_row *sys = call->nr < array_count(sys_table) ? sys_table[call->nr] : NULL;
	struct sys_args args = { { call->a0, call->a1, call->a2, call->a3, call->a4, call->a5 } };

	if (!sys || !(sys->translate || sys->row))
		return row;
	if (call->ioprio || call->personality ||
	    (call->flags & (IOSQE_BUFFER_SELECT | IOSQE_FIXED_FILE))) {
		*err = -EINVAL;
		return row;
	}
	if (sys->row)
		return sys->row;
	memset(room, 0, sizeof(*room));
	room->flags = call->flags;
	*err = sys->translate(&args, room);
	*sqe = room;
	return *err ? row : op_table[room->opcode];
}

static int sys_check(struct op *op, const struct io_uring_sqe *sqe)
{
	const struct sluice_syscall_sqe *call = (const struct sluice_syscall_sqe *)sqe;

	if (unlikely(call->ioprio || call->personality))
		return -EINVAL;
	if (unlikely(call->nr >= array_count(sys_table) || !sys_table[call->nr]))
		return -ENOSYS;
	(void)sys_op_take(op, call);
	return 0;
}

/* ---- helpers */

static void sys_sent(struct mail *m)
{
	struct sys_op *sys = container_of(m, struct sys_op, mail);
	struct op *op = container_of((char *)sys, struct op, body[0]);

	sys->leaving = false;
	if (op_given_hook)
		op_given_hook(op, sys->to);
	op_send(op, sys->to);
}

enum step sys_leave(struct op *op, uint32_t to)
{
	struct sys_op *sys = sys_op_of(op);

	sys->to = (uint16_t)to;
	sys->leaving = true;
	sys->mail.deliver = sys_sent;
	mailbox_post(this_core()->index, &sys->mail);
	return op_park_alone(op);
}

void sys_fire(struct timer *t)
{
	op_wake(container_of((char *)container_of(t, struct sys_op, wait_timer), struct op,
			     body[0]));
}

const char *sys_op_name(const struct op *op)
{
	if (op->row != &row_syscall)
		return op->row ? op->row->name : "none";
	return sys_table[((const struct sys_op *)(const void *)op->body)->nr]->name;
}

/* ---- step and cancel */

static enum step sys_step(struct op *op)
{
	struct sys_op *sys = sys_op_of(op);

	return sys_table[sys->nr]->step(op, &sys->args);
}

static int sys_cancel(struct op *op)
{
	const struct sys_row *row = sys_table[sys_op_of(op)->nr];

	return row->cancel ? row->cancel(op) : -EALREADY;
}

/* Some numbers need no core of their own; some only until they have begun. */
static uint8_t sys_placed(const struct op *op)
{
	const struct sys_row *row = sys_table[((const struct sys_op *)(const void *)op->body)->nr];

	return row->anywhere || (row->anywhere_begun && op->state) ? OP_PLACE_ANY : OP_PLACE_HOME;
}

static uint32_t sys_work(const struct op *op)
{
	const struct sys_row *row = sys_table[((const struct sys_op *)(const void *)op->body)->nr];

	return row->work ? row->work(op) : 0;
}

const struct op_row row_syscall = {
	.name = "syscall",
	.body_size = sizeof(struct sys_op),
	.place = OP_PLACE_HOME,
	.raw = 1,
	.preemptible = 1, /* getrandom, mmap that populates, large ranges of memory */
	.placed = sys_placed,
	.work = sys_work,
	.state_count = 3,
	.state_names = sys_state_names,
	.check = sys_check,
	.step = sys_step,
	.cancel = sys_cancel,
};
