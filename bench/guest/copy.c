/*
 * b_copy BYTES PIECE ROUNDS HOW...: a file in memory is copied to another, piece by piece; what
 * does a piece take, synchronously and asynchronously?
 *
 *	spin	synchronously: one read, waited for; one write, waited for. By the bare ring, without
 *		any coroutine, spun for: the cheapest way there is to wait for one thing
 *	enter	the same, waited for in the kernel: a trap for each
 *	DEPTH	asynchronously: as many coroutines, each of which takes the next piece, reads it and
 *		writes it
 *
 * The coroutines are made before the clock is looked at, and ended after. A ROUND takes every HOW
 * once, so that what disturbs one meets all. What is read is added up on the way; after each copy,
 * and outside the time taken, the destination is read back, compared word by word and overwritten.
 * The clock is the machine's.
 */
#include "libasync/async.h"

#include <stdlib.h>
#include <string.h>

#include "lib/guest.h"

#define PIECE_MAX 4096u
#define DEPTH_MAX 2048u
#define BLOCK	  65536u
#define STACK	  8192u

static struct copy {
	int from, to;
	uint64_t bytes;
	uint32_t piece;
	uint64_t next; /* offset of the next piece nobody has */
	uint64_t done; /* bytes copied */
	struct async_event go, over;
	uint64_t sum;
	int error;
} copy;

static char block[BLOCK] __attribute__((aligned(4096)));
/* A buffer of a piece for each coroutine, side by side, as who writes such a program has them; the
 * synchronous ways use the first. */
static char pieces[(size_t)PIECE_MAX * DEPTH_MAX] __attribute__((aligned(4096)));

static uint64_t sum_of(const char *data, uint32_t size)
{
	const uint64_t *words = (const uint64_t *)data;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < size / sizeof(*words); i++)
		sum += words[i];
	return sum;
}

/* What belongs at `offset` of the file. */
static uint64_t word_at(uint64_t offset)
{
	return (offset + 1) * 0x9e3779b97f4a7c15ull;
}

enum { SPIN = 0, ENTER = DEPTH_MAX + 1 }; /* beside the depths */

/* One operation by the bare ring: no coroutine uses it meanwhile. */
static int64_t sync_op(bool spin, uint8_t opcode, int fd, uint64_t offset, char *data,
		       uint32_t size)
{
	struct ring *ring = &async_here()->ring;
	int64_t result;

	ring_fill(ring_sqe(ring), opcode, fd, offset, (uint64_t)(uintptr_t)data, size, 0, 0);
	ring_publish(ring);
	if (ring_signal(ring))
		return -1;
	if (spin && ring_is_polled(ring))
		while (!ring_spin(ring, 1, UINT64_MAX))
			;
	else if (ring_wait(ring, 1))
		return -1;
	if (!ring_ready(ring))
		return -1;
	result = ring_cqe(ring)->res;
	ring_advance(ring, 1);
	return result;
}

static void copy_sync(bool spin)
{
	for (uint64_t at = 0; at < copy.bytes && !copy.error; at += copy.piece) {
		if (sync_op(spin, IORING_OP_READ, copy.from, at, pieces, copy.piece) !=
		    copy.piece)
			copy.error = 1;
		copy.sum += sum_of(pieces, copy.piece);
		if (sync_op(spin, IORING_OP_WRITE, copy.to, at, pieces, copy.piece) !=
		    copy.piece)
			copy.error = 1;
	}
}

static int64_t copy_member(void *mine)
{
	char *piece = mine;

	async_event_wait(&copy.go);
	while (copy.next < copy.bytes && !copy.error) {
		uint64_t at = copy.next;

		copy.next += copy.piece;
		if (async_pread(copy.from, piece, copy.piece, at) != copy.piece)
			copy.error = 1;
		copy.sum += sum_of(piece, copy.piece);
		if (async_pwrite(copy.to, piece, copy.piece, at, 0) != copy.piece)
			copy.error = 1;
		copy.done += copy.piece;
		if (copy.done == copy.bytes || copy.error)
			async_event_set(&copy.over);
	}
	return 0;
}

/* The coroutines are there, and wait. */
static void copy_gather(struct async_group *group, uint32_t depth)
{
	async_event_clear(&copy.go);
	async_event_clear(&copy.over);
	async_group_init(group);
	for (uint32_t i = 0; i < depth; i++)
		if (async_group_spawn(group, copy_member, pieces + (size_t)i * copy.piece))
			copy.error = 1;
	async_yield(); /* each runs until it waits */
}

static void copy_async(void)
{
	async_event_set(&copy.go);
	async_event_wait(&copy.over);
}

/* Fills `fd` with what belongs there, or with zeros. */
static bool file_fill(int fd, bool zeros)
{
	uint64_t *words = (uint64_t *)block;

	for (uint64_t at = 0; at < copy.bytes; at += BLOCK) {
		for (uint64_t i = 0; i < BLOCK / 8; i++)
			words[i] = zeros ? 0 : word_at(at + i * 8);
		if (sync_op(false, IORING_OP_WRITE, fd, at, block, BLOCK) != BLOCK)
			return false;
	}
	return true;
}

static bool file_is_right(int fd)
{
	const uint64_t *words = (const uint64_t *)block;

	for (uint64_t at = 0; at < copy.bytes; at += BLOCK) {
		if (sync_op(false, IORING_OP_READ, fd, at, block, BLOCK) != BLOCK)
			return false;
		for (uint64_t i = 0; i < BLOCK / 8; i++)
			if (words[i] != word_at(at + i * 8))
				return false;
	}
	return true;
}

static uint64_t sum_wanted(void)
{
	uint64_t sum = 0;

	for (uint64_t at = 0; at < copy.bytes; at += 8)
		sum += word_at(at);
	return sum;
}

static uint32_t number_in(const char *text, uint32_t high)
{
	uint64_t n = 0;

	for (; *text >= '0' && *text <= '9' && n <= high; text++)
		n = n * 10 + (uint64_t)(*text - '0');
	return *text || n > high ? UINT32_MAX : (uint32_t)n;
}

static uint32_t depth_of(const char *how)
{
	uint32_t depth = number_in(how, DEPTH_MAX);

	if (!strcmp(how, "spin"))
		return SPIN;
	if (!strcmp(how, "enter"))
		return ENTER;
	return depth ? depth : UINT32_MAX;
}

static bool copy_measure(const char *how, uint64_t wanted)
{
	uint32_t depth = depth_of(how);
	bool sync = depth == SPIN || depth == ENTER;
	struct async_group group;
	uint64_t from, ns;

	copy.next = copy.done = copy.sum = 0;
	copy.error = 0;
	if (!sync)
		copy_gather(&group, depth);
	from = guest_ns();
	ASYNC_MARK(GUEST_MARK_BEGIN);
	if (sync)
		copy_sync(depth == SPIN);
	else
		copy_async();
	ASYNC_MARK(GUEST_MARK_END);
	ns = guest_ns() - from;
	if (!sync && async_group_wait(&group))
		copy.error = 1;
	if (copy.error || copy.sum != wanted || !file_is_right(copy.to) ||
	    !file_fill(copy.to, true)) {
		async_printf("b_copy: the copy by %s is not the file\n", how);
		return false;
	}
	async_printf("bench: how=%s ops=%llu bytes=%llu ns=%llu sum=%llx\n", how,
		     (unsigned long long)(2 * copy.bytes / copy.piece),
		     (unsigned long long)copy.bytes, (unsigned long long)ns,
		     (unsigned long long)copy.sum);
	return true;
}

int main(int argc, char **argv)
{
	uint32_t rounds;
	uint64_t wanted;

	copy.bytes = argc < 5 ? 0 : number_in(argv[1], 1u << 30);
	copy.piece = argc < 5 ? 0 : number_in(argv[2], PIECE_MAX);
	rounds = argc < 5 ? 0 : number_in(argv[3], 1000);
	if (!copy.bytes || copy.bytes % BLOCK || copy.piece < 8 || BLOCK % copy.piece ||
	    rounds > 1000) {
		async_printf("usage: b_copy BYTES PIECE ROUNDS spin|enter|DEPTH...: bytes are "
			     "whole 64 KiB, pieces "
			     "8 to 4096\n");
		return 2;
	}
	async_config.stack_bytes = STACK;
	copy.from = async_memfd("from", 0);
	copy.to = async_memfd("to", 0);
	if (copy.from < 0 || copy.to < 0 || async_prepare(DEPTH_MAX, STACK) ||
	    !file_fill(copy.from, false) || !file_fill(copy.to, true)) {
		async_printf("b_copy: no memory for the files\n");
		return 1;
	}
	wanted = sum_wanted();
	for (uint32_t round = 0; round < rounds; round++)
		for (int i = 4; i < argc; i++)
			if (depth_of(argv[i]) == UINT32_MAX || !copy_measure(argv[i], wanted))
				return 1;
	return 0;
}
