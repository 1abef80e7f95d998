/*
 * guest: what the benchmark programs share: a count of instructions, marks for the counting plugin,
 * words on the console.
 *
 * A result is one line, `bench: KEY=value ...`, which bench/run reads.
 */
#ifndef BENCH_GUEST_H
#define BENCH_GUEST_H

#include "libasync/ring.h"

/* The plugin (bench/plugin) writes the totals of all harts down when one of these is executed. */
#define GUEST_MARK_BEGIN 0x30
#define GUEST_MARK_END	 0x31

/* Instructions this machine executed so far. Under -icount shift=0 on one hart that is what instret
 * counts, kernel and firmware included. The hosted machine has no such count, and Linux keeps it
 * from programs: the clock instead. */
static inline uint64_t guest_instructions(void)
{
#if defined(__riscv) && !ASYNC_ON_LINUX
	uint64_t n;

	__asm__ volatile("rdinstret %0" : "=r"(n));
	return n;
#else
	return async_ticks_read();
#endif
}

/* The clock every program can read, in nanoseconds. */
static inline uint64_t guest_ns(void)
{
	uint64_t ticks = async_ticks_read(), hz = ring_start_info->time_hz;

	return ticks / hz * 1000000000u + ticks % hz * 1000000000u / hz;
}

/* Formats and writes to descriptor 1. Only while no answer is on its way. */
void guest_say(struct ring *ring, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How long a measurement goes on: operations, or nanoseconds when ops is 0. */
struct guest_amount {
	uint64_t ops, ns;
};

/* "20000" or "300ms". */
struct guest_amount guest_amount(struct ring *ring, const char *text);

/* The number in `text`; ends the program with a sentence if it is none. */
uint64_t guest_number(struct ring *ring, const char *text);

#endif
