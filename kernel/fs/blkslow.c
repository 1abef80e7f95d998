/*
 * blkslow: what one request to the device cannot do: parts of blocks, memory in too many pieces,
 * long ranges to zero.
 *
 *   READ ----> CHANGE ----> WRITTEN ----> READ ... done when nothing is left      (a write of parts of blocks)
 *   READ ----> CHANGE ----> READ ...                                              (a read)
 *   RANGE ---> RANGE_DONE -> RANGE ...                                            (zero, forget)
 *
 * Each phase re-checks that the device has answered (job.out) and may be entered again after a
 * spurious wake, or after the device's queue was full. A write that changes blocks in part has its
 * blocks for itself from the first read to the last write: aligned writers of those blocks and
 * other such writers wait on the lane's overlap, and it waits for those that were there before it;
 * other lanes do not write meanwhile (disk.h). A job that has begun is not cancelled: it ends by
 * itself soon.
 *
 * Disk's core only.
 */
#include "base/panic.h"
#include "fs/disk.h"
#include "mm/frames.h"

#define BOUNCE_ORDER 3
#define BOUNCE_BYTES (PAGE_SIZE << BOUNCE_ORDER)
#define RANGE_BYTES_MAX (1u << 30)

bool disk_is_taken(const struct disk *d, uint64_t begin, uint64_t end, bool exclusive)
{
	for (unsigned i = 0; i < JOBS_MAX; i++) {
		const struct blkjob *j = &d->lane[0]->jobs[i];
		uint64_t from, to;

		if (!j->op || (!j->exclusive && (!exclusive || j->req.kind != BLK_WRITE)))
			continue;
		from = j->end ? j->begin : j->req.sector << 9;
		to = j->end ? j->end : from + j->req.len;
		if (begin < to && from < end)
			return true;
	}
	return false;
}

static void slow_answered(struct blk_req *r)
{
	struct blkjob *j = container_of(r, struct blkjob, req);

	j->out = false;
	op_wake(j->op);
}

static enum step slow_finish(struct disk *d, struct blkjob *j, int64_t moved)
{
	struct transfer *t = j->t;

	if (j->bounce)
		frame_put(j->bounce);
	if (j->exclusive)
		d->exclusive--;
	j->bounce = 0;
	j->exclusive = false;
	j->end = 0;
	job_give(j);
	return piece_done(t, (int32_t)moved);
}

/* Hands the request to the device and goes to `next`; stays in this phase while the queue is
 * full. */
static void slow_submit(struct disk *d, struct blkjob *j, uint8_t next, enum step *verdict)
{
	int result;

	j->req.status = 0;
	j->req.done = slow_answered;
	result = d->dev->submit(d->dev, &j->req);
	if (!result) {
		j->out = true;
		j->phase = next;
		*verdict = op_park_alone(j->op);
	} else if (result == -EAGAIN) {
		*verdict = op_park(j->op, &d->dev->room[0]);
	} else {
		*verdict = slow_finish(d, j, j->done ? (int64_t)j->done : result);
	}
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* The part of the piece that the next round is about. */
struct round {
	uint64_t block;	 /* byte offset of the first block, and */
	uint32_t blocks; /* bytes of whole blocks, at most BOUNCE_BYTES */
	uint32_t skip;	 /* bytes before the part, in the first block */
	uint32_t len;	 /* bytes of the part */
};

static struct round slow_round(const struct disk *d, const struct blkjob *j)
{
	uint64_t at = j->t->off + j->done;
	uint64_t last = j->t->off + j->len;
	struct round r;

	r.block = at & ~(uint64_t)d->block_mask;
	r.blocks = (uint32_t)min_of(j->end - r.block, (uint64_t)BOUNCE_BYTES);
	r.skip = (uint32_t)(at - r.block);
	r.len = (uint32_t)min_of(last - at, (uint64_t)r.blocks - r.skip);
	return r;
}

static void slow_fill(struct blkjob *j, uint8_t kind, const struct round *r)
{
	j->req.kind = kind;
	j->req.fua = j->t->fua;
	j->req.sector = r->block >> 9;
	j->req.pin = &j->pin;
	j->req.pin_off = 0;
	j->req.len = r->blocks;
}

static bool slow_needs_read(const struct disk *d, const struct blkjob *j, const struct round *r)
{
	return !j->t->write || ((r->skip | r->len) & d->block_mask);
}

/* True: the next phase may follow at once. False: *verdict is the answer. */
static bool slow_piece(struct disk *d, struct blkjob *j, enum step *verdict)
{
	struct round r = slow_round(d, j);
	char *bounce = arch_direct(j->bounce);

	switch ((enum slow_phase)j->phase) {
	case SLOW_READ:
		if (j->done == j->len) {
			*verdict = slow_finish(d, j, j->done);
			return false;
		}
		if (slow_needs_read(d, j, &r)) {
			slow_fill(j, BLK_READ, &r);
			slow_submit(d, j, SLOW_CHANGE, verdict);
			return false;
		}
		j->phase = SLOW_CHANGE;
		return true;
	case SLOW_CHANGE:
		if (j->t->write) {
			pin_copy_in(&j->t->pin, j->done, bounce + r.skip, r.len);
			slow_fill(j, BLK_WRITE, &r);
			slow_submit(d, j, SLOW_WRITTEN, verdict);
			return false;
		}
		pin_copy_out(&j->t->pin, j->done, bounce + r.skip, r.len);
		j->phase = SLOW_WRITTEN;
		return true;
	case SLOW_WRITTEN:
		j->done += r.len;
		j->phase = SLOW_READ;
		return true;
	case SLOW_RANGE:
	case SLOW_RANGE_DONE:
		break;
	}
	op_corrupt(j->op);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

static bool slow_range(struct disk *d, struct blkjob *j, enum step *verdict)
{
	uint64_t left = j->end - j->begin - j->at;
	uint32_t max = j->req.kind == BLK_DISCARD ? d->dev->discard_sectors_max
						  : d->dev->zeroes_sectors_max;

	if (j->phase == SLOW_RANGE_DONE) {
		j->at += j->req.len;
		j->phase = SLOW_RANGE;
		return true;
	}
	if (!left) {
		*verdict = slow_finish(d, j, 0);
		return false;
	}
	max = align_down((uint32_t)min_of((uint64_t)max << 9, (uint64_t)RANGE_BYTES_MAX),
			 d->block_mask + 1);
	if (!max) {
		*verdict = slow_finish(d, j, -EOPNOTSUPP);
		return false;
	}
	j->req.sector = (j->begin + j->at) >> 9;
	j->req.len = (uint32_t)min_of(left, (uint64_t)max);
	slow_submit(d, j, SLOW_RANGE_DONE, verdict);
	return false;
}

enum step slow_step(struct disk *d, struct op *op, struct transfer *t)
{
	struct blkjob *j = &d->lane[0]->jobs[t->job];
	enum step verdict = STEP_PARKED;
	bool range = j->phase >= SLOW_RANGE;

	kassert(j->op == op);
	if (j->out)
		return op_park_alone(op);
	if (j->req.status)
		return slow_finish(d, j, j->done ? (int64_t)j->done : j->req.status);
	while (range ? slow_range(d, j, &verdict) : slow_piece(d, j, &verdict))
		;
	return verdict;
}

/* ---- beginning ------------------------------------------------------------------------------- */

/* A job for [begin, end), or NULL with *verdict set. */
static struct blkjob *slow_take(struct disk *d, struct op *op, struct transfer *t, uint64_t begin,
				uint64_t end, bool exclusive, enum step *verdict)
{
	struct lane *l = d->lane[0];
	struct blkjob *j;

	if (exclusive && (!lanes_quiet(d) || disk_is_taken(d, begin, end, true))) {
		*verdict = piece_wait(op, t, &l->overlap);
		return NULL;
	}
	j = job_take(l, op, t);
	if (!j) {
		*verdict = piece_wait(op, t, &l->no_job);
		return NULL;
	}
	j->begin = begin;
	j->end = end;
	j->at = 0;
	j->done = 0;
	j->out = false;
	j->exclusive = exclusive;
	j->req.status = 0;
	d->exclusive += exclusive;
	t->job = (uint32_t)(j - l->jobs);
	t->started = PIECE_SLOW;
	return j;
}

enum step slow_begin_piece(struct disk *d, struct op *op, struct transfer *t, uint32_t len)
{
	uint64_t block = d->block_mask + 1ull;
	enum step verdict;
	struct blkjob *j = slow_take(d, op, t, align_down(t->off, block),
				     align_up(t->off + len, block), t->write, &verdict);

	if (!j)
		return verdict;
	j->len = len;
	j->phase = SLOW_READ;
	j->bounce = frame_alloc(BOUNCE_ORDER);
	if (!j->bounce)
		return slow_finish(d, j, -ENOMEM);
	j->pin.len = BOUNCE_BYTES;
	j->pin.first = 0;
	j->pin.pages = 1 << BOUNCE_ORDER;
	for (uint32_t i = 0; i < j->pin.pages; i++)
		j->pin.frame[i] = (uint32_t)(j->bounce >> PAGE_SHIFT) + i;
	return slow_step(d, op, t);
}

enum step slow_begin_range(struct disk *d, struct op *op, struct transfer *t, uint64_t len,
			   uint8_t kind, bool unmap)
{
	enum step verdict;
	struct blkjob *j = slow_take(d, op, t, t->off, t->off + len, true, &verdict);

	if (!j)
		return verdict;
	j->phase = SLOW_RANGE;
	j->req.kind = kind;
	j->req.unmap = unmap;
	j->req.fua = 0;
	return slow_step(d, op, t);
}
