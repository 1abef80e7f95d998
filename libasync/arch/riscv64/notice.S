/*
 * notice (riscv64): where a user interrupt, or the kernel's upcall, enters the program: on the stack
 * of whatever it interrupted, notices off. Saves what C may change (integer registers only:
 * notice.h), calls notice_taken or upcall_taken, returns by sret: of its own in VS-mode; a plain
 * program's traps, and the kernel does what it says.
 */
.macro handler name, taken
	.globl \name
	.type \name, @function
	.balign 4
\name:
	addi	sp, sp, -128
	sd	ra, 0(sp)
	sd	t0, 8(sp)
	sd	t1, 16(sp)
	sd	t2, 24(sp)
	sd	a0, 32(sp)
	sd	a1, 40(sp)
	sd	a2, 48(sp)
	sd	a3, 56(sp)
	sd	a4, 64(sp)
	sd	a5, 72(sp)
	sd	a6, 80(sp)
	sd	a7, 88(sp)
	sd	t3, 96(sp)
	sd	t4, 104(sp)
	sd	t5, 112(sp)
	sd	t6, 120(sp)
	call	\taken
	ld	ra, 0(sp)
	ld	t0, 8(sp)
	ld	t1, 16(sp)
	ld	t2, 24(sp)
	ld	a0, 32(sp)
	ld	a1, 40(sp)
	ld	a2, 48(sp)
	ld	a3, 56(sp)
	ld	a4, 64(sp)
	ld	a5, 72(sp)
	ld	a6, 80(sp)
	ld	a7, 88(sp)
	ld	t3, 96(sp)
	ld	t4, 104(sp)
	ld	t5, 112(sp)
	ld	t6, 120(sp)
	addi	sp, sp, 128
	sret
	.size \name, . - \name
.endm

	.text
	handler notice_entry, notice_taken
	handler upcall_entry, upcall_taken

#ifdef __riscv_flen
/* The FP registers that a call may change, and fcsr: 21 words at a0. */
.macro fp_regs op
	\op	ft0, 0(a0)
	\op	ft1, 8(a0)
	\op	ft2, 16(a0)
	\op	ft3, 24(a0)
	\op	ft4, 32(a0)
	\op	ft5, 40(a0)
	\op	ft6, 48(a0)
	\op	ft7, 56(a0)
	\op	ft8, 64(a0)
	\op	ft9, 72(a0)
	\op	ft10, 80(a0)
	\op	ft11, 88(a0)
	\op	fa0, 96(a0)
	\op	fa1, 104(a0)
	\op	fa2, 112(a0)
	\op	fa3, 120(a0)
	\op	fa4, 128(a0)
	\op	fa5, 136(a0)
	\op	fa6, 144(a0)
	\op	fa7, 152(a0)
.endm

	.globl notice_fp_save
	.type notice_fp_save, @function
notice_fp_save:
	fp_regs	fsd
	frcsr	t0
	sd	t0, 160(a0)
	ret
	.size notice_fp_save, . - notice_fp_save

	.globl notice_fp_load
	.type notice_fp_load, @function
notice_fp_load:
	fp_regs	fld
	ld	t0, 160(a0)
	fscsr	t0
	ret
	.size notice_fp_load, . - notice_fp_load
#endif

	.section .note.GNU-stack, "", @progbits
