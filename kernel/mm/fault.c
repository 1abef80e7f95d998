/*
 * fault: making pages present, or writable, for whoever misses them: a program's trap, a pin, the
 * loader.
 *
 * Any core, never parks. A faulter installs its leaf, then looks whether the regions changed
 * meanwhile; the owner changes the regions, then sweeps the leaves: one of the two sees the other
 * (the fences are in region.h).
 */
#include <string.h>

#include "mm/mobj.h"
#include "mm/region.h"
#include "mm/table.h"
#include "uapi/errno.h"

static inline uint64_t leaf_need(uint32_t access)
{
	uint64_t need = PTE_V | PTE_U;

	if (access & ACCESS_READ)
		need |= PTE_R;
	if (access & ACCESS_WRITE)
		need |= PTE_W;
	if (access & ACCESS_EXEC)
		need |= PTE_X;
	return need;
}

static inline bool region_allows(const struct region *r, uint32_t access)
{
	uint32_t prot = r->prot | (r->prot & ACCESS_WRITE ? ACCESS_READ : 0);

	return r->kind != REGION_NONE && !(access & ~prot);
}

/* What a faulter saw at its address, all of it under one count. */
struct sight {
	struct region r;
	uint32_t seq;
	struct mobj *object; /* NULL: none; not referenced */
	uint64_t delta;
};

static bool sight_take(struct aspace *as, uaddr_t va, struct sight *s)
{
	struct aspace_map *map;

	do {
		s->object = NULL;
		s->delta = 0;
		if (!region_find(as, va, &s->r, &s->seq))
			return false;
		if (likely(s->r.kind != REGION_OBJECT))
			return true;
		map = &as->maps[s->r.flags & REGION_MAP];
		s->object = atomic_load_explicit(&map->object, memory_order_relaxed);
		s->delta = __atomic_load_n(&map->delta, __ATOMIC_RELAXED);
	} while (!region_unchanged(as, s->seq));
	return true;
}

/*
 * We stored `mine` in the slot after the sight `s`, and the regions may have changed since: give
 * the leaf the rights its region has now, or take it back if there is no region any more, or one
 * that shows another memory object's page. Returns 0 when the leaf stands, -EAGAIN when the fault
 * must be looked at afresh.
 */
static int leaf_settle(struct aspace *as, uaddr_t va, pte_slot *slot, uint64_t mine,
		       struct sight *s)
{
	bool changed = false;

	while (unlikely(!region_unchanged(as, s->seq))) {
		struct mobj *object = s->object;
		uint64_t delta = s->delta, was = mine;
		bool found = sight_take(as, va, s);
		bool same = s->object == object && s->delta == delta;
		uint64_t want = found && same && s->r.kind != REGION_NONE ?
					leaf_with_rights(mine, s->r.prot) :
					0;

		changed = true;
		if (want == mine)
			continue;
		if (!atomic_compare_exchange_strong(slot, &was, want))
			return -EAGAIN;
		leaf_tell(as, va, mine, want);
		if (mine & PTE_V)
			shootdown(as, va, PAGE_SIZE);
		if (!want) {
			frame_put(pte_paddr(mine));
			resident_give(as, 1);
			return -EAGAIN;
		}
		mine = want;
	}
	return changed ? -EAGAIN : 0;
}

/* The page of the memory object that lies at `va` becomes present: for reading only where it would
 * be copied before it is written. */
static int fault_object(struct aspace *as, uaddr_t va, pte_slot *slot, struct sight *s)
{
	struct mobj *o = s->object;
	uint64_t index = (va + s->delta) >> PAGE_SHIFT, none = 0, now;
	int err = -EAGAIN;
	void *page;

	/* Ours, if it still is what the region shows. Held as a mapping, which it may have lost
	 * since: a cut takes the frames away that a page is hung into. */
	if (!o || !mobj_map_live(o))
		return -EAGAIN;
	if (!region_unchanged(as, s->seq))
		goto out;
	err = -ENXIO;
	if (index >= align_up(atomic_load_explicit(&o->size, memory_order_relaxed), PAGE_SIZE) >>
			     PAGE_SHIFT)
		goto out;
	err = mobj_make(o, index, &page);
	if (err)
		goto out;
	err = -ENOMEM;
	if (!resident_take(as, 1))
		goto out;
	now = pte_make(arch_direct_paddr(page), leaf_bits(s->r.prot));
	if (s->r.flags & REGION_PRIVATE)
		now = (now & ~PTE_W) | PTE_COW;
	frame_get(pte_paddr(now));
	if (atomic_compare_exchange_strong(slot, &none, now)) {
		leaf_tell(as, va, 0, now);
		err = leaf_settle(as, va, slot, now, s);
		goto out;
	}
	frame_put(pte_paddr(now));
	resident_give(as, 1);
	err = -EAGAIN;
out:
	mobj_unmap(o);
	return err;
}

/* The page is shared copy-on-write and `r` allows writing: its leaf becomes writable, with a frame
 * of its own if anybody else holds the old one. */
static int fault_copy(struct aspace *as, uaddr_t va, pte_slot *slot, uint64_t was, struct sight *s)
{
	paddr_t old = pte_paddr(was), pa = old;
	uint64_t now, expect = was;

	if (frame_refs(old) != 1) {
		pa = frame_alloc_user();
		if (!pa)
			return -ENOMEM;
		/* The old frame may be taken away while we read it; then the exchange below
		 * fails. */
		memcpy(arch_direct(pa), arch_direct(old), PAGE_SIZE);
	}
	now = pte_make(pa, leaf_bits(s->r.prot));
	if (!atomic_compare_exchange_strong(slot, &expect, now)) {
		if (pa != old)
			frame_put(pa);
		return -EAGAIN;
	}
	leaf_tell(as, va, was, now);
	if (pa != old) {
		if (was & PTE_V)
			shootdown(as, va, PAGE_SIZE);
		frame_put(old);
	}
	return leaf_settle(as, va, slot, now, s);
}

static int fault_once(struct aspace *as, uaddr_t va, uint32_t access, bool fill)
{
	struct sight s;
	uint64_t was, now, need = leaf_need(access);
	pte_slot *slot;

	if (!sight_take(as, va, &s) || (!fill && !region_allows(&s.r, access)))
		return -EFAULT;
	slot = slot_make(as, va);
	if (!slot)
		return -ENOMEM;
	was = atomic_load_explicit(slot, memory_order_acquire);
	if (!was) {
		paddr_t pa;

		if (s.r.kind == REGION_OBJECT)
			return fault_object(as, va, slot, &s);
		if (s.r.kind != REGION_ANON)
			return -EFAULT;
		pa = frame_for(as);
		if (!pa)
			return -ENOMEM;
		now = pte_make(pa, leaf_bits(s.r.prot));
		if (!atomic_compare_exchange_strong(slot, &was, now)) {
			frame_put(pa);
			resident_give(as, 1);
			return -EAGAIN;
		}
		leaf_tell(as, va, 0, now);
		return leaf_settle(as, va, slot, now, &s);
	}
	if (fill)
		return 0;
	if ((was & need) == need) {
		arch_pte_changed(as, &as->arch, va, was, was);
		return 0;
	}
	if ((was & PTE_COW) && (access & ACCESS_WRITE))
		return fault_copy(as, va, slot, was, &s);
	now = leaf_with_rights(was, s.r.prot);
	if (!atomic_compare_exchange_strong(slot, &was, now))
		return -EAGAIN;
	leaf_tell(as, va, was, now);
	return leaf_settle(as, va, slot, now, &s);
}

uint16_t aspace_device_tag(struct aspace *as, uaddr_t va)
{
	struct region r;
	uint32_t seq;

	return region_find(as, va, &r, &seq) && r.kind == REGION_DEVICE ? r.flags : 0;
}

/* As a faulter does: the leaf first, then a look whether the region is still ours. */
int aspace_device_set(struct aspace *as, uaddr_t va, uint16_t tag, paddr_t pa)
{
	pte_slot *slot = slot_make(as, va);
	struct region r;
	uint64_t was, now;
	uint32_t seq;

	if (!slot)
		return -ENOMEM;
	do {
		if (!region_find(as, va, &r, &seq) || r.kind != REGION_DEVICE || r.flags != tag)
			return -ENOENT;
		now = pa ? pte_make(pa, leaf_bits(r.prot)) & ~PTE_RAM : 0;
		was = atomic_exchange(slot, now);
		leaf_tell(as, va, was, now);
		if (was & PTE_V)
			shootdown(as, va, PAGE_SIZE);
		if (region_unchanged(as, seq))
			return 0;
		/* Not that of whatever came meanwhile: the sweep may have been here before us. */
		if (atomic_compare_exchange_strong(slot, &now, 0) && now) {
			leaf_tell(as, va, now, 0);
			shootdown(as, va, PAGE_SIZE);
		}
	} while (true);
}

static int fault_until_settled(struct aspace *as, uaddr_t va, uint32_t access, bool fill)
{
	int err;

	if (va - as->low >= as->top - as->low)
		return -EFAULT;
	va = align_down(va, PAGE_SIZE);
	do {
		err = fault_once(as, va, access, fill);
	} while (err == -EAGAIN);
	return err;
}

int aspace_fault(struct aspace *as, uaddr_t va, uint32_t access)
{
	return fault_until_settled(as, va, access, false);
}

int aspace_fill(struct aspace *as, uaddr_t to, const void *src, uint64_t len)
{
	while (len) {
		uint64_t in_page = to & (PAGE_SIZE - 1);
		uint64_t n = min_of(len, PAGE_SIZE - in_page);
		int err = fault_until_settled(as, to, 0, true);

		if (err)
			return err;
		memcpy((char *)arch_direct(pte_paddr(aspace_leaf(as, to))) + in_page, src, n);
		src = (const char *)src + n;
		to += n;
		len -= n;
	}
	return 0;
}
