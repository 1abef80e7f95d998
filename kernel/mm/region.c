/*
 * region: finding, replacing and placing regions of one address space.
 *
 * The array has its full size from the start and never moves, so a reader that lost the race reads
 * old or torn words, never foreign memory. Writers run on the owner core; region_find on any core.
 */
#include "mm/region.h"

#include <string.h>

#include "base/panic.h"
#include "uapi/errno.h"

_Static_assert(sizeof(struct region) == 24, "a region is read as three words");

/* Words are stored and loaded whole, so that a reader never sees half an address. */
static void region_copy(struct region *to, const struct region *from)
{
	uint64_t word[3];

	for (unsigned i = 0; i < 3; i++)
		word[i] = __atomic_load_n((const uint64_t *)from + i, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 3; i++)
		__atomic_store_n((uint64_t *)to + i, word[i], __ATOMIC_RELAXED);
}

uint32_t region_index(const struct aspace *as, uaddr_t va)
{
	uint32_t low = 0, high = __atomic_load_n(&as->region_count, __ATOMIC_RELAXED);

	high = min_of(high, ASPACE_REGIONS_MAX);
	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (__atomic_load_n(&as->regions[mid].end, __ATOMIC_RELAXED) > va)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

bool region_find(struct aspace *as, uaddr_t va, struct region *out, uint32_t *seq)
{
	for (;;) {
		uint32_t before = atomic_load_explicit(&as->seq, memory_order_acquire);
		uint32_t i;
		bool found = false;

		if (before & 1) {
			arch_relax();
			continue;
		}
		i = region_index(as, va);
		if (i < __atomic_load_n(&as->region_count, __ATOMIC_RELAXED) &&
		    i < ASPACE_REGIONS_MAX) {
			region_copy(out, &as->regions[i]);
			found = out->base <= va && va < out->end;
		}
		/* Pairs with the release in regions_replace. */
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&as->seq, memory_order_relaxed) != before)
			continue;
		*seq = before;
		return found;
	}
}

static bool region_joins(const struct region *left, const struct region *right)
{
	return left->end == right->base && left->kind == REGION_ANON &&
	       right->kind == REGION_ANON && left->prot == right->prot &&
	       left->flags == right->flags;
}

/* Towards the front or the back, word by word: the two overlap. */
static void regions_shift(struct region *to, const struct region *from, uint32_t count)
{
	uint64_t *t = (uint64_t *)to;
	const uint64_t *f = (const uint64_t *)from;
	size_t words = count * (sizeof(*to) / sizeof(*t));

	if (to < from)
		for (size_t i = 0; i < words; i++)
			__atomic_store_n(&t[i], __atomic_load_n(&f[i], __ATOMIC_RELAXED),
					 __ATOMIC_RELAXED);
	else if (to > from)
		for (size_t i = words; i-- > 0;)
			__atomic_store_n(&t[i], __atomic_load_n(&f[i], __ATOMIC_RELAXED),
					 __ATOMIC_RELAXED);
}

/* Stores `n` regions over [first, end) of the array. */
static void regions_store(struct aspace *as, uint32_t first, uint32_t end,
			  const struct region *with, uint32_t n)
{
	uint32_t count = as->region_count, tail = count - end;
	uint32_t seq = as->seq;

	atomic_store_explicit(&as->seq, seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	regions_shift(as->regions + first + n, as->regions + end, tail);
	for (uint32_t i = 0; i < n; i++)
		region_copy(&as->regions[first + i], &with[i]);
	__atomic_store_n(&as->region_count, first + n + tail, __ATOMIC_RELAXED);
	atomic_store_explicit(&as->seq, seq + 2, memory_order_release);
	/* Pairs with region_unchanged. */
	atomic_thread_fence(memory_order_seq_cst);
}

int regions_replace(struct aspace *as, uaddr_t base, uaddr_t end, const struct region *with)
{
	uint32_t first = region_index(as, base), last = first, n = 0;
	struct region piece[3];

	while (last < as->region_count && as->regions[last].base < end)
		last++;
	if (first < last && as->regions[first].base < base) {
		piece[n] = as->regions[first];
		piece[n++].end = base;
	} else if (with && first > 0 && region_joins(&as->regions[first - 1], with)) {
		first--;
		piece[n++] = as->regions[first];
	}
	if (with) {
		if (n && region_joins(&piece[n - 1], with))
			piece[n - 1].end = with->end;
		else
			piece[n++] = *with;
	}
	if (last > 0 && as->regions[last - 1].end > end && as->regions[last - 1].base < end) {
		struct region right = as->regions[last - 1];

		right.base = end;
		if (n && region_joins(&piece[n - 1], &right))
			piece[n - 1].end = right.end;
		else
			piece[n++] = right;
	} else if (with && last < as->region_count &&
		   region_joins(&piece[n - 1], &as->regions[last])) {
		piece[n - 1].end = as->regions[last].end;
		last++;
	}
	if (as->region_count - (last - first) + n > ASPACE_REGIONS_MAX)
		return -ENOMEM;
	regions_store(as, first, last, piece, n);
	return 0;
}

uaddr_t regions_gap(const struct aspace *as, uaddr_t from, uaddr_t to, uint64_t len)
{
	if (from >= to || len > to - from)
		return 0;
	for (uint32_t i = region_index(as, from); i < as->region_count; i++) {
		const struct region *r = &as->regions[i];

		if (r->base >= to)
			break;
		if (r->base > from && r->base - from >= len)
			return from;
		from = max_of(from, r->end);
		if (from >= to || len > to - from)
			return 0;
	}
	return from;
}
