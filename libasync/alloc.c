/*
 * alloc: small objects for programs: power-of-two classes from 32 bytes to 16 KiB, cut from 64 KiB
 * chunks; larger ones are mappings of their own.
 *
 * Each object is preceded by a 16-byte head with its size. Freed objects of a class are kept on a
 * list, last in, first out; chunks are never given back. Large objects are unmapped by a request
 * that nobody waits for. crew_lock guards
 * lists and chunk.
 */
#include "crew.h"
#include "uapi/mman.h"

#define ALLOC_SHIFT_MIN 5u
#define ALLOC_SHIFT_MAX 14u
#define ALLOC_CHUNK 65536ull

struct alloc_head {
	uint64_t bytes;		 /* whole object with its head */
	struct alloc_head *next; /* while it is free */
};
_Static_assert(sizeof(struct alloc_head) == 16, "objects stay 16-byte aligned");

static struct alloc_head *alloc_free[ALLOC_SHIFT_MAX + 1];
static char *alloc_chunk; /* rest of the newest chunk */
static uint64_t alloc_chunk_left;

static unsigned alloc_shift(uint64_t bytes)
{
	unsigned shift = ALLOC_SHIFT_MIN;

	while ((1ull << shift) < bytes)
		shift++;
	return shift;
}

static struct alloc_head *alloc_large(uint64_t bytes)
{
	struct alloc_head *head;

	bytes = (bytes + 4095) & ~4095ull;
	head = async_pages_alloc(bytes, false);
	if (head)
		head->bytes = bytes;
	return head;
}

/* crew_lock is held, but while it waits. */
static struct alloc_head *alloc_cut(uint64_t bytes)
{
	struct alloc_head *head;

	/* while one coroutine waits for a chunk, others may get one and use it up: so a loop */
	while (alloc_chunk_left < bytes) {
		char *chunk;

		crew_unlock();
		chunk = async_pages_alloc(ALLOC_CHUNK, false);
		crew_lock();
		if (!chunk)
			return NULL;
		alloc_chunk = chunk;
		alloc_chunk_left = ALLOC_CHUNK;
	}
	head = (struct alloc_head *)(void *)alloc_chunk;
	alloc_chunk += bytes;
	alloc_chunk_left -= bytes;
	head->bytes = bytes;
	return head;
}

void *async_alloc(size_t bytes)
{
	uint64_t total = bytes + sizeof(struct alloc_head);
	struct alloc_head *head;
	unsigned shift;

	if (total < bytes)
		return NULL;
	if (total > 1ull << ALLOC_SHIFT_MAX) {
		head = alloc_large(total);
		return head ? head + 1 : NULL;
	}
	shift = alloc_shift(total);
	crew_lock();
	head = alloc_free[shift];
	if (head)
		alloc_free[shift] = head->next;
	else
		head = alloc_cut(1ull << shift);
	crew_unlock();
	return head ? head + 1 : NULL;
}

void async_free(void *ptr)
{
	struct alloc_head *head;
	struct io_uring_sqe *sqe;

	if (!ptr)
		return;
	head = (struct alloc_head *)ptr - 1;
	if (head->bytes <= 1ull << ALLOC_SHIFT_MAX) {
		unsigned shift = alloc_shift(head->bytes);

		crew_lock();
		head->next = alloc_free[shift];
		alloc_free[shift] = head;
		crew_unlock();
		return;
	}
	sqe = ring_sqe(&async_here()->ring);
	if (sqe)
		ring_fill_syscall(sqe, SYS_munmap, (uint64_t)(uintptr_t)head, head->bytes, 0, 0, 0,
				  0, ASYNC_TAG_NONE);
	else
		async_pages_free(head, head->bytes); /* queue full: the one case that waits */
}
