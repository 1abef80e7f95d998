/*
 * Does a host file behave as a disk: the bytes that were written, in any order of requests, errors
 * as answers, a full queue that says so? (kernel/drivers/hosted/blk.c, with its thread)
 */
#include "lib/unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "arch/hosted/hosted.h"
#include "drivers/blk.h"
#include "drivers/hosted/hosted_drivers.h"
#include "mm/frames.h"
#include "uapi/errno.h"

#define SECTOR 512u
#define SECTORS 4096u

static struct blk_dev *disk;
static char file_name[] = "/tmp/sluice-unit-XXXXXX";
static int file;
static unsigned done_count;

static void done(struct blk_req *r)
{
	r->driver[1] = 1;
	done_count++;
}

/* Turns the core until `n` requests are done in all. */
static void wait_for(unsigned n)
{
	struct core *c = cores[0];

	while (done_count < n)
		if (!core_turn(c))
			core_sleep(c);
}

struct buffer {
	struct pin pin;
	paddr_t pages[PIN_PAGES_MAX];
	struct blk_req req;
	uint8_t *data; /* what is in it, or should be */
};

/* Frames that do not lie side by side, and bytes that begin in the middle of the first. */
static struct buffer *buffer_make(uint32_t len)
{
	struct buffer *b = calloc(1, sizeof(*b));

	b->pin.first = SECTOR;
	b->pin.len = len;
	b->pin.pages = (uint8_t)((SECTOR + len + PAGE_SIZE - 1) / PAGE_SIZE);
	for (unsigned i = b->pin.pages; i-- > 0;) {
		b->pages[i] = frame_alloc(0);
		b->pin.frame[i] = (uint32_t)(b->pages[i] >> PAGE_SHIFT);
	}
	b->data = malloc(len);
	for (uint32_t i = 0; i < len; i++)
		b->data[i] = (uint8_t)unit_random();
	pin_copy_out(&b->pin, 0, b->data, len);
	return b;
}

static void buffer_free(struct buffer *b)
{
	for (unsigned i = 0; i < b->pin.pages; i++)
		frame_put(b->pages[i]);
	free(b->data);
	free(b);
}

static struct blk_req *request(struct buffer *b, enum blk_kind kind, uint64_t sector, uint32_t len)
{
	b->req = (struct blk_req){
		.kind = (uint8_t)kind,
		.sector = sector,
		.len = len,
		.pin = &b->pin,
		.done = done,
		.status = 1,
	};
	return &b->req;
}

static int32_t do_it(struct blk_req *r)
{
	unsigned before = done_count;

	assert_int_equal(disk->submit(disk, r), 0);
	wait_for(before + 1);
	assert_int_equal(r->driver[1], 1);
	return r->status;
}

static void assert_file_holds(uint64_t at, const uint8_t *bytes, uint32_t len)
{
	uint8_t *got = malloc(len);

	assert_int_equal(pread(file, got, len, (off_t)at), len);
	assert_memory_equal(got, bytes, len);
	free(got);
}

/* Do bytes go to their place in the file and come back, over scattered frames and up to the last
 * sector? */
static void round_trip(void **state)
{
	static const struct {
		uint64_t sector;
		uint32_t len;
	} rows[] = {
		{ 0, 512 }, { 7, 4096 }, { 100, 65536 - 512 }, { SECTORS - 1, 512 }, { 33, 3584 }
	};

	(void)state;
	for (size_t i = 0; i < array_count(rows); i++) {
		struct buffer *out = buffer_make(rows[i].len), *in = buffer_make(rows[i].len);

		assert_int_equal(do_it(request(out, BLK_WRITE, rows[i].sector, rows[i].len)), 0);
		assert_file_holds(rows[i].sector * SECTOR, out->data, rows[i].len);
		assert_int_equal(do_it(request(in, BLK_READ, rows[i].sector, rows[i].len)), 0);
		pin_copy_in(&in->pin, 0, in->data, rows[i].len);
		assert_memory_equal(in->data, out->data, rows[i].len);
		buffer_free(out);
		buffer_free(in);
	}
}

/* Is a queue that is full an answer, is the waiter told when there is room, and does every request
 * come back once? */
static void full_queue(void **state)
{
	enum { MANY = 600 };
	static struct buffer *b[MANY];
	unsigned taken = 0, before = done_count, refused = 0;

	(void)state;
	for (unsigned i = 0; i < MANY; i++)
		b[i] = buffer_make(SECTOR);
	while (taken < MANY) {
		int err = disk->submit(disk, request(b[taken], BLK_WRITE, 1000 + taken, SECTOR));

		if (!err) {
			taken++;
			continue;
		}
		assert_int_equal(err, -EAGAIN);
		refused++;
		wait_for(before + taken); /* nothing more can come before we have looked */
	}
	wait_for(before + MANY);
	assert_true(refused > 0);
	assert_int_equal(done_count, before + MANY);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(b[i]->req.status, 0);
		assert_file_holds((1000 + i) * SECTOR, b[i]->data, SECTOR);
		buffer_free(b[i]);
	}
}

/* What does a request past the end, or with half a sector, answer? */
static void senseless(void **state)
{
	struct buffer *b = buffer_make(4096);

	(void)state;
	assert_int_equal(disk->submit(disk, request(b, BLK_READ, SECTORS, 512)), -EINVAL);
	assert_int_equal(disk->submit(disk, request(b, BLK_READ, SECTORS - 1, 1024)), -EINVAL);
	assert_int_equal(disk->submit(disk, request(b, BLK_READ, UINT64_MAX, 512)), -EINVAL);
	assert_int_equal(disk->submit(disk, request(b, BLK_WRITE, 0, 100)), -EINVAL);
	assert_int_equal(disk->submit(disk, request(b, (enum blk_kind)9, 0, 512)), -EOPNOTSUPP);
	buffer_free(b);
}

/* Are discarded and zeroed ranges zeroes, their neighbours untouched; do flush and forced writes
 * answer? */
static void zeroes(void **state)
{
	uint8_t zero[8192] = { 0 };
	struct buffer *b = buffer_make(32768), *none = buffer_make(512);
	struct blk_req *r;

	(void)state;
	for (int way = 0; way < 3; way++) {
		assert_int_equal(do_it(request(b, BLK_WRITE, 64, 32768)), 0);
		r = request(none, way ? BLK_ZEROES : BLK_DISCARD, 64 + 16, 8192);
		r->unmap = way == 1;
		assert_int_equal(do_it(r), 0);
		assert_file_holds((64 + 16) * SECTOR, zero, 8192);
		assert_file_holds(64 * SECTOR, b->data, 8192);
		assert_file_holds((64 + 32) * SECTOR, b->data + 16384, 16384);
	}
	assert_int_equal(do_it(request(none, BLK_FLUSH, 0, 0)), 0);
	r = request(none, BLK_WRITE, 5, 512);
	r->fua = 1;
	assert_int_equal(do_it(r), 0);
	assert_file_holds(5 * SECTOR, none->data, 512);
	buffer_free(b);
	buffer_free(none);
}

/* What if the file loses its end while it is a disk? The request fails, the disk goes on. */
static void shortened(void **state)
{
	struct buffer *b = buffer_make(4096);

	(void)state;
	assert_int_equal(ftruncate(file, (SECTORS - 4) * SECTOR), 0);
	assert_int_equal(do_it(request(b, BLK_READ, SECTORS - 8, 4096)), -EIO);
	assert_int_equal(ftruncate(file, SECTORS * SECTOR), 0);
	assert_int_equal(do_it(request(b, BLK_READ, SECTORS - 8, 4096)), 0);
	buffer_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		unit_test_frames(round_trip), unit_test_frames(full_queue),
		unit_test_frames(senseless),  unit_test_frames(zeroes),
		unit_test_frames(shortened),
	};
	int failed;

	file = mkstemp(file_name);
	if (file < 0 || ftruncate(file, SECTORS * SECTOR))
		return 1;
	unit_kernel(64, 1, "map=0:mixed");
	hosted_options.disk = file_name;
	hosted_blk_init(0);
	disk = blk_find("vda");
	failed = !disk || disk->sectors != SECTORS || disk->read_only;
	if (!failed)
		failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(file_name);
	return failed;
}
