/*
 * sys: what the files of the 0xE0 family share. Private to ring/.
 */
#ifndef RING_SYS_H
#define RING_SYS_H

#include "ring/ring.h"
#include "sched/timer.h"

/* The body of every SYSCALL op: its arguments, and room for what a number keeps while it runs. */
struct sys_op {
	uint64_t nr;
	struct sys_args args;
	union {
		struct timer timer;	/* sleeps */
		struct {
			uaddr_t at, end; /* mmap that populates: what is still to be touched */
			uaddr_t result;
		};
		uint64_t moved;		/* getrandom: bytes so far */
		struct { /* ppoll, signals */
			struct timer wait_timer;
			struct mail mail;	 /* to itself: it leaves for core `to` */
			nsec_t deadline;
			uint16_t index, ready;	 /* descriptors looked at; of these, ready */
			uint16_t to;
			bool leaving;
		};
	};
};

static inline struct sys_op *sys_op_of(struct op *op)
{
	return op_body(op, struct sys_op);
}

/* The body's first two from a call whose number is in the table. */
static inline struct sys_op *sys_op_take(struct op *op, const struct sluice_syscall_sqe *call)
{
	struct sys_op *sys = sys_op_of(op);

	sys->nr = call->nr;
	sys->args = (struct sys_args){
		{ call->a0, call->a1, call->a2, call->a3, call->a4, call->a5 }
	};
	return sys;
}

/* Goes on on core `to`, from the state it is in: returned by a step. The op leaves by a message to
 * itself, since one that is being stepped cannot; until then (sys->leaving) it is not to be
 * cancelled. */
enum step sys_leave(struct op *op, uint32_t to);
/* Woken by sys->wait_timer. */
void sys_fire(struct timer *t);

/* A call that is an opcode's work: call_translate makes the entry. */
#define SYS_AS(call)                                                                               \
	const struct sys_row sys_##call = { .name = #call, .translate = call##_translate }

/* Rows of one file each; the table is in sys.c. */
extern const struct sys_row sys_dup, sys_dup3, sys_fcntl, sys_fallocate, sys_fadvise64, sys_openat,
	sys_close, sys_lseek, sys_read, sys_write, sys_readv, sys_writev, sys_pread64, sys_pwrite64,
	sys_fsync, sys_fdatasync, sys_statx, sys_pipe2, sys_ftruncate, sys_memfd_create, sys_preadv,
	sys_pwritev;
extern const struct sys_row sys_fstat, sys_newfstatat, sys_faccessat, sys_readlinkat, sys_getcwd,
	sys_mkdirat, sys_ioctl;
extern const struct sys_row sys_socket, sys_bind, sys_listen, sys_accept, sys_accept4, sys_connect,
	sys_getsockname, sys_getpeername, sys_sendto, sys_recvfrom, sys_setsockopt, sys_shutdown,
	sys_sendmsg, sys_recvmsg;
extern const struct sys_row sys_ppoll, sys_pselect6, sys_futex;
extern const struct sys_row sys_rt_sigaction, sys_rt_sigprocmask, sys_rt_sigpending,
	sys_sigaltstack, sys_kill, sys_tkill, sys_tgkill, sys_rt_sigqueueinfo, sys_rt_sigtimedwait,
	sys_rt_sigsuspend;
extern const struct sys_row sys_mmap, sys_munmap, sys_mprotect, sys_madvise, sys_brk;
extern const struct sys_row sys_clock_gettime, sys_clock_getres, sys_gettimeofday,
	sys_clock_nanosleep, sys_nanosleep;
extern const struct sys_row sys_sched_setaffinity, sys_sched_getaffinity, sys_getcpu,
	sys_getpriority, sys_setpriority;
extern const struct sys_row sys_exit, sys_exit_group, sys_getpid, sys_gettid, sys_getppid,
	sys_getid, sys_sched_yield, sys_uname, sys_getrandom, sys_set_tid_address, sys_prlimit64,
	sys_sysinfo, sys_riscv_hwprobe;
extern const struct sys_row sys_clone, sys_clone3, sys_set_robust_list, sys_get_robust_list;

#endif
