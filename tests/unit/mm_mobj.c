/*
 * Is a memory object sparse, cut where it is told to and zero behind the cut, and does every frame
 * come back by its last reference, whoever holds it? What if two cores bring the same pages, or one
 * maps while the owner cuts? And when memory is short: do those who hold much of it, programs and
 * objects, leave some to those who hold little? (kernel/mm/mobj.c, frames.c)
 */
#include "lib/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "mm/aspace.h"
#include "mm/frames.h"
#include "mm/mobj.h"

#define RW (ACCESS_READ | ACCESS_WRITE)
#define INNER 512u /* pages below one inner frame */

static struct mobj object, *o = &object;
static unsigned gone;

static void count_gone(struct mobj *which)
{
	gone += which == o;
}

static int before(void **state)
{
	unit_frames_before(state);
	gone = 0;
	return mobj_init(o, count_gone);
}

static int after(void **state)
{
	mobj_put(o);
	if (gone != 1)
		return -1;
	return unit_frames_after(state);
}

static char *make(uint64_t index)
{
	void *page = NULL;

	assert_int_equal(mobj_make(o, index, &page), 0);
	return page;
}

static bool is_zero(const char *page, uint64_t from, uint64_t end)
{
	while (from < end)
		if (page[from++])
			return false;
	return true;
}

static void sparse(void **state)
{
	static const uint64_t places[] = { 0, 5, INNER - 1, INNER, 3 * INNER + 7,
					   MOBJ_PAGES_MAX - 1 };
	uint64_t free = frames_free_count();
	char *page[array_count(places)];

	(void)state;
	for (unsigned i = 0; i < array_count(places); i++) {
		assert_null(mobj_find(o, places[i]));
		page[i] = make(places[i]);
		assert_true(is_zero(page[i], 0, PAGE_SIZE));
		memset(page[i], 0x40 + (int)i, PAGE_SIZE);
	}
	for (unsigned i = 0; i < array_count(places); i++) {
		assert_ptr_equal(mobj_find(o, places[i]), page[i]);
		assert_ptr_equal(make(places[i]), page[i]);
		assert_int_equal(page[i][17], 0x40 + i);
	}
	assert_null(mobj_find(o, 1));
	assert_null(mobj_find(o, 2 * INNER));
	assert_int_equal(o->pages, array_count(places));
	/* one frame each, and one for each of the four stretches they lie in */
	assert_int_equal(free - frames_free_count(), array_count(places) + 4);
}

/* Every size around the edges of pages and inner frames, each cut from three stretches of pages. */
static void cut(void **state)
{
	static const uint64_t sizes[] = {
		0, 1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, INNER * PAGE_SIZE - 5,
		INNER * PAGE_SIZE, INNER * PAGE_SIZE + 1, (INNER + 1) * PAGE_SIZE,
		(2 * INNER - 1) * PAGE_SIZE + 9, 3 * INNER * PAGE_SIZE,
	};
	static const uint64_t places[] = { 0, 1, INNER - 1, INNER, INNER + 1, 2 * INNER - 1,
					   2 * INNER };
	uint64_t free = frames_free_count(), whole = (3ull * INNER) * PAGE_SIZE;

	(void)state;
	for (unsigned i = 0; i < array_count(sizes); i++) {
		uint64_t size = sizes[i], left = 0;

		assert_int_equal(mobj_resize(o, whole), 0);
		for (unsigned k = 0; k < array_count(places); k++)
			memset(make(places[k]), 0xff, PAGE_SIZE);
		assert_int_equal(mobj_resize(o, size), 0);
		assert_int_equal(o->size, size);
		for (unsigned k = 0; k < array_count(places); k++) {
			char *page = mobj_find(o, places[k]);
			uint64_t base = places[k] * PAGE_SIZE;
			uint64_t inside = size > base ? min_of(size - base, PAGE_SIZE) : 0;

			assert_int_equal(!page, !inside);
			if (!page)
				continue;
			left++;
			assert_int_equal((uint8_t)page[inside - 1], 0xff);
			assert_true(is_zero(page, inside, PAGE_SIZE));
		}
		assert_int_equal(o->pages, left);
		/* what a mapping left behind the end does not come to light when it grows */
		if (size % PAGE_SIZE && mobj_find(o, size / PAGE_SIZE)) {
			char *page = mobj_find(o, size / PAGE_SIZE);

			page[size % PAGE_SIZE] = 1;
			assert_int_equal(mobj_resize(o, whole), 0);
			assert_int_equal(page[size % PAGE_SIZE], 0);
		}
		assert_int_equal(mobj_resize(o, 0), 0);
		assert_int_equal(frames_free_count(), free);
	}
	assert_int_equal(mobj_resize(o, MOBJ_BYTES_MAX), 0);
	assert_int_equal(mobj_resize(o, MOBJ_BYTES_MAX + 1), -EFBIG);
}

static void mapped(void **state)
{
	(void)state;
	assert_int_equal(mobj_resize(o, 4 * PAGE_SIZE), 0);
	make(3);
	assert_int_equal(mobj_map(o), 0);
	assert_int_equal(mobj_resize(o, PAGE_SIZE), -EBUSY);
	assert_int_equal(mobj_resize(o, 5 * PAGE_SIZE), 0);
	assert_non_null(mobj_find(o, 3));
	mobj_unmap(o);
	assert_int_equal(mobj_resize(o, PAGE_SIZE), 0);
	assert_null(mobj_find(o, 3));
	/* the mapping outlives everybody else */
	assert_int_equal(mobj_map(o), 0);
	assert_true(mobj_get_live(o));
	mobj_put(o);
	mobj_put(o);
	assert_int_equal(gone, 0);
	make(0);
	mobj_unmap(o);
	assert_int_equal(gone, 1);
	assert_false(mobj_get_live(o));
	gone = 0;
	assert_int_equal(mobj_init(o, count_gone), 0);
}

/* ---- two cores ------------------------------------------------------------------------------- */

#define SPREAD (3u * INNER)
#define MAKES 4000u

static void *found[2][SPREAD];

static uint64_t next_of(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 33;
}

static void *make_many(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	uint64_t seed = 11; /* both meet at the same pages */

	unit_be_core(me);
	for (unsigned i = 0; i < MAKES; i++) {
		uint64_t index = next_of(&seed) % SPREAD;

		if (mobj_make(o, index, &found[me][index]))
			return (void *)"it found no frame";
	}
	return NULL;
}

static void both_bring(void **state)
{
	unsigned pages = 0;
	pthread_t other;
	void *said;

	(void)state;
	for (unsigned round = 0; round < 8; round++) {
		memset(found, 0, sizeof(found));
		assert_int_equal(pthread_create(&other, NULL, make_many, (void *)1), 0);
		assert_null(make_many((void *)0));
		assert_int_equal(pthread_join(other, &said), 0);
		assert_null(said);
		for (unsigned i = pages = 0; i < SPREAD; i++) {
			assert_ptr_equal(found[0][i], found[1][i]);
			assert_ptr_equal(found[0][i], mobj_find(o, i));
			pages += !!found[0][i];
		}
		assert_int_equal(o->pages, pages);
		assert_int_equal(mobj_resize(o, SPREAD * PAGE_SIZE), 0);
		assert_int_equal(mobj_resize(o, 0), 0);
	}
}

static _Atomic bool stop;
static _Atomic unsigned came; /* how often the other core got what it wanted */

/* Maps, and then believes that nothing is taken away until it unmaps. */
static void *map_many(void *arg)
{
	uint64_t seed = 3, lost = 0;

	(void)arg;
	unit_be_core(1);
	while (!atomic_load(&stop)) {
		uint64_t index = next_of(&seed) % 64;
		_Atomic uint64_t *word;
		void *page;

		if (mobj_map(o))
			continue;
		if (!atomic_load(&o->size)) {
			mobj_unmap(o); /* nothing is brought behind the end */
			continue;
		}
		atomic_fetch_add(&came, 1);
		if (mobj_make(o, index, &page)) {
			mobj_unmap(o);
			return (void *)"it found no frame";
		}
		word = page;
		atomic_store(word, index + 1);
		for (unsigned i = next_of(&seed) % 64; i; i--)
			lost += mobj_find(o, index) != page || atomic_load(word) != index + 1;
		mobj_unmap(o);
	}
	return lost ? (void *)"a mapped page was taken away" : NULL;
}

static void cut_against_mapping(void **state)
{
	unsigned cuts = 0;
	pthread_t other;
	void *said;

	(void)state;
	atomic_store(&stop, false);
	atomic_store(&came, 0);
	assert_int_equal(pthread_create(&other, NULL, map_many, NULL), 0);
	for (unsigned i = 0; i < 5000 || !cuts || !atomic_load(&came); i++) {
		int err;

		assert_int_equal(mobj_resize(o, 64 * PAGE_SIZE), 0);
		err = mobj_resize(o, 0);
		assert_true(!err || err == -EBUSY);
		cuts += !err;
	}
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(other, &said), 0);
	assert_null(said);
	assert_int_equal(mobj_resize(o, 0), 0);
	assert_int_equal(o->pages, 0);
}

static struct aspace *as;
static uaddr_t window;

static void *fault_many(void *arg)
{
	uint64_t seed = 5;

	(void)arg;
	unit_be_core(1);
	while (!atomic_load(&stop)) {
		int err = aspace_fault(as, window + next_of(&seed) % 64 * PAGE_SIZE, ACCESS_WRITE);

		if (err && err != -EFAULT && err != -ENXIO)
			return (void *)"a fault has another answer";
		if (!err)
			atomic_fetch_add(&came, 1);
	}
	return NULL;
}

/* A program touches what its owner unmaps, and the file is cut at once. */
static void cut_against_faults(void **state)
{
	unsigned cuts = 0;
	pthread_t other;
	void *said;

	(void)state;
	as = aspace_create();
	assert_non_null(as);
	assert_int_equal(aspace_map_anon(as, 0, 64 * PAGE_SIZE, RW, 0, &window), 0);
	atomic_store(&stop, false);
	atomic_store(&came, 0);
	assert_int_equal(pthread_create(&other, NULL, fault_many, NULL), 0);
	for (unsigned i = 0; i < 5000 || !cuts || !atomic_load(&came); i++) {
		uaddr_t at = window;
		int err;

		assert_int_equal(mobj_resize(o, 64 * PAGE_SIZE), 0);
		do
			err = aspace_map_object(as, at, o, 0, 64 * PAGE_SIZE, RW, ASPACE_FIXED,
						false, &at);
		while (err == -EAGAIN);
		assert_int_equal(err, 0);
		for (unsigned k = unit_random() % 64; k; k--)
			mobj_find(o, k);
		assert_int_equal(aspace_unmap(as, window, 64 * PAGE_SIZE), 0);
		err = mobj_resize(o, 0);
		assert_true(!err || err == -EBUSY); /* busy: a faulter has not looked yet */
		if (err)
			continue;
		assert_int_equal(o->pages, 0);
		cuts++;
	}
	atomic_store(&stop, true);
	assert_int_equal(aspace_map_anon(as, window, 64 * PAGE_SIZE, RW, ASPACE_FIXED, &window), 0);
	assert_int_equal(pthread_join(other, &said), 0);
	assert_null(said);
	aspace_put(as);
}

/* ---- when memory is short -------------------------------------------------------------------- */

#define HOLDERS 3u
#define SMALL_PAGES 96u /* what a neighbour asks for */

static struct aspace *space(uint64_t most, uint64_t pages, uaddr_t *at)
{
	struct aspace *as = aspace_create();

	assert_non_null(as);
	as->resident_max = most;
	assert_int_equal(aspace_map_anon(as, 0, pages * PAGE_SIZE, RW, 0, at), 0);
	return as;
}

/* Greedy programs and a greedy object, in any order of growing: a program that holds little gets
 * its pages all the same. */
static void greed(void **state)
{
	uint64_t total = frames_free_count();

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		struct aspace *as[HOLDERS], *neighbour;
		uint64_t next[HOLDERS + 1] = { 0 };
		uaddr_t at[HOLDERS], small;
		bool grows[HOLDERS + 1];
		unsigned growing = HOLDERS + 1;

		for (unsigned i = 0; i < HOLDERS; i++)
			as[i] = space(total / 2, total, &at[i]);
		neighbour = space(total / 2, SMALL_PAGES, &small);
		memset(grows, 1, sizeof(grows));
		while (growing) {
			/* runs of one holder, long or short */
			unsigned who = unit_random() % (HOLDERS + 1);
			uint64_t n = 1ull << unit_random() % 12;
			void *page;
			int err = 0;

			for (; n && grows[who] && !err; n--)
				err = who == HOLDERS
					      ? mobj_make(o, next[who]++, &page)
					      : aspace_fault(as[who],
							     at[who] + next[who]++ * PAGE_SIZE,
							     ACCESS_WRITE);
			if (!err)
				continue;
			assert_int_equal(err, who == HOLDERS ? -ENOSPC : -ENOMEM);
			grows[who] = false;
			growing--;
		}
		for (uint64_t i = 0; i < SMALL_PAGES; i++)
			assert_int_equal(aspace_fault(neighbour, small + i * PAGE_SIZE,
						      ACCESS_WRITE), 0);
		for (unsigned i = 0; i < HOLDERS; i++)
			aspace_put(as[i]);
		aspace_put(neighbour);
		assert_int_equal(mobj_resize(o, MOBJ_BYTES_MAX), 0);
		assert_int_equal(mobj_resize(o, 0), 0);
	}
}

/* Alone, a program gets its whole limit, and the objects get theirs. */
static void alone(void **state)
{
	uint64_t total = frames_total_count(), n = 0;
	uaddr_t at;
	struct aspace *as = space(total / 2, total, &at);
	void *page;

	(void)state;
	while (!aspace_fault(as, at + n * PAGE_SIZE, ACCESS_WRITE))
		n++;
	assert_int_equal(as->resident, total / 2);
	aspace_put(as);
	n = 0;
	while (!mobj_make(o, n, &page))
		n++;
	assert_in_range(n, total / 2 - total / 256, total / 2);
}

#define mobj_test(f) cmocka_unit_test_setup_teardown(f, before, after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		mobj_test(sparse),     mobj_test(cut),		       mobj_test(mapped),
		mobj_test(both_bring), mobj_test(cut_against_mapping), mobj_test(greed),
		mobj_test(cut_against_faults), mobj_test(alone),
	};

	unit_kernel(32, 2, "");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
