/*
 * blk: a host file as disk "vda". One thread does the host's calls, oldest request first, so a
 * flush covers every write that was done before it.
 *
 *   submit --> batch (owner core only) --flush--> todo (atomic stack) -->
 *   the disk's thread --> done (atomic stack) --> poll
 *
 * A request's driver[0] links it in either stack. At most BLK_DEPTH requests are out; then submit
 * answers -EAGAIN and `room` is woken when one comes back.
 */
#include "drivers/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "arch/hosted/hosted.h"
#include "base/print.h"
#include "drivers/hosted/hosted_drivers.h"

#define BLK_DEPTH 256u
#define SECTOR 512u

struct hosted_blk {
	/* owner core only */
	struct blk_dev dev;
	struct device_poller poller;
	struct blk_req *batch; /* submitted since the last flush, newest first */
	unsigned out;

	/* both, atomic; push (release) pairs with take (acquire) */
	struct blk_req *_Atomic todo;
	struct blk_req *_Atomic done;
	_Atomic uint32_t idle; /* the thread waits for `todo` */

	/* set once */
	int fd;
};

static struct hosted_blk disk;

/* ---- stacks of requests ---------------------------------------------------------------------- */

static struct blk_req *req_next(const struct blk_req *r)
{
	return (struct blk_req *)(uintptr_t)r->driver[0];
}

static void req_link(struct blk_req *r, struct blk_req *next)
{
	r->driver[0] = (uintptr_t)next;
}

/* Pushes the chain newest..oldest. */
static void stack_push(struct blk_req *_Atomic *stack, struct blk_req *newest,
		       struct blk_req *oldest)
{
	struct blk_req *top = atomic_load_explicit(stack, memory_order_relaxed);

	do
		req_link(oldest, top);
	while (!atomic_compare_exchange_weak_explicit(stack, &top, newest, memory_order_release,
						      memory_order_relaxed));
}

/* Everything on it, oldest first. */
static struct blk_req *stack_take(struct blk_req *_Atomic *stack)
{
	struct blk_req *r = atomic_exchange_explicit(stack, NULL, memory_order_acquire),
		       *oldest = NULL;

	while (r) {
		struct blk_req *next = req_next(r);

		req_link(r, oldest);
		oldest = r;
		r = next;
	}
	return oldest;
}

/* ---- the disk's thread ----------------------------------------------------------------------- */

static int32_t status_of(int err)
{
	return err == ENOSPC || err == EDQUOT ? -ENOSPC : err == EOPNOTSUPP ? -EOPNOTSUPP : -EIO;
}

/* Moves all bytes, piece by piece if the host wants it so. */
static int32_t do_transfer(const struct blk_req *r)
{
	struct iovec piece[PIN_PAGES_MAX];
	uint32_t done = 0;

	while (done < r->len) {
		off_t at = (off_t)(r->sector * SECTOR + done);
		int count = 0;
		uint32_t off = done;
		ssize_t n;

		while (off < r->len && count < PIN_PAGES_MAX) {
			uint32_t run;
			void *p = pin_view(r->pin, r->pin_off + off, &run);

			run = min_of(run, r->len - off);
			piece[count++] = (struct iovec){ p, run };
			off += run;
		}
		n = r->kind == BLK_READ ? preadv(disk.fd, piece, count, at)
					: pwritev(disk.fd, piece, count, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? status_of(errno) : -EIO; /* the file has become shorter */
		done += (uint32_t)n;
	}
	if (r->kind == BLK_WRITE && r->fua && fdatasync(disk.fd))
		return -EIO;
	return 0;
}

static int32_t do_fallocate(const struct blk_req *r, int mode)
{
	return fallocate(disk.fd, mode, (off_t)(r->sector * SECTOR), r->len) ? status_of(errno) : 0;
}

/* Zeroes by writing them, for file systems without a shorter way. */
static int32_t do_write_zeroes(const struct blk_req *r)
{
	static const char zeroes[65536];
	uint32_t done = 0;

	while (done < r->len) {
		ssize_t n = pwrite(disk.fd, zeroes, min_of((size_t)(r->len - done), sizeof(zeroes)),
				   (off_t)(r->sector * SECTOR + done));

		if (n <= 0)
			return status_of(errno);
		done += (uint32_t)n;
	}
	return 0;
}

static int32_t do_zeroes(const struct blk_req *r)
{
	int32_t status = do_fallocate(r, r->unmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
						  : FALLOC_FL_ZERO_RANGE);

	return status == -EOPNOTSUPP ? do_write_zeroes(r) : status;
}

static int32_t do_request(const struct blk_req *r)
{
	switch ((enum blk_kind)r->kind) {
	case BLK_READ:
	case BLK_WRITE:
		return do_transfer(r);
	case BLK_FLUSH:
		return fdatasync(disk.fd) ? -EIO : 0;
	case BLK_DISCARD:
		return do_fallocate(r, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	case BLK_ZEROES:
		return do_zeroes(r);
	}
	return -EOPNOTSUPP;
}

static void *blk_thread(void *arg)
{
	(void)arg;
	for (;;) {
		struct blk_req *r = stack_take(&disk.todo), *next;

		if (!r) {
			atomic_store(&disk.idle, 1); /* pairs with blk_flush: todo, then idle */
			if (!atomic_load(&disk.todo))
				hosted_word_wait(&disk.idle, 1);
			atomic_store(&disk.idle, 0);
			continue;
		}
		for (; r; r = next) {
			next = req_next(r);
			r->status = do_request(r);
			stack_push(&disk.done, r, r);
			arch_doorbell(disk.dev.core);
		}
	}
	return NULL;
}

/* ---- owner core ------------------------------------------------------------------------------ */

static int blk_check(const struct blk_dev *d, const struct blk_req *r)
{
	if (r->kind > BLK_ZEROES)
		return -EOPNOTSUPP;
	if (r->kind == BLK_FLUSH)
		return 0;
	if (r->len % SECTOR || r->sector > d->sectors || r->len / SECTOR > d->sectors - r->sector)
		return -EINVAL;
	if (d->read_only && r->kind != BLK_READ)
		return -EIO;
	return 0;
}

static int blk_submit(struct blk_dev *d, struct blk_req *r)
{
	int err = blk_check(d, r);

	if (err)
		return err;
	if (disk.out == BLK_DEPTH)
		return -EAGAIN;
	disk.out++;
	req_link(r, disk.batch);
	disk.batch = r;
	this_core()->count->blk_requests++;
	return 0;
}

static void blk_flush(struct device_poller *p)
{
	struct blk_req *oldest = disk.batch;

	(void)p;
	if (!oldest)
		return;
	while (req_next(oldest))
		oldest = req_next(oldest);
	stack_push(&disk.todo, disk.batch, oldest);
	disk.batch = NULL;
	atomic_thread_fence(memory_order_seq_cst); /* pairs with blk_thread: idle, then todo */
	if (atomic_load_explicit(&disk.idle, memory_order_relaxed) &&
	    atomic_exchange(&disk.idle, 0)) {
		this_core()->count->blk_kicks++;
		hosted_word_wake(&disk.idle);
	}
}

static unsigned blk_poll(struct device_poller *p)
{
	struct blk_req *r, *next;
	unsigned n = 0;

	(void)p;
	if (likely(!atomic_load_explicit(&disk.done, memory_order_relaxed)))
		return 0;
	for (r = stack_take(&disk.done); r; r = next, n++) {
		next = req_next(r);
		if (r->status)
			this_core()->count->blk_errors++;
		disk.out--;
		r->done(r);
	}
	waitlist_wake_all(disk.dev.room);
	return n;
}

static bool blk_arm(struct device_poller *p)
{
	blk_flush(p);
	return atomic_load_explicit(&disk.done, memory_order_relaxed) != NULL;
}

/* ---- start ----------------------------------------------------------------------------------- */

static noreturn_fn void blk_refuse(const char *name, const char *why)
{
	fprintf(stderr, "sluice: disk %s: %s\n", name, why);
	arch_poweroff(2);
}

void hosted_blk_init(unsigned core)
{
	const char *name = hosted_options.disk;
	off_t bytes;

	disk.fd = open(name, O_RDWR | O_CLOEXEC);
	if (disk.fd < 0 && (errno == EACCES || errno == EROFS)) {
		disk.dev.read_only = true;
		disk.fd = open(name, O_RDONLY | O_CLOEXEC);
	}
	if (disk.fd < 0)
		blk_refuse(name, strerror(errno));
	bytes = lseek(disk.fd, 0, SEEK_END);
	if (bytes < (off_t)SECTOR)
		blk_refuse(name, "is no file or device of at least 512 bytes");
	strcpy(disk.dev.name, "vda");
	disk.dev.sectors = (uint64_t)bytes / SECTOR;
	disk.dev.core = core;
	disk.dev.block_size = SECTOR;
	disk.dev.discard_sectors_max = 1u << 22;
	disk.dev.zeroes_sectors_max = 1u << 22;
	disk.dev.segments_max = PIN_PAGES_MAX;
	disk.dev.has_flush = true;
	disk.dev.submit = blk_submit;
	disk.dev.driver = &disk;
	disk.poller =
		(struct device_poller){ .poll = blk_poll, .flush = blk_flush, .arm = blk_arm };
	blk_add(&disk.dev);
	device_poller_add(core, &disk.poller);
	hosted_thread_start("disk", blk_thread, NULL);
	kprint("vda: host file %s, %llu sectors%s, core %u\n", name,
	       (unsigned long long)disk.dev.sectors, disk.dev.read_only ? ", read-only" : "", core);
}
