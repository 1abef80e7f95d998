/*
 * region: the sorted array of what an address space has mapped. Private to mm/.
 *
 * Written by the owner (home core) inside regions_begin/regions_end, read by anybody under the
 * sequence count. Readers may see torn regions; they notice by the count and look again.
 */
#ifndef MM_REGION_H
#define MM_REGION_H

#include <stdatomic.h>

#include "mm/aspace.h"

/* The region that holds `va` and the count it was read under; false: none. Any core. */
bool region_find(struct aspace *as, uaddr_t va, struct region *out, uint32_t *seq);

/* Has nobody changed the array since `seq`? A full fence stands before the look: it pairs with the
 * one in regions_replace, so that either the faulter sees the new count or the sweep sees its
 * leaf. */
static inline bool region_unchanged(struct aspace *as, uint32_t seq)
{
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(&as->seq, memory_order_relaxed) == seq;
}

/* Index of the first region that ends behind `va`; region_count if none. Owner. */
uint32_t region_index(const struct aspace *as, uaddr_t va);

/* Puts `with` (NULL: nothing) in the place of whatever lies in [base, end); pieces that stick out
 * stay, equal anonymous neighbours are joined. 0, or -ENOMEM when there are too many regions.
 * Owner. */
must_use int regions_replace(struct aspace *as, uaddr_t base, uaddr_t end,
			     const struct region *with);

/* The lowest gap of `len` bytes in [from, to); 0 if there is none. Owner. */
uaddr_t regions_gap(const struct aspace *as, uaddr_t from, uaddr_t to, uint64_t len);

#endif
