/*
 * entry (x86-64): the first instructions of each coroutine; rsp is the top of its stack.
 */
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
