/*
 * frames: the buddy allocator and the per-core caches in front of it.
 *
 * One table entry per frame between the lowest and the highest RAM address; the table lies in the
 * first memory that is large enough for it. A block of order n starts at a frame number that is a
 * multiple of 2^n, so a frame's block is found from the block's order alone, which every frame of
 * an allocated block carries.
 *
 * Invariants: `refs` is nonzero exactly for the first frame of an allocated block; a frame is in
 * one place of three: allocated, on a core's cache, or inside one free block of the buddy. Caches
 * are touched by their own core only; the buddy by whoever holds its lock. Any core runs this file.
 */
#include "mm/frames.h"

#include <stdatomic.h>
#include <string.h>

#include "base/counters.h"
#include "base/machine.h"
#include "base/panic.h"
#include "base/print.h"
#include "mm/frame_table.h"

#define FRAME_NONE UINT32_MAX
#define CACHE_FRAMES 62u
#define CACHE_BATCH 31u
#define RESERVE_MIN 64u
#define RESERVE_MAX 4096u

struct frame_cache {
	/* owner core only (frames_free_count peeks) */
	uint32_t count;
	uint32_t frame[CACHE_FRAMES];
} __attribute__((aligned(CACHE_LINE)));

/* set once at boot */
uintptr_t frame_table_origin;
static struct frame *table;
static uint64_t table_base; /* frame number of table[0], a multiple of the largest block */
static uint64_t table_count;
static uint64_t frames_total;
static uint64_t frames_reserve; /* programs get nothing once so few are left */

static struct frame_cache caches[CORES_MAX];

static struct {
	_Atomic uint32_t lock;
	uint32_t head[FRAME_ORDER_MAX + 1];
	_Atomic uint64_t free; /* frames; written under the lock, read anywhere */
} buddy __attribute__((aligned(CACHE_LINE)));

static void buddy_lock(void)
{
	while (atomic_exchange_explicit(&buddy.lock, 1, memory_order_acquire))
		while (atomic_load_explicit(&buddy.lock, memory_order_relaxed))
			arch_relax();
}

/* Pairs with buddy_lock. */
static void buddy_unlock(void)
{
	atomic_store_explicit(&buddy.lock, 0, memory_order_release);
}

static inline paddr_t frame_paddr(uint32_t index)
{
	return (table_base + index) << PAGE_SHIFT;
}

static inline uint32_t frame_index(paddr_t pa)
{
	uint64_t index = (pa >> PAGE_SHIFT) - table_base;

	kassert(index < table_count);
	return (uint32_t)index;
}

/* First frame of the allocated block that `index` lies in. frame_get_live asks this of blocks that
 * may be changing, and asks again. */
static inline struct frame *frame_head(uint32_t index)
{
	unsigned order = __atomic_load_n(&table[index].order, __ATOMIC_RELAXED);

	return &table[index & ~((1u << order) - 1)];
}

/* ---- the buddy, under its lock --------------------------------------------------------------- */

static void buddy_push(uint32_t index, unsigned order)
{
	struct frame *f = &table[index];

	__atomic_store_n(&f->order, (uint8_t)order, __ATOMIC_RELAXED);
	f->is_free_block = 1;
	f->prev = FRAME_NONE;
	f->next = buddy.head[order];
	if (f->next != FRAME_NONE)
		table[f->next].prev = index;
	buddy.head[order] = index;
}

static void buddy_unlink(uint32_t index)
{
	struct frame *f = &table[index];

	if (f->prev != FRAME_NONE)
		table[f->prev].next = f->next;
	else
		buddy.head[f->order] = f->next;
	if (f->next != FRAME_NONE)
		table[f->next].prev = f->prev;
	f->is_free_block = 0;
}

static void buddy_give(uint32_t index, unsigned order)
{
	atomic_fetch_add_explicit(&buddy.free, 1ull << order, memory_order_relaxed);
	while (order < FRAME_ORDER_MAX) {
		uint32_t other = index ^ (1u << order);

		if (other >= table_count || !table[other].is_free_block ||
		    table[other].order != order)
			break;
		buddy_unlink(other);
		index &= ~(1u << order);
		order++;
	}
	buddy_push(index, order);
}

static uint32_t buddy_take(unsigned order)
{
	unsigned from = order;
	uint32_t index;

	while (from <= FRAME_ORDER_MAX && buddy.head[from] == FRAME_NONE)
		from++;
	if (from > FRAME_ORDER_MAX)
		return FRAME_NONE;
	index = buddy.head[from];
	buddy_unlink(index);
	while (from > order) {
		from--;
		buddy_push(index + (1u << from), from);
	}
	atomic_fetch_sub_explicit(&buddy.free, 1ull << order, memory_order_relaxed);
	return index;
}

/* Gives the frames [index, end) in the largest aligned blocks. */
static void buddy_give_range(uint64_t index, uint64_t end)
{
	while (index < end) {
		unsigned order = 0;

		while (order < FRAME_ORDER_MAX && !(index & (1ull << order)) &&
		       index + (2ull << order) <= end)
			order++;
		buddy_give((uint32_t)index, order);
		index += 1ull << order;
	}
}

/* ---- boot ------------------------------------------------------------------------------------ */

struct span {
	uint64_t first, end; /* frame numbers */
};

/* The first usable span at or above `from`: RAM without what is reserved. False: no more. */
static bool span_next(uint64_t from, struct span *out)
{
	bool found = false;

	for (unsigned i = 0; i < arch_boot.memory_count; i++) {
		const struct arch_range *m = &arch_boot.memory[i];
		uint64_t first = align_up(m->base, PAGE_SIZE) >> PAGE_SHIFT;
		uint64_t end = 0;
		bool moved = true;

		first = max_of(first, from);
		while (moved) {
			moved = false;
			/* anew: what ended the span before `first` moved may lie behind it now */
			end = (m->base + m->size) >> PAGE_SHIFT;
			for (unsigned k = 0; k < arch_boot.reserved_count; k++) {
				const struct arch_range *r = &arch_boot.reserved[k];
				uint64_t r_first = r->base >> PAGE_SHIFT;
				uint64_t r_end =
					align_up(r->base + r->size, PAGE_SIZE) >> PAGE_SHIFT;

				if (first >= r_first && first < r_end) {
					first = r_end;
					moved = true;
				} else if (first < r_first && r_first < end) {
					end = r_first;
				}
			}
		}
		if (first >= end || (found && out->first <= first))
			continue;
		*out = (struct span){ first, end };
		found = true;
	}
	return found;
}

void frames_init(void)
{
	uint64_t low = UINT64_MAX, high = 0, table_bytes, at = 0;
	uint64_t table_first = 0, table_end;
	struct span s;

	for (unsigned i = 0; i < arch_boot.memory_count; i++) {
		const struct arch_range *m = &arch_boot.memory[i];

		low = min_of(low, m->base >> PAGE_SHIFT);
		high = max_of(high, (m->base + m->size) >> PAGE_SHIFT);
	}
	if (low >= high || high > UINT32_MAX)
		panic("no usable memory: %u ranges", arch_boot.memory_count);
	table_base = low & ~((1ull << FRAME_ORDER_MAX) - 1);
	table_count = high - table_base;
	table_bytes = align_up(table_count * sizeof(struct frame), PAGE_SIZE);

	while (span_next(at, &s)) {
		if ((s.end - s.first) << PAGE_SHIFT >= table_bytes) {
			table_first = s.first;
			break;
		}
		at = s.end;
	}
	if (!table_first)
		panic("no %u KiB of memory in one piece for the frame table",
		      (unsigned)(table_bytes >> 10));
	table_end = table_first + (table_bytes >> PAGE_SHIFT);
	table = arch_direct(table_first << PAGE_SHIFT);
	frame_table_origin = (uintptr_t)table - table_base * sizeof(struct frame);
	memset(table, 0, table_bytes);
	for (unsigned k = 0; k <= FRAME_ORDER_MAX; k++)
		buddy.head[k] = FRAME_NONE;
	memset(caches, 0, sizeof(caches));
	atomic_store(&buddy.free, 0);

	for (at = 0; span_next(at, &s); at = s.end)
		if (s.first == table_first)
			buddy_give_range(table_end - table_base, s.end - table_base);
		else
			buddy_give_range(s.first - table_base, s.end - table_base);
	frames_total = atomic_load(&buddy.free);
	frames_reserve = frames_total / 64;
	frames_reserve = max_of(frames_reserve, RESERVE_MIN);
	frames_reserve = min_of(frames_reserve, RESERVE_MAX);
}

/* A run of `count` frames at the start of free blocks of the largest order, end to end. */
static uint32_t boot_take_large(uint64_t count)
{
	const uint64_t step = 1ull << FRAME_ORDER_MAX;
	uint64_t first = 0, run = 0;

	for (uint64_t i = 0; i + step <= table_count && run < count; i += step) {
		if (!table[i].is_free_block || table[i].order != FRAME_ORDER_MAX) {
			run = 0;
			continue;
		}
		if (!run)
			first = i;
		run += step;
	}
	if (run < count)
		return FRAME_NONE;
	for (uint64_t i = first; i < first + run; i += step)
		buddy_unlink((uint32_t)i);
	atomic_fetch_sub_explicit(&buddy.free, run, memory_order_relaxed);
	buddy_give_range(first + count, first + run);
	return (uint32_t)first;
}

void *frames_boot_alloc(size_t size)
{
	uint64_t count = align_up((uint64_t)size, PAGE_SIZE) >> PAGE_SHIFT;
	unsigned order = 0;
	uint32_t index;
	void *mem;

	while ((1ull << order) < count)
		order++;
	buddy_lock();
	if (order <= FRAME_ORDER_MAX) {
		index = buddy_take(order);
		if (index != FRAME_NONE)
			buddy_give_range(index + count, index + (1ull << order));
	} else {
		index = boot_take_large(count);
	}
	buddy_unlock();
	if (index == FRAME_NONE)
		panic("memory is out at boot: %zu KiB wanted, %u KiB free", size >> 10,
		      (unsigned)(frames_free_count() * 4));
	for (uint64_t i = index; i < index + count; i++) {
		__atomic_store_n(&table[i].order, 0, __ATOMIC_RELAXED);
		atomic_store_explicit(&table[i].refs, 1, memory_order_relaxed);
	}
	mem = arch_direct(frame_paddr(index));
	memset(mem, 0, count << PAGE_SHIFT);
	return mem;
}

/* ---- the per-core cache ---------------------------------------------------------------------- */

static __attribute__((noinline)) bool cache_fill(struct frame_cache *c)
{
	buddy_lock();
	while (c->count < CACHE_BATCH) {
		uint32_t index = buddy_take(0);

		if (index == FRAME_NONE)
			break;
		__atomic_store_n(&table[index].order, 0, __ATOMIC_RELAXED);
		c->frame[c->count++] = index;
	}
	buddy_unlock();
	return c->count > 0;
}

static __attribute__((noinline)) void cache_spill(struct frame_cache *c)
{
	buddy_lock();
	while (c->count > CACHE_FRAMES - CACHE_BATCH)
		buddy_give(c->frame[--c->count], 0);
	buddy_unlock();
}

static paddr_t frame_alloc_single(void)
{
	struct frame_cache *c = &caches[base_core_index()];
	uint32_t index;

	audit(!arch_window_is_open());
	if (unlikely(!c->count) && !cache_fill(c))
		return 0;
	index = c->frame[--c->count];
	atomic_store_explicit(&table[index].refs, 1, memory_order_relaxed);
	return frame_paddr(index);
}

paddr_t frame_alloc(unsigned order)
{
	uint32_t index;

	if (likely(order == 0))
		return frame_alloc_single();
	kassert(order <= FRAME_ORDER_MAX);
	buddy_lock();
	index = buddy_take(order);
	buddy_unlock();
	if (index == FRAME_NONE)
		return 0;
	for (uint32_t i = index; i < index + (1u << order); i++)
		__atomic_store_n(&table[i].order, (uint8_t)order, __ATOMIC_RELAXED);
	atomic_store_explicit(&table[index].refs, 1, memory_order_relaxed);
	return frame_paddr(index);
}

paddr_t frame_alloc_zeroed(void)
{
	paddr_t pa = frame_alloc_single();

	if (likely(pa))
		memset(arch_direct(pa), 0, PAGE_SIZE);
	return pa;
}

paddr_t frame_alloc_user(void)
{
	if (unlikely(atomic_load_explicit(&buddy.free, memory_order_relaxed) < frames_reserve))
		return 0;
	return frame_alloc_single();
}

bool frames_has_spare(uint64_t n)
{
	return atomic_load_explicit(&buddy.free, memory_order_relaxed) >= frames_reserve + n;
}

bool frames_allow(uint64_t held)
{
	uint64_t free = atomic_load_explicit(&buddy.free, memory_order_relaxed);

	return likely(free >= frames_total / 8) || held <= free;
}

/* ---- references ------------------------------------------------------------------------------ */

static void frame_free(struct frame *f)
{
	uint32_t index = (uint32_t)(f - table);

	audit(!arch_window_is_open());
	if (likely(f->order == 0)) {
		struct frame_cache *c = &caches[base_core_index()];

		if (unlikely(c->count == CACHE_FRAMES))
			cache_spill(c);
		c->frame[c->count++] = index;
		return;
	}
	buddy_lock();
	buddy_give(index, f->order);
	buddy_unlock();
}

void frame_get(paddr_t pa)
{
	uint32_t was = atomic_fetch_add_explicit(&frame_head(frame_index(pa))->refs, 1,
						 memory_order_relaxed);

	audit(was > 0);
	(void)was;
}

bool frame_get_live(paddr_t pa)
{
	uint32_t index = frame_index(pa);
	struct frame *f = frame_head(index);
	uint32_t refs = atomic_load_explicit(&f->refs, memory_order_relaxed);

	do {
		if (unlikely(!refs))
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&f->refs, &refs, refs + 1,
							memory_order_acquire,
							memory_order_relaxed));
	if (likely(frame_head(index) == f))
		return true;
	/* The block was freed and cut anew between the two looks: we hold a stranger. */
	if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1)
		frame_free(f);
	return false;
}

void frame_put(paddr_t pa)
{
	struct frame *f = frame_head(frame_index(pa));
	uint32_t was = atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel);

	kassert(was != 0);
	if (was == 1)
		frame_free(f);
}

uint32_t frame_refs(paddr_t pa)
{
	return atomic_load_explicit(&frame_head(frame_index(pa))->refs, memory_order_acquire);
}

/* ---- questions ------------------------------------------------------------------------------- */

bool frame_is_managed(paddr_t pa)
{
	bool in_memory = false;

	for (unsigned i = 0; i < arch_boot.memory_count; i++)
		in_memory |= pa - arch_boot.memory[i].base < arch_boot.memory[i].size;
	for (unsigned i = 0; i < arch_boot.reserved_count; i++)
		if (pa - arch_boot.reserved[i].base < arch_boot.reserved[i].size)
			return false;
	return in_memory;
}

uint64_t frames_free_count(void)
{
	uint64_t count = atomic_load_explicit(&buddy.free, memory_order_relaxed);

	for (unsigned i = 0; i < CORES_MAX; i++)
		count += __atomic_load_n(&caches[i].count, __ATOMIC_RELAXED);
	return count;
}

uint64_t frames_total_count(void)
{
	return frames_total;
}
