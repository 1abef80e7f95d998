/*
 * types: the words every kernel file may use. No state.
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t paddr_t; /* physical address, bytes */
typedef uint64_t uaddr_t; /* a user-space address as claimed by a program: never dereferenced */
typedef uint64_t nsec_t;  /* monotonic time since boot, nanoseconds */

#define must_use __attribute__((warn_unused_result))
#define noreturn_fn __attribute__((noreturn))
#define noinline_fn                                                                                \
	__attribute__((                                                                            \
		noinline)) /* keeps a rare path from costing the frequent one its registers */
#define printf_like(f, a) __attribute__((format(printf, f, a)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define array_count(a) (sizeof(a) / sizeof((a)[0]))
#define min_of(a, b) ((a) < (b) ? (a) : (b))
#define max_of(a, b) ((a) > (b) ? (a) : (b))
#define align_up(x, a) (((x) + (a)-1) & ~((__typeof__(x))(a)-1))
#define align_down(x, a) ((x) & ~((__typeof__(x))(a)-1))

#define CACHE_LINE 64
#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ul
#define NSEC_NEVER UINT64_MAX

#endif
