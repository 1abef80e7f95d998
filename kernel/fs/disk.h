/*
 * disk: what the two halves of block-device files share: the fast half (blkfile.c: whole blocks,
 * one request) and the slow one (blkslow.c: parts of blocks, ranges to zero: several requests in a
 * row).
 *
 * A disk and its jobs belong to the disk's core. A job is a request under way: it is taken from the
 * disk's pool when the request is made, and given back when the device has answered (fast) or the
 * whole piece is done (slow).
 */
#ifndef FS_DISK_H
#define FS_DISK_H

#include "drivers/blk.h"
#include "fs/internal.h"

#define JOBS_MAX 272u

/* transfer.started: where the piece is */
enum piece {
	PIECE_FRESH, /* nothing done, or parked for room */
	PIECE_OUT,   /* one request, with the device */
	PIECE_BACK,  /* answered; `moved` is final */
	PIECE_SLOW,  /* a slow job, disk->jobs[t->job] */
};

enum slow_phase { SLOW_READ, SLOW_CHANGE, SLOW_WRITTEN, SLOW_RANGE, SLOW_RANGE_DONE };

struct disk;

struct blkjob {
	struct blk_req req;
	struct op *op;	      /* NULL: free */
	struct transfer *t;
	struct disk *disk;
	struct blkjob *next;  /* free list */

	/* slow jobs only */
	uint64_t begin, end;  /* bytes of the disk this job is about, whole blocks */
	uint64_t at;	      /* ranges: bytes from `begin` on that are done */
	paddr_t bounce;	      /* block of frames, 0: none */
	struct pin pin;	      /* of the bounce frames */
	uint32_t len;	      /* bytes of the piece, and */
	uint32_t done;	      /* of these moved */
	uint8_t phase;
	bool out;	      /* the request is with the device */
	bool exclusive;	      /* nobody else may write [begin, end) meanwhile */
};

struct disk {
	/* set once at boot */
	struct blk_dev *dev;
	uint64_t size;	     /* bytes */
	uint32_t block_mask; /* block size - 1 */
	uint16_t minor;
	struct blkjob *jobs;

	/* owner core only */
	struct blkjob *free;
	uint32_t exclusive;	 /* slow jobs that need their blocks for themselves */
	struct waitlist no_job;	 /* the pool was empty */
	struct waitlist overlap; /* blocks were taken */
};

/* A job for the op's piece; NULL: none is free. */
static inline struct blkjob *job_take(struct disk *d, struct op *op, struct transfer *t)
{
	struct blkjob *j = d->free;

	if (unlikely(!j))
		return NULL;
	d->free = j->next;
	j->op = op;
	j->t = t;
	return j;
}

static inline void job_give(struct disk *d, struct blkjob *j)
{
	j->op = NULL;
	j->next = d->free;
	d->free = j;
	/* all: one that is woken may be cancelled, and then would not hand its turn on */
	if (unlikely(!list_is_empty(&d->no_job.ops)))
		waitlist_wake_all(&d->no_job);
	if (unlikely(!list_is_empty(&d->overlap.ops)))
		waitlist_wake_all(&d->overlap);
}

/* Waits for `w`, or answers -EAGAIN if the piece must not wait. */
static inline enum step piece_wait(struct op *op, struct transfer *t, struct waitlist *w)
{
	if (t->nonblock) {
		t->moved = -EAGAIN;
		return STEP_DONE;
	}
	return op_park(op, w);
}

static inline enum step piece_done(struct transfer *t, int32_t moved)
{
	t->started = PIECE_FRESH;
	t->moved = moved;
	return STEP_DONE;
}

/* Would writing [begin, end) disturb an exclusive job, or (for an exclusive job) any write under
 * way? */
bool disk_is_taken(const struct disk *d, uint64_t begin, uint64_t end, bool exclusive);

/* Begins a slow job: a piece that does not consist of whole blocks, or of too many pieces of
 * memory; `len` bytes. */
enum step slow_begin_piece(struct disk *d, struct op *op, struct transfer *t, uint32_t len);
/* Begins zeroing or forgetting [t->off, +len). */
enum step slow_begin_range(struct disk *d, struct op *op, struct transfer *t, uint64_t len,
			   uint8_t kind, bool unmap);
/* Goes on with it: every later call of transfer or discard. */
enum step slow_step(struct disk *d, struct op *op, struct transfer *t);

#endif
