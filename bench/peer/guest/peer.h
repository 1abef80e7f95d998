/*
 * peer: what the peer's own programs share: marks for the counting plugin, words on the console, time.
 * Owns nothing. Ordinary Linux programs, linked statically.
 *
 * A result is one line, `bench: KEY=value ...`, as on Sluice (bench/guest/lib/guest.h).
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The plugin (bench/plugin/count.c) writes the totals of all harts down when one of these runs. */
#define PEER_MARK_BEGIN 0x30
#define PEER_MARK_END	0x31
#define PEER_MARK_INIT	0x32 /* the first user instruction of init, nearly */
#define PEER_MARK_SHELL 0x33 /* modules loaded, network up */

#define PEER_MARK(n) __asm__ volatile("slti x0, x0, 0x700 + %0" : : "i"(n) : "memory")

__attribute__((noreturn, format(printf, 1, 2))) static inline void peer_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (errno: %s)\n", strerror(errno));
	exit(1);
}

static inline uint64_t peer_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The calling thread stays on `cpu` from now on. */
static inline void peer_pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		peer_die("cannot stay on cpu %u", cpu);
}

/* A number from `text`, `low` to `high`; ends the program when it is none. */
static inline uint64_t peer_number(const char *text, uint64_t low, uint64_t high)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (*text == 0 || *end || value < low || value > high)
		peer_die("%s is not a number from %llu to %llu", text, (unsigned long long)low,
			 (unsigned long long)high);
	return value;
}

#endif
