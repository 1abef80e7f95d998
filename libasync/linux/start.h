/*
 * start (Linux): what start.c found out about the kernel.
 */
#ifndef LIBASYNC_LINUX_START_H
#define LIBASYNC_LINUX_START_H

#include <stdbool.h>

/* Set once, before main: a NOP answers what it was told to (Linux 6.10). */
extern bool async_linux_nop_answers;

#endif
