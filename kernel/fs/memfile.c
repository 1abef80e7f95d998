/*
 * memfile: files without a name that live in memory (memfd_create): bytes in a memory object, which
 * programs may also map.
 *
 * A transfer is a copy between two sets of frames and never parks. In a long step each page is
 * copied in a window, and held meanwhile: the file may be cut there, and its size is asked anew
 * afterwards. Runs on the core that made the file, but for long reads, which may be given to
 * another; writes may not, since the size is that core's. The object outlives the file as long as
 * somebody maps it.
 */
#include "fs/memfile.h"

#include <string.h>

#include "fs/internal.h"
#include "mm/frames.h"
#include "sched/preempt.h"

struct memfile {
	struct file file;
	struct mobj object;
	/* any core, atomic */
	_Atomic uint32_t used;
};

/* set once at boot */
static struct memfile *memfiles;

static inline struct memfile *memfile_of(struct file *f)
{
	return container_of(f, struct memfile, file);
}

/* ---- transfers ------------------------------------------------------------------------------- */

static inline uint32_t in_page(uint64_t off)
{
	return (uint32_t)off & ((uint32_t)PAGE_SIZE - 1);
}

/* [off, off+n) of the pin is filled from `page`, NULL: with zeros; or `page` from it. */
static void mem_copy(const struct transfer *t, uint32_t off, char *page, uint32_t n)
{
	if (t->write)
		pin_copy_in(&t->pin, off, page, n);
	else if (likely(page))
		pin_copy_out(&t->pin, off, page, n);
	else
		pin_zero(&t->pin, off, n);
}

/* In a window, from a page that is held; lets go of it. */
static void mem_copy_long(const struct transfer *t, uint32_t off, char *page, uint32_t n)
{
	bool may = preempt_may();

	if (may)
		preempt_open();
	mem_copy(t, off, page, n);
	if (may)
		preempt_close();
	if (page)
		frame_put(arch_direct_paddr(page));
}

/* On the file's core, or, as part of a long step, on any. */
static int32_t mem_read(struct mobj *o, const struct transfer *t, bool here)
{
	bool hold = preempt_may() || !here;
	uint64_t size = atomic_load_explicit(&o->size, memory_order_relaxed), off = t->off;
	uint32_t n = t->pin.len, done = 0;

	if (off >= size)
		return 0;
	n = (uint32_t)min_of((uint64_t)n, size - off);
	while (done < n) {
		uint32_t at = in_page(off), piece = min_of(n - done, (uint32_t)PAGE_SIZE - at);
		uint64_t index = off >> PAGE_SHIFT;
		char *page = hold ? mobj_hold(o, index) : mobj_find(o, index);

		(hold ? mem_copy_long : mem_copy)(t, done, page ? page + at : NULL, piece);
		done += piece;
		off += piece;
	}
	return (int32_t)n;
}

static int32_t mem_write(struct mobj *o, const struct transfer *t)
{
	bool may = preempt_may();
	uint32_t n = t->pin.len, done = 0;
	uint64_t off = t->off;
	int err = 0;

	if (off >= MOBJ_BYTES_MAX)
		return n ? -EFBIG : 0;
	n = (uint32_t)min_of((uint64_t)n, MOBJ_BYTES_MAX - off);
	while (done < n) {
		uint32_t at = in_page(off), piece = min_of(n - done, (uint32_t)PAGE_SIZE - at);
		void *page = mobj_find(o, off >> PAGE_SHIFT);

		if (unlikely(!page) && (err = mobj_make(o, off >> PAGE_SHIFT, &page)))
			break;
		if (may)
			frame_get(arch_direct_paddr(page));
		(may ? mem_copy_long : mem_copy)(t, done, (char *)page + at, piece);
		done += piece;
		off += piece;
	}
	if (done && off > atomic_load_explicit(&o->size, memory_order_relaxed))
		atomic_store_explicit(&o->size, off, memory_order_relaxed);
	return done ? (int32_t)done : err;
}

static enum step mem_transfer(struct file *f, struct op *op, struct transfer *t)
{
	struct mobj *o = &memfile_of(f)->object;
	bool here = f->core == this_core()->index;

	(void)op;
	t->moved = t->write ? mem_write(o, t) : mem_read(o, t, here);
	return STEP_DONE;
}

static bool mem_quick(struct file *f, void *view, uint32_t n, uint64_t off, bool write)
{
	struct mobj *o = &memfile_of(f)->object;
	uint64_t size = atomic_load_explicit(&o->size, memory_order_relaxed), end = off + n;
	char *page;

	if (unlikely(in_page(off) + n > PAGE_SIZE || off >= MOBJ_BYTES_MAX))
		return false;
	page = mobj_find(o, off >> PAGE_SHIFT);
	if (unlikely(!page))
		return false;
	if (!write) {
		if (unlikely(end > size))
			return false;
		memcpy(view, page + in_page(off), n);
		return true;
	}
	memcpy(page + in_page(off), view, n);
	if (end > size)
		atomic_store_explicit(&o->size, end, memory_order_relaxed);
	return true;
}

/* ---- the file -------------------------------------------------------------------------------- */

static int mem_stat(struct file *f, struct statx *st)
{
	struct mobj *o = &memfile_of(f)->object;

	fs_stat_common(st, S_IFREG | 0777, f->id,
		       atomic_load_explicit(&o->size, memory_order_relaxed));
	st->stx_blocks = atomic_load_explicit(&o->pages, memory_order_relaxed) *
			 (PAGE_SIZE / 512);
	return 0;
}

static int mem_resize(struct file *f, uint64_t size)
{
	return mobj_resize(&memfile_of(f)->object, size);
}

static void mem_free(struct file *f)
{
	mobj_put(&memfile_of(f)->object);
}

static void mem_gone(struct mobj *o)
{
	/* pairs with memfile_make */
	atomic_store_explicit(&container_of(o, struct memfile, object)->used, 0,
			      memory_order_release);
}

static const struct file_ops mem_ops = {
	.name = "memory",
	.long_bytes = FILE_COPY_BYTES,
	.roams = true,
	.transfer = mem_transfer,
	.quick = mem_quick,
	.stat = mem_stat,
	.resize = mem_resize,
	.free = mem_free,
};

struct mobj *memfile_object(struct file *f)
{
	return f->ops == &mem_ops ? &memfile_of(f)->object : NULL;
}

int memfile_make(struct file **out)
{
	for (unsigned i = 0; i < MEMFILES_MAX; i++) {
		struct memfile *m = &memfiles[i];
		uint32_t none = 0;
		int err;

		if (!atomic_compare_exchange_strong_explicit(&m->used, &none, 1,
							     memory_order_acquire,
							     memory_order_relaxed))
			continue;
		err = mobj_init(&m->object, mem_gone);
		if (err) {
			atomic_store_explicit(&m->used, 0, memory_order_release);
			return err;
		}
		file_init(&m->file, &mem_ops, S_IFREG,
			  FILE_READABLE | FILE_WRITABLE | FILE_SEEKABLE);
		*out = &m->file;
		return 0;
	}
	return -ENFILE;
}

void memfiles_init(void)
{
	memfiles = frames_boot_alloc(sizeof(*memfiles) * MEMFILES_MAX);
}
