/*
 * What if a program executes instructions that are none of its business, turns on a page table of
 * its own, or spoils what of the hart it can reach? Whatever its kind, it alone suffers: the
 * neighbour on the same hart goes on reading its clock.
 *
 * also: SLUICE_UINTR=1 hstatus
 * ends: killed by signal 4
 * also: SLUICE_UINTR=1 spoil
 * ends: exit status 0
 * also: SLUICE_UINTR=1 hgatp
 * ends: killed by signal 4
 * also: SLUICE_UINTR=1 spoil
 * ends: exit status 0
 * also: SLUICE_UINTR=1 hlv
 * ends: killed by signal 4
 * also: SLUICE_UINTR=1 hfence
 * ends: killed by signal 4
 * also: SLUICE_UINTR=1 satp
 * ends: killed by signal 4
 * also: SLUICE_UINTR=1 mstatus
 * ends: killed by signal 4
 * also: SLUICE_UINTR=1 hgeie
 * ends: killed by signal 4
 * also: SLUICE_UINTR=1 vsatp
 * ends: killed by signal 4
 * also: satp
 * ends: killed by signal 4
 * also: SLUICE_UINTR=1 mret
 * ends: killed by signal 4
 * also: hlv
 * ends: killed by signal 4
 */
#include "tests/abi/lib/say.h"

static bool is(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

#ifdef __riscv

/* What VS-mode may write and shares with others on this hart: scounteren, senvcfg. */
static void spoil(void)
{
	if (!(ring_start_info->flags & SLUICE_START_UINTR))
		return; /* a plain program would die of it, and there is nothing to spoil */
	__asm__ volatile("csrw 0x106, zero\n\tcsrw 0x10a, zero\n\tcsrw 0x140, %0" ::"r"(-1));
}

static void misbehave(const char *how)
{
	if (is(how, "spoil"))
		spoil();
	else if (is(how, "hstatus"))
		__asm__ volatile("csrr t0, 0x600" ::: "t0");
	else if (is(how, "hgatp"))
		__asm__ volatile("csrw 0x680, zero");
	else if (is(how, "hgeie"))
		__asm__ volatile("csrw 0x607, %0" ::"r"(-1));
	else if (is(how, "vsatp"))
		__asm__ volatile("csrw 0x280, zero");
	else if (is(how, "mstatus"))
		__asm__ volatile("csrr t0, 0x300" ::: "t0");
	else if (is(how, "hlv")) /* hlv.d t0, (sp) */
		__asm__ volatile(".insn r 0x73, 4, 0x36, t0, sp, x0" ::: "t0");
	else if (is(how, "hfence")) /* hfence.gvma */
		__asm__ volatile(".insn r 0x73, 0, 0x31, x0, x0, x0");
	else if (is(how, "mret"))
		__asm__ volatile(".4byte 0x30200073");
	else if (is(how, "satp")) /* Sv39, with a root that is no table */
		__asm__ volatile("csrw 0x180, %0\n\tlw t0, (sp)" ::"r"(8ull << 60 | 0x10) : "t0");
}

#else

static void misbehave(const char *how)
{
	if (!is(how, "spoil"))
		__asm__ volatile("ud2");
}

#endif

int ring_main(struct ring *ring, int argc, char **argv)
{
	struct { int64_t sec, nsec; } pause = { 0, 5000000 };
	bool alive = true;

	if (argc > 1) {
		misbehave(argv[1]);
		return is(argv[1], "spoil") ? 0 : 3;
	}
	for (unsigned i = 0; i < 60; i++) {
		uint64_t from = ring_start_info->time_hz ? async_ticks_read() : 0;

		alive &= ring_syscall(ring, SYS_nanosleep, (uint64_t)(uintptr_t)&pause, 0, 0, 0, 0,
				      0) == 0;
		alive &= !ring_start_info->time_hz || async_ticks_read() > from;
	}
	say_true("a neighbour of misbehaving programs lives and knows the time", alive);
	return say_verdict();
}
