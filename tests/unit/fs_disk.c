/*
 * Is a disk byte-exact as a file, whatever is asked for at the same time?
 *
 * The disk below is played by this file: memory, a short queue that fills up, answers in any order,
 * errors on demand.
 */
#include "lib/unit.h"

#include "drivers/blk.h"
#include "fs/fs.h"
#include "mm/frames.h"
#include "uapi/errno.h"
#include "uapi/fs.h"

#define DISK_BYTES (512u << 10)
#define QUEUE_MAX 7
#define OPS_MAX 320

/* ---- the disk -------------------------------------------------------------------------------- */

static struct {
	struct blk_dev dev;
	char bytes[DISK_BYTES];
	struct blk_req *queue[QUEUE_MAX];
	unsigned count;
	unsigned requests, flushes, fuas, longest_pieces;
	uint64_t bad_sector; /* requests that touch it fail; UINT64_MAX: none */
	bool stalled;	     /* takes nothing: the queue is full */
} fake;

static int fake_submit(struct blk_dev *d, struct blk_req *r)
{
	(void)d;
	if (fake.count == QUEUE_MAX || fake.stalled)
		return -EAGAIN;
	if (r->kind <= BLK_WRITE) {
		assert_true(r->len && r->len % d->block_size == 0 &&
			    r->sector * 512 % d->block_size == 0);
		assert_true(r->pin_off + r->len <= r->pin->len || r->pin->pages);
	}
	if (r->kind != BLK_FLUSH)
		assert_true(r->sector * 512 + r->len <= DISK_BYTES);
	fake.queue[fake.count++] = r;
	fake.requests++;
	return 0;
}

static void fake_serve(struct blk_req *r)
{
	char *at = fake.bytes + r->sector * 512;

	r->status = 0;
	if (fake.bad_sector - r->sector < r->len / 512) {
		r->status = -EIO;
		return;
	}
	switch ((enum blk_kind)r->kind) {
	case BLK_READ:
		pin_copy_out(r->pin, r->pin_off, at, r->len);
		break;
	case BLK_WRITE:
		pin_copy_in(r->pin, r->pin_off, at, r->len);
		fake.fuas += r->fua;
		break;
	case BLK_FLUSH:
		fake.flushes++;
		break;
	case BLK_DISCARD:
		memset(at, 0xdd, r->len);
		break;
	case BLK_ZEROES:
		memset(at, 0, r->len);
		break;
	}
}

/* Answers some of what is queued, in any order. */
static void fake_answer(unsigned n)
{
	while (n-- && fake.count) {
		unsigned k = (unsigned)(unit_random() % fake.count);
		struct blk_req *r = fake.queue[k];

		fake.queue[k] = fake.queue[--fake.count];
		fake_serve(r);
		r->done(r);
	}
	waitlist_wake_all(fake.dev.room);
}

/* ---- operations on it ------------------------------------------------------------------------ */

enum what { TRANSFER, FLUSH, DISCARD };

struct body {
	struct transfer t;
	struct work *w;
};

static struct work {
	struct op *op;
	enum what what;
	uint64_t len; /* DISCARD */
	uint32_t mode;
	paddr_t block; /* order 5, or 0 */
	bool done;
	int32_t res;
} work[OPS_MAX];

static struct file *disk;
static unsigned running;

static enum step work_step(struct op *op)
{
	struct body *b = op_body(op, struct body);
	enum step v = STEP_DONE;

	if ((op->flags & OP_CANCELLED) && !b->t.started)
		return op_finish(op, -ECANCELED);
	switch (b->w->what) {
	case TRANSFER:
		v = disk->ops->transfer(disk, op, &b->t);
		break;
	case FLUSH:
		v = disk->ops->flush(disk, op, &b->t);
		break;
	case DISCARD:
		v = disk->ops->discard(disk, op, &b->t, b->w->len, b->w->mode);
		break;
	}
	return v == STEP_PARKED ? v : op_finish(op, b->t.moved);
}

static int work_cancel(struct op *op)
{
	struct body *b = op_body(op, struct body);
	int err = disk->ops->transfer_cancel(disk, op, &b->t);

	if (!err)
		op_wake(op);
	return err;
}

static const struct op_row work_row = { .name = "work", .step = work_step, .cancel = work_cancel };

static void work_done(struct op *op)
{
	struct work *w = op_body(op, struct body)->w;

	assert_false(w->done);
	w->done = true;
	w->res = op->res;
	running--;
	op_free(this_core(), op);
}

/* Prepares work `i`; its memory is `len` bytes at `first` of a block of frames, its pages in
 * reverse if `scatter`. */
static struct body *work_make(unsigned i, bool write, uint64_t off, uint32_t first, uint32_t len,
			      bool scatter)
{
	struct work *w = &work[i];
	struct op *op = op_alloc(this_core());
	struct body *b = op_body(op, struct body);

	memset(w, 0, sizeof(*w));
	memset(b, 0, sizeof(*b));
	op->row = &work_row;
	w->op = op;
	b->w = w;
	b->t.off = off;
	b->t.write = write;
	b->t.pin.first = (uint16_t)first;
	b->t.pin.len = len;
	b->t.pin.pages = (uint8_t)((first + len + PAGE_SIZE - 1) >> PAGE_SHIFT);
	if (len)
		w->block = frame_alloc(5);
	for (unsigned p = 0; p < b->t.pin.pages; p++)
		b->t.pin.frame[p] = (uint32_t)(w->block >> PAGE_SHIFT) +
				    (scatter ? b->t.pin.pages - 1 - p : p);
	return b;
}

static void work_start(unsigned i)
{
	running++;
	op_run(work[i].op);
}

static void work_free(unsigned i)
{
	if (work[i].block)
		frame_put(work[i].block);
	work[i].block = 0;
}

static void turn(void)
{
	while (this_core()->part[PART_OPS]->run(this_core()))
		;
}

static void run_all(void)
{
	turn();
	while (running) {
		fake_answer(1 + (unsigned)(unit_random() % QUEUE_MAX));
		turn();
	}
}

static int32_t work_alone(bool write, uint64_t off, uint32_t len)
{
	work_make(0, write, off, 0, len, false);
	work_start(0);
	run_all();
	work_free(0);
	return work[0].res;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static char model[DISK_BYTES];

/* One round: the disk is cut at random places; every piece is read or written at once, with
 * everything else. */
static void round_of(unsigned pieces, uint32_t max)
{
	static struct {
		uint64_t off;
		uint32_t len;
		bool write;
	} piece[OPS_MAX];
	uint64_t at = unit_random() % 5000;
	unsigned n = 0;

	while (n < pieces && at < DISK_BYTES) {
		uint32_t len = 1 + (uint32_t)(unit_random() % max),
			 first = (uint32_t)(unit_random() % PAGE_SIZE);
		struct body *b;

		if (unit_random() % 4 == 0) { /* whole blocks now and then */
			at = align_up(at, 4096ull);
			len = align_up(len, 4096u);
		}
		len = (uint32_t)min_of((uint64_t)len, DISK_BYTES - at);
		if (!len)
			break;
		if (first + len > PIN_BYTES_MAX)
			first = 0;
		piece[n].off = at;
		piece[n].len = len;
		piece[n].write = unit_random() % 3 != 0;
		b = work_make(n, piece[n].write, at, first, len, unit_random() % 2);
		for (uint32_t i = 0; i < len && piece[n].write; i++) {
			model[at + i] = (char)unit_random();
			pin_copy_out(&b->t.pin, i, &model[at + i], 1);
		}
		at += len + (unit_random() % 2 ? unit_random() % 3000 : 0);
		n++;
	}
	for (unsigned i = 0; i < n; i++) {
		work_start(i);
		if (unit_random() % 8 == 0)
			fake_answer(1);
	}
	/* operations go back to their pool when they end: what they read is in their frames */
	run_all();
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(work[i].res, piece[i].len);
		work_free(i);
	}
	assert_memory_equal(fake.bytes, model, DISK_BYTES);
}

/* Do neighbours within one block leave each other alone, over many rounds, and is no frame lost? */
static void writes_are_byte_exact(void **state)
{
	(void)state;
	memcpy(model, fake.bytes, DISK_BYTES);
	for (unsigned i = 0; i < 60; i++) {
		round_of(200, 300);
		round_of(100, 5000);
		round_of(20, 65000);
	}
}

/* Does a read give what is there, from any place, into any place? */
static void reads_are_byte_exact(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		uint32_t len = 1 + (uint32_t)(unit_random() % 60000),
			 first = (uint32_t)(unit_random() % 4096);
		uint64_t off = unit_random() % (DISK_BYTES - len);
		struct pin pin;
		struct body *b = work_make(0, false, off, first, len, true);

		pin = b->t.pin;
		work_start(0);
		run_all();
		assert_int_equal(work[0].res, len);
		for (uint32_t at = 0; at < len; at++) {
			char c;

			pin_copy_in(&pin, at, &c, 1);
			assert_int_equal(c, fake.bytes[off + at]);
		}
		work_free(0);
	}
}

/* What happens at the end, behind it, and with nothing? */
static void ends_of_the_disk(void **state)
{
	(void)state;
	assert_int_equal(work_alone(false, DISK_BYTES, 512), 0);
	assert_int_equal(work_alone(false, DISK_BYTES + 999999, 1), 0);
	assert_int_equal(work_alone(true, DISK_BYTES, 512), -ENOSPC);
	assert_int_equal(work_alone(true, UINT64_MAX - 10, 100), -ENOSPC);
	assert_int_equal(work_alone(false, DISK_BYTES - 4096, 8192), 4096);
	assert_int_equal(work_alone(false, DISK_BYTES - 100, 8192), 100);
	assert_int_equal(work_alone(true, DISK_BYTES - 100, 8192), 100);
	assert_int_equal(work_alone(false, 0, 0), 0);
	assert_int_equal(work_alone(true, 77, 0), 0);
}

/* Does an error reach the operation, and partial progress win over it? */
static void errors_arrive(void **state)
{
	(void)state;
	fake.bad_sector = 16;
	assert_int_equal(work_alone(false, 8192, 4096), -EIO);
	assert_int_equal(work_alone(true, 8192, 4096), -EIO);
	assert_int_equal(work_alone(true, 8200, 10), -EIO);
	assert_int_equal(work_alone(false, 12288, 4096), 4096);
	fake.bad_sector = 64;
	assert_int_equal(work_alone(false, 1, 65535), 32767); /* the second bounce fails */
	fake.bad_sector = UINT64_MAX;
	assert_int_equal(work_alone(true, 8200, 10), 10);
}

/* Is a full queue waited for, answered with EAGAIN when told not to wait, and left when
 * cancelled? */
static void full_queue(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct body *b = work_make(i, false, i * 4096ull, 0, 4096, false);

		b->t.nonblock = i == 19;
		work_start(i);
	}
	turn();
	assert_true(work[19].done);
	assert_int_equal(work[19].res, -EAGAIN);
	assert_int_equal(op_cancel(work[10].op), 0);
	assert_int_equal(op_cancel(work[0].op), -EALREADY);
	turn();
	assert_true(work[10].done);
	assert_int_equal(work[10].res, -ECANCELED);
	run_all();
	for (unsigned i = 0; i < 20; i++) {
		if (i != 19 && i != 10)
			assert_int_equal(work[i].res, 4096);
		work_free(i);
	}
}

/* Do flush and FUA reach the device? */
static void flush_and_fua(void **state)
{
	struct body *b;

	(void)state;
	fake.flushes = fake.fuas = 0;
	work_make(0, true, 0, 0, 0, false);
	work[0].what = FLUSH;
	work_start(0);
	run_all();
	assert_int_equal(work[0].res, 0);
	assert_int_equal(fake.flushes, 1);
	b = work_make(0, true, 0, 0, 4096, false);
	b->t.fua = 1;
	work_start(0);
	run_all();
	work_free(0);
	b = work_make(0, true, 5, 0, 7, false);
	b->t.fua = 1;
	work_start(0);
	run_all();
	work_free(0);
	assert_int_equal(fake.fuas, 2);
}

/* Is every write through a file opened with O_DSYNC or O_SYNC durable, and no other? */
static void sync_files(void **state)
{
	struct file *plain = disk;

	(void)state;
	fake.fuas = 0;
	assert_int_equal(work_alone(true, 0, 4096), 4096);
	assert_int_equal(fake.fuas, 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(fs_open("/dev/vda", O_RDWR | (i ? O_SYNC : O_DSYNC), 0, &disk), 0);
		assert_int_equal(work_alone(true, 0, 4096), 4096);
		assert_int_equal(work_alone(true, 3, 100), 100);
		file_put(disk);
	}
	disk = plain;
	assert_int_equal(fake.fuas, 4);
}

/* Does everybody get a request in the end when there are more operations than requests, and some
 * are cancelled? */
static void more_than_requests(void **state)
{
	unsigned cancelled = 0;

	(void)state;
	fake.stalled = true;
	for (unsigned i = 0; i < OPS_MAX; i++) {
		work_make(i, i % 16 == 0, i * 600ull + 7, 0, 50, false);
		work_start(i);
		turn();
	}
	for (unsigned i = 0; i < OPS_MAX; i += 3)
		cancelled += !op_cancel(work[i].op);
	assert_true(cancelled > 0);
	fake.stalled = false;
	run_all();
	for (unsigned i = 0; i < OPS_MAX; i++) {
		assert_true(work[i].res == 50 || work[i].res == -ECANCELED);
		cancelled -= work[i].res == -ECANCELED;
		work_free(i);
	}
	assert_int_equal(cancelled, 0);
}

static int32_t range(uint64_t off, uint64_t len, uint32_t mode)
{
	work_make(0, true, off, 0, 0, false);
	work[0].what = DISCARD;
	work[0].len = len;
	work[0].mode = mode;
	work_start(0);
	run_all();
	return work[0].res;
}

/* Are ranges zeroed in as many requests as it takes, and senseless ones refused? */
static void ranges(void **state)
{
	(void)state;
	memset(fake.bytes, 1, DISK_BYTES);
	fake.requests = 0;
	assert_int_equal(range(4096, 40 * 4096, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE), 0);
	assert_int_equal(fake.requests, 3); /* 16 blocks at a time */
	for (unsigned i = 0; i < 43 * 4096; i++)
		assert_int_equal(fake.bytes[i], i >= 4096 && i < 41 * 4096 ? 0 : 1);
	assert_int_equal(range(0, 4096, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE), 0);
	assert_int_equal(fake.bytes[0], 0);
	assert_int_equal(range(0, 100, FALLOC_FL_ZERO_RANGE), -EINVAL);
	assert_int_equal(range(100, 4096, FALLOC_FL_ZERO_RANGE), -EINVAL);
	assert_int_equal(range(0, 0, FALLOC_FL_ZERO_RANGE), -EINVAL);
	assert_int_equal(range(DISK_BYTES, 4096, FALLOC_FL_ZERO_RANGE), -EINVAL);
	assert_int_equal(range(UINT64_MAX - 4095, 8192, FALLOC_FL_ZERO_RANGE), -EINVAL);
	assert_int_equal(range(0, 4096, 0), -EOPNOTSUPP);
	assert_int_equal(range(0, 4096, FALLOC_FL_INSERT_RANGE), -EOPNOTSUPP);
	fake.dev.discard_sectors_max = 0;
	assert_int_equal(range(0, 4096, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_NO_HIDE_STALE),
			 -EOPNOTSUPP);
}

static int setup(void **state)
{
	(void)state;
	unit_kernel(128, 2, "map=0:kernel+io+net,1:user");
	executor_init(this_core(), 512);
	op_done_hook = work_done;
	fake.dev = (struct blk_dev){ .name = "vda",
				     .sectors = DISK_BYTES / 512 + 3,
				     .block_size = 4096,
				     .discard_sectors_max = 8 * 16,
				     .zeroes_sectors_max = 8 * 16,
				     .segments_max = 5,
				     .has_flush = true,
				     .submit = fake_submit };
	fake.bad_sector = UINT64_MAX;
	for (unsigned i = 0; i < DISK_BYTES; i++)
		fake.bytes[i] = (char)unit_random();
	blk_add(&fake.dev);
	fs_init();
	return fs_open("/dev/vda", O_RDWR, 0, &disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		unit_test_frames(reads_are_byte_exact), unit_test_frames(writes_are_byte_exact),
		unit_test_frames(ends_of_the_disk),	unit_test_frames(errors_arrive),
		unit_test_frames(full_queue),		unit_test_frames(flush_and_fua),
		unit_test_frames(ranges),
		unit_test_frames(sync_files),		unit_test_frames(more_than_requests),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
