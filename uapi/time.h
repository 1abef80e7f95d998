/*
 * time: clocks and time values as they cross the system-call boundary.
 *
 * Both members of a time value are 64 bits wide on every machine (Linux' year-2038-safe layout).
 */
#ifndef UAPI_TIME_H
#define UAPI_TIME_H

#include <stdint.h>

struct __kernel_timespec {
	int64_t tv_sec;
	int64_t tv_nsec;
};

_Static_assert(sizeof(struct __kernel_timespec) == 16, "timespec is 16 bytes");

#ifndef CLOCK_REALTIME
#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define CLOCK_PROCESS_CPUTIME_ID 2
#define CLOCK_THREAD_CPUTIME_ID 3
#define CLOCK_MONOTONIC_RAW 4
#define CLOCK_REALTIME_COARSE 5
#define CLOCK_MONOTONIC_COARSE 6
#define CLOCK_BOOTTIME 7
#define CLOCK_TAI 11
#endif

#ifndef TIMER_ABSTIME
#define TIMER_ABSTIME 1
#endif

#endif /* UAPI_TIME_H */
