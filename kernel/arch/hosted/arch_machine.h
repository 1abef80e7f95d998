/*
 * arch_machine (hosted): the machine-defined half of arch.h on a Linux process: what a thread, an
 * address space and a fiber are here, and the promises that are one instruction or two.
 *
 * Cores are POSIX threads; arch_core() is thread-local. RAM is one memory file, mapped once as the
 * direct map and page by page at the programs' own addresses. Programs are x86-64 static-pie files
 * that run natively and call hosted_enter_fn instead of trapping. fs belongs to the host's C
 * library, gs to the program.
 */
#ifndef ARCH_HOSTED_ARCH_MACHINE_H
#define ARCH_HOSTED_ARCH_MACHINE_H

#include "base/types.h"

#ifndef __x86_64__
#error "the hosted machine runs on x86-64 Linux"
#endif

#define ARCH_ELF_MACHINE 62 /* EM_X86_64 */
#define ARCH_USER_WINDOWS 1

/* Offsets are known to enter.S; user.c asserts them. */
struct arch_user {
	uint64_t args[7]; /* number, six arguments */
	uint64_t result;
	uint64_t pc, sp;
	uint64_t rbx, rbp, r12, r13, r14, r15;
	uint64_t first_arg; /* rdi at the first entry */
	uint32_t mxcsr;
	uint16_t fcw;
	/* resume from `frame`: the thread was interrupted between two instructions */
	uint8_t has_frame;
	uint8_t unused;
	void *frame;	    /* saved signal context, host memory, made at the first run */
	uint64_t gs;	    /* the program's thread pointer */

	/* ignored: leaving is as cheap */
	bool (*quick)(struct arch_user *, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
		      uint64_t, uint64_t);
};

/* No signals: this machine's programs are not Linux'. */
#define ARCH_SIGNALS 0
struct sigframe;
static inline void arch_user_settle(struct arch_user *user)
{
	(void)user;
}
static inline uaddr_t arch_user_sp(const struct arch_user *user)
{
	return user->sp;
}
static inline uaddr_t arch_user_tp(const struct arch_user *user)
{
	return user->gs;
}
static inline void arch_user_copy(struct arch_user *user, const struct arch_user *from, uaddr_t sp,
				  uaddr_t tp)
{
	(void)user, (void)from, (void)sp, (void)tp;
}
static inline void arch_user_redo(struct arch_user *user, uint64_t arg0)
{
	(void)user, (void)arg0;
}
static inline void arch_signal_save(const struct arch_user *user, struct sigframe *frame)
{
	(void)user, (void)frame;
}
static inline void arch_signal_restore(struct arch_user *user, const struct sigframe *frame)
{
	(void)user, (void)frame;
}
static inline void arch_signal_enter(struct arch_user *user, uaddr_t handler, uaddr_t at,
				     uint64_t signo, uaddr_t context, uaddr_t ret)
{
	(void)user, (void)handler, (void)at, (void)signo, (void)context, (void)ret;
}

/* Programs' instructions are not decoded: no doorbells that trap. */
#define ARCH_STORES_TRAP 0

struct arch_inbox {
	uint64_t enabled, pending;
	bool on;
};

struct arch_aspace {
	uint32_t slot; /* which window of user addresses */
	paddr_t root;
	uaddr_t low, top;
};

struct arch_fiber {
	void *sp;
	/* lowest address; 0 until known for a stack that arch_fiber_init did not make */
	void *stack;
	size_t size;
	void *shadow; /* the sanitizer's own, while switched away */
	void (*entry)(void *);
	void *arg;
};

struct core;
extern __thread struct core *hosted_core;

static inline struct core *arch_core(void)
{
	return hosted_core;
}

static inline void arch_core_set(struct core *c)
{
	hosted_core = c;
}

nsec_t hosted_time_ns(void);

static inline nsec_t arch_time_ns(void)
{
	return hosted_time_ns();
}

static inline void arch_relax(void)
{
	__builtin_ia32_pause();
}

/* A program of this host cannot watch a line. */
static inline bool arch_can_watch(void)
{
	return false;
}

static inline bool arch_relax_on(_Atomic uint32_t *word, uint32_t seen)
{
	(void)word, (void)seen;
	arch_relax();
	return false;
}

static inline uint64_t arch_user_nr(const struct arch_user *u)
{
	return u->args[0];
}

static inline uint64_t arch_user_arg(const struct arch_user *u, unsigned i)
{
	return u->args[1 + i];
}

static inline void arch_user_set_result(struct arch_user *u, int64_t result)
{
	u->result = (uint64_t)result;
}

static inline uaddr_t arch_user_low(const struct arch_aspace *aa)
{
	return aa->low;
}

static inline uaddr_t arch_user_top(const struct arch_aspace *aa)
{
	return aa->top;
}

/*
 * RAM starts at 2 GiB, as on the riscv64 machine, so that no frame is number 0. The direct map is
 * at a fixed host address, which every sanitizer must leave free: AddressSanitizer's HighMem,
 * ThreadSanitizer's low application memory.
 */
#define HOSTED_RAM_BASE 0x80000000ull
#if defined(__SANITIZE_THREAD__)
#define HOSTED_DIRECT 0x4000000000ull
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HOSTED_DIRECT 0x4000000000ull
#endif
#endif
#ifndef HOSTED_DIRECT
#define HOSTED_DIRECT 0x500000000000ull
#endif

static inline void *arch_direct(paddr_t pa)
{
	return (void *)(HOSTED_DIRECT + pa);
}

static inline paddr_t arch_direct_paddr(const void *p)
{
	return (paddr_t)p - HOSTED_DIRECT;
}

/* x86-64 keeps stores in order, and "devices" are threads: a compiler barrier is enough towards a
 * doorbell. */
static inline void arch_before_doorbell(void)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void arch_before_dma(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void arch_after_dma(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Nothing interrupts the kernel here: signals would have to land between any two instructions of
 * host code. It is asked at each opening instead. */
struct arch_preempt {
	nsec_t unused;
};

#define ARCH_PREEMPTS 0
#define ARCH_FIBER_STACK_BYTES 32768u /* sanitizers make frames several times larger */

extern __thread bool hosted_window;
bool hosted_preempt_due(void);

static inline void arch_window_open(void)
{
	hosted_window = true;
}

static inline void arch_window_close(void)
{
	hosted_window = false;
}

static inline bool arch_window_is_open(void)
{
	return hosted_window;
}

static inline bool arch_preempt_due(void)
{
	return hosted_preempt_due();
}

#define ARCH_MARK(n) ((void)0)

#endif
