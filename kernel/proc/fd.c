/*
 * fd: a process's descriptor table.
 *
 * Slots are claimed by compare-and-swap from any serving core and emptied by the home core only. A
 * look-up from another core may meet a file that is just being closed: it takes a reference only of
 * a file that is alive, then looks at the slot again (memory of files is type-stable). On the home
 * core nothing can be closed between the two looks, so one look is enough.
 */
#include <string.h>

#include "mm/frames.h"
#include "proc/internal.h"
#include "uapi/errno.h"

#define FDS_ORDER 3u
_Static_assert(PROCESS_FDS_MAX * sizeof(struct file *) == PAGE_SIZE << FDS_ORDER, "one block");

int fds_init(struct process *p)
{
	paddr_t block = frame_alloc(FDS_ORDER);

	if (!block)
		return -ENOMEM;
	p->fds = arch_direct(block);
	memset((void *)p->fds, 0, PAGE_SIZE << FDS_ORDER);
	return 0;
}

void fds_free(struct process *p)
{
	if (p->fds)
		frame_put(arch_direct_paddr((const void *)p->fds));
	p->fds = NULL;
}

struct file *fd_get(struct process *p, int fd)
{
	struct file *f;

	if (unlikely((unsigned)fd >= PROCESS_FDS_MAX))
		return NULL;
	if (likely(this_core()->index == p->home)) {
		f = atomic_load_explicit(&p->fds[fd], memory_order_acquire);
		if (likely(f))
			file_get(f);
		return f;
	}
	for (;;) {
		f = atomic_load_explicit(&p->fds[fd], memory_order_acquire);
		if (!f)
			return NULL;
		if (!file_get_live(f))
			continue; /* its slot is about to be emptied or already is */
		if (atomic_load_explicit(&p->fds[fd], memory_order_acquire) == f)
			return f;
		file_put(f);
	}
}

static void cloexec_put(struct process *p, int fd, bool on)
{
	_Atomic uint64_t *word = &p->fd_cloexec[fd / 64];
	uint64_t bit = 1ull << fd % 64;

	if (on)
		atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
	else if (atomic_load_explicit(word, memory_order_relaxed) & bit)
		atomic_fetch_and_explicit(word, ~bit, memory_order_relaxed);
}

int fd_install(struct process *p, struct file *f, int from, bool cloexec)
{
	uint32_t hint = atomic_load_explicit(&p->fd_hint, memory_order_relaxed);
	uint32_t first = max_of((uint32_t)(from < 0 ? 0 : from), hint);

	if (from < 0 || from >= PROCESS_FDS_MAX)
		return from < 0 ? -EINVAL : -EMFILE;
	file_handle_add(f);
	for (uint32_t fd = first; fd < PROCESS_FDS_MAX; fd++) {
		struct file *none = NULL;

		if (atomic_load_explicit(&p->fds[fd], memory_order_relaxed))
			continue;
		/* Release: pairs with fd_get. */
		if (!atomic_compare_exchange_strong_explicit(&p->fds[fd], &none, f,
							     memory_order_acq_rel,
							     memory_order_relaxed))
			continue;
		cloexec_put(p, (int)fd, cloexec);
		/* Only if nobody lowered the hint meanwhile: a close on the home core comes first
		 * then. */
		if (first == hint)
			atomic_compare_exchange_strong_explicit(&p->fd_hint, &hint, fd + 1,
								memory_order_relaxed,
								memory_order_relaxed);
		return (int)fd;
	}
	file_handle_drop(f);
	return -EMFILE;
}

int fd_close(struct process *p, int fd)
{
	struct file *f;
	uint32_t hint;

	if ((unsigned)fd >= PROCESS_FDS_MAX)
		return -EBADF;
	f = atomic_exchange_explicit(&p->fds[fd], NULL, memory_order_acq_rel);
	if (!f)
		return -EBADF;
	hint = atomic_load_explicit(&p->fd_hint, memory_order_relaxed);
	while ((uint32_t)fd < hint &&
	       !atomic_compare_exchange_weak_explicit(&p->fd_hint, &hint, (uint32_t)fd,
						      memory_order_relaxed, memory_order_relaxed))
		;
	file_handle_drop(f);
	return 0;
}

int fd_replace(struct process *p, struct file *f, int fd, bool cloexec)
{
	struct file *old;

	if ((unsigned)fd >= PROCESS_FDS_MAX)
		return -EBADF;
	file_handle_add(f);
	/* Release: pairs with fd_get. */
	old = atomic_exchange_explicit(&p->fds[fd], f, memory_order_acq_rel);
	cloexec_put(p, fd, cloexec);
	if (old)
		file_handle_drop(old);
	return fd;
}

int fd_dup(struct process *p, int fd, int from)
{
	struct file *f = fd_get(p, fd);
	int made;

	if (!f)
		return -EBADF;
	made = fd_install(p, f, from, false);
	file_put(f);
	return made;
}

static bool fd_is_open(struct process *p, int fd)
{
	return (unsigned)fd < PROCESS_FDS_MAX &&
	       atomic_load_explicit(&p->fds[fd], memory_order_relaxed);
}

int fd_cloexec_get(struct process *p, int fd)
{
	if (!fd_is_open(p, fd))
		return -EBADF;
	return atomic_load_explicit(&p->fd_cloexec[fd / 64], memory_order_relaxed) >> fd % 64 & 1;
}

int fd_cloexec_set(struct process *p, int fd, bool on)
{
	if (!fd_is_open(p, fd))
		return -EBADF;
	cloexec_put(p, fd, on);
	return 0;
}

void fds_close_all(struct process *p)
{
	for (int fd = 0; fd < PROCESS_FDS_MAX; fd++)
		if (fd_is_open(p, fd)) {
			int err = fd_close(p, fd);

			kassert(!err);
		}
}
