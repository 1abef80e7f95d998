/*
 * guest: the arch's private header of guest.c: processes in VS-mode. Runs on the hart concerned.
 */
#ifndef ARCH_RISCV64_GUEST_H
#define ARCH_RISCV64_GUEST_H

#include "arch/riscv64/hart.h"

/* CSRs of the hypervisor extension, by number: the assemblers do not both know their names.
 * Privileged Architecture 20211203, chapter 8; AIA 1.0, section 2.1. */
#define CSR_VSSTATUS 0x200
#define CSR_VSIE 0x204
#define CSR_VSTVEC 0x205
#define CSR_VSSCRATCH 0x240
#define CSR_VSEPC 0x241
#define CSR_VSCAUSE 0x242
#define CSR_VSTVAL 0x243
#define CSR_VSTIMECMP 0x24d
#define CSR_VSISELECT 0x250
#define CSR_VSIREG 0x251
#define CSR_VSTOPEI 0x25c
#define CSR_VSATP 0x280
#define CSR_HSTATUS 0x600
#define CSR_HEDELEG 0x602
#define CSR_HIDELEG 0x603
#define CSR_HIE 0x604
#define CSR_HTIMEDELTA 0x605
#define CSR_HCOUNTEREN 0x606
#define CSR_HGEIE 0x607
#define CSR_HVICTL 0x609
#define CSR_HENVCFG 0x60a
#define CSR_HTVAL 0x643
#define CSR_HVIP 0x645
#define CSR_HGATP 0x680
#define CSR_HGEIP 0xe12
#define CSR_SENVCFG 0x10a

#define HSTATUS_SPV (1ul << 7)
#define HSTATUS_SPVP (1ul << 8)
#define HSTATUS_VGEIN(file) ((uint64_t)(file) << 12)
#define HSTATUS_VTVM (1ul << 20)
#define HSTATUS_VTW (1ul << 21)
#define HSTATUS_VSXL64 (2ul << 32)

#define INT_GUEST (1ul << 12) /* SGEIE in hie: a guest interrupt file that hgeie watches */

/* Boot hart: does every hart have what VS-mode processes need? Sets guest_missing. */
void guest_probe(void);
/* NULL: they do. Set once at boot. */
extern const char *guest_missing;
/* Guest interrupt files of each hart. Set once at boot. */
extern unsigned guest_files;
/* Every hart, once. */
void guest_init_hart(void);

/* Makes the hart ready to enter `user` in VS-mode, or in U-mode behind one that was. */
void guest_load(struct arch_hart *h, struct arch_user *user);
void guest_leave(struct arch_hart *h);
/* A fresh thread's interrupt registers. */
void guest_user_init(struct arch_user *user);
/* The thread leaves this hart: what is in the hart of its CSRs goes to user->guest. */
void guest_save(struct arch_hart *h, struct arch_user *user);
/* The thread is gone: its CSRs are not to be saved any more. */
void guest_forget(struct arch_hart *h, struct arch_user *user);

/* Was the trap that is being looked at taken from VS-mode or VU-mode? */
static inline bool guest_trapped(void)
{
	return !guest_missing && (csr_read(CSR_HSTATUS) & HSTATUS_SPV);
}

/* hfence.gvma for one guest-physical page, or for all (Privileged Architecture, section 8.2.1). */
static inline void guest_fence_page(uaddr_t va)
{
	__asm__ volatile(".insn r 0x73, 0, 0x31, x0, %0, x0" : : "r"(va >> 2) : "memory");
}
static inline void guest_fence_all(void)
{
	__asm__ volatile(".insn r 0x73, 0, 0x31, x0, x0, x0" : : : "memory");
}

#endif
