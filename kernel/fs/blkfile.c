/*
 * blkfile: block devices as files (/dev/vda, ...).
 *
 *   FRESH --request queued--> OUT --the device answers--> BACK --> done
 *     |  ^ parked while the queue is full
 *     +--+
 *
 * Bytes go between the program's frames and the device; there is no page cache. A piece made of
 * whole blocks is one request. Any other piece works too: it goes through bounce frames, block by
 * block, and a write reads the blocks it changes in part first while other writers of those blocks
 * wait (blkslow.c). Reading at the end gives 0, writing there -ENOSPC.
 *
 * Runs on a core that has a lane to the disk: an operation of another core is sent to one. What a
 * lane may not do alone it hands to the disk's core (disk.h). Slow pieces run there.
 */
#include <string.h>

#include "base/panic.h"
#include "fs/disk.h"
#include "mm/frames.h"

#define VIRTBLK_MAJOR 254

/* set once at boot; index as in blk_devs */
static struct disk *disks;

/* The device has answered a request that was a whole piece. */
static void piece_answered(struct blk_req *r)
{
	struct blkjob *j = container_of(r, struct blkjob, req);
	struct transfer *t = j->t;
	struct op *op = j->op;

	t->moved = r->status ? r->status : r->kind <= BLK_WRITE ? (int32_t)r->len : 0;
	t->started = PIECE_BACK;
	job_give(j);
	op_wake(op);
}

/* Hands the filled job to the device. */
static inline enum step piece_submit(struct disk *d, struct blkjob *j, struct op *op,
				     struct transfer *t)
{
	struct lane *l;
	int result;

	j->req.done = piece_answered;
	result = d->dev->submit(d->dev, &j->req);
	if (likely(!result)) {
		t->started = PIECE_OUT;
		return op_park_alone(op);
	}
	l = j->lane;
	job_give(j);
	if (result == -EAGAIN)
		return piece_wait(op, t, &d->dev->room[l->index]);
	return piece_done(t, result);
}

/* Not part of disk_transfer, which has no registers to save then when a piece is back. */
static noinline_fn enum step piece_begin(struct disk *d, struct op *op, struct transfer *t)
{
	struct lane *l = lane_here(d);
	uint64_t off = t->off;
	uint32_t len = t->pin.len;
	struct blkjob *j;

	if (unlikely(off >= d->size || !len))
		return piece_done(t, len && t->write ? -ENOSPC : 0);
	if (unlikely(len > d->size - off))
		len = (uint32_t)(d->size - off);
	if (unlikely(((uint32_t)off | len) & d->block_mask || t->pin.pages > d->dev->segments_max))
		return l->index ? lane_leave(l, op) : slow_begin_piece(d, op, t, len);
	if (t->write && l->index && atomic_load_explicit(&d->alone, memory_order_relaxed))
		return lane_leave(l, op);
	if (t->write && !l->index && unlikely(d->exclusive) &&
	    disk_is_taken(d, off, off + len, false))
		return piece_wait(op, t, &l->overlap);
	j = job_take(l, op, t);
	if (unlikely(!j))
		return piece_wait(op, t, &l->no_job);
	j->req.kind = t->write ? BLK_WRITE : BLK_READ;
	j->req.fua = t->fua;
	j->req.sector = off >> 9;
	j->req.pin = &t->pin;
	j->req.pin_off = 0;
	j->req.len = len;
	return piece_submit(d, j, op, t);
}

/* What every call of a disk's operation does before it is its first. True: `*verdict` is the
 * answer. */
static inline bool piece_goes_on(struct disk *d, struct op *op, struct transfer *t,
				 enum step *verdict)
{
	switch ((enum piece)t->started) {
	case PIECE_FRESH:
		return false;
	case PIECE_OUT:
		*verdict = op_park_alone(op);
		return true;
	case PIECE_BACK:
		t->started = PIECE_FRESH;
		*verdict = STEP_DONE;
		return true;
	case PIECE_SLOW:
		*verdict = slow_step(d, op, t);
		return true;
	}
	op_corrupt(op);
}

static enum step disk_transfer(struct file *f, struct op *op, struct transfer *t)
{
	struct disk *d = fs_file_of(f)->disk;
	enum step verdict;

	if (piece_goes_on(d, op, t, &verdict))
		return verdict;
	t->fua |= fs_file_of(f)->sync;
	return piece_begin(d, op, t);
}

/* A piece that is parked for room has nothing to undo; one that the device has must come back by
 * itself. */
static int disk_transfer_cancel(struct file *f, struct op *op, struct transfer *t)
{
	(void)f, (void)op;
	return t->started == PIECE_FRESH ? 0 : -EALREADY;
}

static enum step disk_flush(struct file *f, struct op *op, struct transfer *t)
{
	struct disk *d = fs_file_of(f)->disk;
	struct lane *l = lane_here(d);
	enum step verdict;
	struct blkjob *j;

	if (piece_goes_on(d, op, t, &verdict))
		return verdict;
	if (!d->dev->has_flush)
		return piece_done(t, 0);
	j = job_take(l, op, t);
	if (!j)
		return piece_wait(op, t, &l->no_job);
	j->req.kind = BLK_FLUSH;
	j->req.fua = 0;
	j->req.len = 0;
	return piece_submit(d, j, op, t);
}

static enum step disk_discard(struct file *f, struct op *op, struct transfer *t, uint64_t len,
			      uint32_t mode)
{
	struct disk *d = fs_file_of(f)->disk;
	uint32_t keep = mode & ~FALLOC_FL_KEEP_SIZE;
	enum step verdict;

	if (piece_goes_on(d, op, t, &verdict))
		return verdict;
	if (!(atomic_load_explicit(&f->flags, memory_order_relaxed) & FILE_WRITABLE))
		return piece_done(t, -EBADF);
	if (!len || t->off + len < len || t->off + len > d->size ||
	    ((t->off | len) & d->block_mask))
		return piece_done(t, -EINVAL);
	switch (keep) {
	case FALLOC_FL_ZERO_RANGE:
		return slow_begin_range(d, op, t, len, BLK_ZEROES, false);
	/* reads as zeros afterwards, and gives the space back if the device can */
	case FALLOC_FL_PUNCH_HOLE:
		return slow_begin_range(d, op, t, len, BLK_ZEROES, d->dev->zeroes_may_unmap);
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_NO_HIDE_STALE: /* only forgets */
		return slow_begin_range(d, op, t, len, BLK_DISCARD, false);
	}
	return piece_done(t, -EOPNOTSUPP);
}

/* Whole pieces and flushes need no particular lane. */
static uint32_t disk_place(struct file *f, uint32_t core)
{
	return blk_place(fs_file_of(f)->disk->dev, core);
}

static int disk_stat(struct file *f, struct statx *st)
{
	struct disk *d = fs_file_of(f)->disk;

	/* The size of a block device is given here too: there is no lseek to find it with. */
	fs_stat_common(st, S_IFBLK | (d->dev->read_only ? 0440 : 0660), 100u + d->minor, d->size);
	st->stx_rdev_major = VIRTBLK_MAJOR;
	st->stx_rdev_minor = d->minor * 16u;
	st->stx_mask |= STATX_DIOALIGN;
	st->stx_dio_mem_align = 1;
	st->stx_dio_offset_align = d->block_mask + 1;
	return 0;
}

static int64_t disk_control(struct file *f, struct aspace *as, uint32_t cmd, uint64_t arg)
{
	struct disk *d = fs_file_of(f)->disk;
	uint32_t block_size = d->block_mask + 1;

	switch (cmd) {
	case BLKGETSIZE64:
		return user_write(as, arg, &d->size, sizeof(d->size));
	case BLKSSZGET:
		return user_write(as, arg, &block_size, sizeof(block_size));
	case BLKFLSBUF:
		return 0; /* no block is kept, whose writing or forgetting it could ask for */
	}
	return -ENOTTY;
}

static void disk_free(struct file *f)
{
	fs_file_release(fs_file_of(f));
}

static const struct file_ops disk_ops = {
	.name = "disk",
	.place = disk_place,
	.transfer = disk_transfer,
	.transfer_cancel = disk_transfer_cancel,
	.flush = disk_flush,
	.discard = disk_discard,
	.stat = disk_stat,
	.free = disk_free,
	.control = disk_control,
};

int disk_open(const char *name, uint32_t oflags, struct fs_file **out)
{
	struct disk *d = NULL;

	for (unsigned i = 0; i < blk_count; i++)
		if (!strcmp(blk_devs[i]->name, name))
			d = &disks[i];
	if (!d)
		return -ENOENT;
	if (d->dev->read_only && (oflags & O_ACCMODE) != O_RDONLY)
		return -EROFS;
	*out = fs_file_alloc(&disk_ops, S_IFBLK, oflags);
	if (!*out)
		return -ENFILE;
	(*out)->disk = d;
	(*out)->sync = (oflags & O_DSYNC) != 0; /* O_SYNC contains it */
	(*out)->file.core = d->dev->core;
	atomic_fetch_or_explicit(&(*out)->file.flags, FILE_SEEKABLE, memory_order_relaxed);
	return 0;
}

static void disk_init(struct disk *d, uint16_t minor)
{
	d->dev = blk_devs[minor];
	d->minor = minor;
	d->block_mask = d->dev->block_size - 1;
	d->size = align_down(d->dev->sectors << 9, (uint64_t)d->dev->block_size);
	lanes_init(d);
}

void disks_init(void)
{
	if (!blk_count)
		return;
	disks = frames_boot_alloc(sizeof(*disks) * blk_count);
	for (unsigned i = 0; i < blk_count; i++)
		disk_init(&disks[i], (uint16_t)i);
}
