/*
 * pool: fixed-size objects, sized at boot, one pool per kind and core. Bounded by construction: an
 * empty pool is back-pressure, not failure of something accepted.
 *
 * Owner core only; an object freed elsewhere travels home by mailbox. Memory is type-stable: an
 * object's memory is never used for anything else, so a stale pointer may be read (never trusted).
 */
#ifndef MM_POOL_H
#define MM_POOL_H

#include "arch/arch.h"
#include "base/panic.h"
#include "base/types.h"

struct pool {
	/* owner core only */
	void *free; /* first word of a free object is the next free one */
	uint32_t free_count;
	uint32_t low_water; /* smallest free_count seen */

	/* set once at boot */
	uint32_t total;
	uint32_t size;
	char *base;
	const char *name;
};

/* Takes total*size bytes of boot memory; size is rounded up to 64. */
void pool_init(struct pool *p, const char *name, size_t size, uint32_t total);

/* NULL when empty. Contents undefined. */
static inline void *pool_alloc(struct pool *p)
{
	void *obj = p->free;

	audit(!arch_window_is_open());
	if (unlikely(!obj))
		return NULL;
	p->free = *(void **)obj;
	if (--p->free_count < p->low_water)
		p->low_water = p->free_count;
	return obj;
}

static inline void pool_free(struct pool *p, void *obj)
{
	audit((char *)obj >= p->base &&
	      (size_t)((char *)obj - p->base) < (size_t)p->total * p->size);
	audit(!arch_window_is_open());
	*(void **)obj = p->free;
	p->free = obj;
	p->free_count++;
}

#endif
