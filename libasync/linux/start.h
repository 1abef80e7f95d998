/*
 * start (Linux): what start.c found out about the kernel.
 */
#ifndef LIBASYNC_LINUX_START_H
#define LIBASYNC_LINUX_START_H

#include <stdbool.h>

struct ring;

/* Set once, before main: a NOP answers what it was told to (Linux 6.10). */
extern bool async_linux_nop_answers;
/* A ring for the calling thread; without one the program ends and says why. */
void async_linux_ring(struct ring *ring);

#endif
