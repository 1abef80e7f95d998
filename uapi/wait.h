/*
 * wait: how a child's end is told.
 *
 * Source: Linux' generic wait and siginfo headers (riscv64 uses them unchanged); the names of
 * siginfo's fields are those of waitid(2).
 */
#ifndef UAPI_WAIT_H
#define UAPI_WAIT_H

#include <stdint.h>

#define P_ALL 0
#define P_PID 1

#define WNOHANG 1u
#define WSTOPPED 2u
#define WEXITED 4u
#define WCONTINUED 8u
#define WNOWAIT 0x01000000u

#define SIGCHLD 17
#define CLD_EXITED 1
#define CLD_KILLED 2

/* siginfo_t as waitid fills it */
struct wait_info {
	int32_t si_signo, si_errno, si_code, pad;
	int32_t si_pid;
	uint32_t si_uid;
	int32_t si_status; /* exit status, or signal number */
	uint32_t rest[25];
};
_Static_assert(sizeof(struct wait_info) == 128, "siginfo_t is 128 bytes");

#endif /* UAPI_WAIT_H */
