/*
 * print: the kernel's own words on the console. Lines are formatted into a per-call buffer (512
 * bytes, longer lines are cut) and handed to the sink in one piece, so lines of two cores never
 * mix. The sink is the machine's console of last resort (base/machine.h) until a console driver
 * replaces it.
 */
#ifndef BASE_PRINT_H
#define BASE_PRINT_H

#include "base/types.h"

/* Any core, never parks, never fails. The caller writes the newline. */
void kprint(const char *fmt, ...) printf_like(1, 2);

/* Set once at boot by the console driver; must be callable from any core and must not block.
 * NULL: back to the console of last resort. */
void kprint_set_sink(void (*sink)(const char *text, size_t len));

#endif
