/*
 * What if a program reads, writes or runs what it may not, or runs out of stack? Only it dies, by
 * the signal that names its fault, and its neighbour on the other core notices nothing.
 *
 * also: read
 * ends: killed by signal 11
 * also: write
 * ends: killed by signal 11
 * also: kernel
 * ends: killed by signal 11
 * also: null
 * ends: killed by signal 11
 * also: run
 * ends: killed by signal 11
 * also: stack
 * ends: killed by signal 11
 * also: illegal
 * ends: killed by signal 4
 * also: trap
 * ends: killed by signal 5
 */
#include "tests/abi/lib/say.h"
#include "uapi/mman.h"

static const char rodata[16] = "constant";

static bool is(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static void __attribute__((noinline)) touch(uint64_t address, bool write)
{
	volatile uint64_t *p = (volatile uint64_t *)address;

	if (write)
		*p = 1;
	else
		(void)*p;
}

static volatile uint64_t bottom = ~0ull;

static uint64_t __attribute__((noinline)) deep(uint64_t n)
{
	volatile char room[1024];

	room[0] = (char)n;
	room[n % sizeof(room)] = 1;
	/* what is done with the result keeps this from becoming a loop */
	return n == bottom ? 0 : deep(n + 1) + (uint64_t)room[0];
}

static void misbehave(const char *how)
{
	uint64_t page =
		(uint64_t)ring_syscall(&ring_native, SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);

	if (is(how, "read")) {
		ring_syscall(&ring_native, SYS_munmap, page, 4096, 0, 0, 0, 0);
		touch(page, false);
	} else if (is(how, "write")) {
		touch((uint64_t)(uintptr_t)rodata, true);
	} else if (is(how, "kernel")) {
		touch(0xffffffff80400000ull, true);
	} else if (is(how, "null")) {
		touch(8, true);
	} else if (is(how, "run")) {
		touch(page, true); /* present, but not to be executed */
		((void (*)(void))(uintptr_t)page)();
	} else if (is(how, "stack")) {
		deep(0);
	} else if (is(how, "illegal")) {
#ifdef __riscv
		__asm__ volatile(".4byte 0");
#else
		__asm__ volatile("ud2");
#endif
	} else if (is(how, "trap")) {
#ifdef __riscv
		__asm__ volatile("ebreak");
#else
		__asm__ volatile("int3");
#endif
	}
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	struct { int64_t sec, nsec; } pause = { 0, 10000000 };
	bool alive = true;

	if (argc > 1) {
		misbehave(argv[1]);
		return 3; /* survived what nobody may survive */
	}
	for (unsigned i = 0; i < 50; i++) {
		alive &= ring_syscall(ring, SYS_nanosleep, (uint64_t)(uintptr_t)&pause, 0, 0, 0, 0,
				      0) == 0;
		alive &= ring_syscall(ring, SYS_getpid, 0, 0, 0, 0, 0, 0) > 0;
	}
	say_true("a neighbour of faulting programs lives", alive);
	return say_verdict();
}
