/*
 * counters: what happened how often, one block per core, written by the owning core only (plain
 * increments), summed when read. Readable by a ring operation (read of /dev/counters) and printed
 * at exit. spin_ns is time in turns that found nothing, sleep_ns time asleep, both counted when the
 * next turn begins or the sleep ends; doze_ns what programs say to have waited in their own mode.
 * The rest is busy, and nothing is counted for that.
 */
#ifndef BASE_COUNTERS_H
#define BASE_COUNTERS_H

#include "base/types.h"

#define COUNTER_LIST(X)                                                                            \
	X(turns_busy) X(turns_idle) X(spin_ns) X(sleeps) X(sleep_ns) X(doze_ns) X(waits)           \
	X(doorbells) X(mails) X(sqes) X(cqes) X(cq_overflows) X(steps) X(parks)                    \
	X(ops_taken_from_pool) X(pool_empty) X(enters) X(user_traps) X(page_faults)                \
	X(user_irqs) X(ticks) X(blk_requests) X(blk_errors) X(blk_kicks) X(nic_rx) X(nic_tx)       \
	X(nic_drops) X(nic_kicks) X(degrades) X(fibers_short) X(cancels) X(timeouts) X(fibers)     \
	X(shootdowns) X(notices) X(inbox_moves) X(wire_faults) X(upcalls) X(thread_moves)          \
	X(balance_passes) X(balance_moves) X(balance_refused) X(ring_moves) X(ops_given)           \
	X(unserved)

struct counters {
#define X(name) uint64_t name;
	COUNTER_LIST(X)
#undef X
};

#ifdef CONFIG_ARCH_HOSTED
#define CORES_MAX 128 /* the simulator's machines */
#else
#define CORES_MAX 64
#endif
extern struct counters *counters_of_core[CORES_MAX]; /* set once at boot, index = core index */

/* Sum over all cores. */
void counters_sum(struct counters *sum);

/* `name value` lines of the sums, NUL-terminated, cut at `size`. Returns the length written. */
size_t counters_print(char *buf, size_t size);

#endif
