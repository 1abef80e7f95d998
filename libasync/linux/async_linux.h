/*
 * async_linux: what the arch headers take from here when a program is built for Linux
 * (ASYNC_LINUX): the executor's storage and the clock. Included by them only.
 */
#ifndef ASYNC_LINUX_H
#define ASYNC_LINUX_H

#include <stdint.h>

#define ASYNC_ON_LINUX 1

/* One executor per thread. The library is a static one for programs, so that no table is needed. */
#ifndef ASYNC_PER_THREAD
#define ASYNC_PER_THREAD __thread
#endif

static inline void async_thread_set(struct async_exec *x)
{
	(void)x;
}

/* The C library's monotonic clock (no trap where there is a vDSO): nanoseconds. */
uint64_t async_linux_clock(void);

/* Ticks of the clock whose frequency is sluice_start.time_hz. */
static inline uint64_t async_ticks_read(void)
{
	return async_linux_clock();
}

#endif
