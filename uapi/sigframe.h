/*
 * sigframe: numbers of signals, and layouts: actions, siginfo, and the frame that a handler finds
 * on its stack. Nothing here has a name of the C library's.
 *
 * Source: Linux' generic signal headers and those of riscv64 (asm/ucontext.h, asm/sigcontext.h,
 * asm/ptrace.h); sets are of 64 signals, signal n is bit n - 1.
 */
#ifndef UAPI_SIGFRAME_H
#define UAPI_SIGFRAME_H

#include <stddef.h>
#include <stdint.h>

#define SIGNALS 64
#define SIGNAL_RT_MIN 32 /* from here on each one sent is kept */

#define SIGNAL_HUP 1u
#define SIGNAL_INT 2u
#define SIGNAL_ILL 4u
#define SIGNAL_TRAP 5u
#define SIGNAL_ABRT 6u
#define SIGNAL_BUS 7u
#define SIGNAL_FPE 8u
#define SIGNAL_KILL 9u
#define SIGNAL_SEGV 11u
#define SIGNAL_PIPE 13u
#define SIGNAL_CHLD 17u
#define SIGNAL_CONT 18u
#define SIGNAL_STOP 19u
#define SIGNAL_TSTP 20u
#define SIGNAL_TTIN 21u
#define SIGNAL_TTOU 22u
#define SIGNAL_URG 23u
#define SIGNAL_WINCH 28u
#define SIGNAL_SYS 31u

struct sigaction_in {
	uint64_t handler;
	uint64_t flags;
	uint64_t mask;
};
_Static_assert(sizeof(struct sigaction_in) == 24, "riscv64 has no restorer");

struct signal_stack {
	uint64_t ss_sp;
	int32_t ss_flags;
	int32_t pad;
	uint64_t ss_size;
};
_Static_assert(sizeof(struct signal_stack) == 24, "stack_t is 24 bytes");

struct siginfo_out {
	int32_t si_signo, si_errno, si_code, pad;
	union {
		uint64_t si_addr; /* faults */
		struct {
			uint32_t si_pid, si_uid;
			union {
				uint64_t si_value;
				uint32_t si_status; /* CHLD */
			};
		};
		uint64_t room[14];
	};
};
_Static_assert(sizeof(struct siginfo_out) == 128, "siginfo is 128 bytes");

/* At sp when a handler of riscv64 begins: a0 the signal, a1 &info, a2 &uc_flags, ra where a
 * rt_sigreturn stands. */
struct sigframe {
	struct siginfo_out info;
	uint64_t uc_flags, uc_link;
	struct signal_stack uc_stack;
	uint64_t uc_sigmask, uc_sigmask_room[15];
	uint64_t pad;
	uint64_t regs[32]; /* pc, then x1 to x31 */
	uint64_t f[32];
	uint32_t fcsr, fp_room[67]; /* of the quad form; the last three words are 0 */
};
_Static_assert(offsetof(struct sigframe, uc_sigmask) == 128 + 40, "ucontext layout");
_Static_assert(offsetof(struct sigframe, regs) == 128 + 176, "ucontext layout");
_Static_assert(sizeof(struct sigframe) == 1088, "rt_sigframe is 1088 bytes");

#endif /* UAPI_SIGFRAME_H */
