/*
 * pool: setting a pool up. Everything else is inline in the header.
 *
 * Boot core, once per pool; afterwards the pool belongs to its core.
 */
#include "mm/pool.h"

#include "mm/frames.h"

void pool_init(struct pool *p, const char *name, size_t size, uint32_t total)
{
	size = align_up(size, (size_t)CACHE_LINE);
	*p = (struct pool){ .total = total, .size = (uint32_t)size, .name = name };
	p->base = frames_boot_alloc(size * total);
	/* Backwards, so that objects are handed out in the order of their addresses. */
	for (uint32_t i = total; i-- > 0;) {
		void *obj = p->base + i * size;

		*(void **)obj = p->free;
		p->free = obj;
	}
	p->free_count = p->low_water = total;
}
