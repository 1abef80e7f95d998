/*
 * mobj: pages in a two-level radix, brought by compare-and-swap. See mobj.h.
 */
#include "mm/mobj.h"

#include <string.h>

#include "base/counters.h"
#include "base/machine.h"
#include "base/panic.h"
#include "mm/frames.h"
#include "uapi/errno.h"

/* any core, atomic: frames of all objects, their inner ones included */
static _Atomic uint64_t frames_held;

/* The object in which a core looks for a page to hold: that core writes, who shrinks it reads. */
static struct look {
	struct mobj *_Atomic at;
} __attribute__((aligned(CACHE_LINE))) look_of_core[CORES_MAX];

static paddr_t frame_take(int *err)
{
	uint64_t held = atomic_fetch_add_explicit(&frames_held, 1, memory_order_relaxed) + 1;
	paddr_t pa;

	*err = -ENOSPC;
	if (held <= frames_total_count() / 2 && frames_allow(held)) {
		*err = -ENOMEM;
		pa = frame_alloc_user();
		if (pa) {
			memset(arch_direct(pa), 0, PAGE_SIZE);
			return pa;
		}
	}
	atomic_fetch_sub_explicit(&frames_held, 1, memory_order_relaxed);
	return 0;
}

static void frame_give(paddr_t pa)
{
	frame_put(pa);
	atomic_fetch_sub_explicit(&frames_held, 1, memory_order_relaxed);
}

int mobj_init(struct mobj *o, void (*gone)(struct mobj *o))
{
	int err;

	o->root = frame_take(&err);
	if (!o->root)
		return err;
	o->gone = gone;
	atomic_store_explicit(&o->maps, 0, memory_order_relaxed);
	atomic_store_explicit(&o->pages, 0, memory_order_relaxed);
	atomic_store_explicit(&o->size, 0, memory_order_relaxed);
	/* Release: pairs with mobj_get_live. */
	atomic_store_explicit(&o->refs, 1, memory_order_release);
	return 0;
}

bool mobj_get_live(struct mobj *o)
{
	uint32_t refs = atomic_load_explicit(&o->refs, memory_order_relaxed);

	do
		if (!refs)
			return false;
	while (!atomic_compare_exchange_weak_explicit(&o->refs, &refs, refs + 1,
						      memory_order_acquire, memory_order_relaxed));
	return true;
}

/* Frees every page from `first` on. Nobody looks at them. */
static void mobj_cut(struct mobj *o, uint64_t first)
{
	for (uint64_t i = first; i < MOBJ_PAGES_MAX; i = (i / MOBJ_FANOUT + 1) * MOBJ_FANOUT) {
		mobj_slot *inner = mobj_slot_in(o->root, i / MOBJ_FANOUT);
		paddr_t frame = atomic_load_explicit(inner, memory_order_relaxed);

		if (!frame)
			continue;
		for (uint64_t k = i % MOBJ_FANOUT; k < MOBJ_FANOUT; k++) {
			mobj_slot *slot = mobj_slot_in(frame, k);
			paddr_t page = atomic_load_explicit(slot, memory_order_relaxed);

			if (!page)
				continue;
			atomic_store_explicit(slot, 0, memory_order_relaxed);
			frame_give(page);
			atomic_fetch_sub_explicit(&o->pages, 1, memory_order_relaxed);
		}
		if (i % MOBJ_FANOUT)
			continue;
		atomic_store_explicit(inner, 0, memory_order_relaxed);
		frame_give(frame);
	}
}

void mobj_put(struct mobj *o)
{
	uint32_t refs = atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel);

	kassert(refs);
	if (refs != 1)
		return;
	mobj_cut(o, 0);
	frame_give(o->root);
	o->gone(o);
}

int mobj_map(struct mobj *o)
{
	uint32_t maps = atomic_load_explicit(&o->maps, memory_order_relaxed);

	do
		if (maps & MOBJ_SHRINKING)
			return -EAGAIN;
	while (!atomic_compare_exchange_weak_explicit(&o->maps, &maps, maps + 1,
						      memory_order_acquire, memory_order_relaxed));
	atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
	return 0;
}

void mobj_unmap(struct mobj *o)
{
	/* Release: what was done through the mapping comes before a shrinking. */
	atomic_fetch_sub_explicit(&o->maps, 1, memory_order_release);
	mobj_put(o);
}

bool mobj_map_live(struct mobj *o)
{
	int err;

	if (!mobj_get_live(o))
		return false;
	err = mobj_map(o);
	mobj_put(o);
	return !err;
}

/* The frame in `slot`, bringing one if there is none. */
static int slot_fill(mobj_slot *slot, paddr_t *frame, bool *fresh)
{
	paddr_t now = atomic_load_explicit(slot, memory_order_acquire), mine;
	int err;

	*fresh = false;
	if (!now) {
		mine = frame_take(&err);
		if (!mine)
			return err;
		*fresh = atomic_compare_exchange_strong_explicit(
			slot, &now, mine, memory_order_acq_rel, memory_order_acquire);
		if (*fresh)
			now = mine;
		else
			frame_give(mine);
	}
	*frame = now;
	return 0;
}

int mobj_make(struct mobj *o, uint64_t index, void **page)
{
	paddr_t frame = 0;
	bool fresh = false;
	int err = slot_fill(mobj_slot_in(o->root, index / MOBJ_FANOUT), &frame, &fresh);

	if (!err)
		err = slot_fill(mobj_slot_in(frame, index), &frame, &fresh);
	if (err)
		return err;
	if (fresh)
		atomic_fetch_add_explicit(&o->pages, 1, memory_order_relaxed);
	*page = arch_direct(frame);
	return 0;
}

void *mobj_hold(struct mobj *o, uint64_t index)
{
	struct look *look = &look_of_core[base_core_index()];
	void *page = NULL;

	/* We say where we look, then we look at the size; mobj_resize stores the size, then waits
	 * for who looks: what it cuts off afterwards, nobody looks for. */
	atomic_store(&look->at, o);
	if (index << PAGE_SHIFT < atomic_load(&o->size))
		page = mobj_find(o, index);
	if (page)
		frame_get(arch_direct_paddr(page));
	atomic_store_explicit(&look->at, NULL, memory_order_release);
	return page;
}

/* Who looked when the size was stored has found what it looks for; that takes a few
 * instructions. */
static void looks_await(struct mobj *o)
{
	for (unsigned i = 0; i < CORES_MAX; i++)
		while (atomic_load(&look_of_core[i].at) == o)
			arch_relax();
}

int mobj_resize(struct mobj *o, uint64_t size)
{
	uint64_t old = atomic_load_explicit(&o->size, memory_order_relaxed);
	uint64_t edge = min_of(old, size), in_page = edge & (PAGE_SIZE - 1);
	uint32_t none = 0;
	char *page;

	if (size > MOBJ_BYTES_MAX)
		return -EFBIG;
	if (size < old && !atomic_compare_exchange_strong_explicit(&o->maps, &none, MOBJ_SHRINKING,
								   memory_order_acquire,
								   memory_order_relaxed))
		return -EBUSY;
	/* behind the edge of the smaller size there are zeros, whatever a mapping left there */
	page = in_page ? mobj_find(o, edge >> PAGE_SHIFT) : NULL;
	if (page)
		memset(page + in_page, 0, PAGE_SIZE - in_page);
	atomic_store(&o->size, size);
	if (size < old) {
		looks_await(o);
		mobj_cut(o, align_up(size, PAGE_SIZE) >> PAGE_SHIFT);
		atomic_store_explicit(&o->maps, 0, memory_order_release);
	}
	return 0;
}
