/*
 * serialfile: /dev/ttyS0 and its like: a serial port as a raw stream of bytes, without echo or line
 * editing.
 *
 * A read answers with what has arrived, at least one byte; a write takes what the port's output
 * ring has room for, at least one byte, and may be short. Several descriptors share one port; it is
 * free again when the last one is closed, and what was still to go out by then goes out. A port
 * that is the console, or that a program drives itself, answers -EBUSY.
 *
 * Runs on the port's core: a file opened elsewhere is given to that core.
 */
#include <string.h>

#include "drivers/serial.h"
#include "fs/internal.h"
#include "uapi/socket.h"

#define TTY_MAJOR 4
#define TTY_MINOR_SERIAL 64u

/* set once at boot; index as in serial_port() */
static struct {
	struct serial_port *port;
	struct waitlist readers, writers; /* owner core only */
	uint32_t gone;	    /* owner core only: files that are closed and not yet taken off `use` */
	bool polled;	    /* owner core only: somebody may wait for poll bits */
	struct mail listen; /* whoever opened the first file: take input from now on */
} serials[SERIAL_PORTS_MAX];

static unsigned serial_index(struct file *f)
{
	return fs_file_of(f)->serial;
}

static enum step serial_end(struct transfer *t, int32_t moved)
{
	t->moved = moved;
	return STEP_DONE;
}

static enum step serial_wait(struct file *f, struct op *op, struct transfer *t, struct waitlist *w)
{
	if (f->closed)
		return serial_end(t, -ECANCELED);
	return t->nonblock ? serial_end(t, -EAGAIN) : op_park(op, w);
}

static enum step serial_read(struct serial_port *p, struct transfer *t)
{
	uint32_t done = 0, len = t->pin.len;

	while (done < len && serial_count(&p->in)) {
		uint32_t run;
		const char *from = serial_bytes(&p->in, &run);

		run = min_of(run, len - done);
		pin_copy_out(&t->pin, done, from, run);
		p->in.head += run;
		done += run;
	}
	return serial_end(t, (int32_t)done);
}

static enum step serial_write(struct serial_port *p, struct transfer *t)
{
	uint32_t done = 0, len = t->pin.len;

	while (done < len && serial_room(&p->out)) {
		uint32_t run;
		char *to = serial_space(&p->out, &run);

		run = min_of(run, len - done);
		pin_copy_in(&t->pin, done, to, run);
		p->out.tail += run;
		done += run;
	}
	return serial_end(t, (int32_t)done);
}

static enum step serial_transfer(struct file *f, struct op *op, struct transfer *t)
{
	unsigned i = serial_index(f);
	struct serial_port *p = serials[i].port;

	if (!t->pin.len)
		return serial_end(t, 0);
	if (t->write)
		return serial_room(&p->out) ? serial_write(p, t)
					    : serial_wait(f, op, t, &serials[i].writers);
	return serial_count(&p->in) ? serial_read(p, t)
				    : serial_wait(f, op, t, &serials[i].readers);
}

/* Who waits holds nothing. */
static int serial_transfer_cancel(struct file *f, struct op *op, struct transfer *t)
{
	(void)f, (void)op, (void)t;
	return 0;
}

static uint32_t serial_poll(struct file *f)
{
	unsigned i = serial_index(f);
	struct serial_port *p = serials[i].port;

	serials[i].polled = true;
	return (serial_count(&p->in) ? POLLIN : 0u) | (serial_room(&p->out) ? POLLOUT : 0u);
}

static int serial_stat(struct file *f, struct statx *st)
{
	fs_stat_common(st, S_IFCHR | 0660, 20 + serial_index(f), 0);
	st->stx_rdev_major = TTY_MAJOR;
	st->stx_rdev_minor = TTY_MINOR_SERIAL + serial_index(f);
	return 0;
}

static void serial_close(struct file *f)
{
	unsigned i = serial_index(f);

	waitlist_wake_all(&serials[i].readers); /* those of this file see that it is closed */
	waitlist_wake_all(&serials[i].writers);
}

/*
 * Takes closed files off the port's use. The last ones keep the port until their output is out; a
 * file that is opened meanwhile goes on with it. The port is let go of behind listen(false), so
 * that who takes it next has it to himself.
 */
static void serial_settle(unsigned i)
{
	struct serial_port *p = serials[i].port;
	uint32_t gone = serials[i].gone;

	if (!gone)
		return;
	if (atomic_load_explicit(&p->use, memory_order_relaxed) == gone) {
		if (serial_count(&p->out))
			return;
		p->listen(p, false);
		/* pairs with the exchange of the next open or claim */
		if (atomic_compare_exchange_strong_explicit(&p->use, &gone, 0, memory_order_release,
							    memory_order_relaxed)) {
			serials[i].gone = 0;
			return;
		}
		p->listen(p, true);
	}
	atomic_fetch_sub_explicit(&p->use, serials[i].gone, memory_order_relaxed);
	serials[i].gone = 0;
}

static void serial_free(struct file *f)
{
	unsigned i = serial_index(f);

	fs_file_release(fs_file_of(f));
	serials[i].gone++;
	serial_settle(i);
}

static const struct file_ops serial_ops = {
	.name = "serial",
	.transfer = serial_transfer,
	.transfer_cancel = serial_transfer_cancel,
	.poll = serial_poll,
	.stat = serial_stat,
	.close = serial_close,
	.free = serial_free,
};

/* ---- by name --------------------------------------------------------------------------------- */

static void serial_listen(struct mail *m)
{
	unsigned i = (unsigned)(container_of(m, typeof(serials[0]), listen) - serials);

	serials[i].port->listen(serials[i].port, true);
}

/* One more file on the port. The mail of the first is free: the port fell back to no file only
 * behind its delivery, on the owner core. */
static int serial_take_port(unsigned i)
{
	struct serial_port *p = serials[i].port;
	uint32_t use = atomic_load_explicit(&p->use, memory_order_relaxed);

	if (p->is_console(p))
		return -EBUSY;
	do
		if (use == SERIAL_CLAIMED)
			return -EBUSY;
	while (!atomic_compare_exchange_weak_explicit(&p->use, &use, use + 1, memory_order_acquire,
						      memory_order_relaxed));
	if (!use)
		mailbox_post(p->core, &serials[i].listen);
	return 0;
}

int serial_open(const char *name, uint32_t oflags, struct fs_file **out)
{
	unsigned i = 0;
	int err;

	while (serial_port(i) && strcmp(serial_port(i)->name, name))
		i++;
	if (!serial_port(i))
		return -ENOENT;
	*out = fs_file_alloc(&serial_ops, S_IFCHR, oflags);
	if (!*out)
		return -ENFILE;
	err = serial_take_port(i);
	if (err) {
		fs_file_release(*out);
		return err;
	}
	(*out)->serial = i;
	(*out)->file.core = serials[i].port->core;
	return 0;
}

static void serial_bytes_moved(struct serial_port *p)
{
	unsigned i = 0;

	while (serials[i].port != p)
		i++;
	if (serial_count(&p->in))
		waitlist_wake_all(&serials[i].readers);
	if (serial_room(&p->out))
		waitlist_wake_all(&serials[i].writers);
	if (serials[i].polled) {
		serials[i].polled = false;
		fs_files_each(&serial_ops, file_poll_wake);
	}
	serial_settle(i);
}

void serials_init(void)
{
	for (unsigned i = 0; serial_port(i); i++) {
		serials[i].port = serial_port(i);
		serials[i].listen.deliver = serial_listen;
		waitlist_init(&serials[i].readers);
		waitlist_init(&serials[i].writers);
	}
	serial_changed = serial_bytes_moved;
}
