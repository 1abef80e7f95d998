/*
 * notice_arch (riscv64): the registers of a program that runs in VS-mode: those that supervisors
 * have (Privileged Architecture 20211203, chapter 4; AIA 1.0, sections 2 and 3). direct_* only
 * while notice_direct; a plain program dies of them.
 */
#ifndef NOTICE_ARCH_H
#define NOTICE_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "uapi/notice.h"

extern bool notice_direct;

/* Where the thread that runs has its struct notice_self. */
extern ASYNC_PER_THREAD struct notice_self *notice_mine;
static inline __attribute__((always_inline)) struct notice_self *notice_here(void)
{
	struct notice_self *self;

	__asm__ volatile("	lui	%0, %%tprel_hi(notice_mine)\n"
			 "	add	%0, %0, tp, %%tprel_add(notice_mine)\n"
			 "	ld	%0, %%tprel_lo(notice_mine)(%0)\n"
			 : "=r"(self));
	return self;
}
static inline void notice_here_set(struct notice_self *self)
{
	notice_mine = self;
}

#define NOTICE_CSR_STIMECMP "0x14d"
#define NOTICE_CSR_SISELECT "0x150"
#define NOTICE_CSR_SIREG "0x151"
#define NOTICE_CSR_STOPEI "0x15c"

/* Interrupts by notices, from here on and no more. */
static inline void direct_on(void)
{
	__asm__ volatile("csrsi sstatus, 2" ::: "memory");
}
static inline void direct_off(void)
{
	__asm__ volatile("csrci sstatus, 2" ::: "memory");
}
/* The interrupt that is being served leaves them off: sstatus.SPIE. */
static inline void direct_return_off(void)
{
	__asm__ volatile("csrc sstatus, %0" ::"r"(1ul << 5) : "memory");
}

/*
 * Takes the most urgent identity that is pending; 0: none. When there is none it looks once more
 * without taking: QEMU 7.2 may lower the interrupt for a claim that found nothing while another
 * hart's post raises it, and what was posted would then lie there unseen.
 */
static inline uint32_t direct_claim(void)
{
	uint64_t top, left = 0;

	do {
		__asm__ volatile("csrrw %0, " NOTICE_CSR_STOPEI ", x0" : "=r"(top)::"memory");
		if (!top)
			__asm__ volatile("csrr %0, " NOTICE_CSR_STOPEI : "=r"(left)::"memory");
	} while (!top && left);
	return (uint32_t)(top >> 16);
}

/* Sleeps until something is pending; notices are off. */
static inline void direct_sleep(void)
{
	__asm__ volatile("wfi" ::: "memory");
}

/* The store that posts, behind all earlier ones. */
static inline void notice_store(volatile uint32_t *page, uint32_t id)
{
	__asm__ volatile("fence w, o\n\tsw %0, 0(%1)" ::"r"(id), "r"(page) : "memory");
}

static inline void notice_write(uint64_t reg, uint64_t value)
{
	__asm__ volatile("csrw " NOTICE_CSR_SISELECT ", %0\n\tcsrw " NOTICE_CSR_SIREG ", %1" ::"r"(
				 reg),
			 "r"(value)
			 : "memory");
}

/* Identities, a bit each, that are pending from now on. */
static inline void direct_pend(uint64_t ids)
{
	__asm__ volatile("csrw " NOTICE_CSR_SISELECT ", %0\n\tcsrs " NOTICE_CSR_SIREG ", %1" ::"r"(
				 0x80ul),
			 "r"(ids)
			 : "memory");
}

/* The timer: handler 0 runs, or a sleep ends, when the clock reaches `ticks`; UINT64_MAX: never. */
static inline void direct_timer(uint64_t ticks)
{
	__asm__ volatile("csrw " NOTICE_CSR_STIMECMP ", %0" ::"r"(ticks) : "memory");
}

/* Not by sip: QEMU 7.2 does not show a VS timer there. */
static inline bool direct_timer_due(void)
{
	uint64_t at, now;

	__asm__ volatile("csrr %0, " NOTICE_CSR_STIMECMP "\n\trdtime %1"
			 : "=r"(at), "=r"(now)::"memory");
	return now >= at;
}

/* The mailbox delivers all identities; nobody has an endpoint yet. Which of them are masked is the
 * library's to know: in QEMU 7.2 a change of the mailbox's own mask loses a post of that identity
 * that another hart makes just then, since neither is atomic. */
static inline void direct_begin(void)
{
	direct_timer(UINT64_MAX);
	notice_write(0xc0, ~1ul);
	notice_write(0x72, 0); /* eithreshold: all identities */
	notice_write(0x70, 1); /* eidelivery */
	__asm__ volatile("csrs sie, %0" ::"r"(1ul << 9 | 1ul << 5));
}

static inline uint64_t direct_cause(void)
{
	uint64_t cause;

	__asm__ volatile("csrr %0, scause" : "=r"(cause));
	return cause;
}
#define NOTICE_CAUSE_TIMER (1ull << 63 | 5)

/* What a handler must keep before other code runs inside it, notices off. */
struct notice_frame { /* of an upcall: what the area says */
	uint64_t epc, status;
#ifdef __riscv_flen
	uint64_t fp[21];
#endif
};
#ifdef __riscv_flen
void notice_fp_save(uint64_t *fp);
void notice_fp_load(const uint64_t *fp);
#define NOTICE_FP(call) (call)
#else
#define NOTICE_FP(call) ((void)0)
#endif

static inline void notice_frame_save(struct notice_frame *f)
{
	if (notice_direct) {
		__asm__ volatile("csrr %0, sepc\n\tcsrr %1, sstatus"
				 : "=r"(f->epc), "=r"(f->status));
	} else {
		f->epc = notice_here()->area.pc;
		f->status = notice_here()->area.was;
	}
	NOTICE_FP(notice_fp_save(f->fp));
}
static inline void notice_frame_load(const struct notice_frame *f)
{
	NOTICE_FP(notice_fp_load(f->fp));
	if (notice_direct) {
		__asm__ volatile("csrw sepc, %0\n\tcsrw sstatus, %1" ::"r"(f->epc), "r"(f->status)
				 : "memory");
	} else {
		notice_here()->area.pc = f->epc;
		notice_here()->area.was = (uint32_t)f->status;
	}
}

/* notice.S: where the hart goes; calls notice_taken. */
void notice_entry(void);
/* notice.S: where the kernel enters by an upcall; calls upcall_taken. */
void upcall_entry(void);

#endif
