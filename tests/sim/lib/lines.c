/*
 * lines: which core has which cache line, and what it costs to get one.
 *
 * Built with TIMED=1, the compiler puts a call before every load and store of kernel code
 * (-fsanitize=thread); the functions it calls are here, and instead of looking for races they ask a
 * directory: a line that this core has costs nothing (that is part of every measured cost), a line
 * that nobody has had yet costs nothing either (memory itself is not modelled), and one that
 * another core has written, or that others read and this one writes, has to travel. Programs ask
 * for their own accesses (prog.c).
 *
 * Known lines are those of the machine's RAM and of the kernel's own data; a core's stack is
 * nobody else's. Of two that write one line at the same time, the second waits for the first. A
 * load that follows a load of the line before is one of a stream; a store does not wait for its
 * line, but one that also reads (an atomic exchange) does, and so does the next full fence.
 *
 * A transfer is the one thing that others can see: sim_timed_sync lets those go first whose clocks
 * are earlier.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/internal.h"
#include "lib/timed.h"

#define LINE 64u
#define SITES 4096u /* power of two */
#define QUIET 256u  /* atomic looks at lines one has, before time passes for them */

struct line {
	uint64_t sharers[CORES_MAX / 64], ever[CORES_MAX / 64];
	uint64_t written, busy; /* picoseconds: by its writer's clock; until it is there */
};

struct site {
	uintptr_t pc;
	uint64_t moves, ps;
	unsigned cores;
};

enum access { LOAD, STORE, EXCHANGE };

extern char __data_start[], _end[], __executable_start[];

static struct line *ram_lines, *data_lines;
static struct site *sites;
static uintptr_t last_load[CORES_MAX]; /* line number of the last one that travelled */
static uint64_t arrives[CORES_MAX];    /* the last line that a store did not wait for */
static bool counts;

/* ---- the directory --------------------------------------------------------------------------- */

static struct line *lines_make(size_t bytes)
{
	struct line *l = calloc(bytes / LINE + 2, sizeof(*l));

	if (!l)
		sim_fail("no memory for a directory of cache lines");
	return l;
}

static struct line *line_find(uintptr_t at)
{
	uintptr_t ram = (uintptr_t)arch_direct(HOSTED_RAM_BASE), data = (uintptr_t)__data_start;

	if (at - ram < hosted_ram_bytes) {
		if (!ram_lines)
			ram_lines = lines_make(hosted_ram_bytes);
		return &ram_lines[(at - ram) / LINE];
	}
	if (at < data || at >= (uintptr_t)_end)
		return NULL;
	if (!data_lines)
		data_lines = lines_make((uintptr_t)_end - data + LINE);
	return &data_lines[at / LINE - data / LINE];
}

static inline bool has(const uint64_t *set, unsigned core)
{
	return set[core / 64] >> core % 64 & 1;
}

static unsigned count(const uint64_t *set)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CORES_MAX / 64; i++)
		n += (unsigned)__builtin_popcountll(set[i]);
	return n;
}

/* Others than `core`. */
static bool has_others(const uint64_t *set, unsigned core)
{
	uint64_t rest = 0;

	for (unsigned i = 0; i < CORES_MAX / 64; i++)
		rest |= i == core / 64 ? set[i] & ~(1ull << core % 64) : set[i];
	return rest;
}

static void site_count(uintptr_t pc, const struct line *l, uint64_t ps)
{
	uintptr_t key = pc - (uintptr_t)__executable_start;
	struct site *s;

	if (!counts || count(l->ever) < 3)
		return;
	for (size_t i = key * 0x9e3779b97f4a7c15ull >> 52;; i++) {
		s = &sites[i % SITES];
		if (s->pc == key || !s->pc)
			break;
	}
	s->pc = key;
	s->moves++;
	s->ps += ps;
	s->cores = max_of(s->cores, count(l->ever));
}

/* Does this core have the line, as it wants it? */
static bool line_is_here(const struct line *l, unsigned me, enum access how)
{
	return has(l->sharers, me) && (how == LOAD || !has_others(l->sharers, me));
}

static void line_take(struct line *l, unsigned me, enum access how)
{
	if (how != LOAD)
		for (unsigned i = 0; i < CORES_MAX / 64; i++)
			l->sharers[i] = 0;
	l->sharers[me / 64] |= 1ull << me % 64;
	l->ever[me / 64] |= 1ull << me % 64;
}

static void line_fetch(struct line *l, uintptr_t number, unsigned me, enum access how,
		       uintptr_t pc)
{
	struct sim_core *sc = &sim_cores[me];
	uint64_t begin = sc->clock;

	if (how == STORE) {
		l->busy = max_of(l->busy, sc->clock) + sim_costs.line;
		arrives[me] = max_of(arrives[me], l->busy);
		sc->clock += sim_costs.store;
	} else {
		sc->clock = max_of(sc->clock, max_of(l->written, l->busy));
		sc->clock += how == LOAD && number == last_load[me] + 1 ? sim_costs.stream :
									   sim_costs.line;
		if (how == EXCHANGE)
			l->busy = sc->clock;
		last_load[me] = number;
	}
	site_count(pc, l, sc->clock - begin);
}

void sim_line_touch(const void *at, bool write, bool reads, uintptr_t pc)
{
	enum access how = !write ? LOAD : reads ? EXCHANGE : STORE;
	struct line *l = line_find((uintptr_t)at);
	unsigned me = sim_here;

	if (!l)
		return;
	if (!line_is_here(l, me, how) && has_others(l->sharers, me)) {
		sim_timed_sync();
		if (!line_is_here(l, me, how) && has_others(l->sharers, me))
			line_fetch(l, (uintptr_t)at / LINE, me, how, pc);
	}
	line_take(l, me, how);
	if (write)
		l->written = sim_cores[me].clock;
}

void sim_fence(void)
{
	struct sim_core *sc = &sim_cores[sim_here];

	if (!sim_timed || sim_is_stepping())
		return;
	sim_timed_settle();
	sc->clock = max_of(sc->clock, arrives[sim_here]);
}

/* ---- the report ------------------------------------------------------------------------------ */

void sim_lines_count(void)
{
	sites = calloc(SITES, sizeof(*sites));
	counts = sites;
}

void sim_lines_freeze(void)
{
	counts = false;
}

static int by_time(const void *a, const void *b)
{
	const struct site *x = a, *y = b;

	return x->ps != y->ps ? (x->ps < y->ps ? 1 : -1) : x->pc < y->pc ? -1 : x->pc > y->pc;
}

void sim_lines_print(unsigned most)
{
	if (!sites)
		return;
	qsort(sites, SITES, sizeof(*sites), by_time);
	for (unsigned i = 0; i < most && sites[i].ps; i++)
		printf("shared: pc=%lx cores=%u moves=%llu ns=%llu\n", sites[i].pc, sites[i].cores,
		       (unsigned long long)sites[i].moves, (unsigned long long)sites[i].ps / 1000);
}

/* ---- what the compiler calls ----------------------------------------------------------------- */

bool sim_lines_seen(void)
{
#ifdef CONFIG_TIMED
	return true;
#else
	return false;
#endif
}

#ifdef CONFIG_TIMED /* elsewhere the names may be the compiler's own */

static void see(const void *at, size_t size, bool write, bool reads, uintptr_t pc)
{
	uintptr_t first = (uintptr_t)at / LINE, last = ((uintptr_t)at + size - 1) / LINE;

	if (!sim_timed || sim_is_stepping())
		return;
	for (; first <= last; first++)
		sim_line_touch((const void *)(first * LINE), write, reads, pc);
}

static unsigned quiet;

/* Who looks at a line that it has, again and again, waits for another core: time must pass. */
static void see_atomic(const void *at, size_t size, bool write, bool reads, uintptr_t pc)
{
	see(at, size, write, reads, pc);
	if (!sim_timed || sim_is_stepping() || ++quiet % QUIET)
		return;
	sim_work(sim_costs.relax);
	sim_timed_sync();
}

#define PC ((uintptr_t)__builtin_return_address(0))

void __tsan_init(void);
void __tsan_read_range(void *at, size_t size);
void __tsan_write_range(void *at, size_t size);
void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_signal_fence(int order);

void __tsan_init(void)
{
}

void __tsan_read_range(void *at, size_t size)
{
	see(at, size, false, true, PC);
}

void __tsan_write_range(void *at, size_t size)
{
	see(at, size, true, false, PC);
}

#define SEEN(suffix, size)                                                                         \
	void __tsan_read##suffix(void *at);                                                  \
	void __tsan_write##suffix(void *at);                                                 \
	void __tsan_read##suffix(void *at)                                                   \
	{                                                                                          \
		see(at, size, false, true, PC);                                                    \
	}                                                                                          \
	void __tsan_write##suffix(void *at)                                                  \
	{                                                                                          \
		see(at, size, true, false, PC);                                                    \
	}
SEEN(1, 1)
SEEN(2, 2)
SEEN(4, 4)
SEEN(8, 8)
SEEN(16, 16)
#define __tsan_read2 __tsan_unaligned_read2
#define __tsan_write2 __tsan_unaligned_write2
#define __tsan_read4 __tsan_unaligned_read4
#define __tsan_write4 __tsan_unaligned_write4
#define __tsan_read8 __tsan_unaligned_read8
#define __tsan_write8 __tsan_unaligned_write8
#define __tsan_read16 __tsan_unaligned_read16
#define __tsan_write16 __tsan_unaligned_write16
SEEN(2, 2)
SEEN(4, 4)
SEEN(8, 8)
SEEN(16, 16)

/* The machine has one thread, so every order is the strongest. */
#define EXCHANGES(bits, type, name, op)                                                            \
	type __tsan_atomic##bits##_##name(type *at, type value, int order);                        \
	type __tsan_atomic##bits##_##name(type *at, type value, int order)                         \
	{                                                                                          \
		(void)order;                                                                       \
		see_atomic(at, sizeof(type), true, true, PC);                                      \
		return op(at, value, __ATOMIC_SEQ_CST);                                            \
	}
#define COMPARES(bits, type, name)                                                                 \
	int __tsan_atomic##bits##_compare_exchange_##name(type *at, type *want, type value,        \
							  int order, int otherwise);               \
	int __tsan_atomic##bits##_compare_exchange_##name(type *at, type *want, type value,        \
							  int order, int otherwise)                \
	{                                                                                          \
		(void)order, (void)otherwise;                                                      \
		see_atomic(at, sizeof(type), true, true, PC);                                      \
		return __atomic_compare_exchange_n(at, want, value, false, __ATOMIC_SEQ_CST,       \
						   __ATOMIC_SEQ_CST);                              \
	}
#define ATOMICS(bits, type)                                                                        \
	type __tsan_atomic##bits##_load(const type *at, int order);                                \
	void __tsan_atomic##bits##_store(type *at, type value, int order);                         \
	type __tsan_atomic##bits##_load(const type *at, int order)                                 \
	{                                                                                          \
		(void)order;                                                                       \
		see_atomic(at, sizeof(type), false, true, PC);                                     \
		return __atomic_load_n(at, __ATOMIC_SEQ_CST);                                      \
	}                                                                                          \
	void __tsan_atomic##bits##_store(type *at, type value, int order)                          \
	{                                                                                          \
		(void)order;                                                                       \
		see_atomic(at, sizeof(type), true, false, PC);                                     \
		__atomic_store_n(at, value, __ATOMIC_SEQ_CST);                                     \
	}                                                                                          \
	EXCHANGES(bits, type, exchange, __atomic_exchange_n)                                       \
	EXCHANGES(bits, type, fetch_add, __atomic_fetch_add)                                       \
	EXCHANGES(bits, type, fetch_sub, __atomic_fetch_sub)                                       \
	EXCHANGES(bits, type, fetch_and, __atomic_fetch_and)                                       \
	EXCHANGES(bits, type, fetch_or, __atomic_fetch_or)                                         \
	EXCHANGES(bits, type, fetch_xor, __atomic_fetch_xor)                                       \
	COMPARES(bits, type, strong)                                                               \
	COMPARES(bits, type, weak)
ATOMICS(8, uint8_t)
ATOMICS(16, uint16_t)
ATOMICS(32, uint32_t)
ATOMICS(64, uint64_t)

void __tsan_atomic_thread_fence(int order)
{
	if (order == __ATOMIC_SEQ_CST)
		sim_fence();
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void __tsan_atomic_signal_fence(int order)
{
	(void)order;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

#endif
