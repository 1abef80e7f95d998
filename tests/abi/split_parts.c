/*
 * What if whole blocks and parts of the same blocks are written at the same time, by several io
 * cores? Whichever comes last: what the part's writer did not mean to change is what the other
 * wrote. And the part of a writer that came later is there. (map: split.conf)
 */
#include "tests/abi/lib/say.h"
#include "uapi/fs.h"

#define BLOCK 512u
#define BLOCKS 16u
#define ROUNDS 60u
#define PART_AT 100u
#define PART 200u
#define AREA (4u << 20) /* of the disk, where nobody else writes */

static uint8_t whole[BLOCK], parts[BLOCK], back[BLOCKS * BLOCK];

static void rw(struct ring *ring, bool write, int fd, uint64_t off, void *at, uint32_t len)
{
	ring_fill(ring_sqe(ring), write ? IORING_OP_WRITE : IORING_OP_READ, fd, AREA + off,
		  (uint64_t)(uintptr_t)at, len, 0, len);
}

/* Every answer is its length. */
static uint32_t await(struct ring *ring, uint32_t count)
{
	uint32_t wrong = 0;

	ring_submit(ring);
	ring_wait(ring, count);
	for (uint32_t i = 0; i < count; i++)
		wrong += (uint64_t)ring_cqe_at(ring, i)->res != ring_cqe_at(ring, i)->user_data;
	ring_advance(ring, count);
	return wrong;
}

static void fill(uint8_t *at, uint8_t value, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		at[i] = value;
}

/* Bytes outside the part that are not the whole's; bytes inside that nobody wrote. */
static uint32_t strange(const uint8_t *block)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < BLOCK; i++) {
		bool in = i >= PART_AT && i < PART_AT + PART;

		n += block[i] != whole[0] && !(in && block[i] == parts[0]);
	}
	return n;
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	uint32_t failed = 0, lost = 0, late = 0;
	int64_t fd;

	(void)argc, (void)argv;
	ring_fill(ring_sqe(ring), IORING_OP_OPENAT, AT_FDCWD, 0, (uint64_t)(uintptr_t)"/dev/vda", 0,
		  O_RDWR, 0);
	fd = say_wait();
	say_true("there is a disk", fd >= 0);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		fill(whole, (uint8_t)(2 * round + 1), BLOCK);
		fill(parts, (uint8_t)(2 * round + 2), BLOCK);
		for (uint32_t i = 0; i < BLOCKS; i++) {
			if (i % 2)
				rw(ring, true, (int)fd, i * BLOCK, whole, BLOCK);
			rw(ring, true, (int)fd, i * BLOCK + PART_AT, parts, PART);
			if (i % 2 == 0)
				rw(ring, true, (int)fd, i * BLOCK, whole, BLOCK);
		}
		failed += await(ring, 2 * BLOCKS);
		for (uint32_t i = 0; i < BLOCKS; i++)
			rw(ring, false, (int)fd, i * BLOCK, back + i * BLOCK, BLOCK);
		failed += await(ring, BLOCKS);
		for (uint32_t i = 0; i < BLOCKS; i++)
			lost += strange(back + i * BLOCK) != 0;
		/* one after the other: the part is there for certain */
		rw(ring, true, (int)fd, PART_AT, parts, PART);
		failed += await(ring, 1);
		rw(ring, false, (int)fd, 0, back, BLOCK);
		failed += await(ring, 1);
		late += back[PART_AT] != parts[0] || back[PART_AT + PART - 1] != parts[0];
	}
	say_is("answers that are not their length", failed, 0);
	say_is("blocks that lost what one writer wrote", lost, 0);
	say_is("parts that were not there afterwards", late, 0);
	return say_verdict();
}
