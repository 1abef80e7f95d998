/*
 * Does a program that abuses signals end by the right one, alone? Each argument is a way to die.
 *
 * env: SLUICE_UINTR=0
 * also: SLUICE_UINTR=0 handler
 * also: SLUICE_UINTR=1 handler
 * also: SLUICE_UINTR=0 overflow
 * also: SLUICE_UINTR=1 overflow
 * also: SLUICE_UINTR=0 stack
 * also: SLUICE_UINTR=1 stack
 * also: SLUICE_UINTR=0 forged
 * also: SLUICE_UINTR=1 forged
 * also: SLUICE_UINTR=0 kernel
 * also: SLUICE_UINTR=1 kernel
 * also: SLUICE_UINTR=0 frameless
 * also: SLUICE_UINTR=1 frameless
 * also: SLUICE_UINTR=0 blocked
 * also: SLUICE_UINTR=1 blocked
 * also: SLUICE_UINTR=0 abort
 * also: SLUICE_UINTR=1 term
 * ends: killed by signal 11
 * ends: killed by signal 11
 * ends: killed by signal 11
 * ends: killed by signal 11
 * ends: killed by signal 11
 * ends: killed by signal 11
 * ends: killed by signal 4
 * ends: killed by signal 4
 * ends: killed by signal 11
 * ends: killed by signal 11
 * ends: killed by signal 11
 * ends: killed by signal 11
 * ends: killed by signal 11
 * ends: killed by signal 11
 * ends: killed by signal 6
 * ends: killed by signal 15
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"

static char *volatile nowhere = (char *)8;

struct frame { /* as the kernel lays it out */
	siginfo_t info;
	ucontext_t uc;
};
_Static_assert(sizeof(struct frame) == 1088, "rt_sigframe is 1088 bytes");

/* "Returns" from a handler that never was. */
static void return_to(struct frame *f)
{
	__asm__ volatile("mv sp, %0\n\tli a7, %1\n\tecall" : : "r"(f), "i"(SYS_rt_sigreturn));
	__builtin_unreachable();
}

/* Reads hstatus: for the kernel alone, in either kind of process. */
static void privileged(void)
{
	uint64_t status;

	__asm__ volatile("csrr %0, 0x600" : "=r"(status));
	_exit(0);
}

static void forge(void (*to)(void))
{
	static struct frame f __attribute__((aligned(16)));
	static char stack[4096] __attribute__((aligned(16)));
	uint64_t *regs = (uint64_t *)&f.uc.uc_mcontext;

	memset(&f, 0xff, sizeof(f)); /* every bit that could be a right */
	memset(regs, 0, 256);
	memset(&f.uc.uc_sigmask, 0, sizeof(f.uc.uc_sigmask));
	regs[REG_PC] = (uint64_t)to;
	regs[REG_SP] = (uint64_t)(stack + sizeof(stack));
	return_to(&f);
}

static void again(int signo)
{
	(void)signo;
	*nowhere = 1;
}

static void ignore(int signo)
{
	(void)signo;
}

static void die(const char *how)
{
	struct sigaction act = { .sa_handler = again, .sa_flags = SA_NODEFER };
	sigset_t set;

	sigemptyset(&set);
	if (!strcmp(how, "handler")) {
		act.sa_handler = (void (*)(int))0x3000;
		sigaction(SIGUSR1, &act, NULL);
		raise(SIGUSR1);
	} else if (!strcmp(how, "overflow")) { /* a handler that faults, for ever */
		sigaction(SIGSEGV, &act, NULL);
		*nowhere = 1;
	} else if (!strcmp(how, "stack")) { /* no stack to put a frame on */
		sigaction(SIGSEGV, &act, NULL);
		__asm__ volatile("li sp, 64\n\tsd zero, 0(sp)" : : : "memory");
	} else if (!strcmp(how, "forged")) {
		act.sa_handler = ignore;
		sigaction(SIGUSR1, &act, NULL);
		forge(privileged);
	} else if (!strcmp(how, "kernel")) {
		act.sa_handler = ignore;
		sigaction(SIGUSR1, &act, NULL);
		forge((void (*)(void))0xffffffc080200000);
	} else if (!strcmp(how, "frameless")) {
		return_to((struct frame *)64);
	} else if (!strcmp(how, "blocked")) {
		sigaction(SIGSEGV, &act, NULL);
		sigaddset(&set, SIGSEGV);
		sigprocmask(SIG_BLOCK, &set, NULL);
		*nowhere = 1;
	} else if (!strcmp(how, "abort")) {
		abort();
	} else if (!strcmp(how, "term")) {
		raise(SIGTERM);
	}
	printf("FAIL %s: lives\n", how);
}

int main(int argc, char **argv)
{
	if (argc == 2)
		die(argv[1]);
	return argc - 1;
}
