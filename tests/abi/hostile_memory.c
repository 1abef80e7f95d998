/*
 * What if a program allocates until memory ends? It is told, or dies of it, and its neighbour still
 * gets the memory it asks for.
 *
 * also: touch
 * ends: killed by signal 9
 * also: populate
 * ends: killed by signal 9
 * also: tables
 * ends: killed by signal 9
 * also: regions
 * ends: exit status 0
 */
#include "tests/abi/lib/say.h"
#include "uapi/mman.h"

#define MIB (1ull << 20)
#define RW (PROT_READ | PROT_WRITE)

static int64_t map(uint64_t at, uint64_t len, uint64_t prot, uint64_t flags)
{
	return ring_syscall(&ring_native, SYS_mmap, at, len, prot,
			    flags | MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);
}

static bool is_error(int64_t v)
{
	return v < 0 && v >= -4095;
}

static void touch(uint64_t from, uint64_t end, uint64_t stride)
{
	for (; from < end; from += stride)
		*(volatile uint64_t *)(uintptr_t)from = 1;
}

/* Address space is larger than memory: touching ends first, at the latest in the second round. */
static int eat(uint64_t flags, uint64_t stride)
{
	static struct { uint64_t at; } block[4096];
	unsigned n = 0;

	while (n < sizeof(block) / sizeof(block[0])) {
		int64_t at = map(0, 64 * MIB, RW, flags);

		if (is_error(at))
			break;
		block[n++].at = (uint64_t)at;
		touch((uint64_t)at, (uint64_t)at + 64 * MIB, stride);
	}
	for (unsigned i = 0; i < n; i++)
		touch(block[i].at, block[i].at + 64 * MIB, 4096);
	return 4; /* nobody said stop */
}

/* Every second page by itself: the region list is bounded, and says so. */
static int split(void)
{
	int64_t at = map(0, 64 * MIB, RW, 0), err = 0;
	unsigned cuts = 0;

	for (uint64_t off = 0; off < 64 * MIB && !err; off += 8192, cuts++)
		err = ring_syscall(&ring_native, SYS_mprotect, (uint64_t)at + off, 4096, PROT_READ,
				   0, 0, 0);
	if (err != -ENOMEM || cuts < 100)
		return 5;
	/* and one call frees them all */
	return ring_syscall(&ring_native, SYS_munmap, (uint64_t)at, 64 * MIB, 0, 0, 0, 0) ? 6 : 0;
}

static bool neighbour_round(void)
{
	int64_t at = map(0, MIB, RW, 0);
	bool good = !is_error(at);

	for (uint64_t off = 0; good && off < MIB; off += 4096)
		*(volatile uint64_t *)(uintptr_t)((uint64_t)at + off) = off;
	for (uint64_t off = 0; good && off < MIB; off += 4096)
		good = *(volatile uint64_t *)(uintptr_t)((uint64_t)at + off) == off;
	return good && !ring_syscall(&ring_native, SYS_munmap, (uint64_t)at, MIB, 0, 0, 0, 0);
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	struct { int64_t sec, nsec; } pause = { 0, 5000000 };
	bool good = true;

	if (argc > 1) {
		switch (argv[1][0]) {
		case 'p':
			return eat(MAP_POPULATE, 4096);
		case 't':
			return argv[1][1] == 'o' ? eat(0, 4096) : eat(0, 2 * MIB);
		default:
			return split();
		}
	}
	for (unsigned i = 0; i < 200; i++) {
		good &= neighbour_round();
		ring_syscall(ring, SYS_nanosleep, (uint64_t)(uintptr_t)&pause, 0, 0, 0, 0, 0);
	}
	say_true("a neighbour of greedy programs gets its memory", good);
	return say_verdict();
}
