/*
 * async_arch (x86-64: the hosted machine, and Linux): the few things of libasync that C cannot say:
 * fences, the clock, the doorbell, the coroutine switch. See arch/riscv64/async_arch.h for why the
 * switch is inline assembly.
 *
 * On the hosted machine a program runs inside a Linux process of which it knows nothing; on Linux
 * itself (ASYNC_LINUX) clock and doorbell are those of linux/async_linux.h.
 */
#ifndef ASYNC_ARCH_H
#define ASYNC_ARCH_H

#include <stdint.h>

/* What is kept of a suspended coroutine besides its stack. Offsets are known to the assembly. */
struct async_context {
	uint64_t pc;
	uint64_t sp;
	uint64_t fp;
};

struct async_exec;

#ifdef ASYNC_LINUX
#include "../../linux/async_linux.h"

/* The executor of the thread that runs. Asked anew each time: between two calls that wait a
 * coroutine may have come to another thread, and a compiler that knew what this reads would
 * remember it. */
static inline __attribute__((always_inline)) struct async_exec *async_here(void)
{
	struct async_exec *x;

	__asm__ volatile("movq	%%fs:0, %0\n	leaq	async_exec_own@tpoff(%0), %0" : "=r"(x));
	return x;
}
#else
/* The fs register belongs to the host's thread: no thread-local storage. gs is the program's, and
 * points at the executor, whose first word is its own address. */
#define ASYNC_PER_THREAD
#define ASYNC_ON_LINUX 0

static inline __attribute__((always_inline)) struct async_exec *async_here(void)
{
	struct async_exec *x;

	__asm__ volatile("movq	%%gs:0, %0" : "=r"(x));
	return x;
}

/* As on riscv64: *x is the block. */
#define ASYNC_THREAD_BLOCK 0ull
static inline struct async_exec *async_thread_place(char *block, uint64_t *tp)
{
	*tp = (uint64_t)(uintptr_t)block;
	return (struct async_exec *)(void *)block;
}

static inline void async_thread_set(struct async_exec *x)
{
	__asm__ volatile("wrgsbase	%0" ::"r"(x) : "memory");
}

/* Ticks of the clock whose frequency is sluice_start.time_hz. */
static inline uint64_t async_ticks_read(void)
{
	return __builtin_ia32_rdtsc();
}
#endif

/* Orders earlier stores before later loads (wake-up protocol, uapi/sluice.h). A locked add on the
 * stack is the cheaper form of mfence. */
static inline void async_fence_full(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* A breath inside a spin loop. */
static inline void async_relax(void)
{
	__builtin_ia32_pause();
}

/* The doorbell: on Linux a system call, else a call of the hosted kernel's own entry. */
static inline int64_t async_door(uint64_t fn, int64_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
				 uint64_t a3, uint64_t a4, uint64_t a5)
{
#ifdef ASYNC_LINUX
	register uint64_t r10 __asm__("r10") = a3;
	register uint64_t r8 __asm__("r8") = a4;
	register uint64_t r9 __asm__("r9") = a5;

	(void)fn;
	__asm__ volatile("syscall"
			 : "+a"(nr)
			 : "D"(a0), "S"(a1), "d"(a2), "r"(r10), "r"(r8), "r"(r9)
			 : "memory", "rcx", "r11");
	return nr;
#else
	typedef int64_t (*door_fn)(int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
				   uint64_t);

	return ((door_fn)fn)(nr, a0, a1, a2, a3, a4, a5);
#endif
}

/* Marks mean something to an emulator only. */
#define ASYNC_MARK(n) __asm__ volatile("" ::: "memory")

/* Registers that exist only where the compiler was told to use AVX-512. */
#ifdef __AVX512F__
#define ASYNC_FP_CLOBBERS                                                                         \
	, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24",        \
		"xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3",  \
		"k4", "k5", "k6", "k7"
#else
#define ASYNC_FP_CLOBBERS
#endif

/* Suspends the running coroutine into `from` and continues `to`. Returns when something continues
 * `from`. Every register that is not restored here is in the clobber list. */
static inline __attribute__((always_inline)) void async_switch(struct async_context *from,
							       struct async_context *to)
{
	__asm__ volatile("	leaq	1f(%%rip), %%rax\n"
			 "	movq	%%rax, 0(%%rdi)\n"
			 "	movq	%%rsp, 8(%%rdi)\n"
			 "	movq	%%rbp, 16(%%rdi)\n"
			 "	movq	8(%%rsi), %%rsp\n"
			 "	movq	16(%%rsi), %%rbp\n"
			 "	jmpq	*0(%%rsi)\n"
			 "1:\n"
			 : "+D"(from), "+S"(to)
			 :
			 : "memory", "cc", "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11",
			   "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
			   "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
			   "xmm13", "xmm14", "xmm15" ASYNC_FP_CLOBBERS);
}

/* First code of a new coroutine (entry.S): calls async_co_begin with an empty return address. */
void async_co_entry(void);

#endif
