/*
 * enter: the two doors between the kernel's stack and a program, on one core's thread.
 *
 * hosted_user_enter saves the kernel's callee-saved state, says "this core runs user code", looks
 * at the doorbell once more and jumps. A program comes back by calling hosted_enter_fn, or because
 * the signal handler sends the thread to hosted_user_left.
 *
 * Signals: between hosted_enter_begin and hosted_enter_end the thread says USER but has not left
 * yet, so the handler sends it to hosted_user_abort. Between hosted_enter_fn and
 * hosted_enter_fn_end the program is still interruptible: nothing but rax, r10, r11 has changed, so
 * the handler moves pc back to hosted_enter_fn and treats it as the program's.
 *
 * Offsets: struct hosted_cpu (hosted.h), struct arch_user (arch_machine.h); user.c asserts them.
 */
#define CPU_SP 0
#define CPU_USER_PTR 8
#define CPU_STATE 16
#define CPU_BELL 20
#define STATE_KERNEL 0
#define STATE_USER 1

#define U_ARGS 0
#define U_RESULT 56
#define U_PC 64
#define U_SP 72
#define U_RBX 80
#define U_RBP 88
#define U_R12 96
#define U_R13 104
#define U_R14 112
#define U_R15 120
#define U_FIRST 128
#define U_MXCSR 136
#define U_FCW 140
#define U_HAS_FRAME 142
#define U_FRAME 144

#define EXIT_SYSCALL 0
#define EXIT_IRQ 2
#define NR_RT_SIGRETURN 15

	.text

/* int hosted_user_enter(struct hosted_cpu *cpu, struct arch_user *user): an enum arch_exit_kind */
	.globl hosted_user_enter
	.type hosted_user_enter, @function
hosted_user_enter:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	sub $8, %rsp
	stmxcsr (%rsp)
	fnstcw 4(%rsp)
	mov %rsp, CPU_SP(%rdi)
	mov %rsi, CPU_USER_PTR(%rdi)
	mov $STATE_USER, %eax
	xchg %eax, CPU_STATE(%rdi)	/* also the fence between state and bell */
	.globl hosted_enter_begin
hosted_enter_begin:
	cmpl $0, CPU_BELL(%rdi)
	jne hosted_user_abort
	cmpb $0, U_HAS_FRAME(%rsi)
	jne 1f
	ldmxcsr U_MXCSR(%rsi)
	fldcw U_FCW(%rsi)
	mov U_RBX(%rsi), %rbx
	mov U_RBP(%rsi), %rbp
	mov U_R12(%rsi), %r12
	mov U_R13(%rsi), %r13
	mov U_R14(%rsi), %r14
	mov U_R15(%rsi), %r15
	mov U_SP(%rsi), %rsp
	mov U_PC(%rsi), %r11
	mov U_RESULT(%rsi), %rax
	mov U_FIRST(%rsi), %rdi
	xor %ecx, %ecx
	xor %edx, %edx
	xor %esi, %esi
	xor %r8d, %r8d
	xor %r9d, %r9d
	xor %r10d, %r10d
	jmp *%r11
1:	mov U_FRAME(%rsi), %rsp
	mov $NR_RT_SIGRETURN, %eax
	syscall
	.globl hosted_user_abort
hosted_user_abort:			/* rdi = cpu; nothing of the program has run */
	movl $STATE_KERNEL, CPU_STATE(%rdi)
	.globl hosted_enter_end
hosted_enter_end:
	mov $EXIT_IRQ, %eax
	.globl hosted_user_left
hosted_user_left:			/* rdi = cpu, eax = kind; state is KERNEL already */
	mov CPU_SP(%rdi), %rsp
.Lback:
	ldmxcsr (%rsp)
	fldcw 4(%rsp)
	add $8, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size hosted_user_enter, . - hosted_user_enter

/* int64_t hosted_enter_fn(nr, a0..a5), called by the program */
	.globl hosted_enter_fn
	.type hosted_enter_fn, @function
hosted_enter_fn:
	mov %fs:hosted_cpu_self@tpoff, %r10
	mov CPU_USER_PTR(%r10), %r11
	mov 8(%rsp), %rax
	mov %rax, U_ARGS+48(%r11)
	mov (%rsp), %rax
	mov %rax, U_PC(%r11)
	lea 8(%rsp), %rax
	mov %rax, U_SP(%r11)
	mov %rdi, U_ARGS+0(%r11)
	mov %rsi, U_ARGS+8(%r11)
	mov %rdx, U_ARGS+16(%r11)
	mov %rcx, U_ARGS+24(%r11)
	mov %r8, U_ARGS+32(%r11)
	mov %r9, U_ARGS+40(%r11)
	mov %rbx, U_RBX(%r11)
	mov %rbp, U_RBP(%r11)
	mov %r12, U_R12(%r11)
	mov %r13, U_R13(%r11)
	mov %r14, U_R14(%r11)
	mov %r15, U_R15(%r11)
	stmxcsr U_MXCSR(%r11)
	fnstcw U_FCW(%r11)
	movl $STATE_KERNEL, CPU_STATE(%r10)
	.globl hosted_enter_fn_end
hosted_enter_fn_end:
	cld
	mov CPU_SP(%r10), %rsp
	mov $EXIT_SYSCALL, %eax
	jmp .Lback
	.size hosted_enter_fn, . - hosted_enter_fn

/* void hosted_fiber_jump(void **from_sp, void *to_sp): kernel contexts only */
	.globl hosted_fiber_jump
	.type hosted_fiber_jump, @function
hosted_fiber_jump:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	sub $8, %rsp
	stmxcsr (%rsp)
	fnstcw 4(%rsp)
	mov %rsp, (%rdi)
	mov %rsi, %rsp
	jmp .Lback
	.size hosted_fiber_jump, . - hosted_fiber_jump

	.section .note.GNU-stack, "", @progbits
