/*
 * unit: what every unit test includes first: cmocka with what it needs, and a machine to run on.
 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Makes the hosted machine with `mib` of RAM and `cores` cores; the calling thread becomes core 0
 * of the machine. */
void unit_machine(unsigned mib, unsigned cores);

/* The same, and the floors up to cores/: boot arguments, frames, the core map. The calling thread
 * is cores[0]. */
void unit_kernel(unsigned mib, unsigned cores, const char *cmdline);

/* The calling thread is core `index` from here on (a thread of its own, or the only one, playing
 * several cores). */
void unit_be_core(unsigned index);

/* Setup and teardown of a test: as many frames are free afterwards as before. */
int unit_frames_before(void **state);
int unit_frames_after(void **state);
#define unit_test_frames(f)                                                                        \
	cmocka_unit_test_setup_teardown(f, unit_frames_before, unit_frames_after)

/*
 * As a program would see it: through the host's mapping of the program's own address. Asked of the
 * host's kernel, so that a missing page is an answer and not a fault, and that sanitizers need not
 * know these addresses. True if all bytes were moved.
 */
bool unit_program_reads(uint64_t va, void *dst, size_t n);
bool unit_program_writes(uint64_t va, const void *src, size_t n);

/* Numbers that look random and are the same in every run. */
uint64_t unit_random(void);

/* Runs fn(arg) in a child process and returns its exit status, 256 + signal if it was killed. Its
 * output goes nowhere. */
int unit_in_child(int (*fn)(const void *arg), const void *arg);

#endif
