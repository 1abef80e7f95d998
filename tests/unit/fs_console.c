/*
 * Does /dev/console hand lines to readers, and does nobody wait for ever?
 */
#include "lib/unit.h"

#include "drivers/console.h"
#include "fs/fs.h"
#include "mm/frames.h"
#include "uapi/errno.h"
#include "uapi/fs.h"
#include "uapi/socket.h"

/* ---- the device: takes a few bytes at a time ------------------------------------------------- */

static char written[65536];
static size_t written_len;
static bool stuck;

static size_t device_write(struct console_dev *d, const char *text, size_t len)
{
	(void)d;
	len = stuck ? 0 : min_of(len, (size_t)16);
	memcpy(written + written_len, text, len);
	written_len += len;
	return len;
}

static struct console_dev device = { .name = "test", .core = 0, .write = device_write };

/* ---- readers --------------------------------------------------------------------------------- */

struct body {
	struct transfer t;
	struct reader *r;
};

static struct reader {
	struct op *op;
	struct file *file;
	char got[4096];
	bool done;
	int32_t res;
} readers[8];

static struct file *console;
static paddr_t frame;

static enum step reader_step(struct op *op)
{
	struct body *b = op_body(op, struct body);

	if (op->flags & OP_CANCELLED)
		return op_finish(op, -ECANCELED);
	if (b->r->file->ops->transfer(b->r->file, op, &b->t) == STEP_PARKED)
		return STEP_PARKED;
	if (b->t.moved > 0)
		pin_copy_in(&b->t.pin, 0, b->r->got, (uint32_t)b->t.moved);
	return op_finish(op, b->t.moved);
}

static int reader_cancel(struct op *op)
{
	struct body *b = op_body(op, struct body);
	int err = b->r->file->ops->transfer_cancel(b->r->file, op, &b->t);

	if (!err)
		op_wake(op);
	return err;
}

static const struct op_row reader_row = { .name = "reader",
					  .step = reader_step,
					  .cancel = reader_cancel };

static void reader_done(struct op *op)
{
	struct reader *r = op_body(op, struct body)->r;

	r->done = true;
	r->res = op->res;
	op_free(this_core(), op);
}

static struct reader *read_start(unsigned i, struct file *f, uint32_t len, bool nonblock)
{
	struct reader *r = &readers[i];
	struct op *op = op_alloc(this_core());
	struct body *b = op_body(op, struct body);

	memset(r, 0, sizeof(*r));
	memset(b, 0, sizeof(*b));
	r->op = op;
	r->file = f;
	b->r = r;
	b->t.nonblock = nonblock;
	b->t.pin.len = len;
	b->t.pin.pages = 1;
	b->t.pin.frame[0] = (uint32_t)(frame >> PAGE_SHIFT);
	op->row = &reader_row;
	op_run(op);
	return r;
}

static void turn(void)
{
	while (this_core()->part[PART_OPS]->run(this_core()))
		;
}

static void type(const char *text)
{
	console_take(text, strlen(text));
	turn();
}

static void flush_output(void)
{
	while (console_drain())
		;
	written[written_len] = 0;
}

#define assert_read(r, text)                                                                       \
	do {                                                                                       \
		assert_true((r)->done);                                                            \
		assert_int_equal((r)->res, strlen(text));                                          \
		assert_memory_equal((r)->got, text, strlen(text));                                 \
	} while (0)

/* ---- tests ----------------------------------------------------------------------------------- */

/* Does a reader wait for the whole line, corrected, and is it echoed? */
static void lines(void **state)
{
	struct reader *r = read_start(0, console, 100, false);

	(void)state;
	written_len = 0;
	type("hel");
	assert_false(r->done);
	type("xx\b\bla\177o\r");
	assert_read(r, "hello\n");
	flush_output();
	assert_string_equal(written, "helxx\b \b\b \bla\b \bo\n");
	r = read_start(0, console, 100, false);
	type("gone\025kept\nmore\n");
	assert_read(r, "kept\nmore\n");
}

/* Is a line handed out in pieces when readers are small, oldest reader first? */
static void pieces(void **state)
{
	struct reader *a = read_start(0, console, 3, false), *b = read_start(1, console, 3, false);

	(void)state;
	type("abcdef\n");
	assert_read(a, "abc");
	assert_read(b, "def");
	a = read_start(0, console, 3, false);
	assert_read(a, "\n");
}

/* Ctrl-D: an end of file on an empty line, the end of a line otherwise; for one reader, once. */
static void end_of_file(void **state)
{
	struct reader *r = read_start(0, console, 10, false);

	(void)state;
	type("\004");
	assert_true(r->done);
	assert_int_equal(r->res, 0);
	r = read_start(0, console, 10, false);
	assert_false(r->done);
	type("ab\004");
	assert_read(r, "ab");
	assert_int_equal(console->ops->poll(console), POLLOUT);
}

/* Does a reader that must not wait get EAGAIN, and a cancelled one go? */
static void no_waiting(void **state)
{
	struct reader *r = read_start(0, console, 10, true);

	(void)state;
	assert_int_equal(r->res, -EAGAIN);
	r = read_start(0, console, 10, false);
	assert_int_equal(op_cancel(r->op), 0);
	turn();
	assert_int_equal(r->res, -ECANCELED);
	type("later\n");
	r = read_start(0, console, 10, false);
	assert_read(r, "later\n");
}

/* Does closing one file end its readers, and only those? */
static void closing(void **state)
{
	struct reader *mine, *other;
	struct file *f;

	(void)state;
	assert_int_equal(fs_open("/dev/console", O_RDONLY, 0, &f), 0);
	file_handle_add(f);
	mine = read_start(0, f, 10, false);
	other = read_start(1, console, 10, false);
	file_handle_drop(f);
	turn();
	assert_true(mine->done);
	assert_int_equal(mine->res, -ECANCELED);
	assert_false(other->done);
	type("x\n");
	assert_read(other, "x\n");
	file_put(f);
}

/* Is the poll bit there exactly while a line is? */
static void polling(void **state)
{
	struct reader *r;

	(void)state;
	assert_int_equal(console->ops->poll(console), POLLOUT);
	type("half");
	assert_int_equal(console->ops->poll(console), POLLOUT);
	type("\n");
	assert_int_equal(console->ops->poll(console), POLLOUT | POLLIN);
	r = read_start(0, console, 10, false);
	assert_read(r, "half\n");
	assert_int_equal(console->ops->poll(console), POLLOUT);
}

/* What if more is typed than anybody reads? Whole lines are lost, the rest stays in order. */
static void too_much(void **state)
{
	unsigned lines_read = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		char line[32];

		sprintf(line, "line %u\n", i);
		type(line);
	}
	for (;;) {
		struct reader *r = read_start(0, console, 4096, true);

		if (r->res == -EAGAIN)
			break;
		assert_memory_equal(r->got, "line ", 5);
		assert_int_equal(r->got[r->res - 1], '\n');
		lines_read++;
	}
	assert_in_range(lines_read, 1, 2);
	flush_output();
}

static bool attention;

static void attention_asked(void)
{
	attention = true;
}

/* Is Ctrl-X taken out wherever it is? */
static void attention_is_taken_out(void **state)
{
	struct reader *r = read_start(0, console, 10, false);

	(void)state;
	console_attention = attention_asked;
	type("a\030b\n");
	assert_true(attention);
	assert_read(r, "ab\n");
}

/* Does output of any length arrive in order, through a device that takes 16 bytes at a time and
 * sometimes none? */
static void output(void **state)
{
	char text[40000];

	(void)state;
	flush_output();
	written_len = 0;
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 23);
	stuck = true;
	console_write(text, 1000);
	assert_int_equal(console_drain(), 0);
	stuck = false;
	for (unsigned at = 1000; at < sizeof(text); at += 3900)
		console_write(text + at, 3900);
	flush_output();
	assert_int_equal(written_len, sizeof(text));
	assert_memory_equal(written, text, sizeof(text));
}

static int setup(void **state)
{
	(void)state;
	unit_kernel(64, 2, "map=0:kernel+io+net,1:user");
	executor_init(this_core(), 64);
	op_done_hook = reader_done;
	frame = frame_alloc_zeroed();
	console_attach(&device);
	fs_init();
	return fs_open("/dev/console", O_RDWR, 0, &console);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		unit_test_frames(lines),       unit_test_frames(pieces),
		unit_test_frames(end_of_file), unit_test_frames(no_waiting),
		unit_test_frames(closing),     unit_test_frames(polling),
		unit_test_frames(too_much),    unit_test_frames(attention_is_taken_out),
		unit_test_frames(output),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
