/*
 * hart: the arch's own block of each hart, found through gp, and what the files of this folder
 * say to each other. Nothing outside kernel/arch/riscv64 includes it.
 */
#ifndef ARCH_RISCV64_HART_H
#define ARCH_RISCV64_HART_H

#include "arch/arch.h"
#include "base/counters.h"

struct arch_hart {
	/* known to trap.S by offset (layout.h) */
	struct core *core;
	uint64_t emergency_sp;
	uint64_t dead_x[32]; /* registers at a trap taken in the kernel; x[0] is the pc */
	uint64_t id;	     /* hart id; set once */
	void (*entry)(struct core *); /* NULL until arch_core_start */

	/* owner core only */
	struct arch_user *user;	     /* whose address space and FP rights are loaded */
	struct arch_user *fp_owner;  /* whose FP registers are in the hart */
	struct arch_aspace *aspace;  /* what satp names; NULL: the kernel's root */
	uint64_t asid_generation;    /* generation this hart's translations belong to */
	uint64_t fault_addr;	     /* last page fault, to tell a stale "absent" translation */
	uint64_t armed;		     /* ticks in the timer now */
	uint64_t user_deadline;	     /* ticks */
	struct arch_user *guest;     /* whose VS CSRs are in the hart */
	uint64_t guest_share;	     /* HSTATUS_VTW while other threads want this hart */
	bool guest_loaded;	     /* `user` runs in VS-mode: hstatus and sstatus say so */

	/* set once at boot */
	uint32_t index;
	uint32_t intc; /* phandle of its local interrupt controller in the device tree */
	volatile uint32_t *imsic;
	uint32_t imsic_index;	 /* its number in the S-level IMSICs, as APLIC targets want it */
	uint32_t plic_context;
	struct core *entry_arg;

	/* any core, atomic */
	_Atomic uint32_t up;
} __attribute__((aligned(CACHE_LINE)));

extern struct arch_hart harts[CORES_MAX];

/* Set once at boot. */
extern bool has_sstc;
extern bool has_hypervisor; /* every hart has the H extension; see guest_missing */
extern uint64_t ticks_hz;
/* Any core: a panic asks the other harts to stop. */
extern _Atomic bool harts_stopping;

static inline struct arch_hart *this_hart(void)
{
	struct arch_hart *h;

	__asm__ volatile("mv %0, gp" : "=r"(h));
	return h;
}

#define csr_name_(csr) #csr
#define csr_name(csr) csr_name_(csr)
#define csr_read(csr)                                                                              \
	({                                                                                         \
		uint64_t v_;                                                                       \
		__asm__ volatile("csrr %0, " csr_name(csr) : "=r"(v_) : : "memory");               \
		v_;                                                                                \
	})
#define csr_write(csr, v)                                                                          \
	__asm__ volatile("csrw " csr_name(csr) ", %0" : : "rK"((uint64_t)(v)) : "memory")
#define csr_set(csr, v)                                                                          \
	__asm__ volatile("csrs " csr_name(csr) ", %0" : : "rK"((uint64_t)(v)) : "memory")
#define csr_clear(csr, v)                                                                          \
	__asm__ volatile("csrc " csr_name(csr) ", %0" : : "rK"((uint64_t)(v)) : "memory")

/* CSRs that the two assemblers do not both know by name, or not without F. */
#define CSR_FCSR 0x003
#define CSR_STIMECMP 0x14d
#define CSR_SISELECT 0x150
#define CSR_SIREG 0x151
#define CSR_STOPEI 0x15c

#define INT_SOFT (1ul << 1)
#define INT_TIMER (1ul << 5)
#define INT_EXTERNAL (1ul << 9)

#define SSTATUS_SPIE (1ul << 5)
#define SSTATUS_SPP (1ul << 8)
#define SSTATUS_FS (3ul << 13)
#define SSTATUS_FS_CLEAN (2ul << 13)
#define SSTATUS_FS_DIRTY (3ul << 13)
#define SSTATUS_VS (3ul << 9)

/* ---- boot.c */
void hart_init(struct arch_hart *h); /* this hart's CSRs; every hart, once */
noreturn_fn void hart_halt(void);

/* ---- fdt.c: fills arch_boot, harts, time base, interrupt controllers. Boot hart. */
void fdt_scan(const void *fdt, uint64_t boot_hart);

/* ---- irq.c: AIA, or PLIC and SBI where there is none */
/* From the device tree: physical bases, 0 when absent. Boot hart. */
void irq_set_aia(paddr_t aplic, uint32_t sources);
void irq_set_plic(paddr_t plic, uint32_t sources);
extern uint32_t imsic_words; /* 64-bit registers of an IMSIC file's pending bits; set once */
void irq_init_hart(struct arch_hart *h);
/* Takes back every doorbell and device interrupt that is pending on this hart. */
void irq_consume(void);

/* ---- time.c */
void hart_timer_set(struct arch_hart *h, uint64_t ticks);
uint64_t ticks_of_ns(nsec_t ns);


/* ---- sbi.c (numbers: RISC-V SBI specification 1.0) */
struct sbi_result {
	int64_t error, value;
};
struct sbi_result sbi_call(uint64_t ext, uint64_t fn, uint64_t a0, uint64_t a1, uint64_t a2,
			   uint64_t a3, uint64_t a4);
#define SBI_PUTCHAR 0x01 /* legacy */
#define SBI_GETCHAR 0x02 /* legacy */
#define SBI_TIME 0x54494d45
#define SBI_IPI 0x735049
#define SBI_RFENCE 0x52464e43
#define SBI_HSM 0x48534d
#define SBI_SRST 0x53525354
#define SBI_RFENCE_I 0
#define SBI_RFENCE_VMA 1
#define SBI_RFENCE_GVMA 4

/* Calls an RFENCE function for every core in `cores` (bit per core index). */
void sbi_fence_cores(uint64_t fn, uint64_t cores, uint64_t start, uint64_t size);

#endif
