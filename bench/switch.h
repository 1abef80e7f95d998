/*
 * switch: the work of the switch table, the same for every kind of switch and both systems
 * (bench/guest/switch.c, bench/peer/guest/switch.c): a token goes round a ring of members, and each
 * that gets it adds up a buffer of its own. In the manner of lmbench's lat_ctx, which it is not.
 *
 * What the same work costs without any switch, one member handing the token through all links
 * itself and adding up all buffers, is measured apart ("overhead").
 */
#ifndef BENCH_SWITCH_H
#define BENCH_SWITCH_H

#include <stddef.h>
#include <stdint.h>

#define SWITCH_MEMBERS_MAX 16u
#define SWITCH_WARM	   8u /* rounds */
#define SWITCH_STOP	   (-1)

static volatile uint64_t switch_sink;

static inline void switch_work(const uint64_t *words, size_t bytes)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < bytes / sizeof(*words); i++) {
		sum += words[i];
		__asm__("" : "+r"(sum)); /* one word at a time, whatever the compiler knows */
	}
	switch_sink += sum;
}

#endif
