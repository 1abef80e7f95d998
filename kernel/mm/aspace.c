/*
 * aspace: an address space and what its owner does to it: mapping, changing rights, taking pages
 * away. The radix table below is in table.c, faults are in fault.c.
 *
 * A leaf is one of: 0 (absent); with PTE_V (the hart may use it); without PTE_V but nonzero (the
 * page keeps its frame although its region allows nothing, as after mprotect to PROT_NONE).
 *
 * Invariants: a nonzero leaf holds one reference to its frame's block, a device's page excepted.
 * Tables, once hooked in, stay until the space dies, so a slot's address stays good. The owner
 * changes the regions, then sweeps the leaves; a faulter does it the other way round (fault.c).
 *
 * map, unmap, protect, discard: home core. get, put: any core.
 */
#include "mm/aspace.h"

#include <stdatomic.h>
#include <string.h>

#include "base/panic.h"
#include "mm/frames.h"
#include "mm/mobj.h"
#include "mm/region.h"
#include "mm/table.h"
#include "uapi/errno.h"

#define SPACE_ORDER 5u /* the aspace and its region array share one block */
#define SPACE_HEAD 1024u
/* What a sweep does at a time: so many pages, or, where there are none, so much of the table. */
#define PIECE_PAGES 128u
#define PIECE_SPAN (1ull << 30)
#define PIECE_REGIONS 1u

_Static_assert(sizeof(struct aspace) <= SPACE_HEAD, "the region array follows the aspace");
_Static_assert(SPACE_HEAD + ASPACE_REGIONS_MAX * sizeof(struct region) <= PAGE_SIZE << SPACE_ORDER,
	       "the block holds both");

/* ---- birth and end --------------------------------------------------------------------------- */

static inline uaddr_t place_low(const struct aspace *as)
{
	return align_up(as->low + (as->top - as->low) / 4, 2ull << 20);
}

struct aspace *aspace_create_kind(enum arch_kind kind)
{
	paddr_t block = arch_kind_missing(kind) ? 0 : frame_alloc(SPACE_ORDER);
	unsigned order = arch_root_order(kind);
	struct aspace *as;

	if (!block)
		return NULL;
	as = arch_direct(block);
	memset(as, 0, SPACE_HEAD);
	as->regions = (struct region *)((char *)as + SPACE_HEAD);
	as->region_space = ASPACE_REGIONS_MAX;
	as->kind = kind;
	as->root = frame_alloc(order);
	if (!as->root)
		goto out_block;
	memset(arch_direct(as->root), 0, PAGE_SIZE << order);
	if (arch_aspace_init(as, &as->arch, as->root, kind) < 0)
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
		if (was & PTE_RAM)
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

uaddr_t aspace_piece(struct aspace *as, uaddr_t at, uaddr_t end)
{
	uaddr_t limit = min_of(end, align_up(at + 1, PIECE_SPAN));

	if (!slot_next(as, &at, limit))
		return limit;
	return min_of(limit, at + PIECE_PAGES * PAGE_SIZE);
}

uaddr_t aspace_piece_last(struct aspace *as, uaddr_t from, uaddr_t end)
{
	uaddr_t wide = max_of(from, align_down(end - 1, PIECE_SPAN)), at = wide;

	if (!slot_next(as, &at, end))
		return wide;
	return max_of(from, align_down(end - 1, PIECE_PAGES * PAGE_SIZE));
}

bool aspace_shed(struct aspace *as, uaddr_t *at)
{
	uaddr_t va = max_of(*at, as->low);

	*at = aspace_piece(as, va, as->top);
	sweep_clear(as, va, *at);
	as->shed = *at == as->top;
	return !as->shed;
}

/* Lets go of the objects that no region shows any more. Behind the sweep of what showed them. */
static void maps_drop(struct aspace *as)
{
	uint32_t shown = 0;

	_Static_assert(ASPACE_MAPS_MAX == 32, "one bit each");
	if (likely(!as->map_count))
		return;
	for (uint32_t i = 0; i < as->region_count; i++)
		if (as->regions[i].kind == REGION_OBJECT)
			shown |= 1u << (as->regions[i].flags & REGION_MAP);
	for (uint32_t i = 0; i < ASPACE_MAPS_MAX; i++) {
		struct mobj *o = atomic_load_explicit(&as->maps[i].object, memory_order_relaxed);

		if (!o || (shown & 1u << i))
			continue;
		atomic_store_explicit(&as->maps[i].object, NULL, memory_order_relaxed);
		as->map_count--;
		mobj_unmap(o);
	}
}

void aspace_put(struct aspace *as)
{
	if (atomic_fetch_sub_explicit(&as->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (!as->shed)
		sweep_clear(as, as->low, as->top);
	as->region_count = 0;
	maps_drop(as);
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

/* ---- mapping --------------------------------------------------------------------------------- */

bool aspace_range_ok(const struct aspace *as, uaddr_t at, uint64_t len)
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
		if (!aspace_range_ok(as, *at, len))
			return -ENOMEM;
		i = region_index(as, *at);
		if ((flags & ASPACE_FIXED_NEW) && i < as->region_count &&
		    as->regions[i].base < *at + len)
			return -EEXIST;
		return 0;
	}
	if (*at) { /* a hint */
		uaddr_t want = align_down(*at, PAGE_SIZE);

		if (aspace_range_ok(as, want, len) &&
		    regions_gap(as, want, want + len, len) == want) {
			*at = want;
			return 0;
		}
	}
	*at = regions_gap(as, as->map_hint, as->top, len);
	if (!*at)
		*at = regions_gap(as, place_low(as), as->top, len);
	return *at ? 0 : -ENOMEM;
}

static bool regions_overlap(const struct aspace *as, uaddr_t base, uaddr_t end)
{
	uint32_t i = region_index(as, base);

	return i < as->region_count && as->regions[i].base < end;
}

/* `map`: for REGION_OBJECT, its slot, whose delta is still the object's offset. */
static int map_region_tagged(struct aspace *as, uaddr_t *at, uint64_t len, uint32_t prot,
			     uint32_t flags, enum region_kind kind, uint16_t tag,
			     struct aspace_map *map)
{
	struct region r;
	bool over;
	int err;

	if (!len || (prot & ~(ACCESS_READ | ACCESS_WRITE | ACCESS_EXEC)))
		return -EINVAL;
	if (len > as->top - as->low)
		return -ENOMEM;
	len = align_up(len, PAGE_SIZE);
	err = map_place(as, at, len, flags);
	if (err)
		return err;
	r = (struct region){ .base = *at, .end = *at + len, .prot = prot, .kind = (uint16_t)kind,
			     .flags = tag };
	if (map)
		__atomic_store_n(&map->delta, map->delta - *at, __ATOMIC_RELAXED);
	over = regions_overlap(as, r.base, r.end);
	err = regions_replace(as, r.base, r.end, &r);
	if (err)
		return err;
	if (over) { /* else what is left there is a faulter's, who will see that it came too late */
		sweep_clear(as, r.base, r.end);
		maps_drop(as);
	}
	if (!(flags & (ASPACE_FIXED | ASPACE_FIXED_NEW)) && r.base >= as->map_hint)
		as->map_hint = r.base;
	return 0;
}

static int map_region(struct aspace *as, uaddr_t *at, uint64_t len, uint32_t prot, uint32_t flags,
		      enum region_kind kind)
{
	return map_region_tagged(as, at, len, prot, flags, kind, 0, NULL);
}

int aspace_map_device(struct aspace *as, uint64_t len, uint32_t prot, uint16_t tag, uaddr_t *out)
{
	*out = 0;
	return map_region_tagged(as, out, len, prot, 0, REGION_DEVICE, tag, NULL);
}

/* The slot of a mapping of that object at that distance: a large one comes in pieces. */
static bool map_again(const struct aspace *as, const struct mobj *object, uint64_t delta,
		      uint32_t *slot)
{
	for (uint32_t i = 0; i < ASPACE_MAPS_MAX; i++) {
		const struct aspace_map *map = &as->maps[i];

		if (atomic_load_explicit(&map->object, memory_order_relaxed) == object &&
		    __atomic_load_n(&map->delta, __ATOMIC_RELAXED) == delta) {
			*slot = i;
			return true;
		}
	}
	return false;
}

int aspace_map_object(struct aspace *as, uaddr_t at, struct mobj *object, uint64_t off,
		      uint64_t len, uint32_t prot, uint32_t flags, bool private, uaddr_t *out)
{
	struct aspace_map *map = as->maps;
	uint32_t i = 0;
	int err;

	if (flags & ASPACE_FIXED && map_again(as, object, off - at, &i)) {
		*out = at;
		return map_region_tagged(as, out, len, prot, flags, REGION_OBJECT,
					 (uint16_t)(i | (private ? REGION_PRIVATE : 0)), NULL);
	}
	while (i < ASPACE_MAPS_MAX && atomic_load_explicit(&map->object, memory_order_relaxed))
		i++, map++;
	if (i == ASPACE_MAPS_MAX)
		return -ENOMEM;
	err = mobj_map(object);
	if (err)
		return err;
	__atomic_store_n(&map->delta, off, __ATOMIC_RELAXED);
	atomic_store_explicit(&map->object, object, memory_order_relaxed);
	as->map_count++;
	err = map_region_tagged(as, &at, len, prot, flags, REGION_OBJECT,
			    (uint16_t)(i | (private ? REGION_PRIVATE : 0)), map);
	if (err)
		maps_drop(as); /* no region shows it */
	else
		*out = at;
	return err;
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

		if (!slot || !resident_take(as, 1)) {
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
	if (!aspace_range_ok(as, at, len))
		return -EINVAL;
	err = regions_replace(as, at, at + len, NULL);
	if (err)
		return err;
	sweep_clear(as, at, at + len);
	maps_drop(as);
	if (at < as->map_hint)
		as->map_hint = max_of(at, place_low(as));
	return 0;
}

bool aspace_covers(struct aspace *as, uaddr_t at, uint64_t len)
{
	uaddr_t va = at;

	if (at < as->low || at >= as->top || len > as->top - at)
		return false;
	for (uint32_t i = region_index(as, at); va < at + len; va = as->regions[i++].end)
		if (i == as->region_count || as->regions[i].base > va)
			return false;
	return true;
}

int aspace_protect_check(struct aspace *as, uaddr_t at, uint64_t len, uint32_t prot)
{
	uaddr_t end;

	if ((at & (PAGE_SIZE - 1)) || (prot & ~(ACCESS_READ | ACCESS_WRITE | ACCESS_EXEC)))
		return -EINVAL;
	if (!len)
		return 0;
	if (len > as->top - as->low || !aspace_range_ok(as, at, align_up(len, PAGE_SIZE)) ||
	    !aspace_covers(as, at, len))
		return -ENOMEM;
	end = at + align_up(len, PAGE_SIZE);
	for (uint32_t i = region_index(as, at); i < as->region_count && as->regions[i].base < end;
	     i++)
		if (as->regions[i].kind == REGION_NONE || as->regions[i].kind == REGION_DEVICE)
			return -EACCES;
	return as->region_count + 2 > ASPACE_REGIONS_MAX ? -ENOMEM : 0;
}

int aspace_protect_regions(struct aspace *as, uaddr_t *at, uaddr_t end, uint32_t prot)
{
	for (unsigned n = 0; *at < end && n < PIECE_REGIONS; n++) {
		uint32_t i = region_index(as, *at);
		struct region r;
		int err;

		if (i == as->region_count || as->regions[i].base > *at ||
		    as->regions[i].kind == REGION_NONE || as->regions[i].kind == REGION_DEVICE)
			return -ENOMEM; /* something else was done there since it was checked */
		r = as->regions[i];
		r.base = *at;
		r.end = min_of(r.end, end);
		r.prot = prot;
		err = regions_replace(as, r.base, r.end, &r);
		if (err)
			return err;
		*at = r.end;
	}
	return 0;
}

void aspace_protect_sweep(struct aspace *as, uaddr_t at, uaddr_t end)
{
	for (uint32_t i = region_index(as, at); i < as->region_count && as->regions[i].base < end;
	     i++) {
		const struct region *r = &as->regions[i];

		if (r->kind != REGION_NONE && r->kind != REGION_DEVICE)
			sweep_protect(as, max_of(r->base, at), min_of(r->end, end), r->prot);
	}
}

int aspace_protect(struct aspace *as, uaddr_t at, uint64_t len, uint32_t prot)
{
	uaddr_t from = at, end = at + align_up(len, PAGE_SIZE);
	int err = aspace_protect_check(as, at, len, prot);

	while (!err && from < end)
		err = aspace_protect_regions(as, &from, end, prot);
	if (!err)
		aspace_protect_sweep(as, at, end);
	return err;
}

int aspace_discard_check(struct aspace *as, uaddr_t at, uint64_t len)
{
	if (at & (PAGE_SIZE - 1))
		return -EINVAL;
	if (!len)
		return 0;
	if (len > as->top - as->low || !aspace_range_ok(as, at, align_up(len, PAGE_SIZE)) ||
	    !aspace_covers(as, at, len))
		return -ENOMEM;
	len = align_up(len, PAGE_SIZE);
	for (uint32_t i = region_index(as, at);
	     i < as->region_count && as->regions[i].base < at + len; i++)
		if (as->regions[i].kind != REGION_ANON && as->regions[i].kind != REGION_OBJECT)
			return -EINVAL;
	return 0;
}

int aspace_discard(struct aspace *as, uaddr_t at, uint64_t len)
{
	int err = aspace_discard_check(as, at, len);

	if (!err && len)
		sweep_clear(as, at, at + align_up(len, PAGE_SIZE));
	return err;
}
