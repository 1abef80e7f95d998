/*
 * pipe: bytes go in at one end and come out at the other, in order.
 *
 *   write: room for it --> copied in, readers woken --all in--> done
 *            |  ^ none: parked with the writers
 *            +--+
 *   read:  bytes --> copied out, writers woken --> done; none, and no writer left --> 0
 *            |  ^ none: parked with the readers
 *            +--+
 *
 * PIPE_BYTES lie in a ring of page slots; a slot has a frame while there are bytes in it, and the
 * ring starts again at slot 0 whenever the pipe runs empty, so that a small message always uses the
 * same warm page. A pipe never has less than one frame: a write into an empty pipe cannot fail for
 * memory. Further ones are taken as long as all pipes together have less than an eighth of the
 * machine's memory; without one the pipe is as good as full.
 *
 * An end is gone when its last reference is, that is, after the last operation on it: then the
 * other end sees end of file, or -EPIPE. Closing an end cancels what waits on it.
 *
 * All of it belongs to the core that made the pipe, except the table's marks, which are atomic.
 */
#include "fs/pipe.h"

#include <string.h>

#include "fs/internal.h"
#include "mm/frames.h"
#include "uapi/socket.h"

#define PIPE_SLOTS (PIPE_BYTES / (uint32_t)PAGE_SIZE)
#define IN_PAGE ((uint32_t)PAGE_SIZE - 1)

enum { END_READ, END_WRITE };

struct pipe {
	/* pipe's core only, except what struct file says */
	struct file end[2];
	struct waitlist waiters[2]; /* parked transfers of each end */
	bool gone[2];
	uint32_t head, tail;	    /* bytes ever taken out, ever put in, since it was last empty */
	char *page[PIPE_SLOTS];
	char *spare;		    /* a frame kept back, NULL: none */

	/* any core, atomic */
	_Atomic uint32_t used;
};

/* set once at boot */
static struct pipe *pipes;
static uint64_t pages_max;
/* any core, atomic; on a line of its own, since all cores write it and read what is above */
static struct {
	_Atomic uint64_t count;
} __attribute__((aligned(CACHE_LINE))) pages_held;

static inline struct pipe *pipe_of(struct file *f, unsigned end)
{
	return container_of(f, struct pipe, end[end]);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static char *page_take(struct pipe *p)
{
	char *page = p->spare;
	uint64_t held;
	paddr_t pa = 0;

	p->spare = NULL;
	if (page)
		return page;
	held = atomic_fetch_add_explicit(&pages_held.count, 1, memory_order_relaxed) + 1;
	if (held <= pages_max && frames_allow(held))
		pa = frame_alloc_user();
	if (pa)
		return arch_direct(pa);
	atomic_fetch_sub_explicit(&pages_held.count, 1, memory_order_relaxed);
	return NULL;
}

static void page_drop(char *page)
{
	if (!page)
		return;
	frame_put(arch_direct_paddr(page));
	atomic_fetch_sub_explicit(&pages_held.count, 1, memory_order_relaxed);
}

static inline char **page_slot(struct pipe *p, uint32_t at)
{
	return &p->page[at / (uint32_t)PAGE_SIZE % PIPE_SLOTS];
}

/* The last byte of a page is out, and the writers are not in it again. */
static void page_leave(struct pipe *p, char **slot)
{
	if (slot == page_slot(p, p->tail))
		return;
	if (p->spare)
		page_drop(*slot);
	else
		p->spare = *slot;
	*slot = NULL;
}

/* Empty: start again at slot 0 with the one page that is left. */
static inline void pipe_restart(struct pipe *p)
{
	char **slot = page_slot(p, p->tail), *page = *slot;

	*slot = NULL;
	p->page[0] = page ? page : page_take(p);
	p->head = p->tail = 0;
}

/* How many of `want` bytes there is room for; their slots have frames then. */
static uint32_t pipe_room(struct pipe *p, uint32_t want)
{
	uint32_t room = 0, free = PIPE_BYTES - (p->tail - p->head);

	want = min_of(want, free);
	while (room < want) {
		char **slot = page_slot(p, p->tail + room);

		if (!*slot)
			*slot = page_take(p);
		if (!*slot)
			return room;
		room += (uint32_t)PAGE_SIZE - ((p->tail + room) & IN_PAGE);
	}
	return want;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void pipe_put(struct pipe *p, const struct transfer *t, uint32_t off, uint32_t n)
{
	while (n) {
		uint32_t at = p->tail & IN_PAGE, piece = min_of(n, (uint32_t)PAGE_SIZE - at);

		pin_copy_in(&t->pin, off, *page_slot(p, p->tail) + at, piece);
		p->tail += piece;
		off += piece;
		n -= piece;
	}
}

static void pipe_take(struct pipe *p, const struct transfer *t, uint32_t n)
{
	uint32_t off = 0;

	while (n) {
		uint32_t at = p->head & IN_PAGE, piece = min_of(n, (uint32_t)PAGE_SIZE - at);
		char **slot = page_slot(p, p->head);

		pin_copy_out(&t->pin, off, *slot + at, piece);
		p->head += piece;
		off += piece;
		n -= piece;
		if (at + piece == PAGE_SIZE)
			page_leave(p, slot);
	}
	if (p->head == p->tail)
		pipe_restart(p);
}

/* Something changed that the waiting transfers and the pollers of `end` want to know. */
static inline void pipe_tell(struct pipe *p, unsigned end)
{
	if (!list_is_empty(&p->waiters[end].ops))
		waitlist_wake_all(&p->waiters[end]);
	file_poll_wake(&p->end[end]);
}

/* ---- transfers ------------------------------------------------------------------------------- */

static inline enum step piece_ends(struct transfer *t, int32_t moved)
{
	t->moved = moved;
	t->started = 0;
	return STEP_DONE;
}

static enum step pipe_read(struct file *f, struct op *op, struct transfer *t)
{
	struct pipe *p = pipe_of(f, END_READ);
	uint32_t n = min_of(t->pin.len, p->tail - p->head);

	if (f->closed)
		return piece_ends(t, -ECANCELED);
	if (!n) {
		if (!t->pin.len || p->gone[END_WRITE])
			return piece_ends(t, 0);
		if (t->nonblock)
			return piece_ends(t, -EAGAIN);
		return op_park(op, &p->waiters[END_READ]);
	}
	pipe_take(p, t, n);
	pipe_tell(p, END_WRITE);
	return piece_ends(t, (int32_t)n);
}

/* While it waits half-way, t->job counts what is in, and t->started is set. */
static enum step pipe_write(struct file *f, struct op *op, struct transfer *t)
{
	struct pipe *p = pipe_of(f, END_WRITE);
	uint32_t done = t->started ? t->job : 0, want = t->pin.len - done, n;

	if (!want)
		return piece_ends(t, 0);
	if (f->closed || (op->flags & OP_CANCELLED))
		return piece_ends(t, done ? (int32_t)done : -ECANCELED);
	if (p->gone[END_READ])
		return piece_ends(t, done ? (int32_t)done : -EPIPE);
	n = pipe_room(p, want);
	if (n < want && t->pin.len <= PIPE_BUF)
		n = 0;
	if (n) {
		pipe_put(p, t, done, n);
		done += n;
		pipe_tell(p, END_READ);
	}
	if (n == want)
		return piece_ends(t, (int32_t)done);
	if (t->nonblock)
		return piece_ends(t, done ? (int32_t)done : -EAGAIN);
	t->job = done;
	t->started = done > 0;
	return op_park(op, &p->waiters[END_WRITE]);
}

static bool pipe_read_quick(struct file *f, void *view, uint32_t n, uint64_t off, bool write)
{
	struct pipe *p = pipe_of(f, END_READ);
	uint32_t at = p->head & IN_PAGE;
	char **slot = page_slot(p, p->head);

	(void)off;
	if (unlikely(write || f->closed || n > p->tail - p->head || n > PAGE_SIZE - at))
		return false;
	memcpy(view, *slot + at, n);
	p->head += n;
	if (at + n == PAGE_SIZE)
		page_leave(p, slot);
	if (p->head == p->tail)
		pipe_restart(p);
	pipe_tell(p, END_WRITE);
	return true;
}

static bool pipe_write_quick(struct file *f, void *view, uint32_t n, uint64_t off, bool write)
{
	struct pipe *p = pipe_of(f, END_WRITE);
	uint32_t at = p->tail & IN_PAGE;
	char *page = *page_slot(p, p->tail);

	(void)off;
	if (unlikely(!write || f->closed || p->gone[END_READ] || !page || n > PAGE_SIZE - at ||
		     n > PIPE_BYTES - (p->tail - p->head)))
		return false;
	memcpy(page + at, view, n);
	p->tail += n;
	pipe_tell(p, END_READ);
	return true;
}

static int pipe_transfer_cancel(struct file *f, struct op *op, struct transfer *t)
{
	(void)f, (void)t;
	list_remove(&op->link);
	return 0;
}

static enum step pipe_wrong_way(struct file *f, struct op *op, struct transfer *t)
{
	(void)f, (void)op;
	return piece_ends(t, -EBADF);
}

static enum step read_end_transfer(struct file *f, struct op *op, struct transfer *t)
{
	return t->write ? pipe_wrong_way(f, op, t) : pipe_read(f, op, t);
}

static enum step write_end_transfer(struct file *f, struct op *op, struct transfer *t)
{
	return t->write ? pipe_write(f, op, t) : pipe_wrong_way(f, op, t);
}

/* ---- the two files --------------------------------------------------------------------------- */

static uint32_t read_end_poll(struct file *f)
{
	struct pipe *p = pipe_of(f, END_READ);

	return (p->tail != p->head ? POLLIN | POLLRDNORM : 0u) |
	       (p->gone[END_WRITE] ? POLLHUP : 0u);
}

/* Writable means that PIPE_BUF bytes would not wait. */
static uint32_t write_end_poll(struct file *f)
{
	struct pipe *p = pipe_of(f, END_WRITE);

	return (p->tail - p->head <= PIPE_BYTES - PIPE_BUF ? POLLOUT | POLLWRNORM : 0u) |
	       (p->gone[END_READ] ? POLLERR : 0u);
}

static int pipe_stat(struct file *f, struct statx *st)
{
	fs_stat_common(st, f->mode | 0600, f->id, 0);
	return 0;
}

static void read_end_close(struct file *f)
{
	waitlist_wake_all(&pipe_of(f, END_READ)->waiters[END_READ]);
}

static void write_end_close(struct file *f)
{
	waitlist_wake_all(&pipe_of(f, END_WRITE)->waiters[END_WRITE]);
}

static void end_free(struct pipe *p, unsigned end)
{
	p->gone[end] = true;
	if (!p->gone[!end]) {
		pipe_tell(p, !end);
		return;
	}
	for (unsigned i = 0; i < PIPE_SLOTS; i++)
		page_drop(p->page[i]);
	page_drop(p->spare);
	atomic_store_explicit(&p->used, 0, memory_order_release); /* pairs with pipe_claim */
}

static void read_end_free(struct file *f)
{
	end_free(pipe_of(f, END_READ), END_READ);
}

static void write_end_free(struct file *f)
{
	end_free(pipe_of(f, END_WRITE), END_WRITE);
}

static const struct file_ops end_ops[2] = {
	[END_READ] = {
		.name = "pipe",
		.long_bytes = FILE_COPY_BYTES,
		.transfer = read_end_transfer,
		.quick = pipe_read_quick,
		.transfer_cancel = pipe_transfer_cancel,
		.poll = read_end_poll,
		.stat = pipe_stat,
		.close = read_end_close,
		.free = read_end_free,
	},
	[END_WRITE] = {
		.name = "pipe",
		.long_bytes = FILE_COPY_BYTES,
		.transfer = write_end_transfer,
		.quick = pipe_write_quick,
		.transfer_cancel = pipe_transfer_cancel,
		.poll = write_end_poll,
		.stat = pipe_stat,
		.close = write_end_close,
		.free = write_end_free,
	},
};

bool pipe_is(const struct file *f)
{
	return f->ops == &end_ops[END_READ] || f->ops == &end_ops[END_WRITE];
}

/* ---- birth ----------------------------------------------------------------------------------- */

/* Each core looks first at a part of the table that is its own, so that as a rule no two want the
 * same line. */
static struct pipe *pipe_claim(void)
{
	unsigned first = this_core()->index * (PIPES_MAX / CORES_MAX);

	for (unsigned i = 0; i < PIPES_MAX; i++) {
		struct pipe *p = &pipes[(first + i) % PIPES_MAX];
		uint32_t none = 0;

		if (!atomic_load_explicit(&p->used, memory_order_relaxed) &&
		    atomic_compare_exchange_strong_explicit(&p->used, &none, 1,
							    memory_order_acquire,
							    memory_order_relaxed))
			return p;
	}
	return NULL;
}

int pipe_make(uint32_t oflags, struct file *ends[2])
{
	uint32_t flags = FILE_STREAM | (oflags & O_NONBLOCK ? FILE_NONBLOCK : 0);
	struct pipe *p = pipe_claim();

	if (!p)
		return -ENFILE;
	memset(p->page, 0, sizeof(p->page));
	p->spare = NULL;
	p->head = p->tail = 0;
	p->page[0] = page_take(p);
	if (!p->page[0]) {
		atomic_store_explicit(&p->used, 0, memory_order_release);
		return -ENOMEM;
	}
	for (unsigned end = 0; end < 2; end++) {
		waitlist_init(&p->waiters[end]);
		p->gone[end] = false;
		file_init(&p->end[end], &end_ops[end], S_IFIFO,
			  flags | (end ? FILE_WRITABLE | FILE_ATOMIC : FILE_READABLE));
		ends[end] = &p->end[end];
	}
	return 0;
}

void pipes_init(void)
{
	pipes = frames_boot_alloc(sizeof(*pipes) * PIPES_MAX);
	pages_max = frames_total_count() / 8;
}
