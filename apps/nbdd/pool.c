/*
 * pool: requests in flight and their buffers.
 *
 * One slot's pages, from low to high: a page in whose last bytes the reply's head is written, then
 * SLOT_BYTES for the payload. So head and payload go out as one piece, and the payload begins on a
 * page, which is what disks like.
 */
#include "conn.h"

#define PAGE 4096u
#define STRIDE (PAGE + SLOT_BYTES)

struct async_sem large_room = { .count = LARGE_AT_ONCE };

static struct pool *pool_free;

static struct pool *pool_make(void)
{
	struct pool *pool = async_alloc(sizeof(*pool));

	if (!pool)
		return NULL;
	pool->pages = async_pages_alloc((size_t)STRIDE * SLOTS, false);
	if (!pool->pages) {
		async_free(pool);
		return NULL;
	}
	for (unsigned i = 0; i < SLOTS; i++)
		pool->slots[i] = (struct slot){ .buf = pool->pages + i * STRIDE + PAGE };
	return pool;
}

struct pool *pool_get(void)
{
	struct pool *pool = pool_free;

	if (!pool)
		return pool_make();
	pool_free = pool->next;
	return pool;
}

void pool_put(struct pool *pool)
{
	pool->next = pool_free;
	pool_free = pool;
}

/* The pages a small request needs. */
static void pool_touch(struct pool *pool)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		volatile char *buf = pool->slots[i].buf;

		buf[-1] = 0;
		buf[0] = 0;
	}
}

int pool_prepare(unsigned count)
{
	struct pool *made = NULL, *pool;
	unsigned i;

	for (i = 0; i < count && (pool = pool_make()) != NULL; i++) {
		pool_touch(pool);
		pool->next = made;
		made = pool;
	}
	while ((pool = made) != NULL) {
		made = pool->next;
		pool_put(pool);
	}
	return i == count ? 0 : -ENOMEM;
}

struct slot *slot_get(struct conn *conn)
{
	struct slot *slot;

	async_sem_take(&conn->free_count);
	slot = conn->free;
	conn->free = slot->next;
	return slot;
}

void slot_put(struct slot *slot)
{
	struct conn *conn = slot->conn;

	if (slot->large) {
		async_pages_free(slot->large, PAGE + slot->req.len);
		slot->large = NULL;
		async_sem_give(&large_room);
	}
	slot->next = conn->free;
	conn->free = slot;
	async_sem_give(&conn->free_count);
}

bool slot_reserve(struct slot *slot)
{
	if (slot->req.len <= SLOT_BYTES)
		return true;
	async_sem_take(&large_room);
	slot->large = async_pages_alloc(PAGE + slot->req.len, false);
	if (slot->large)
		return true;
	async_sem_give(&large_room);
	return false;
}

char *slot_buf(struct slot *slot)
{
	return slot->large ? slot->large + PAGE : slot->buf;
}
