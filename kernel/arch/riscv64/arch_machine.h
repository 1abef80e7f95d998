/*
 * arch_machine (riscv64): what a RISC-V hart keeps per thread, address space and fiber, and the
 * promises of arch.h that are one or a few instructions.
 *
 * In the kernel tp holds the core pointer and gp the arch's own block of this hart (hart.h); the
 * link script defines no __global_pointer$, so the linker never uses gp for anything else.
 */
#ifndef ARCH_RISCV64_ARCH_MACHINE_H
#define ARCH_RISCV64_ARCH_MACHINE_H

#include <stdatomic.h>

#include "arch/riscv64/layout.h"
#include "base/types.h"

struct core;
struct arch_hart;

/* A VS-mode thread's own interrupt registers (guest.c). */
struct arch_guest {
	uint64_t status, ie, tvec, scratch, epc, cause, tval, select, timecmp;
};

/* arch_user_skip_store: a store to a page that is not there can be done by the kernel. */
#define ARCH_STORES_TRAP 1

struct arch_inbox {
	uint64_t enabled, pending;
	bool on;
};

struct arch_user {
	uint64_t x[32]; /* x[0] is the pc */

	/* owner core only */
	uint64_t kernel_sp;	   /* while it runs */
	struct arch_hart *hart;	   /* where it is the loaded thread; NULL: nowhere */
	struct arch_hart *fp_hart; /* where its FP registers were last loaded */
	uint64_t fcsr;
	uint64_t f[32];

	/* set once: arch_quick_fn */
	bool (*quick)(struct arch_user *, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
		      uint64_t, uint64_t);

	/* owner core only */
	bool fp_moved; /* it was writing FP registers when it left its hart: no trap to load them */
	struct arch_hart *guest_hart; /* whose VS CSRs hold its own; NULL: `guest` does */
	struct arch_guest guest;
	uint64_t inbox; /* guest interrupt file, 0: none */
};

struct arch_aspace {
	paddr_t root;		/* set once */
	bool guest;		/* set once: root is a G-stage table */
	_Atomic uint64_t context; /* generation << 16 | ASID; 0: none yet */
	_Atomic uint64_t cores;	/* any core: bit per core that may hold translations */
};

struct arch_fiber {
	uint64_t sp, ra, s[12];
};

/* What a trap in a window overwrites, and what begin changes. */
struct arch_preempt {
	uint64_t epc, status, hstatus, enabled;
};

#define ARCH_PREEMPTS 1
/* IMAFDC: what every program may use. */
#define ARCH_HWCAP (1u << 8 | 1u << 12 | 1u << 0 | 1u << 5 | 1u << 3 | 1u << 2)
#define ARCH_FIBER_STACK_BYTES 16384u

static inline void arch_window_open(void)
{
	__asm__ volatile("csrsi sstatus, 2" : : : "memory"); /* SIE */
}

static inline void arch_window_close(void)
{
	__asm__ volatile("csrci sstatus, 2" : : : "memory");
}

static inline bool arch_window_is_open(void)
{
	uint64_t status;

	__asm__ volatile("csrr %0, sstatus" : "=r"(status));
	return status & 2;
}

static inline bool arch_preempt_due(void)
{
	return false;
}

static inline struct core *arch_core(void)
{
	struct core *c;

	/* volatile: a fiber may continue on another core, so the value must not be kept across
	 * calls */
	__asm__ volatile("mv %0, tp" : "=r"(c));
	return c;
}

static inline void arch_core_set(struct core *c)
{
	/* HART_CORE: where the way out of user mode finds it again */
	__asm__ volatile("mv tp, %0\n\tsd %0, 0(gp)" : : "r"(c) : "memory");
}

/* Set once at boot: nanoseconds of one tick of `time`; 0 when that is no whole number. */
extern uint64_t arch_tick_ns;
nsec_t arch_ticks_ns_slow(uint64_t ticks);

static inline uint64_t arch_ticks(void)
{
	uint64_t t;

	__asm__ volatile("rdtime %0" : "=r"(t));
	return t;
}

static inline nsec_t arch_ticks_ns(uint64_t ticks)
{
	uint64_t k = arch_tick_ns;

	return likely(k) ? ticks * k : arch_ticks_ns_slow(ticks);
}

static inline nsec_t arch_time_ns(void)
{
	return arch_ticks_ns(arch_ticks());
}

static inline void arch_relax(void)
{
	__asm__ volatile(".4byte 0x0100000f"
			 :
			 :
			 : "memory"); /* pause: a hint, a fence that orders nothing */
}

/* Set once at boot: every hart has Zawrs (Wait-on-Reservation-Set 1.01). */
extern bool arch_has_zawrs;

static inline bool arch_can_watch(void)
{
	return arch_has_zawrs;
}

static inline bool arch_relax_on(_Atomic uint32_t *word, uint32_t seen)
{
	int64_t now, was = (int32_t)seen; /* as lr.w extends it */

	/* wrs.sto: stalls while the reservation holds, for a short time at most, which the hart
	 * chooses; an interrupt that becomes pending ends it, too. Not known to the assembler. */
	__asm__ volatile("lr.w %0, (%1)\n\t"
			 "bne %0, %2, 1f\n\t"
			 ".4byte 0x01d00073\n"
			 "1:"
			 : "=&r"(now)
			 : "r"(word), "r"(was)
			 : "memory");
	return now == was;
}

#define ARCH_SIGNALS 1
struct sigframe;
void arch_user_settle(struct arch_user *user);
void arch_user_copy(struct arch_user *user, const struct arch_user *from, uaddr_t sp, uaddr_t tp);
void arch_signal_save(const struct arch_user *user, struct sigframe *frame);
void arch_signal_restore(struct arch_user *user, const struct sigframe *frame);
void arch_signal_enter(struct arch_user *user, uaddr_t handler, uaddr_t at, uint64_t signo,
		       uaddr_t context, uaddr_t ret);

static inline uaddr_t arch_user_sp(const struct arch_user *u)
{
	return u->x[2];
}

static inline uaddr_t arch_user_tp(const struct arch_user *u)
{
	return u->x[4];
}

static inline void arch_user_redo(struct arch_user *u, uint64_t arg0)
{
	u->x[0] -= 4; /* ecall has no short form */
	u->x[10] = arg0;
}

static inline uint64_t arch_user_nr(const struct arch_user *u)
{
	return u->x[17];
}

static inline uint64_t arch_user_arg(const struct arch_user *u, unsigned i)
{
	return u->x[10 + i];
}

static inline void arch_user_set_result(struct arch_user *u, int64_t result)
{
	u->x[10] = (uint64_t)result;
}

static inline void *arch_direct(paddr_t pa)
{
	return (void *)(pa + DIRECT_BASE);
}

/* Also right for objects in the kernel image, so that static buffers may be given to devices. */
static inline paddr_t arch_direct_paddr(const void *p)
{
	uint64_t va = (uint64_t)p;

	return va >= IMAGE_BASE ? va - IMAGE_OFFSET : va - DIRECT_BASE;
}

static inline void arch_before_doorbell(void)
{
	__asm__ volatile("fence w, o" : : : "memory");
}

static inline void arch_before_dma(void)
{
	__asm__ volatile("fence iorw, iorw" : : : "memory");
}

static inline void arch_after_dma(void)
{
	__asm__ volatile("fence iorw, iorw" : : : "memory");
}

#define ARCH_MARK(n) __asm__ volatile("slti x0, x0, 0x700 + %0" : : "i"(n))

#endif
