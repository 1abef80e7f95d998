/*
 * notice (x86-64): where the hosted kernel's upcall enters the program: on the stack of whatever it
 * interrupted, below its red zone, notices off. Keeps every register that C may change, calls
 * upcall_taken, and goes on by itself: once upcall_again has turned notices on, another upcall may
 * come; what this one needs is on the stack by then.
 */
#define GS_NOTICE 8 /* notice_here */
#define AREA_PC 24
#define REGS 9
#define RED_ZONE 128

	.text
	.globl upcall_entry
	.type upcall_entry, @function
	.balign 4
upcall_entry:
	leaq	-RED_ZONE - 8(%rsp), %rsp
	pushfq
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	movq	%gs:GS_NOTICE, %rax
	movq	AREA_PC(%rax), %rax
	movq	%rax, 8 * (REGS + 1)(%rsp)
	cld
	pushq	%rbp
	movq	%rsp, %rbp
	subq	$512, %rsp
	andq	$-16, %rsp
	fxsave64 (%rsp)
1:	call	upcall_taken
	call	upcall_again
	testb	%al, %al
	jnz	1b
	fxrstor64 (%rsp)
	movq	%rbp, %rsp
	popq	%rbp
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rax
	popfq
	ret	$RED_ZONE
	.size upcall_entry, . - upcall_entry

	.section .note.GNU-stack, "", @progbits
