/*
 * disk: what the two halves of block-device files share: the fast half (blkfile.c: whole blocks,
 * one request) and the slow one (blkslow.c: parts of blocks, ranges to zero: several requests in a
 * row).
 *
 * A disk belongs to the disk's core; each core that has a lane to the device (drivers/blk.h) has
 * jobs of its own and serves whole pieces by itself. A job is a request under way: it is taken from
 * the lane's pool when the request is made, and given back when the device has answered (fast) or
 * the whole piece is done (slow).
 *
 * Slow pieces are the disk's core's alone: operations that need one, or that write while one has
 * blocks for itself, are handed to it. Before it lets such a piece begin, it asks the other lanes
 * to write no more:
 *
 *   SHARED --a slow write wants its blocks--> ASKED --every lane's writes are done--> ALONE
 *     ^                                                                                 |
 *     +---------- none for ALONE_TURNS turns, or the core goes to sleep ---------------+
 */
#ifndef FS_DISK_H
#define FS_DISK_H

#include "drivers/blk.h"
#include "drivers/drivers.h"
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

enum disk_writers { WRITERS_SHARED, WRITERS_ASKED, WRITERS_ALONE };

struct disk;
struct lane;

struct blkjob {
	struct blk_req req;
	struct op *op;	      /* NULL: free */
	struct transfer *t;
	struct lane *lane;
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

/* One core's way to a disk. */
struct lane {
	/* set once at boot */
	struct disk *disk;
	struct blkjob *jobs;
	uint32_t index;

	/* its core only */
	struct blkjob *free;
	bool asked;		 /* to tell when its writes are done: quiet_mail */
	struct waitlist no_job;	 /* the pool was empty */
	struct waitlist overlap; /* blocks were taken; the disk's core only */
	struct waitlist leaving; /* to be handed to the disk's core at the end of the turn */
	struct device_poller poller; /* only where a disk has several lanes */

	struct mail quiet_mail; /* from the disk's core and back */
};

struct disk {
	/* set once at boot */
	struct blk_dev *dev;
	uint64_t size;	     /* bytes */
	uint32_t block_mask; /* block size - 1 */
	uint16_t minor;
	struct lane *lane[BLK_LANES_MAX]; /* 0 is the disk's core's */

	/* disk's core only */
	uint32_t exclusive;	 /* slow jobs that need their blocks for themselves */
	enum disk_writers writers;
	uint32_t quiet_awaited;	 /* lanes that have not answered yet */
	uint64_t alone_turn;	 /* the last turn in which that was wanted */

	/* any core, atomic: only the disk's core writes to the device. Set before the lanes are
	 * asked, so a lane that has answered sees it */
	_Atomic uint32_t alone;
};

/* The calling core's. */
static inline struct lane *lane_here(const struct disk *d)
{
	return d->lane[d->dev->lane_of[this_core()->index]];
}

/* A job for the op's piece; NULL: none is free. */
static inline struct blkjob *job_take(struct lane *l, struct op *op, struct transfer *t)
{
	struct blkjob *j = l->free;

	if (unlikely(!j))
		return NULL;
	l->free = j->next;
	j->op = op;
	j->t = t;
	return j;
}

/* lanes.c: the lane is asked, and perhaps this was its last write. */
void lane_quiet(struct lane *l);

static inline void job_give(struct blkjob *j)
{
	struct lane *l = j->lane;

	j->op = NULL;
	j->next = l->free;
	l->free = j;
	/* all: one that is woken may be cancelled, and then would not hand its turn on */
	if (unlikely(!list_is_empty(&l->no_job.ops)))
		waitlist_wake_all(&l->no_job);
	if (unlikely(!list_is_empty(&l->overlap.ops)))
		waitlist_wake_all(&l->overlap);
	if (unlikely(l->asked))
		lane_quiet(l);
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

/* ---- lanes.c: what concerns more than one of them */

/* Gives every lane of the disk its jobs. Boot. */
void lanes_init(struct disk *d);
/* Parks an op that has not begun until the turn ends; then it goes on on the disk's core. */
enum step lane_leave(struct lane *l, struct op *op);
/* Does nobody else write? If not, it has been asked for; disk->lane[0]->overlap is woken then. The
 * disk's core. */
bool lanes_quiet(struct disk *d);

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
