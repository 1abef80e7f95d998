/*
 * async_arch (riscv64): the few things of libasync that C cannot say: fences, the clock, the
 * doorbell, the coroutine switch.
 *
 * The switch is inline assembly that declares every register as changed except those it keeps
 * itself. So the compiler saves, at each place where a coroutine may be suspended, exactly the
 * values that are alive there, floating point included, and nothing else: no block of 24
 * callee-saved registers is stored and loaded for nothing. s0 may be a frame pointer, which no
 * clobber list can name, so it travels in the context beside pc and sp; gp and tp are the same
 * for all coroutines of a thread. fcsr (rounding mode, flags) belongs to the thread.
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

/* The executor of the thread that runs, found relative to tp. Asked anew each time: between two
 * calls that wait a coroutine may have come to another thread, and a compiler that knew what this
 * reads would remember it. */
#define ASYNC_PER_THREAD __thread
static inline __attribute__((always_inline)) struct async_exec *async_here(void)
{
	struct async_exec *x;

	__asm__ volatile("	lui	%0, %%tprel_hi(async_exec_own)\n"
			 "	add	%0, %0, tp, %%tprel_add(async_exec_own)\n"
			 "	addi	%0, %0, %%tprel_lo(async_exec_own)\n"
			 : "=r"(x));
	return x;
}

#ifdef ASYNC_LINUX
#include "../../linux/async_linux.h"
#else
#define ASYNC_ON_LINUX 0

/* user.ld: what tp points at on the first thread. */
extern char __tls_block[], __tls_end[];

/* For `x` to be found on a thread that is to be started: its thread pointer. `block`: zeros,
 * ASYNC_THREAD_BLOCK bytes; *x is in it. */
static inline struct async_exec *async_thread_place(char *block, uint64_t *tp)
{
	*tp = (uint64_t)(uintptr_t)block;
	return (struct async_exec *)(void *)(block + ((char *)async_here() - __tls_block));
}
#define ASYNC_THREAD_BLOCK ((uint64_t)(__tls_end - __tls_block))

/* The thread that runs has `x`: tp says so already. */
static inline void async_thread_set(struct async_exec *x)
{
	(void)x;
}

/* Ticks of the clock whose frequency is sluice_start.time_hz. */
static inline uint64_t async_ticks_read(void)
{
	uint64_t t;

	__asm__ volatile("rdtime %0" : "=r"(t));
	return t;
}
#endif

/* Orders earlier stores before later loads (wake-up protocol, uapi/sluice.h). */
static inline void async_fence_full(void)
{
	__asm__ volatile("fence rw, rw" ::: "memory");
}

/* A breath inside a spin loop: the `pause` hint (Zihintpause), a fence that orders nothing. */
static inline void async_relax(void)
{
	__asm__ volatile(".4byte 0x0100000f" ::: "memory");
}

/* The doorbell. `fn` is the hosted machine's entry and unused here. */
static inline int64_t async_door(uint64_t fn, int64_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
				 uint64_t a3, uint64_t a4, uint64_t a5)
{
	register uint64_t r0 __asm__("a0") = a0;
	register uint64_t r1 __asm__("a1") = a1;
	register uint64_t r2 __asm__("a2") = a2;
	register uint64_t r3 __asm__("a3") = a3;
	register uint64_t r4 __asm__("a4") = a4;
	register uint64_t r5 __asm__("a5") = a5;
	register int64_t r7 __asm__("a7") = nr;

	(void)fn;
	__asm__ volatile("ecall"
			 : "+r"(r0)
			 : "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5), "r"(r7)
			 : "memory");
	return (int64_t)r0;
}

/* A no-op that an instruction-counting emulator plugin recognises: slti x0, x0, 0x700 + n. */
#define ASYNC_MARK(n) __asm__ volatile("slti x0, x0, %0" ::"i"(0x700 + (n)) : "memory")

#if defined(__riscv_float_abi_soft) && defined(__riscv_flen)
#error the library of -mabi=lp64 keeps no floating-point registers: -march without f and d, too
#endif
#ifdef __riscv_flen
#define ASYNC_FP_CLOBBERS                                                                         \
	, "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "f13", \
		"f14", "f15", "f16", "f17", "f18", "f19", "f20", "f21", "f22", "f23", "f24",      \
		"f25", "f26", "f27", "f28", "f29", "f30", "f31"
#else
#define ASYNC_FP_CLOBBERS
#endif

/* Suspends the running coroutine into `from` and continues `to`, another one. Returns when
 * something continues `from`. Every register that is not restored here is in the clobber list.
 * Where `from` goes on is stored by the first instruction of whoever is continued: a2, which the
 * jump leaves behind, into a0 (a2, since ra and t0 would tell a processor that this is a call). */
static inline __attribute__((always_inline)) void async_switch(struct async_context *from,
							       struct async_context *to)
{
	register struct async_context *a0 __asm__("a0") = from;
	register struct async_context *a1 __asm__("a1") = to;

	__asm__ volatile("	sd	sp, 8(a0)\n"
			 "	sd	s0, 16(a0)\n"
			 "	ld	a2, 0(a1)\n"
			 "	ld	sp, 8(a1)\n"
			 "	ld	s0, 16(a1)\n"
			 "	jalr	a2, 0(a2)\n"
			 "	sd	a2, 0(a0)\n"
			 : "+r"(a0), "+r"(a1)
			 :
			 : "memory", "ra", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a2", "a3",
			   "a4", "a5", "a6", "a7", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8",
			   "s9", "s10", "s11" ASYNC_FP_CLOBBERS);
}

/* First code of a new coroutine (entry.S): calls async_co_begin with an empty return address. */
void async_co_entry(void);

#endif
