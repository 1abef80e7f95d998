/*
 * trap: into user mode and back. A core's only stack is the caller's: arch_user_run leaves the
 * kernel's registers below it and the trap finds them again, so a trap looks like a return.
 *
 * sscratch: the running thread's struct arch_user in user mode, 0 in the kernel. A trap that
 * finds 0 was taken in the kernel: an interrupt in a window of a long step (preempt.c), or a kernel
 * lie, which panics on a stack of its own. On the way to and from user mode sstatus is never written: SPIE stays 0, and interrupts of S level reach user mode
 * regardless of SIE (Privileged Architecture, section 3.1.6.1); FP rights change only in
 * hart_load_user. Nor is hstatus: a trap leaves in both what sret needs to go back to the mode it
 * came from, U, VS or VU, and hart_load_user puts it right when another thread is loaded.
 */
#include "arch/riscv64/layout.h"

	.section .text.trap, "ax"

.macro kernel_regs op
	\op	ra, -8(sp)
	\op	s0, -16(sp)
	\op	s1, -24(sp)
	\op	s2, -32(sp)
	\op	s3, -40(sp)
	\op	s4, -48(sp)
	\op	s5, -56(sp)
	\op	s6, -64(sp)
	\op	s7, -72(sp)
	\op	s8, -80(sp)
	\op	s9, -88(sp)
	\op	s10, -96(sp)
	\op	s11, -104(sp)
.endm

/* what C may change, less a0, which points at the block */
.macro user_regs_caller op
	\op	x1, USER_X(1)(a0)
	\op	x2, USER_X(2)(a0)
	\op	x3, USER_X(3)(a0)
	\op	x4, USER_X(4)(a0)
	\op	x5, USER_X(5)(a0)
	\op	x6, USER_X(6)(a0)
	\op	x7, USER_X(7)(a0)
	\op	x11, USER_X(11)(a0)
	\op	x12, USER_X(12)(a0)
	\op	x13, USER_X(13)(a0)
	\op	x14, USER_X(14)(a0)
	\op	x15, USER_X(15)(a0)
	\op	x16, USER_X(16)(a0)
	\op	x17, USER_X(17)(a0)
	\op	x28, USER_X(28)(a0)
	\op	x29, USER_X(29)(a0)
	\op	x30, USER_X(30)(a0)
	\op	x31, USER_X(31)(a0)
.endm

/* what C keeps: s0 to s11 */
.macro user_regs_callee op
	\op	x8, USER_X(8)(a0)
	\op	x9, USER_X(9)(a0)
	\op	x18, USER_X(18)(a0)
	\op	x19, USER_X(19)(a0)
	\op	x20, USER_X(20)(a0)
	\op	x21, USER_X(21)(a0)
	\op	x22, USER_X(22)(a0)
	\op	x23, USER_X(23)(a0)
	\op	x24, USER_X(24)(a0)
	\op	x25, USER_X(25)(a0)
	\op	x26, USER_X(26)(a0)
	\op	x27, USER_X(27)(a0)
.endm

/* enum arch_exit_kind arch_user_run(struct arch_user *a0, struct aspace *a1, struct arch_exit
 * *a2) */
	.globl	arch_user_run
arch_user_run:
	ld	t0, USER_HART(a0)
	bne	t0, gp, user_run_load
user_run_loaded:
	kernel_regs sd
	sd	a2, -112(sp)
	sd	a0, -120(sp)
	sd	sp, USER_KERNEL_SP(a0)
	ld	t0, USER_PC(a0)
	csrw	sepc, t0
	csrw	sscratch, a0
	user_regs_callee ld
	user_regs_caller ld
	ld	a0, USER_X(10)(a0)
	sret

/* Another thread was loaded here, or this one was loaded elsewhere. */
user_run_load:
	addi	sp, sp, -32
	sd	ra, 0(sp)
	sd	a0, 8(sp)
	sd	a2, 16(sp)
	call	hart_load_user
	ld	ra, 0(sp)
	ld	a0, 8(sp)
	ld	a2, 16(sp)
	addi	sp, sp, 32
	j	user_run_loaded

	.globl	trap_entry
	.balign	4
trap_entry:
	csrrw	a0, sscratch, a0
	beqz	a0, trap_in_kernel
	user_regs_caller sd
	csrrw	t1, sscratch, zero
	csrr	t0, sepc
	csrr	t3, scause
	ld	sp, USER_KERNEL_SP(a0)
	ld	gp, USER_HART(a0)
	ld	tp, HART_CORE(gp)
	sd	t1, USER_X(10)(a0)
	addi	t1, t3, -8 /* environment call from user mode */
	bnez	t1, user_guest_call
user_call:
	ld	t2, USER_QUICK(a0)
	addi	t0, t0, 4
	csrw	sepc, t0
	/*
	 * The quick door runs below the kernel's saved registers and keeps the program's s0 to s11 by its calling convention.
	 * The program's a1 to a7 are its arguments as they are.
	 */
	addi	sp, sp, -128
	jalr	t2
	beqz	a0, user_not_quick
	ld	a0, 8(sp) /* stored at -120 by arch_user_run */
	csrw	sscratch, a0
	user_regs_caller ld
	ld	a0, USER_X(10)(a0)
	sret

user_not_quick:
	ld	a0, 8(sp)
	addi	sp, sp, 128
	csrr	t0, sepc
	sd	t0, USER_PC(a0)
	user_regs_callee sd
	kernel_regs ld
	li	a0, 0 /* ARCH_EXIT_SYSCALL */
	ret

user_guest_call:
	addi	t1, t1, -2 /* environment call from VS-mode */
	beqz	t1, user_call
	mv	a1, t3
	user_regs_callee sd
	kernel_regs ld
	j	user_trapped

/* Everything else is decided in C; a negative answer means: on with the same thread. */
user_trapped:
	sd	t0, USER_PC(a0)
	ld	a2, -112(sp)
	addi	sp, sp, -32
	sd	ra, 0(sp)
	sd	a0, 8(sp)
	sd	a2, 16(sp)
	call	hart_user_trapped
	ld	ra, 0(sp)
	bltz	a0, user_resume
	addi	sp, sp, 32
	ret
user_resume:
	ld	a0, 8(sp)
	ld	a2, 16(sp)
	addi	sp, sp, 32
	j	user_run_loaded

trap_in_kernel:
	csrrw	a0, sscratch, zero
	sd	x5, HART_DEAD_X(5)(gp)
	csrr	t0, scause
	bltz	t0, trap_in_window
	ld	x5, HART_DEAD_X(5)(gp)
	sd	x1, HART_DEAD_X(1)(gp)
	sd	x2, HART_DEAD_X(2)(gp)
	sd	x3, HART_DEAD_X(3)(gp)
	sd	x4, HART_DEAD_X(4)(gp)
	sd	x5, HART_DEAD_X(5)(gp)
	sd	x6, HART_DEAD_X(6)(gp)
	sd	x7, HART_DEAD_X(7)(gp)
	sd	x8, HART_DEAD_X(8)(gp)
	sd	x9, HART_DEAD_X(9)(gp)
	sd	x10, HART_DEAD_X(10)(gp)
	sd	x11, HART_DEAD_X(11)(gp)
	sd	x12, HART_DEAD_X(12)(gp)
	sd	x13, HART_DEAD_X(13)(gp)
	sd	x14, HART_DEAD_X(14)(gp)
	sd	x15, HART_DEAD_X(15)(gp)
	sd	x16, HART_DEAD_X(16)(gp)
	sd	x17, HART_DEAD_X(17)(gp)
	sd	x18, HART_DEAD_X(18)(gp)
	sd	x19, HART_DEAD_X(19)(gp)
	sd	x20, HART_DEAD_X(20)(gp)
	sd	x21, HART_DEAD_X(21)(gp)
	sd	x22, HART_DEAD_X(22)(gp)
	sd	x23, HART_DEAD_X(23)(gp)
	sd	x24, HART_DEAD_X(24)(gp)
	sd	x25, HART_DEAD_X(25)(gp)
	sd	x26, HART_DEAD_X(26)(gp)
	sd	x27, HART_DEAD_X(27)(gp)
	sd	x28, HART_DEAD_X(28)(gp)
	sd	x29, HART_DEAD_X(29)(gp)
	sd	x30, HART_DEAD_X(30)(gp)
	sd	x31, HART_DEAD_X(31)(gp)
	csrr	t0, sepc
	sd	t0, HART_DEAD_X(0)(gp)
	ld	sp, HART_EMERGENCY_SP(gp)
	mv	a0, gp
	call	trap_panic

/*
 * What C may change goes to the stack of the step, the rest is kept by C; gp and tp are the hart's,
 * and the same when this goes on. Interrupts are off until sret turns them on again.
 */
.macro window_regs op
	\op	ra, 0(sp)
	\op	t1, 8(sp)
	\op	t2, 16(sp)
	\op	t3, 24(sp)
	\op	t4, 32(sp)
	\op	t5, 40(sp)
	\op	t6, 48(sp)
	\op	a0, 56(sp)
	\op	a1, 64(sp)
	\op	a2, 72(sp)
	\op	a3, 80(sp)
	\op	a4, 88(sp)
	\op	a5, 96(sp)
	\op	a6, 104(sp)
	\op	a7, 112(sp)
.endm

trap_in_window:
	addi	sp, sp, -144
	window_regs sd
	ld	t0, HART_DEAD_X(5)(gp)
	sd	t0, 120(sp)
	csrr	t0, sepc
	sd	t0, 128(sp)
	call	hart_preempted
	ld	t0, 128(sp)
	csrw	sepc, t0
	li	t0, 0x120 /* SPP, SPIE: back to S-mode, and interrupts on */
	csrs	sstatus, t0
	window_regs ld
	ld	t0, 120(sp)
	addi	sp, sp, 144
	sret

/* void arch_fiber_switch(struct arch_fiber *from, struct arch_fiber *to) */
.macro fiber_regs op, at
	\op	sp, 0(\at)
	\op	ra, 8(\at)
	\op	s0, 16(\at)
	\op	s1, 24(\at)
	\op	s2, 32(\at)
	\op	s3, 40(\at)
	\op	s4, 48(\at)
	\op	s5, 56(\at)
	\op	s6, 64(\at)
	\op	s7, 72(\at)
	\op	s8, 80(\at)
	\op	s9, 88(\at)
	\op	s10, 96(\at)
	\op	s11, 104(\at)
.endm

	.globl	arch_fiber_switch
arch_fiber_switch:
	fiber_regs sd, a0
	fiber_regs ld, a1
	ret

/* Where a new fiber begins: s0 = entry, s1 = its argument. Entry never returns. */
	.globl	fiber_begin
fiber_begin:
	mv	a0, s1
	jalr	s0
	ebreak

/*
 * FP registers, by encoding: the kernel is assembled without F and D (fsd is opcode 0x27, fld
 * 0x07, both with funct3 3; Unprivileged ISA 20191213, chapters 11 and 12). CSR 3 is fcsr.
 */
	.globl	fp_save
fp_save:
	.irp	n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	.insn	s 0x27, 3, x\n, (USER_F(0) + 8 * \n)(a0)
	.endr
	csrr	t0, 0x003
	sd	t0, USER_FCSR(a0)
	ret

	.globl	fp_load
fp_load:
	.irp	n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	.insn	i 0x07, 3, x\n, (USER_F(0) + 8 * \n)(a0)
	.endr
	ld	t0, USER_FCSR(a0)
	csrw	0x003, t0
	ret
