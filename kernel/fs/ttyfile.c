/*
 * ttyfile: /dev/console: output goes to the console's buffer; input comes in lines.
 *
 *   console_input --> line being edited --newline, Ctrl-D--> ready bytes --> readers, oldest first
 *
 * A line is echoed and may be corrected (backspace, Ctrl-U) while somebody has the console open for
 * reading; carriage return counts as newline; Ctrl-D ends a line without a newline, and an empty
 * line with it is an end of file. Ctrl-X never gets here (drivers.h). A line longer than LINE_BYTES
 * is handed on in pieces; what finds no room among the ready bytes is dropped with a bell.
 *
 * Everything here belongs to the console's owner core; a file opened elsewhere is given to that
 * core.
 */
#include <string.h>

#include "drivers/console.h"
#include "fs/internal.h"
#include "uapi/socket.h"

#define LINE_BYTES 256u
#define READY_BYTES 4096u /* power of two */
#define CTRL_D 4
#define CTRL_U 21
#define BACKSPACE 8
#define DELETE 127

static struct {
	/* owner core only */
	char line[LINE_BYTES];
	uint32_t line_len;
	char ready[READY_BYTES];
	uint32_t head, tail; /* bytes ever taken out of `ready`, ever put in */
	uint32_t ends;	     /* ends of file waiting behind the ready bytes */
	struct waitlist readers;

	/* any core, atomic: files open for reading */
	_Atomic uint32_t open_count;
} tty;

static uint32_t tty_ready(void)
{
	return tty.tail - tty.head;
}

/* ---- input ----------------------------------------------------------------------------------- */

static void tty_echo(const char *text, size_t len)
{
	if (atomic_load_explicit(&tty.open_count, memory_order_relaxed))
		console_write(text, len);
}

static void tty_hand_on(void)
{
	if (tty.line_len > READY_BYTES - tty_ready()) {
		tty_echo("\a", 1);
		tty.line_len = 0;
		return;
	}
	for (uint32_t i = 0; i < tty.line_len; i++)
		tty.ready[tty.tail++ & (READY_BYTES - 1)] = tty.line[i];
	tty.line_len = 0;
}

static void tty_put(char c)
{
	if (tty.line_len == LINE_BYTES)
		tty_hand_on();
	tty.line[tty.line_len++] = c;
}

static void tty_byte(char c)
{
	switch (c) {
	case CTRL_D:
		if (!tty.line_len && !tty_ready())
			tty.ends = 1;
		tty_hand_on();
		return;
	case CTRL_U:
		for (; tty.line_len; tty.line_len--)
			tty_echo("\b \b", 3);
		return;
	case BACKSPACE:
	case DELETE:
		if (tty.line_len) {
			tty.line_len--;
			tty_echo("\b \b", 3);
		}
		return;
	case '\r':
	case '\n':
		tty_echo("\n", 1);
		tty_put('\n');
		tty_hand_on();
		return;
	}
	tty_echo(&c, 1);
	tty_put(c);
}

static void tty_input(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		tty_byte(bytes[i]);
}

/* ---- the file -------------------------------------------------------------------------------- */

static enum step tty_read(struct file *f, struct op *op, struct transfer *t)
{
	uint32_t n = min_of(t->pin.len, tty_ready()), at = tty.head & (READY_BYTES - 1);
	uint32_t first = min_of(n, READY_BYTES - at);

	if (!n && t->pin.len && !tty.ends) {
		t->moved = f->closed ? -ECANCELED : -EAGAIN;
		return f->closed || t->nonblock ? STEP_DONE : op_park(op, &tty.readers);
	}
	if (!n && t->pin.len)
		tty.ends = 0;
	pin_copy_out(&t->pin, 0, tty.ready + at, first);
	pin_copy_out(&t->pin, first, tty.ready, n - first);
	tty.head += n;
	t->moved = (int32_t)n;
	return STEP_DONE;
}

static enum step tty_transfer(struct file *f, struct op *op, struct transfer *t)
{
	if (!t->write)
		return tty_read(f, op, t);
	for (uint32_t off = 0; off < t->pin.len;) {
		uint32_t run;
		const void *view = pin_view(&t->pin, off, &run);

		run = min_of(run, t->pin.len - off);
		console_write(view, run);
		off += run;
	}
	t->moved = (int32_t)t->pin.len;
	return STEP_DONE;
}

/* A parked reader holds nothing. */
static int tty_transfer_cancel(struct file *f, struct op *op, struct transfer *t)
{
	(void)f, (void)op, (void)t;
	return 0;
}

static uint32_t tty_poll(struct file *f)
{
	(void)f;
	return POLLOUT | (tty_ready() || tty.ends ? POLLIN : 0u);
}

static int tty_stat(struct file *f, struct statx *st)
{
	(void)f;
	fs_stat_common(st, S_IFCHR | 0620, 12, 0);
	st->stx_rdev_major = 5;
	st->stx_rdev_minor = 1;
	return 0;
}

static void tty_close(struct file *f)
{
	if (atomic_load_explicit(&f->flags, memory_order_relaxed) & FILE_READABLE)
		atomic_fetch_sub_explicit(&tty.open_count, 1, memory_order_relaxed);
	waitlist_wake_all(&tty.readers); /* those of this file see that it is closed */
}

static void tty_free(struct file *f)
{
	if (!f->closed && (atomic_load_explicit(&f->flags, memory_order_relaxed) & FILE_READABLE))
		atomic_fetch_sub_explicit(&tty.open_count, 1, memory_order_relaxed);
	fs_file_release(fs_file_of(f));
}

static const struct file_ops tty_ops = {
	.name = "console",
	.transfer = tty_transfer,
	.transfer_cancel = tty_transfer_cancel,
	.poll = tty_poll,
	.stat = tty_stat,
	.close = tty_close,
	.free = tty_free,
};

static void tty_arrived(const char *bytes, size_t len)
{
	tty_input(bytes, len);
	if (!tty_ready() && !tty.ends)
		return;
	waitlist_wake_all(&tty.readers);
	fs_files_each(&tty_ops, file_poll_wake);
}

int tty_open(const char *name, uint32_t oflags, struct fs_file **out)
{
	struct console_dev *d = console_device();

	if (strcmp(name, "console") && strcmp(name, "tty"))
		return -ENOENT;
	*out = fs_file_alloc(&tty_ops, S_IFCHR, oflags);
	if (!*out)
		return -ENFILE;
	if (d)
		(*out)->file.core = d->core;
	if (atomic_load_explicit(&(*out)->file.flags, memory_order_relaxed) & FILE_READABLE)
		atomic_fetch_add_explicit(&tty.open_count, 1, memory_order_relaxed);
	return 0;
}

void tty_init(void)
{
	waitlist_init(&tty.readers);
	console_input = tty_arrived;
}
