/*
 * layout: where things are in the kernel's half of an address space (Sv39: Privileged Architecture
 * 20211203, section 4.4). Included by assembly, C and the comment readers of link.ld; no state.
 *
 *   root entry 256..509   direct map: physical address + DIRECT_BASE, 1 GiB pages, read-write
 *   root entry 510        kernel image: physical address + IMAGE_OFFSET, 2 MiB pages: text
 *                         read-execute, constants read-only, data read-write; stacks in 4 KiB
 *                         pages with guards
 */
#ifndef ARCH_RISCV64_LAYOUT_H
#define ARCH_RISCV64_LAYOUT_H

#define DIRECT_BASE 0xffffffc000000000
#define DIRECT_BYTES 0x3f80000000 /* 254 GiB */
#define IMAGE_OFFSET 0xffffffff00000000
#define IMAGE_BASE 0xffffffff80000000

/* A core's stack slot: guard page, emergency stack (for traps taken in the kernel), guard
 * page, stack. */
#define SLOT_BYTES 0x10000
#define SLOT_SHIFT 16
#define SLOT_EMERGENCY_TOP 0x3000
#define SLOT_STACK_BOTTOM 0x4000
#define SLOTS 64

/* struct arch_user and struct arch_hart as trap.S and user.S see them; checked in user.c. */
#define USER_PC 0
#define USER_X(n) (8 * (n))
#define USER_KERNEL_SP 256
#define USER_HART 264
#define USER_FCSR 280
#define USER_F(n) (288 + 8 * (n))
#define USER_QUICK 544

#define HART_CORE 0
#define HART_EMERGENCY_SP 8
#define HART_DEAD_X(n) (16 + 8 * (n))
#define HART_ID 272
#define HART_ENTRY 280
#define HART_BYTES 448

#endif
