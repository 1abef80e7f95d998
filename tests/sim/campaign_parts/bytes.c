/*
 * bytes: what each byte of a program's share of the disk may be.
 *
 * A write stamps its bytes: the value of a byte is a function of the stamp and the byte's place. A
 * cell keeps every stamp that may be there: a write joins when it is submitted; when it has
 * succeeded, those that had ended before it began are gone; one that failed, was cancelled or lost
 * from sight stays a possibility until a later write replaces it. A read may see what was possible
 * at any moment between its submission and its completion.
 */
#include <stdio.h>

#include "campaign_parts/model.h"

uint8_t byte_of(uint32_t seed, uint64_t index)
{
	uint64_t x = (seed * 0x9e3779b97f4a7c15ull) ^ (index * 0xc2b2ae3d27d4eb4full);

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9ull;
	return (uint8_t)(x >> 37);
}

static uint8_t stamped(uint16_t stamp, uint64_t off)
{
	return stamp ? byte_of(stamp, off) : 0;
}

/* The oldest moment that somebody who is still out may look at. */
static uint64_t horizon(const struct side *s)
{
	uint64_t first = s->clock;

	for (unsigned i = 0; i < RECS; i++)
		if (s->recs[i].id && !s->recs[i].retired)
			first = min_of(first, s->recs[i].serial);
	return first;
}

static void cell_forget(struct cell *c, uint64_t before)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->count; i++)
		if (!c->can[i].gone || c->can[i].gone >= before)
			c->can[n++] = c->can[i];
	c->count = (uint8_t)n;
}

void bytes_begin(struct side *s)
{
	for (unsigned i = 0; i < SHARE; i++)
		s->cells[i].can[0].ended = s->cells[i].count = 1;
}

void bytes_write_begin(struct side *s, struct rec *r)
{
	uint64_t before = horizon(s);

	for (uint64_t i = r->off; i < r->off + r->len; i++) {
		struct cell *c = &s->cells[i];

		cell_forget(c, before);
		if (c->count == CANDIDATES) {
			c->any = true;
			c->count--;
		}
		c->can[c->count].stamp = r->stamp;
		c->can[c->count].begun = r->serial;
		c->can[c->count].ended = c->can[c->count].gone = 0;
		c->count++;
	}
}

void bytes_write_end(struct side *s, struct rec *r, uint32_t moved)
{
	uint64_t now = ++s->clock;

	for (uint64_t i = r->off; i < r->off + r->len; i++) {
		struct cell *c = &s->cells[i];

		for (unsigned k = 0; k < c->count; k++) {
			if (c->can[k].begun == r->serial)
				c->can[k].ended = now;
			else if (i < r->off + moved && !c->can[k].gone && c->can[k].ended &&
				 c->can[k].ended < r->serial)
				c->can[k].gone = now;
		}
	}
}

/* Behind a write that went well: what had ended before that began cannot be seen any more. */
static bool is_behind(const struct rec *r, const struct cell *c, unsigned k, uint64_t at)
{
	return r->behind.begun && at >= r->behind.off && at < r->behind.off + r->behind.len &&
	       c->can[k].ended && c->can[k].ended < r->behind.begun;
}

/* Which write left what was read at `i`, as far as can be told? 0: none. */
static unsigned whose(const struct side *s, const uint8_t *data, uint64_t off, uint32_t left)
{
	uint32_t n = min_of(left, 6u);

	for (unsigned stamp = 1; stamp <= s->stamps; stamp++) {
		uint32_t i = 0;

		while (i < n && data[i] == stamped((uint16_t)stamp, off + i))
			i++;
		if (i == n)
			return stamp;
	}
	return 0;
}

static void cell_show(const struct cell *c)
{
	for (unsigned k = 0; k < c->count; k++)
		printf("  may be there: write %u, begun %llu ended %llu gone %llu\n",
		       c->can[k].stamp, (unsigned long long)c->can[k].begun,
		       (unsigned long long)c->can[k].ended, (unsigned long long)c->can[k].gone);
}

void bytes_read_judge(struct side *s, struct rec *r, const uint8_t *data, uint32_t len)
{
	for (uint64_t i = 0; i < len; i++) {
		const struct cell *c = &s->cells[r->off + i];
		bool fits = c->any;

		for (unsigned k = 0; k < c->count && !fits; k++)
			fits = data[i] == stamped(c->can[k].stamp, r->off + i) &&
			       (!c->can[k].gone || c->can[k].gone >= r->serial) &&
			       !is_behind(r, c, k, r->off + i);
		if (fits)
			continue;
		cell_show(c);
		sim_fail("program %u read byte %llu of its share as %02x, which no write that may "
			 "be there has left: perhaps write %u (read %llx of %llu, op %u, off %llu "
			 "len %u)",
			 s->index, (unsigned long long)(r->off + i), data[i],
			 whose(s, data + i, r->off + i, len - (uint32_t)i),
			 (unsigned long long)r->id, (unsigned long long)r->serial, r->sqe.opcode,
			 (unsigned long long)r->off, r->len);
	}
}

void bytes_judge_disk(struct side *s, const uint8_t *share)
{
	struct rec all = { .serial = s->clock + 1, .len = SHARE };

	bytes_read_judge(s, &all, share, SHARE);
}
