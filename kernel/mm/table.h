/*
 * table: the radix table below an address space: its leaves, and the frames on the space's account.
 * Private to mm/; what a leaf can be is said in aspace.c.
 *
 * Any core. Tables, once hooked in, stay until the space dies, so a slot's address stays good.
 */
#ifndef MM_TABLE_H
#define MM_TABLE_H

#include <stdatomic.h>

#include "mm/aspace.h"
#include "mm/frames.h"

#define TABLE_ENTRIES 512u

typedef _Atomic uint64_t pte_slot;

static inline pte_slot *table_slot(paddr_t table, uaddr_t va, unsigned level)
{
	pte_slot *slots = arch_direct(table);

	return &slots[va >> (PAGE_SHIFT + 9 * level) & (TABLE_ENTRIES - 1)];
}

static inline uint64_t leaf_bits(uint32_t prot)
{
	uint64_t bits = PTE_V | PTE_U | PTE_A | PTE_D | PTE_RAM;

	if (!prot)
		return PTE_RAM; /* it keeps its frame, and is nobody's to use */
	if (prot & (ACCESS_READ | ACCESS_WRITE))
		bits |= PTE_R;
	if (prot & ACCESS_WRITE)
		bits |= PTE_W;
	if (prot & ACCESS_EXEC)
		bits |= PTE_X;
	return bits;
}

/* The same frame with the rights of `prot`; a page still shared copy-on-write stays unwritable. */
static inline uint64_t leaf_with_rights(uint64_t leaf, uint32_t prot)
{
	uint64_t now = pte_make(pte_paddr(leaf), leaf_bits(prot)) | (leaf & PTE_COW);

	return leaf & PTE_COW ? now & ~PTE_W : now;
}

/* What the machine sees of a leaf. */
static inline uint64_t leaf_seen(uint64_t leaf)
{
	return leaf & PTE_V ? leaf : 0;
}

static inline void leaf_tell(struct aspace *as, uaddr_t va, uint64_t was, uint64_t now)
{
	if (leaf_seen(was) | leaf_seen(now))
		arch_pte_changed(as, &as->arch, va, leaf_seen(was), leaf_seen(now));
}

/* No core translates [va, va + len) by a leaf that was removed before. */
void shootdown(struct aspace *as, uaddr_t va, uint64_t len);

/* `n` more frames on the account of `as`; false: that is its limit, or more than its share while
 * memory is short. */
static inline bool resident_take(struct aspace *as, uint64_t n)
{
	uint64_t now = atomic_fetch_add_explicit(&as->resident, n, memory_order_relaxed) + n;

	if (likely(!as->resident_max || (now <= as->resident_max && frames_allow(now))))
		return true;
	atomic_fetch_sub_explicit(&as->resident, n, memory_order_relaxed);
	return false;
}

static inline void resident_give(struct aspace *as, uint64_t n)
{
	atomic_fetch_sub_explicit(&as->resident, n, memory_order_relaxed);
}

/* A zeroed frame on the account of `as`; 0 when its limit or the memory is reached. */
paddr_t frame_for(struct aspace *as);

/* Slot of the leaf for `va`; NULL when a table is missing. */
pte_slot *slot_find(struct aspace *as, uaddr_t va);
/* The same, hooking in the tables that are missing; NULL when memory is out. */
pte_slot *slot_make(struct aspace *as, uaddr_t va);
/* The next slot at or above *va and below end whose tables exist; NULL: none. Moves *va to it. */
pte_slot *slot_next(struct aspace *as, uaddr_t *va, uaddr_t end);

#endif
