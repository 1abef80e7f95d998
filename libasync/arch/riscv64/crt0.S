/*
 * crt0 (riscv64): the first instructions of a program on Sluice.
 *
 * _start: sp points at argc (uapi/auxv.h). gp is set so that the linker's relaxed accesses work,
 * tp to the thread-local block that async_crt_start places, and the C part takes over.
 */
	.section .text.start, "ax"
	.globl _start
	.type _start, @function
_start:
	.option push
	.option norelax
	lla	gp, __global_pointer$
	.option pop
	lla	tp, __tls_block
	mv	a0, sp
	andi	sp, sp, -16
	mv	s0, zero
	mv	ra, zero
	call	async_crt_start
	unimp
	.size _start, . - _start

	/* The same for every other thread, which has nothing but sp, tp and a0. */
	.text
	.globl ring_thread_entry
	.type ring_thread_entry, @function
ring_thread_entry:
	.option push
	.option norelax
	lla	gp, __global_pointer$
	.option pop
	mv	ra, zero
	call	ring_thread_begin
	unimp
	.size ring_thread_entry, . - ring_thread_entry

	/* A word with contents, so that the zeros around it get room of their own (user.ld). */
	.section .tdata.contents, "awT", @progbits
	.quad	0

	.section .note.GNU-stack, "", @progbits
