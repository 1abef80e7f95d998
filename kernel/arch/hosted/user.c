/*
 * user: running programs natively, and getting the core back from them.
 *
 *            hosted_user_enter                    hosted_enter_fn (a call)  -> SYSCALL
 *   KERNEL -------------------> USER (program) --- fault, trap: SIGSEGV ... -> FAULT or BAD
 *                                              --- doorbell, tick: SIGUSR1  -> IRQ
 *
 * A program that is interrupted between two instructions leaves its whole signal context in
 * user->frame and goes on by rt_sigreturn from it, so that every register survives. The handler
 * runs on the core's alternate stack, copies the context, and returns into hosted_user_left on the
 * kernel's stack.
 *
 * A program's own `syscall` instruction would reach the host's kernel; where the host offers
 * system-call dispatch it is caught and answered as a bad instruction.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "arch/hosted/hosted.h"
#include "base/panic.h"

/* enter.S */
int hosted_user_enter(struct hosted_cpu *cpu, struct arch_user *user);
int64_t hosted_enter_fn(int64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
			uint64_t a5);
extern char hosted_enter_begin[], hosted_enter_end[], hosted_enter_fn_end[], hosted_user_abort[],
	hosted_user_left[];

_Static_assert(offsetof(struct hosted_cpu, kernel_sp) == 0 &&
		       offsetof(struct hosted_cpu, user) == 8 &&
		       offsetof(struct hosted_cpu, state) == 16 &&
		       offsetof(struct hosted_cpu, bell) == 20,
	       "enter.S knows struct hosted_cpu");
_Static_assert(offsetof(struct arch_user, result) == 56 && offsetof(struct arch_user, sp) == 72 &&
		       offsetof(struct arch_user, r15) == 120 &&
		       offsetof(struct arch_user, first_arg) == 128 &&
		       offsetof(struct arch_user, mxcsr) == 136 &&
		       offsetof(struct arch_user, fcw) == 140 &&
		       offsetof(struct arch_user, has_frame) == 142 &&
		       offsetof(struct arch_user, frame) == 144,
	       "enter.S knows struct arch_user");
_Static_assert(ARCH_EXIT_SYSCALL == 0 && ARCH_EXIT_IRQ == 2 && CPU_KERNEL == 0 && CPU_USER == 1,
	       "enter.S knows these numbers");

/*
 * user->frame: the head of the host's signal frame as rt_sigreturn reads it (Linux, asm/ucontext.h:
 * flags, link, stack, mcontext, 8-byte mask), and behind it the FP state, whose size is in its
 * software-reserved bytes (asm/sigcontext.h).
 */
#define FRAME_HEAD 304u
#define FRAME_FP 512u
#define FP_PLAIN 512u
#define FP_MAGIC_AT 464u
#define FP_MAGIC1 0x46505853u
_Static_assert(offsetof(ucontext_t, uc_sigmask) == FRAME_HEAD - 8, "the host's ucontext");

#define TRAP_PAGE_FAULT 14
#define HWCAP2_FSGSBASE 2

/* Linux, linux/prctl.h; named here since older headers lack them */
#define SET_SYSCALL_USER_DISPATCH 59
#define DISPATCH_ON 1

static size_t frame_bytes;
static bool has_fsgsbase;
static const int traps[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS };
static struct sigaction traps_before[array_count(traps)];

/*
 * ThreadSanitizer would keep signals back until the program calls the host, which it never does,
 * and its runtime is no place to be entered from a handler that may have interrupted it. So under
 * it the handlers are installed behind its back and are not instrumented.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define USER_TSAN 1
#endif
#endif
#ifdef USER_TSAN
#define handler_code __attribute__((disable_sanitizer_instrumentation))

#define SIGNAL_RESTORER 0x04000000ul /* Linux, asm/signal.h: SA_RESTORER */
#define SIGNAL_SET_BYTES 8ul

__asm__(".pushsection .text\nhosted_signal_return:\n\tmov $15, %eax\n\tsyscall\n.popsection\n");
extern char hosted_signal_return[]; /* rt_sigreturn */

static int signal_install(int sig, const struct sigaction *sa, struct sigaction *old)
{
	struct {
		void (*handler)(int, siginfo_t *, void *);
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} raw = { sa->sa_sigaction, (unsigned)sa->sa_flags | SIGNAL_RESTORER, hosted_signal_return,
		  0 };

	memcpy(&raw.mask, &sa->sa_mask, sizeof(raw.mask));
	if (old && sigaction(sig, NULL, old))
		return -1;
	return (int)syscall(SYS_rt_sigaction, sig, &raw, NULL, SIGNAL_SET_BYTES);
}
#else
#define handler_code
#define signal_install sigaction
#endif

/* ---- the handler ----------------------------------------------------------------------------- */

handler_code static void user_frame_save(struct hosted_cpu *cpu, const ucontext_t *uc)
{
	struct arch_user *u = cpu->user;
	char *fp = (char *)u->frame + FRAME_FP;
	const char *host_fp = (const char *)uc->uc_mcontext.fpregs;
	ucontext_t *head = u->frame;
	size_t size = FP_PLAIN;
	uint32_t magic;

	memcpy(head, uc, FRAME_HEAD);
	memcpy(&magic, host_fp + FP_MAGIC_AT, sizeof(magic));
	if (magic == FP_MAGIC1) {
		uint32_t extended;

		memcpy(&extended, host_fp + FP_MAGIC_AT + 4, sizeof(extended));
		size = extended;
	}
	if (FRAME_FP + size > frame_bytes)
		abort();
	memcpy(fp, host_fp, size);
	head->uc_mcontext.fpregs = (void *)fp;
	head->uc_link = NULL;
	u->pc = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
	u->sp = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
	u->has_frame = 1;
}

handler_code static void user_leave(struct hosted_cpu *cpu, ucontext_t *uc,
				    enum arch_exit_kind kind, const char *to)
{
	greg_t *regs = uc->uc_mcontext.gregs;

	atomic_store_explicit(&cpu->state, CPU_KERNEL, memory_order_release);
	regs[REG_RIP] = (greg_t)to;
	regs[REG_RDI] = (greg_t)cpu;
	regs[REG_RAX] = kind;
	regs[REG_EFL] &= ~(greg_t)0x40500; /* AC, DF, TF: the kernel's code expects them clear */
}

/* A signal that says something about the running program: keeps its context and goes back to the
 * kernel. */
handler_code static void user_stop(struct hosted_cpu *cpu, ucontext_t *uc, enum arch_exit_kind kind)
{
	uintptr_t pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];

	if (pc >= (uintptr_t)hosted_enter_fn && pc < (uintptr_t)hosted_enter_fn_end)
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)hosted_enter_fn;
	user_frame_save(cpu, uc);
	user_leave(cpu, uc, kind, hosted_user_left);
}

handler_code static bool is_entering(const ucontext_t *uc)
{
	uintptr_t pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];

	return pc >= (uintptr_t)hosted_enter_begin && pc < (uintptr_t)hosted_enter_end;
}

handler_code static void on_doorbell(int sig, siginfo_t *info, void *context)
{
	struct hosted_cpu *cpu = hosted_cpu_self;
	ucontext_t *uc = context;

	(void)sig;
	if (!cpu)
		return;
	if (info->si_code == SI_TIMER) {
		cpu->deadline_armed = NSEC_NEVER;
		atomic_store_explicit(&cpu->bell, 1, memory_order_relaxed);
	}
	if (atomic_load_explicit(&cpu->state, memory_order_relaxed) != CPU_USER)
		return;
	if (is_entering(uc))
		user_leave(cpu, uc, ARCH_EXIT_IRQ, hosted_user_abort);
	else
		user_stop(cpu, uc, ARCH_EXIT_IRQ);
}

handler_code static void on_trap(int sig, siginfo_t *info, void *context)
{
	struct hosted_cpu *cpu = hosted_cpu_self;
	ucontext_t *uc = context;
	const greg_t *regs = uc->uc_mcontext.gregs;
	bool page_fault = sig == SIGSEGV && regs[REG_TRAPNO] == TRAP_PAGE_FAULT;
	/* Intel SDM volume 3, 4.7: bit 1 write, bit 4 instruction fetch */
	uint32_t err = (uint32_t)regs[REG_ERR];

	if (!cpu || atomic_load_explicit(&cpu->state, memory_order_relaxed) != CPU_USER) {
		/* The kernel's own fault: back to whoever had the signal before us, who will see it
		 * again. */
		static const char words[] = "hosted: a fault inside the kernel\n";

		if (write(STDERR_FILENO, words, sizeof(words) - 1) < 0)
			_exit(1);
		for (unsigned i = 0; i < array_count(traps); i++)
			if (traps[i] == sig)
				sigaction(sig, &traps_before[i], NULL);
		return;
	}
	cpu->exit = (struct arch_exit){
		.addr = page_fault ? (uaddr_t)regs[REG_CR2] : (uaddr_t)info->si_addr,
		.access = !page_fault ? 0 : err & 16 ? ACCESS_EXEC : err & 2 ? ACCESS_WRITE :
									       ACCESS_READ,
		.cause = sig == SIGSYS ? 255 : (uint32_t)regs[REG_TRAPNO],
		.pc = (uaddr_t)regs[REG_RIP],
	};
	if (is_entering(uc)) {
		/* the jump itself trapped: the program asked to go on at an address that is none */
		cpu->exit.pc = cpu->user->pc;
		user_leave(cpu, uc, ARCH_EXIT_BAD, hosted_user_left);
		return;
	}
	user_stop(cpu, uc, page_fault ? ARCH_EXIT_FAULT : ARCH_EXIT_BAD);
}

void hosted_signals_init(void)
{
	struct sigaction sa = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART,
				.sa_sigaction = on_doorbell };
	unsigned long least = getauxval(AT_MINSIGSTKSZ);

	frame_bytes = FRAME_FP + max_of(least, 4096ul);
	has_fsgsbase = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
	sigaddset(&sa.sa_mask, SIGUSR1);
	if (signal_install(SIGUSR1, &sa, NULL))
		abort();
	sa.sa_sigaction = on_trap;
	for (unsigned i = 0; i < array_count(traps); i++)
		if (signal_install(traps[i], &sa, &traps_before[i]))
			abort();
}

void hosted_signals_thread(struct hosted_cpu *cpu)
{
	cpu->alt_size = align_up(64 * 1024 + frame_bytes, PAGE_SIZE);
	cpu->alt_stack = mmap(NULL, cpu->alt_size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (cpu->alt_stack == MAP_FAILED ||
	    sigaltstack(&(stack_t){ .ss_sp = cpu->alt_stack, .ss_size = cpu->alt_size }, NULL))
		panic("no memory for a signal stack");
}

/* ---- arch.h ---------------------------------------------------------------------------------- */

static uint64_t gs_read(void)
{
	uint64_t base;

	if (has_fsgsbase)
		__asm__ volatile("rdgsbase %0" : "=r"(base));
	else
		syscall(SYS_arch_prctl, 0x1004 /* ARCH_GET_GS */, &base);
	return base;
}

static void gs_write(uint64_t base)
{
	if (has_fsgsbase)
		__asm__ volatile("wrgsbase %0" ::"r"(base));
	else
		syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, base);
}

/* The host's timer interrupts this thread at cpu->deadline. */
static void deadline_arm(struct hosted_cpu *cpu)
{
	struct itimerspec at = { 0 };
	nsec_t now, wait;

	if (cpu->deadline == cpu->deadline_armed || !cpu->has_timer)
		return;
	if (cpu->deadline != NSEC_NEVER) {
		now = arch_time_ns();
		wait = cpu->deadline > now ? cpu->deadline - now : 1;
		at.it_value.tv_sec = (time_t)(wait / 1000000000u);
		at.it_value.tv_nsec = (long)(wait % 1000000000u);
	}
	cpu->deadline_armed = cpu->deadline;
	timer_settime(cpu->timer, 0, &at, NULL);
}

/* From now on a host call from outside enter.S while this thread says USER is a SIGSYS. Asked only
 * where programs run: it slows the thread's own calls. */
static void dispatch_ask(struct hosted_cpu *cpu)
{
	cpu->dispatch_asked = true;
	cpu->dispatch_works = !prctl(SET_SYSCALL_USER_DISPATCH, DISPATCH_ON, hosted_enter_begin,
				     hosted_enter_end - hosted_enter_begin, &cpu->state);
}

bool hosted_catches_host_calls(void)
{
	return hosted_cpu_self->dispatch_works;
}

enum arch_exit_kind arch_user_run(struct arch_user *u, struct aspace *as, struct arch_exit *exit)
{
	struct hosted_cpu *cpu = hosted_cpu_self;
	enum arch_exit_kind kind;

	if (hosted_sim)
		return hosted_sim->user_run(u, as, exit);
	if (cpu->as != as) {
		cpu->aa = hosted_window_find(as);
		kassert(cpu->aa);
		cpu->as = as;
	}
	if (!u->frame) {
		u->frame = aligned_alloc(64, align_up(frame_bytes, (size_t)64));
		kassert(u->frame);
	}
	if (unlikely(!cpu->dispatch_asked))
		dispatch_ask(cpu);
	deadline_arm(cpu);
	do {
		if (u->has_frame)
			((ucontext_t *)u->frame)->uc_stack =
				(stack_t){ .ss_sp = cpu->alt_stack, .ss_size = cpu->alt_size };
		gs_write(u->gs);
		kind = hosted_user_enter(cpu, u);
		u->gs = gs_read();
		if (kind == ARCH_EXIT_SYSCALL)
			u->has_frame = 0;
	} while (kind == ARCH_EXIT_FAULT &&
		 hosted_window_refill(cpu->aa, cpu->exit.addr, cpu->exit.access));

	if (kind == ARCH_EXIT_IRQ)
		atomic_store_explicit(&cpu->bell, 0, memory_order_seq_cst);
	else if (kind != ARCH_EXIT_SYSCALL)
		*exit = cpu->exit;
	return kind;
}

void arch_user_init(struct arch_user *u, uaddr_t pc, uaddr_t sp, uaddr_t tp, uint64_t arg0)
{
	*u = (struct arch_user){
		.pc = pc, .sp = sp, .gs = tp, .first_arg = arg0, .mxcsr = 0x1f80, .fcw = 0x37f,
	};
}

void arch_user_fini(struct arch_user *u)
{
	if (hosted_sim)
		hosted_sim->user_fini(u);
	else
		free(u->frame);
	u->frame = NULL;
}

/* A host thread keeps nothing of it. */
void arch_user_leave(struct arch_user *u, struct aspace *as)
{
	(void)u;
	(void)as;
}

void arch_user_arrive(struct arch_user *u)
{
	(void)u;
}

uaddr_t arch_user_divert(struct arch_user *u, uaddr_t to)
{
	uaddr_t was = u->pc;

	u->pc = to;
	if (u->has_frame)
		((ucontext_t *)u->frame)->uc_mcontext.gregs[REG_RIP] = (greg_t)to;
	return was;
}

uaddr_t arch_user_enter_fn(void)
{
	return (uaddr_t)(uintptr_t)hosted_enter_fn;
}

void arch_user_deadline(nsec_t deadline)
{
	hosted_cpu_self->deadline = deadline;
}
