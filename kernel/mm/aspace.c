/*
 * aspace: the radix table under the regions: making pages present, changing rights, taking pages
 * away.
 *
 * A leaf is one of: 0 (absent); with PTE_V (the hart may use it); without PTE_V but nonzero (the
 * page keeps its frame although its region allows nothing, as after mprotect to PROT_NONE).
 *
 * Invariants: a nonzero leaf holds one reference to its frame's block. Tables, once hooked in, stay
 * until the space dies, so a slot's address stays good. A faulter installs its leaf, then looks
 * whether the regions changed meanwhile; the owner changes the regions, then sweeps the leaves: one
 * of the two sees the other (the fences are in region.h).
 *
 * map, unmap, protect, discard: home core. fault, leaf, get, put: any core.
 */
#include "mm/aspace.h"

#include <stdatomic.h>
#include <string.h>

#include "base/counters.h"
#include "base/machine.h"
#include "base/panic.h"
#include "mm/frames.h"
#include "mm/region.h"
#include "uapi/errno.h"

#define TABLE_ENTRIES 512u
#define SPACE_ORDER 5u /* the aspace and its region array share one block */
#define SPACE_HEAD 1024u

_Static_assert(sizeof(struct aspace) <= SPACE_HEAD, "the region array follows the aspace");
_Static_assert(SPACE_HEAD + ASPACE_REGIONS_MAX * sizeof(struct region) <= PAGE_SIZE << SPACE_ORDER,
	       "the block holds both");

typedef _Atomic uint64_t pte_slot;

static inline pte_slot *table_slot(paddr_t table, uaddr_t va, unsigned level)
{
	pte_slot *slots = arch_direct(table);

	return &slots[va >> (PAGE_SHIFT + 9 * level) & (TABLE_ENTRIES - 1)];
}

static inline uint64_t leaf_bits(uint32_t prot)
{
	uint64_t bits = PTE_V | PTE_U | PTE_A | PTE_D;

	if (!prot)
		return 0;
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

static void shootdown(struct aspace *as, uaddr_t va, uint64_t len)
{
	struct counters *count = counters_of_core[base_core_index()];

	if (count)
		count->shootdowns++;
	arch_tlb_shootdown(as, &as->arch, va, len);
}

/* ---- birth and end --------------------------------------------------------------------------- */

static inline uaddr_t place_low(const struct aspace *as)
{
	return align_up(as->low + (as->top - as->low) / 4, 2ull << 20);
}

struct aspace *aspace_create(void)
{
	paddr_t block = frame_alloc(SPACE_ORDER);
	struct aspace *as;

	if (!block)
		return NULL;
	as = arch_direct(block);
	memset(as, 0, SPACE_HEAD);
	as->regions = (struct region *)((char *)as + SPACE_HEAD);
	as->region_space = ASPACE_REGIONS_MAX;
	as->root = frame_alloc_zeroed();
	if (!as->root)
		goto out_block;
	if (arch_aspace_init(as, &as->arch, as->root) < 0)
		goto out_root;
	as->low = arch_user_low(&as->arch);
	as->top = arch_user_top(&as->arch);
	kassert(as->low < as->top && as->top <= 1ull << 38);
	as->map_hint = place_low(as);
	atomic_store_explicit(&as->refs, 1, memory_order_release);
	return as;

out_root:
	frame_put(as->root);
out_block:
	frame_put(block);
	return NULL;
}

void aspace_get(struct aspace *as)
{
	atomic_fetch_add_explicit(&as->refs, 1, memory_order_relaxed);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static bool resident_take(struct aspace *as)
{
	uint64_t now = atomic_fetch_add_explicit(&as->resident, 1, memory_order_relaxed) + 1;

	if (likely(!as->resident_max || now <= as->resident_max))
		return true;
	atomic_fetch_sub_explicit(&as->resident, 1, memory_order_relaxed);
	return false;
}

static void resident_give(struct aspace *as, uint64_t n)
{
	atomic_fetch_sub_explicit(&as->resident, n, memory_order_relaxed);
}

/* A zeroed frame on the account of `as`; 0 when its limit or the memory is reached. */
static paddr_t frame_for(struct aspace *as)
{
	paddr_t pa;

	if (!resident_take(as))
		return 0;
	pa = frame_alloc_user();
	if (!pa) {
		resident_give(as, 1);
		return 0;
	}
	memset(arch_direct(pa), 0, PAGE_SIZE);
	return pa;
}

/* Slot of the leaf for `va`; NULL when a table is missing. */
static pte_slot *slot_find(struct aspace *as, uaddr_t va)
{
	paddr_t table = as->root;

	for (unsigned level = 2; level > 0; level--) {
		uint64_t e = atomic_load_explicit(table_slot(table, va, level),
						  memory_order_acquire);

		if (!(e & PTE_V))
			return NULL;
		table = pte_paddr(e);
	}
	return table_slot(table, va, 0);
}

/* The same, hooking in the tables that are missing; NULL when memory is out. */
static pte_slot *slot_make(struct aspace *as, uaddr_t va)
{
	paddr_t table = as->root;

	for (unsigned level = 2; level > 0; level--) {
		pte_slot *slot = table_slot(table, va, level);
		uint64_t e = atomic_load_explicit(slot, memory_order_acquire);

		if (!(e & PTE_V)) {
			paddr_t fresh = frame_for(as);
			uint64_t none = 0;

			if (!fresh)
				return NULL;
			e = pte_make(fresh, PTE_V);
			if (!atomic_compare_exchange_strong_explicit(slot, &none, e,
								     memory_order_acq_rel,
								     memory_order_acquire)) {
				frame_put(fresh);
				resident_give(as, 1);
				e = none;
			}
		}
		table = pte_paddr(e);
	}
	return table_slot(table, va, 0);
}

/* The next slot at or above *va and below end whose tables exist; NULL: none. Moves *va to it. */
static pte_slot *slot_next(struct aspace *as, uaddr_t *va, uaddr_t end)
{
	while (*va < end) {
		paddr_t table = as->root;
		unsigned level = 2;

		for (; level > 0; level--) {
			uint64_t e = atomic_load_explicit(table_slot(table, *va, level),
							  memory_order_acquire);

			if (!(e & PTE_V))
				break;
			table = pte_paddr(e);
		}
		if (!level)
			return table_slot(table, *va, 0);
		*va = align_down(*va, 1ull << (PAGE_SHIFT + 9 * level)) +
		      (1ull << (PAGE_SHIFT + 9 * level));
	}
	return NULL;
}

uint64_t aspace_leaf(struct aspace *as, uaddr_t va)
{
	pte_slot *slot = va - as->low < as->top - as->low ? slot_find(as, va) : NULL;

	return slot ? atomic_load_explicit(slot, memory_order_acquire) : 0;
}

/* ---- sweeping: the owner takes pages or rights away ------------------------------------------ */

#define SWEEP_BATCH 64u

struct sweep {
	uint32_t count;
	bool seen; /* some removed leaf may be in a translation cache */
	uaddr_t first, last;
	paddr_t frame[SWEEP_BATCH];
};

/* No frame returns before every core forgot its translation. */
static void sweep_flush(struct aspace *as, struct sweep *s)
{
	if (s->seen)
		shootdown(as, s->first, s->last + PAGE_SIZE - s->first);
	for (uint32_t i = 0; i < s->count; i++)
		frame_put(s->frame[i]);
	resident_give(as, s->count);
	s->count = 0;
	s->seen = false;
}

static void sweep_note(struct sweep *s, uaddr_t va, uint64_t was)
{
	if (!(was & PTE_V))
		return;
	if (!s->seen)
		s->first = va;
	s->last = va;
	s->seen = true;
}

static void sweep_clear(struct aspace *as, uaddr_t va, uaddr_t end)
{
	struct sweep s = { 0 };
	pte_slot *slot;

	for (; (slot = slot_next(as, &va, end)); va += PAGE_SIZE) {
		uint64_t was = atomic_load_explicit(slot, memory_order_relaxed);

		if (!was)
			continue;
		was = atomic_exchange_explicit(slot, 0, memory_order_acq_rel);
		if (!was)
			continue;
		leaf_tell(as, va, was, 0);
		sweep_note(&s, va, was);
		s.frame[s.count++] = pte_paddr(was);
		if (s.count == SWEEP_BATCH)
			sweep_flush(as, &s);
	}
	sweep_flush(as, &s);
}

static void sweep_protect(struct aspace *as, uaddr_t va, uaddr_t end, uint32_t prot)
{
	struct sweep s = { 0 };
	pte_slot *slot;

	for (; (slot = slot_next(as, &va, end)); va += PAGE_SIZE) {
		uint64_t was = atomic_load_explicit(slot, memory_order_acquire);
		uint64_t now;

		do {
			now = was ? leaf_with_rights(was, prot) : 0;
		} while (now != was &&
			 !atomic_compare_exchange_weak_explicit(slot, &was, now,
								memory_order_acq_rel,
								memory_order_acquire));
		if (now == was)
			continue;
		leaf_tell(as, va, was, now);
		if (was & ~now & (PTE_V | PTE_R | PTE_W | PTE_X))
			sweep_note(&s, va, was);
	}
	sweep_flush(as, &s);
}

void aspace_put(struct aspace *as)
{
	if (atomic_fetch_sub_explicit(&as->refs, 1, memory_order_acq_rel) != 1)
		return;
	sweep_clear(as, as->low, as->top);
	arch_aspace_fini(as, &as->arch);
	for (unsigned i = 0; i <= (as->top - 1) >> (PAGE_SHIFT + 18); i++) {
		uint64_t top = *table_slot(as->root, (uaddr_t)i << (PAGE_SHIFT + 18), 2);

		if (!(top & PTE_V))
			continue;
		for (unsigned k = 0; k < TABLE_ENTRIES; k++) {
			uint64_t mid = ((pte_slot *)arch_direct(pte_paddr(top)))[k];

			if (mid & PTE_V)
				frame_put(pte_paddr(mid));
		}
		frame_put(pte_paddr(top));
	}
	frame_put(as->root);
	frame_put(arch_direct_paddr(as));
}

/* ---- faults ---------------------------------------------------------------------------------- */

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

/*
 * We stored `mine` in the slot under count `seq`, and the regions may have changed since: give the
 * leaf the rights its region has now, or take it back if there is no region any more. Returns 0
 * when the leaf stands, -EAGAIN when the fault must be looked at afresh.
 */
static int leaf_settle(struct aspace *as, uaddr_t va, pte_slot *slot, uint64_t mine, uint32_t seq)
{
	bool changed = false;

	while (unlikely(!region_unchanged(as, seq))) {
		struct region r;
		bool found = region_find(as, va, &r, &seq);
		uint64_t want = found && r.kind != REGION_NONE ? leaf_with_rights(mine, r.prot) : 0;
		uint64_t was = mine;

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

/* The page is shared copy-on-write and `r` allows writing: its leaf becomes writable, with a frame
 * of its own if anybody else holds the old one. */
static int fault_copy(struct aspace *as, uaddr_t va, pte_slot *slot, uint64_t was,
		      const struct region *r, uint32_t seq)
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
	now = pte_make(pa, leaf_bits(r->prot));
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
	return leaf_settle(as, va, slot, now, seq);
}

static int fault_once(struct aspace *as, uaddr_t va, uint32_t access, bool fill)
{
	struct region r;
	uint64_t was, now, need = leaf_need(access);
	uint32_t seq;
	pte_slot *slot;

	if (!region_find(as, va, &r, &seq) || (!fill && !region_allows(&r, access)))
		return -EFAULT;
	slot = slot_make(as, va);
	if (!slot)
		return -ENOMEM;
	was = atomic_load_explicit(slot, memory_order_acquire);
	if (!was) {
		paddr_t pa;

		if (r.kind != REGION_ANON)
			return -EFAULT;
		pa = frame_for(as);
		if (!pa)
			return -ENOMEM;
		now = pte_make(pa, leaf_bits(r.prot));
		if (!atomic_compare_exchange_strong(slot, &was, now)) {
			frame_put(pa);
			resident_give(as, 1);
			return -EAGAIN;
		}
		leaf_tell(as, va, 0, now);
		return leaf_settle(as, va, slot, now, seq);
	}
	if (fill)
		return 0;
	if ((was & need) == need) {
		arch_pte_changed(as, &as->arch, va, was, was);
		return 0;
	}
	if ((was & PTE_COW) && (access & ACCESS_WRITE))
		return fault_copy(as, va, slot, was, &r, seq);
	now = leaf_with_rights(was, r.prot);
	if (!atomic_compare_exchange_strong(slot, &was, now))
		return -EAGAIN;
	leaf_tell(as, va, was, now);
	return leaf_settle(as, va, slot, now, seq);
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

/* ---- mapping --------------------------------------------------------------------------------- */

static bool range_ok(const struct aspace *as, uaddr_t at, uint64_t len)
{
	return len && !((at | len) & (PAGE_SIZE - 1)) && at >= as->low && at < as->top &&
	       len <= as->top - at;
}

/* Where a mapping of `len` bytes goes: *at is what the program asked for. */
static int map_place(struct aspace *as, uaddr_t *at, uint64_t len, uint32_t flags)
{
	uint32_t i;

	if (flags & (ASPACE_FIXED | ASPACE_FIXED_NEW)) {
		if (*at & (PAGE_SIZE - 1))
			return -EINVAL;
		if (!range_ok(as, *at, len))
			return -ENOMEM;
		i = region_index(as, *at);
		if ((flags & ASPACE_FIXED_NEW) && i < as->region_count &&
		    as->regions[i].base < *at + len)
			return -EEXIST;
		return 0;
	}
	if (*at) { /* a hint */
		uaddr_t want = align_down(*at, PAGE_SIZE);

		if (range_ok(as, want, len) && regions_gap(as, want, want + len, len) == want) {
			*at = want;
			return 0;
		}
	}
	*at = regions_gap(as, as->map_hint, as->top, len);
	if (!*at)
		*at = regions_gap(as, place_low(as), as->top, len);
	return *at ? 0 : -ENOMEM;
}

static int map_region(struct aspace *as, uaddr_t *at, uint64_t len, uint32_t prot, uint32_t flags,
		      enum region_kind kind)
{
	struct region r;
	int err;

	if (!len || (prot & ~(ACCESS_READ | ACCESS_WRITE | ACCESS_EXEC)))
		return -EINVAL;
	if (len > as->top - as->low)
		return -ENOMEM;
	len = align_up(len, PAGE_SIZE);
	err = map_place(as, at, len, flags);
	if (err)
		return err;
	r = (struct region){ .base = *at, .end = *at + len, .prot = prot, .kind = (uint16_t)kind };
	err = regions_replace(as, r.base, r.end, &r);
	if (err)
		return err;
	sweep_clear(as, r.base, r.end);
	if (!(flags & (ASPACE_FIXED | ASPACE_FIXED_NEW)) && r.base >= as->map_hint)
		as->map_hint = r.base;
	return 0;
}

int aspace_map_anon(struct aspace *as, uaddr_t at, uint64_t len, uint32_t prot, uint32_t flags,
		    uaddr_t *out)
{
	int err = map_region(as, &at, len, prot, flags, REGION_ANON);

	if (err)
		return err;
	if ((flags & ASPACE_POPULATE) && prot) {
		for (uaddr_t va = at; va < at + len; va += PAGE_SIZE) {
			err = aspace_fault(as, va, prot & ACCESS_WRITE ? ACCESS_WRITE : prot);
			if (err) {
				int undone = aspace_unmap(as, at, align_up(len, PAGE_SIZE));

				(void)undone; /* the whole region goes: needs no new one */
				return err;
			}
		}
	}
	*out = at;
	return 0;
}

int aspace_map_guard(struct aspace *as, uaddr_t at, uint64_t len)
{
	return map_region(as, &at, len, 0, ASPACE_FIXED_NEW, REGION_NONE);
}

int aspace_map_frames(struct aspace *as, uaddr_t at, paddr_t block, uint64_t len, uint32_t prot,
		      uint32_t flags, uaddr_t *out)
{
	int err = map_region(as, &at, len, prot, flags, REGION_FRAMES);

	if (err)
		return err;
	for (uint64_t off = 0; off < len; off += PAGE_SIZE) {
		pte_slot *slot = slot_make(as, at + off);
		uint64_t now = pte_make(block + off, leaf_bits(prot)), was;

		if (!slot || !resident_take(as)) {
			int undone = aspace_unmap(as, at, align_up(len, PAGE_SIZE));

			(void)undone; /* as above */
			return -ENOMEM;
		}
		frame_get(block);
		was = atomic_exchange(slot, now);
		leaf_tell(as, at + off, was, now);
		if (was) { /* a fault on what was mapped here before slipped in */
			shootdown(as, at + off, PAGE_SIZE);
			frame_put(pte_paddr(was));
			resident_give(as, 1);
		}
	}
	*out = at;
	return 0;
}

int aspace_unmap(struct aspace *as, uaddr_t at, uint64_t len)
{
	int err;

	if (len > as->top - as->low)
		return -EINVAL;
	len = align_up(len, PAGE_SIZE);
	if (!range_ok(as, at, len))
		return -EINVAL;
	err = regions_replace(as, at, at + len, NULL);
	if (err)
		return err;
	sweep_clear(as, at, at + len);
	if (at < as->map_hint)
		as->map_hint = max_of(at, place_low(as));
	return 0;
}

bool aspace_covers(struct aspace *as, uaddr_t at, uint64_t len)
{
	uaddr_t va = at;
	struct region r;
	uint32_t seq;

	if (at < as->low || at >= as->top || len > as->top - at)
		return false;
	while (va < at + len) {
		if (!region_find(as, va, &r, &seq))
			return false;
		va = r.end;
	}
	return true;
}

int aspace_protect(struct aspace *as, uaddr_t at, uint64_t len, uint32_t prot)
{
	uaddr_t va = at, end;

	if ((at & (PAGE_SIZE - 1)) || (prot & ~(ACCESS_READ | ACCESS_WRITE | ACCESS_EXEC)))
		return -EINVAL;
	if (!len)
		return 0;
	if (len > as->top - as->low || !range_ok(as, at, align_up(len, PAGE_SIZE)) ||
	    !aspace_covers(as, at, len))
		return -ENOMEM;
	end = at + align_up(len, PAGE_SIZE);
	for (uint32_t i = region_index(as, at); i < as->region_count && as->regions[i].base < end;
	     i++)
		if (as->regions[i].kind == REGION_NONE)
			return -EACCES;
	if (as->region_count + 2 > ASPACE_REGIONS_MAX)
		return -ENOMEM;
	while (va < end) {
		struct region r = as->regions[region_index(as, va)];
		int err;

		r.base = va;
		r.end = min_of(r.end, end);
		r.prot = prot;
		va = r.end;
		err = regions_replace(as, r.base, r.end, &r);
		kassert(!err);
	}
	sweep_protect(as, at, end, prot);
	return 0;
}

int aspace_discard(struct aspace *as, uaddr_t at, uint64_t len)
{
	if (at & (PAGE_SIZE - 1))
		return -EINVAL;
	if (!len)
		return 0;
	if (len > as->top - as->low || !range_ok(as, at, align_up(len, PAGE_SIZE)) ||
	    !aspace_covers(as, at, len))
		return -ENOMEM;
	len = align_up(len, PAGE_SIZE);
	for (uint32_t i = region_index(as, at);
	     i < as->region_count && as->regions[i].base < at + len; i++)
		if (as->regions[i].kind != REGION_ANON)
			return -EINVAL;
	sweep_clear(as, at, at + len);
	return 0;
}
