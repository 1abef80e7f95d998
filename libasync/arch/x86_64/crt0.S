/*
 * crt0 (x86-64, hosted machine): the first instructions of a program.
 *
 * Programs are static position-independent images. _start: rsp points at argc (uapi/auxv.h);
 * async_relocate adds the load address to every word that needs it before any other C runs.
 */
	.section .text.start, "ax"
	.globl _start
	.type _start, @function
_start:
	xorl	%ebp, %ebp
	movq	%rsp, %rbx
	andq	$-16, %rsp
	.hidden	__ehdr_start
	leaq	__ehdr_start(%rip), %rdi
	.hidden	_DYNAMIC
	leaq	_DYNAMIC(%rip), %rsi
	call	async_relocate
	movq	%rbx, %rdi
	call	async_crt_start
	ud2
	.size _start, . - _start

	/* The same for every other thread. */
	.text
	.globl ring_thread_entry
	.type ring_thread_entry, @function
ring_thread_entry:
	xorl	%ebp, %ebp
	call	ring_thread_begin
	ud2
	.size ring_thread_entry, . - ring_thread_entry

	.section .note.GNU-stack, "", @progbits
