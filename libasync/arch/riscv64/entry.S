/*
 * entry (riscv64): the first instructions of each coroutine; sp is the top of its stack.
 */
	.text
	.globl async_co_entry
	.type async_co_entry, @function
async_co_entry:
	sd	a2, 0(a0)	/* async_switch */
	mv	ra, zero
	call	async_co_begin
	unimp
	.size async_co_entry, . - async_co_entry

	.section .note.GNU-stack, "", @progbits
