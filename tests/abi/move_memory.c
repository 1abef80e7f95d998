/*
 * Is a program's memory the same on every core that it moves to, at any moment? Pages that come,
 * that are thrown away, that are copied before they are written, and that lose and get back rights:
 * no core may remember what they were when the program was there last. Those that write where
 * they may no longer, on whatever core, die of it.
 *
 * boot: shuffle_us=100
 * also: protect
 * ends: killed by signal 11
 * also: unmap
 * ends: killed by signal 11
 * also: 2
 * ends: exit status 0
 */
#include "tests/abi/lib/moves.h"
#include "uapi/mman.h"

#define PAGE 4096ull
#define PAGES 16u
#define RW (PROT_READ | PROT_WRITE)
#define MOVES 1500

static int64_t call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
	return ring_syscall(&ring_native, nr, a0, a1, a2, a3, a4, 0);
}

static volatile uint64_t *word(uint64_t at, uint64_t page)
{
	return (volatile uint64_t *)(uintptr_t)(at + page * PAGE);
}

/* Pages hold `base` and their number; how many do not? */
static unsigned others(uint64_t at, uint64_t base)
{
	unsigned n = 0;

	for (uint64_t i = 0; i < PAGES; i++)
		n += *word(at, i) != (base ? base + i : 0);
	return n;
}

static void mark(uint64_t at, uint64_t base)
{
	for (uint64_t i = 0; i < PAGES; i++)
		*word(at, i) = base + i;
}

static uint64_t map(uint64_t flags, int fd)
{
	return (uint64_t)call(SYS_mmap, 0, PAGES * PAGE, RW, flags, (uint64_t)fd);
}

static unsigned thrown_away(uint64_t at, uint64_t round)
{
	unsigned wrong = 0;

	mark(at, round);
	wrong += others(at, round);
	wrong += call(SYS_madvise, at, PAGES * PAGE, MADV_DONTNEED, 0, 0) != 0;
	return wrong + others(at, 0);
}

static unsigned rights(uint64_t at, uint64_t round)
{
	unsigned wrong = 0;

	mark(at, round);
	wrong += call(SYS_mprotect, at, PAGES * PAGE, PROT_READ, 0, 0) != 0;
	wrong += others(at, round);
	wrong += call(SYS_mprotect, at, PAGES * PAGE, RW, 0, 0) != 0;
	mark(at, round + 1);
	return wrong + others(at, round + 1);
}

/* A private picture of a file: read, written, and the file is as it was. */
static unsigned copied(int fd, uint64_t shared, uint64_t round)
{
	uint64_t at = map(MAP_PRIVATE, fd);
	unsigned wrong = others(at, *word(shared, 0));

	mark(at, round);
	wrong += others(at, round);
	wrong += others(shared, *word(shared, 0));
	return wrong + (call(SYS_munmap, at, PAGES * PAGE, 0, 0, 0) != 0);
}

/* The page was written on every core by now, and then may not be any more. */
static int misbehave(bool unmap)
{
	uint64_t at = map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int64_t begun = moves_so_far();

	while (moves_so_far() - begun < 200)
		for (uint64_t i = 0; i < 1000; i++)
			*word(at, i % PAGES) = i;
	call(unmap ? SYS_munmap : SYS_mprotect, at, PAGES * PAGE, PROT_READ, 0, 0);
	*word(at, 3) = 1;
	say("this page could be written\n");
	return 1;
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	static const char name[] = "moves";
	uint64_t at = map(MAP_PRIVATE | MAP_ANONYMOUS, -1), shared, wrong = 0, round = 1;
	int64_t begun = moves_so_far();
	int fd;

	(void)ring;
	if (argc > 1 && (*argv[1] == 'p' || *argv[1] == 'u'))
		return misbehave(*argv[1] == 'u');
	fd = (int)call(SYS_memfd_create, (uint64_t)(uintptr_t)name, 0, 0, 0, 0);
	call(SYS_ftruncate, (uint64_t)fd, PAGES * PAGE, 0, 0, 0);
	shared = map(MAP_SHARED, fd);
	mark(shared, 77);
	do {
		wrong += thrown_away(at, round << 32);
		wrong += rights(at, round << 32);
		wrong += copied(fd, shared, round << 32);
		round++;
	} while (!wrong && (round % 8 || moves_so_far() - begun < MOVES));
	say_is("memory as it should be", (int64_t)wrong, 0);
	return say_verdict();
}
