/*
 * host: the few words that the host's side of the benchmarks shares. Owns nothing.
 */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* The calling thread stays on `cpu` from now on. */
static inline void pin_to(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot stay on cpu %u", cpu);
}

static inline void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/* A number from `text`, `low` to `high`; ends the program when it is none. */
static inline uint64_t number(const char *text, uint64_t low, uint64_t high)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (*text == 0 || *end || value < low || value > high)
		die("%s is not a number from %llu to %llu", text, (unsigned long long)low,
		    (unsigned long long)high);
	return value;
}

/* Says `word` and waits for a line: between the two, whoever started us reads the guest's counters.
 */
static inline void meet(const char *word)
{
	char line[16];

	printf("%s\n", word);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		die("nobody answers");
}

#endif
