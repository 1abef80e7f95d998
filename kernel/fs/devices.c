/*
 * devices: the small files below /dev that are nobody's hardware: null, zero, random, urandom,
 * counters, cores, rings. They never park and run on the core that opened them.
 */
#include <string.h>

#include "base/counters.h"
#include "base/meter.h"
#include "drivers/drivers.h"
#include "fs/internal.h"
#include "mm/frames.h"
#include "sched/preempt.h"

#define MEM_MAJOR 1

static void device_free(struct file *f)
{
	fs_file_release(fs_file_of(f));
}

static int device_stat(struct file *f, struct statx *st)
{
	fs_stat_common(st, f->mode | 0666, 10, 0);
	st->stx_rdev_major = MEM_MAJOR;
	return 0;
}

/* ---- null: swallows all, has nothing --------------------------------------------------------- */

static enum step null_transfer(struct file *f, struct op *op, struct transfer *t)
{
	(void)f, (void)op;
	t->moved = t->write ? (int32_t)t->pin.len : 0;
	return STEP_DONE;
}

static const struct file_ops null_ops = {
	.name = "null", .transfer = null_transfer, .stat = device_stat, .free = device_free};

/* ---- zero, random ---------------------------------------------------------------------------- */

/* Calls `fill` for each contiguous run of the pin. */
static void pin_fill(const struct pin *pin, void (*fill)(void *dst, size_t len))
{
	for (uint32_t off = 0; off < pin->len;) {
		uint32_t run;
		void *view = pin_view(pin, off, &run);

		run = min_of(run, pin->len - off);
		fill(view, run);
		off += run;
	}
}

/* In a long step in a window. */
static void fill_zero(void *dst, size_t len)
{
	bool may = preempt_may();

	if (may)
		preempt_open();
	memset(dst, 0, len);
	if (may)
		preempt_close();
}

static enum step zero_transfer(struct file *f, struct op *op, struct transfer *t)
{
	(void)f, (void)op;
	if (!t->write)
		pin_fill(&t->pin, fill_zero);
	t->moved = (int32_t)t->pin.len;
	return STEP_DONE;
}

/* What a program writes to it is not believed to be random, and not needed. */
void random_fill(void *dst, size_t len)
{
	uint32_t key[RANDOM_KEY_WORDS];

	if (!preempt_may()) {
		random_bytes(dst, len);
		return;
	}
	random_bytes(key, sizeof(key));
	preempt_open();
	random_expand(key, dst, len);
	preempt_close();
	memset(key, 0, sizeof(key));
	__asm__ volatile("" : : "r"(key) : "memory"); /* really */
}

static enum step random_transfer(struct file *f, struct op *op, struct transfer *t)
{
	(void)f, (void)op;
	if (!t->write)
		pin_fill(&t->pin, random_fill);
	t->moved = (int32_t)t->pin.len;
	return STEP_DONE;
}

static const struct file_ops zero_ops = { .name = "zero",
					  .long_bytes = FILE_COPY_BYTES,
					  .transfer = zero_transfer,
					  .stat = device_stat,
					  .free = device_free };
static const struct file_ops random_ops = { .name = "random",
					    .long_bytes = FILE_CIPHER_BYTES,
					    .transfer = random_transfer,
					    .stat = device_stat,
					    .free = device_free };

/* ---- counters, cores, rings: a text as of the moment it was opened --------------------------- */

static enum step text_transfer(struct file *f, struct op *op, struct transfer *t)
{
	struct fs_file *ff = fs_file_of(f);
	uint32_t n = 0;

	(void)op;
	if (t->write) {
		t->moved = -EBADF;
		return STEP_DONE;
	}
	if (t->off < ff->text_len)
		n = (uint32_t)min_of((uint64_t)t->pin.len, ff->text_len - t->off);
	if (n)
		pin_copy_out(&t->pin, 0, ff->text + t->off, n);
	t->moved = (int32_t)n;
	return STEP_DONE;
}

static int text_stat(struct file *f, struct statx *st)
{
	fs_stat_common(st, S_IFREG | 0444, 11, fs_file_of(f)->text_len);
	return 0;
}

static void text_free(struct file *f)
{
	struct fs_file *ff = fs_file_of(f);

	if (ff->text)
		frame_put(arch_direct_paddr(ff->text));
	fs_file_release(ff);
}

static const struct file_ops text_ops = {
	.name = "text", .transfer = text_transfer, .stat = text_stat, .free = text_free};

#define TEXT_ORDER 2 /* 16 KiB: a line of /dev/cores for each core there can be */

static int text_open(size_t (*fill)(char *buf, size_t size), uint32_t oflags, struct fs_file **out)
{
	struct fs_file *ff;
	paddr_t frame;

	if ((oflags & O_ACCMODE) != O_RDONLY)
		return -EACCES;
	frame = frame_alloc(TEXT_ORDER);
	if (!frame)
		return -ENOMEM;
	ff = fs_file_alloc(&text_ops, S_IFREG, oflags);
	if (!ff) {
		frame_put(frame);
		return -ENFILE;
	}
	ff->text = arch_direct(frame);
	ff->text_len = (uint32_t)fill(ff->text, PAGE_SIZE << TEXT_ORDER);
	atomic_fetch_or_explicit(&ff->file.flags, FILE_SEEKABLE, memory_order_relaxed);
	*out = ff;
	return 0;
}

/* ---- by name --------------------------------------------------------------------------------- */

int device_open(const char *name, uint32_t oflags, struct fs_file **out)
{
	static const struct {
		const char *name;
		const struct file_ops *ops;
	} device[] = {
		{"null", &null_ops},
		{"zero", &zero_ops},
		{"random", &random_ops},
		{"urandom", &random_ops},
	};

	static const struct {
		const char *name;
		size_t (*fill)(char *buf, size_t size);
	} text[] = {
		{"counters", counters_print},
		{"steps", meter_print},
		{"cores", report_cores},
		{"rings", report_rings},
	};

	for (unsigned i = 0; i < array_count(text); i++)
		if (!strcmp(name, text[i].name))
			return text_open(text[i].fill, oflags, out);
	for (unsigned i = 0; i < array_count(device); i++) {
		if (strcmp(name, device[i].name))
			continue;
		*out = fs_file_alloc(device[i].ops, S_IFCHR, oflags);
		return *out ? 0 : -ENFILE;
	}
	return -ENOENT;
}
