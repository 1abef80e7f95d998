/*
 * file: counting references and descriptors; the last of each travels home to the file's core,
 * because only that core may touch the object. The one mail node is enough: close is posted before
 * the reference that the handle held is dropped, and free can only follow it.
 */
#include "sched/file.h"

#include "base/panic.h"

static _Atomic uint64_t file_ids;

void file_init(struct file *f, const struct file_ops *ops, uint32_t mode, uint32_t flags)
{
	f->ops = ops;
	f->core = this_core()->index;
	f->mode = mode;
	atomic_store_explicit(&f->handles, 0, memory_order_relaxed);
	atomic_store_explicit(&f->flags, flags, memory_order_relaxed);
	atomic_store_explicit(&f->pos, 0, memory_order_relaxed);
	waitlist_init(&f->pollers);
	f->closed = false;
	f->id = atomic_fetch_add_explicit(&file_ids, 1, memory_order_relaxed) + 1;
	/* The memory is type-stable: whoever still holds a stale pointer sees the count only when
	 * all else is in place. */
	atomic_store_explicit(&f->refs, 1, memory_order_release);
}

bool file_get_live(struct file *f)
{
	uint32_t refs = atomic_load_explicit(&f->refs, memory_order_relaxed);

	do
		if (!refs)
			return false;
	while (!atomic_compare_exchange_weak_explicit(&f->refs, &refs, refs + 1,
						      memory_order_acquire, memory_order_relaxed));
	return true;
}

static void file_free_deliver(struct mail *m)
{
	struct file *f = container_of(m, struct file, mail);

	f->ops->free(f);
}

void file_put(struct file *f)
{
	uint32_t refs = atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel);

	kassert(refs);
	if (likely(refs != 1))
		return;
	if (f->core == this_core()->index) {
		f->ops->free(f);
		return;
	}
	f->mail.deliver = file_free_deliver;
	mailbox_post(f->core, &f->mail);
}

void file_handle_add(struct file *f)
{
	file_get(f);
	atomic_fetch_add_explicit(&f->handles, 1, memory_order_relaxed);
}

static void file_close_here(struct file *f)
{
	if (!f->closed) {
		f->closed = true;
		if (f->ops->close)
			f->ops->close(f);
		file_poll_wake(f);
	}
	file_put(f);
}

static void file_close_deliver(struct mail *m)
{
	file_close_here(container_of(m, struct file, mail));
}

void file_handle_drop(struct file *f)
{
	uint32_t handles = atomic_fetch_sub_explicit(&f->handles, 1, memory_order_acq_rel);

	kassert(handles);
	if (handles != 1) {
		file_put(f);
		return;
	}
	if (f->core == this_core()->index) {
		file_close_here(f);
		return;
	}
	f->mail.deliver = file_close_deliver; /* the handle's reference travels with it */
	mailbox_post(f->core, &f->mail);
}
