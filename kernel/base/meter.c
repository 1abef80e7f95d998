/*
 * meter: tables of longest stretches, one per core, written by their core only. See meter.h.
 */
#include "base/meter.h"

#include <assert.h>
#include <stdio.h>

#include "base/counters.h"
#include "base/machine.h"
#include "base/panic.h"

#define DEPTH_MAX 8u

struct meter_row {
	struct meter_key key;
	uint64_t count; /* of stretches */
	nsec_t longest;
};

#define ROWS_MAX ((METER_BYTES - 512u) / sizeof(struct meter_row))

struct meter {
	uint32_t rows, depth;
	nsec_t since; /* when the stretch that stands began, or went on */
	struct {
		struct meter_row *row;
		const void *who;
	} stands[DEPTH_MAX];
	struct meter_row row[];
};

static_assert(sizeof(struct meter) <= 512, "rows have the rest");

bool meter_on;
static struct meter *meters[CORES_MAX]; /* set once at boot */

void meter_init_core(unsigned index, void *memory)
{
	struct meter *m = memory;

	m->rows = m->depth = 0;
	meters[index] = m;
}

static struct meter_row *meter_row(struct meter *m, struct meter_key key)
{
	for (uint32_t i = 0; i < m->rows; i++)
		if (m->row[i].key.what == key.what && m->row[i].key.kind == key.kind)
			return &m->row[i];
	kassert(m->rows < ROWS_MAX);
	m->row[m->rows] = (struct meter_row){ .key = key };
	return &m->row[m->rows++];
}

void meter_expect(struct meter_key key)
{
	(void)meter_row(meters[base_core_index()], key);
}

static void meter_note(const struct meter *m, nsec_t now)
{
	struct meter_row *row = m->stands[m->depth - 1].row;

	row->count++;
	if (now - m->since > row->longest)
		row->longest = now - m->since;
}

void meter_begin(struct meter_key key, const void *who)
{
	struct meter *m = meters[base_core_index()];

	if (m->depth)
		meter_note(m, base_time_ns());
	kassert(m->depth < DEPTH_MAX);
	m->stands[m->depth].row = meter_row(m, key);
	m->stands[m->depth++].who = who;
	m->since = base_time_ns();
}

void meter_end(void)
{
	struct meter *m = meters[base_core_index()];

	kassert(m->depth);
	meter_note(m, base_time_ns());
	m->depth--;
	m->since = base_time_ns();
}

bool meter_is(const void *who)
{
	const struct meter *m = meters[base_core_index()];

	return m->depth && m->stands[m->depth - 1].who == who;
}

/* The same row of all cores, as one. */
static struct meter_row meter_sum(unsigned first, uint32_t index)
{
	struct meter_row sum = meters[first]->row[index];

	for (unsigned i = first + 1; i < CORES_MAX; i++)
		for (uint32_t k = 0; meters[i] && k < meters[i]->rows; k++) {
			const struct meter_row *row = &meters[i]->row[k];

			if (row->key.what != sum.key.what || row->key.kind != sum.key.kind)
				continue;
			sum.count += row->count;
			if (row->longest > sum.longest)
				sum.longest = row->longest;
		}
	return sum;
}

static bool meter_is_first(unsigned core, struct meter_key key)
{
	for (unsigned i = 0; i < core; i++)
		for (uint32_t k = 0; meters[i] && k < meters[i]->rows; k++)
			if (meters[i]->row[k].key.what == key.what &&
			    meters[i]->row[k].key.kind == key.kind)
				return false;
	return true;
}

static size_t meter_line(const struct meter_row *row, char *buf, size_t size)
{
	static const char *const kinds[] = { "op", "mail", "timer" };
	char name[32];
	int n;

	if (row->key.kind == METER_OP)
		snprintf(name, sizeof(name), "%s", (const char *)row->key.what);
	else
		snprintf(name, sizeof(name), "%p", row->key.what);
	n = snprintf(buf, size, "%s %s %llu %llu\n", kinds[row->key.kind], name,
		     (unsigned long long)row->count, (unsigned long long)row->longest);
	return n < 0 || (size_t)n >= size ? 0 : (size_t)n;
}

size_t meter_print(char *buf, size_t size)
{
	size_t used = 0;

	for (unsigned i = 0; i < CORES_MAX; i++)
		for (uint32_t k = 0; meters[i] && k < meters[i]->rows; k++) {
			struct meter_row sum;

			if (!meter_is_first(i, meters[i]->row[k].key))
				continue;
			sum = meter_sum(i, k);
			used += meter_line(&sum, buf + used, size - used);
		}
	if (size)
		buf[used] = '\0';
	if (meter_on) /* what it takes to say this is nobody's */
		meters[base_core_index()]->since = base_time_ns();
	return used;
}
