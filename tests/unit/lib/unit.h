/*
 * unit: what every unit test includes first: cmocka with what it needs, and a machine to run on.
 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Makes the hosted machine with `mib` of RAM and `cores` cores; the calling thread becomes core 0 (of the machine, not of cores/). */
void unit_machine(unsigned mib, unsigned cores);

#endif
