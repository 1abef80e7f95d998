/*
 * frame_table: the allocator's entry per frame, opened for the two places that count references on
 * the hot path (pin.c, frames.c). Private to mm/. Who may write what is said in frames.c.
 */
#ifndef MM_FRAME_TABLE_H
#define MM_FRAME_TABLE_H

#include <stdatomic.h>

#include "mm/frames.h"

struct frame {
	/* any core, atomic */
	_Atomic uint32_t refs;
	/* written by the allocator only, stable while the block is allocated; frame_get_live looks
	 * without knowing that, so stores are atomic where it may look */
	uint8_t order;
	uint8_t is_free_block; /* first frame of a free block; under the lock */
	uint16_t unused;
	/* free list, under the lock */
	uint32_t next, prev;
};
_Static_assert(sizeof(struct frame) == 16, "four frames in a cache line");

/* Where the entry of frame number 0 would be; set once at boot. */
extern uintptr_t frame_table_origin;

/* The entry of a frame that is known to be the allocator's. */
static inline struct frame *frame_entry(paddr_t pa)
{
	return (struct frame *)(frame_table_origin + (pa >> PAGE_SHIFT) * sizeof(struct frame));
}

/* frame_get_live for the common case, a single frame. False: nothing was taken, ask
 * frame_get_live. */
static inline bool frame_get_live_single(paddr_t pa)
{
	struct frame *f = frame_entry(pa);
	uint32_t refs = atomic_load_explicit(&f->refs, memory_order_relaxed);

	if (unlikely(!refs || __atomic_load_n(&f->order, __ATOMIC_RELAXED)))
		return false;
	/* While we hold a counted single frame it stays one: blocks are cut and joined only when
	 * free. A block that took the frame's place between the two looks is told by the caller's
	 * look at the leaf: its first frame is the only one with a count, and giving that back
	 * needs no more than frame_put. */
	return atomic_compare_exchange_strong_explicit(&f->refs, &refs, refs + 1,
						       memory_order_acquire, memory_order_relaxed);
}

/* frame_put for the common case. False: nothing was done, ask frame_put. */
static inline bool frame_put_single(paddr_t pa)
{
	struct frame *f = frame_entry(pa);
	uint32_t refs = atomic_load_explicit(&f->refs, memory_order_relaxed);

	if (unlikely(refs < 2 || f->order))
		return false;
	return atomic_compare_exchange_strong_explicit(&f->refs, &refs, refs - 1,
						       memory_order_release, memory_order_relaxed);
}

#endif
