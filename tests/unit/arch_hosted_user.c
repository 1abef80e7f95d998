/*
 * Does a program that is interrupted, faults or calls the kernel go on with every register as it
 * was, and does no doorbell get lost on the way in or out? (kernel/arch/hosted: enter.S, user.c,
 * window.c)
 */
#include "lib/unit.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "arch/hosted/hosted.h"

/* Programs, copied into a page of their own. They find the kernel's door in rdi, their first
 * argument. */
__asm__(".pushsection .rodata\n"
	/* calls (1000+i, i, 1, 2, 3, 4, 5) for ever; i counts in rbx, which the call must keep; the
	 * result must be i + 7 */
	"user_calls:\n"
	"	mov %rdi, %r12\n"
	"	xor %ebx, %ebx\n"
	"	and $-16, %rsp\n"
	"1:	lea 1000(%rbx), %rdi\n"
	"	mov %rbx, %rsi\n"
	"	mov $1, %edx\n"
	"	mov $2, %ecx\n"
	"	mov $3, %r8d\n"
	"	mov $4, %r9d\n"
	"	sub $8, %rsp\n"
	"	push $5\n"
	"	call *%r12\n"
	"	add $16, %rsp\n"
	"	lea 7(%rbx), %rcx\n"
	"	cmp %rcx, %rax\n"
	"	jne 2f\n"
	"	inc %rbx\n"
	"	jmp 1b\n"
	"2:	ud2\n"
	"user_calls_end:\n"
	/* keeps a sum in integer and vector registers that any lost bit spoils; every 2^16 rounds
	 * it tells */
	"user_spins:\n"
	"	mov %rdi, %r12\n"
	"	and $-16, %rsp\n"
	"	xor %ebx, %ebx\n"
	"	mov $1, %eax\n"
	"	cvtsi2sd %eax, %xmm14\n"
	"	pxor %xmm15, %xmm15\n"
	"	xor %r10d, %r10d\n"
	"	xor %r11d, %r11d\n"
	"1:	inc %rbx\n"
	"	lea (%r10,%rbx), %r10\n"
	"	lea 1(%r11), %r11\n"
	"	addsd %xmm14, %xmm15\n"
	"	cmp %rbx, %r11\n"
	"	jne 3f\n"
	"	cvttsd2si %xmm15, %rcx\n"
	"	cmp %rbx, %rcx\n"
	"	jne 3f\n"
	"	test $0xffff, %ebx\n"
	"	jnz 1b\n"
	"	mov %rbx, %rdi\n"
	"	mov %r10, %rsi\n"
	"	push %r10\n"
	"	push %r11\n"
	"	sub $16, %rsp\n"
	"	movsd %xmm15, (%rsp)\n"
	"	call *%r12\n"
	"	movsd (%rsp), %xmm15\n"
	"	mov $1, %eax\n"
	"	cvtsi2sd %eax, %xmm14\n"
	"	add $16, %rsp\n"
	"	pop %r11\n"
	"	pop %r10\n"
	"	jmp 1b\n"
	"3:	ud2\n"
	"user_spins_end:\n"
	/* stores 0x1122334455667788 at rdi + 4 GiB - 8 of its own window given in rdi: faults until
	 * mapped; then reads it back and divides by 0 */
	"user_faults:\n"
	"	movabs $0x1122334455667788, %rax\n"
	"	mov $0x51, %ebx\n"
	"	mov %rax, (%rdi)\n"
	"	mov (%rdi), %rcx\n"
	"	cmp %rcx, %rax\n"
	"	jne 4f\n"
	"	cmp $0x51, %ebx\n"
	"	jne 4f\n"
	"	xor %edx, %edx\n"
	"	xor %ecx, %ecx\n"
	"	div %rcx\n"
	"4:	ud2\n"
	"user_faults_end:\n"
	".popsection\n");
extern const char user_calls[], user_calls_end[], user_spins[], user_spins_end[], user_faults[],
	user_faults_end[];

/* A hand-made address space of 16 data pages, so that this test needs nothing of mm. RAM page n is
 * at n * 4 KiB. */
enum { P_ROOT, P_MID, P_LEAVES, P_CODE, P_STACK, P_DATA, P_COUNT };
#define TEXT 0x10000u
#define STACK 0x20000u
#define DATA 0x30000u

struct world {
	struct arch_aspace aa;
	struct arch_user user;
	struct arch_exit exit;
};

static paddr_t page(unsigned n)
{
	return HOSTED_RAM_BASE + n * PAGE_SIZE;
}

static uint64_t leaf(paddr_t pa, uint64_t bits)
{
	return pa >> PAGE_SHIFT << 10 | bits;
}

static struct aspace *as_of(struct world *w)
{
	return (struct aspace *)w; /* the machine only compares it */
}

static void world_set(struct world *w, uaddr_t va, uint64_t now)
{
	uint64_t *leaves = arch_direct(page(P_LEAVES));
	uint64_t was = leaves[va >> 12 & 511];

	leaves[va >> 12 & 511] = now;
	arch_pte_changed(as_of(w), &w->aa, w->aa.low + va, was, now);
}

static struct world *world_make(const char *code, const char *end)
{
	struct world *w = calloc(1, sizeof(*w));

	/* after the test framework's own handlers, which see what the machine passes on */
	hosted_signals_init();
	for (unsigned i = 0; i < P_COUNT; i++)
		memset(arch_direct(page(i)), 0, PAGE_SIZE);
	assert_int_equal(arch_aspace_init(as_of(w), &w->aa, page(P_ROOT), ARCH_KIND_PLAIN), 0);
	((uint64_t *)arch_direct(page(P_ROOT)))[w->aa.low >> 30] = leaf(page(P_MID), 1);
	((uint64_t *)arch_direct(page(P_MID)))[0] = leaf(page(P_LEAVES), 1);
	memcpy(arch_direct(page(P_CODE)), code, (size_t)(end - code));
	world_set(w, TEXT, leaf(page(P_CODE), 1 | 2 | 8 | 16));
	world_set(w, STACK, leaf(page(P_STACK), 1 | 2 | 4 | 16));
	return w;
}

static void world_start(struct world *w, uint64_t arg)
{
	arch_user_init(&w->user, w->aa.low + TEXT, w->aa.low + STACK + PAGE_SIZE, 0, arg);
}

static void world_free(struct world *w)
{
	arch_user_fini(&w->user);
	arch_aspace_fini(as_of(w), &w->aa);
	free(w);
}

static enum arch_exit_kind run(struct world *w)
{
	return arch_user_run(&w->user, as_of(w), &w->exit);
}

/* Do number, six arguments and the result travel, and are callee-saved registers kept? */
static void calls(void **state)
{
	struct world *w = world_make(user_calls, user_calls_end);

	(void)state;
	world_start(w, arch_user_enter_fn());
	for (uint64_t i = 0; i < 1000; i++) {
		assert_int_equal(run(w), ARCH_EXIT_SYSCALL);
		assert_int_equal(arch_user_nr(&w->user), 1000 + i);
		assert_int_equal(arch_user_arg(&w->user, 0), i);
		for (unsigned a = 1; a < 6; a++)
			assert_int_equal(arch_user_arg(&w->user, a), a);
		arch_user_set_result(&w->user, i == 999 ? 0 : (int64_t)i + 7);
	}
	assert_int_equal(run(w), ARCH_EXIT_BAD);
	assert_int_equal(w->exit.cause, 6); /* #UD: it saw the wrong result */
	world_free(w);
}

/* Is a doorbell that was rung before user mode begins answered before a single instruction runs? */
static void bell_before(void **state)
{
	struct world *w = world_make(user_calls, user_calls_end);

	(void)state;
	world_start(w, arch_user_enter_fn());
	arch_doorbell(0);
	assert_int_equal(run(w), ARCH_EXIT_IRQ);
	assert_int_equal(w->user.pc, w->aa.low + TEXT);
	assert_int_equal(run(w), ARCH_EXIT_SYSCALL);
	arch_doorbell(0);
	arch_user_set_result(&w->user, 7);
	assert_int_equal(run(w), ARCH_EXIT_IRQ); /* not lost by the call in between */
	assert_int_equal(run(w), ARCH_EXIT_SYSCALL);
	assert_int_equal(arch_user_arg(&w->user, 0), 1);
	world_free(w);
}

static _Atomic unsigned rings_left;

static void *ringer(void *p)
{
	(void)p;
	while (rings_left) {
		arch_doorbell(0);
		rings_left--;
		for (unsigned i = 0; i < (rings_left & 1023); i++)
			arch_relax();
	}
	return NULL;
}

/* Do interrupts at random places, the doors included, leave integer, flag and vector registers
 * alone? */
static void interrupted(void **state)
{
	struct world *w = world_make(user_spins, user_spins_end);
	uint64_t calls_seen = 0, interrupts = 0;
	sigset_t quit, now;
	pthread_t t;

	(void)state;
	sigemptyset(&quit);
	sigaddset(&quit, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &quit, NULL);
	world_start(w, arch_user_enter_fn());
	rings_left = 20000;
	assert_int_equal(pthread_create(&t, NULL, ringer, NULL), 0);
	while (rings_left || calls_seen < 20) {
		enum arch_exit_kind kind = run(w);

		if (kind == ARCH_EXIT_IRQ) {
			interrupts++;
			continue;
		}
		assert_int_equal(kind, ARCH_EXIT_SYSCALL);
		calls_seen++;
		assert_int_equal(arch_user_nr(&w->user), calls_seen << 16);
		assert_int_equal(arch_user_arg(&w->user, 0),
				 (calls_seen << 16) * ((calls_seen << 16) + 1) / 2);
	}
	pthread_join(t, NULL);
	assert_true(interrupts > 0);
	pthread_sigmask(SIG_UNBLOCK, &quit, &now);
	/* going on by rt_sigreturn must not open the core's signal mask */
	assert_true(sigismember(&now, SIGTERM));
	world_free(w);
}

/* Does a program that never calls come back at its deadline, and not again without one? */
static void deadline(void **state)
{
	static const char loop[] = { (char)0xeb, (char)0xfe }; /* jmp . */
	struct world *w = world_make(loop, loop + sizeof(loop));
	nsec_t before = arch_time_ns();

	(void)state;
	world_start(w, 0);
	for (int i = 0; i < 3; i++) {
		nsec_t at = arch_time_ns() + 2000000;

		arch_user_deadline(at);
		assert_int_equal(run(w), ARCH_EXIT_IRQ);
		assert_true(arch_time_ns() + 200000 >= at);
		assert_int_equal(w->user.pc, w->aa.low + TEXT);
	}
	assert_true(arch_time_ns() - before < 5000000000u);
	arch_user_deadline(NSEC_NEVER);
	world_free(w);
}

/* Is a fault reported with address and access, retried after it was handled, and is a permitted
 * page refilled without a word? */
static void faults(void **state)
{
	struct world *w = world_make(user_faults, user_faults_end);
	uaddr_t at = w->aa.low + DATA + 64;

	(void)state;
	world_start(w, at);
	assert_int_equal(run(w), ARCH_EXIT_FAULT);
	assert_int_equal(w->exit.addr, at);
	assert_int_equal(w->exit.access, ACCESS_WRITE);
	world_set(w, DATA, leaf(page(P_DATA), 1 | 2 | 16)); /* readable: a write still faults */
	assert_int_equal(run(w), ARCH_EXIT_FAULT);
	assert_int_equal(w->exit.access, ACCESS_WRITE);
	/* the table permits it now, and nobody told the host */
	((uint64_t *)arch_direct(page(P_LEAVES)))[DATA >> 12 & 511] =
		leaf(page(P_DATA), 1 | 2 | 4 | 16);
	assert_int_equal(run(w), ARCH_EXIT_BAD);
	assert_int_equal(w->exit.cause, 0); /* #DE: it came as far as the division */
	assert_int_equal(*(uint64_t *)((char *)arch_direct(page(P_DATA)) + 64), 0x1122334455667788);
	world_free(w);
}

/* Does a jump to an address that cannot exist kill the program, not the machine? */
static void wild_jumps(void **state)
{
	static const uint64_t wild[] = { 0, 0x1234, 0x8000000000000000ull, 0x7fffffffffffffffull,
					 0xffffffffffffffffull };
	struct world *w = world_make(user_faults, user_faults_end);

	(void)state;
	for (unsigned i = 0; i < array_count(wild); i++) {
		enum arch_exit_kind kind;

		arch_user_fini(&w->user);
		arch_user_init(&w->user, wild[i], w->aa.low + STACK, 0, 0);
		kind = run(w);
		assert_true(kind == ARCH_EXIT_BAD || kind == ARCH_EXIT_FAULT);
	}
	world_free(w);
}

/* Does a program's own host system call stay inside? */
static void host_calls(void **state)
{
	/* mov $39,%eax; syscall; jmp . */
	static const char getpid_then_loop[] = "\xb8\x27\0\0\0\x0f\x05\xeb\xfe";
	struct world *w = world_make(getpid_then_loop, getpid_then_loop + sizeof(getpid_then_loop));

	(void)state;
	world_start(w, 0);
	arch_user_deadline(arch_time_ns() + 50000000);
	if (!hosted_catches_host_calls())
		skip();
	assert_int_equal(run(w), ARCH_EXIT_BAD);
	assert_int_equal(w->exit.cause, 255);
	arch_user_deadline(NSEC_NEVER);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls),       cmocka_unit_test(bell_before),
		cmocka_unit_test(interrupted), cmocka_unit_test(deadline),
		cmocka_unit_test(faults),      cmocka_unit_test(wild_jumps),
		cmocka_unit_test(host_calls),
	};

	unit_machine(16, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
