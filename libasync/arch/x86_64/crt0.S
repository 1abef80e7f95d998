/*
 * crt0 (x86-64, hosted machine): the first instructions of a program, and of each coroutine.
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

	.text
	.globl async_co_entry
	.type async_co_entry, @function
async_co_entry:
	/* rsp is 16-byte aligned here; the call leaves it as the calling convention wants it */
	xorl	%ebp, %ebp
	call	async_co_begin
	ud2
	.size async_co_entry, . - async_co_entry

	.section .note.GNU-stack, "", @progbits
