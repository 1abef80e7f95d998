/*
 * signal: signals as they cross the system-call boundary: flags and codes; sigframe.h has numbers
 * and layouts.
 *
 * Source: Linux' generic signal headers. A hosted file that includes the host's <signal.h> must not
 * include this one.
 */
#ifndef UAPI_SIGNAL_H
#define UAPI_SIGNAL_H

#include "uapi/sigframe.h"

/* how of rt_sigprocmask */
#define SIG_BLOCK 0
#define SIG_UNBLOCK 1
#define SIG_SETMASK 2

/* handler */
#define SIG_DFL 0
#define SIG_IGN 1

#define SA_NOCLDSTOP 1u
#define SA_NOCLDWAIT 2u
#define SA_SIGINFO 4u
#define SA_ONSTACK 0x08000000u
#define SA_RESTART 0x10000000u
#define SA_NODEFER 0x40000000u
#define SA_RESETHAND 0x80000000u

#define SS_ONSTACK 1
#define SS_DISABLE 2
#define MINSIGSTKSZ 2048

/* si_code */
#define SI_USER 0
#define SI_KERNEL 0x80
#define SI_QUEUE (-1)
#define SI_TKILL (-6)
#define ILL_ILLOPC 1
#define SEGV_MAPERR 1
#define SEGV_ACCERR 2
#define BUS_ADRALN 1
#define BUS_ADRERR 2
#define TRAP_BRKPT 1
#define CLD_EXITED 1
#define CLD_KILLED 2

#endif /* UAPI_SIGNAL_H */
