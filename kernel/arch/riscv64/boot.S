/*
 * boot: from the firmware's jump to C in the upper half. Runs at physical addresses with
 * translation off until it turns it on: the fetch behind the write of satp faults, and stvec is
 * where it goes on.
 */
#include "arch/riscv64/layout.h"

/* In .data, since the boot hart clears .bss: nonzero once a hart has come. */
	.data
	.balign	4
boot_taken:
	.word	0

	.section .text.boot, "ax"

/* The boot hart, whichever it is: a0 = hart id, a1 = device tree (physical). */
	.globl	boot_entry
boot_entry:
	csrw	sie, zero
	csrw	sscratch, zero
	la	t0, boot_taken
	li	t1, 1
	amoswap.w.aqrl t1, t1, (t0)
	bnez	t1, boot_secondary
	mv	s0, a0
	mv	s1, a1
	la	t0, image_bss
	la	t1, image_bss_end
1:	sd	zero, 0(t0)
	sd	zero, 8(t0)
	sd	zero, 16(t0)
	sd	zero, 24(t0)
	sd	zero, 32(t0)
	sd	zero, 40(t0)
	sd	zero, 48(t0)
	sd	zero, 56(t0)
	addi	t0, t0, 64
	bltu	t0, t1, 1b
	la	sp, image_stacks + SLOT_BYTES
	mv	a0, a1
	call	early_map
	li	t1, IMAGE_OFFSET
	add	sp, sp, t1
	la	t0, boot_high
	add	t0, t0, t1
	csrw	stvec, t0
	sfence.vma
	csrw	satp, a0
	.balign	4
boot_high:
	la	gp, harts
	la	t0, image_stacks + SLOT_EMERGENCY_TOP
	sd	t0, HART_EMERGENCY_SP(gp)
	la	t0, trap_entry
	csrw	stvec, t0
	mv	tp, zero
	mv	a0, s0
	mv	a1, s1
	call	boot_main

/*
 * Any other hart: a0 = hart id, and nothing else is believed. OpenSBI (1.1 and others) lets a hart that is
 * started go before it has written where to and with what argument, so that one may come by the boot
 * hart's entry, or here with the boot hart's argument. Its block is found by its id; arch_core_start
 * filled it before it asked for the start.
 */
	.globl	boot_secondary
boot_secondary:
	csrw	sie, zero
	csrw	sscratch, zero
	fence	rw, rw
	la	s1, harts
	li	t1, SLOTS
1:	ld	t2, HART_ID(s1)
	ld	t3, HART_ENTRY(s1)
	beqz	t3, 2f
	beq	t2, a0, 3f
2:	addi	s1, s1, HART_BYTES
	addi	t1, t1, -1
	bnez	t1, 1b
boot_stranger:
	wfi
	j	boot_stranger
3:	li	t1, IMAGE_OFFSET
	add	s1, s1, t1
	la	t0, early_satp
	ld	a0, 0(t0)
	li	t1, IMAGE_OFFSET
	la	t0, secondary_high
	add	t0, t0, t1
	csrw	stvec, t0
	sfence.vma
	csrw	satp, a0
	.balign	4
secondary_high:
	mv	gp, s1
	mv	tp, zero
	la	t0, trap_entry
	csrw	stvec, t0
	/* both stacks are in one slot */
	ld	t0, HART_EMERGENCY_SP(gp)
	li	t1, SLOT_BYTES - SLOT_EMERGENCY_TOP
	add	sp, t0, t1
	call	boot_secondary_main
