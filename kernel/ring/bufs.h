/*
 * bufs: registration of buffers and provided-buffer rings, for register.c. Ring's core; see ring.h
 * for what ops use.
 *
 * What is registered (files, buffers, groups) may go while another core is at work on it. Such a
 * core counts itself in before it looks and out when it is done, which takes no wait; the ring's
 * core first makes the thing unreachable, then waits until nobody looks, then frees it:
 *
 *   other core:   lookers++ ; load ... use ; lookers--
 *   ring's core:  unlink ; load lookers until 0 ; free
 *
 * Both sides store first and load second, sequentially consistent: one of them sees the other.
 */
#ifndef RING_BUFS_H
#define RING_BUFS_H

#include "ring/internal.h"
#include "uapi/socket.h"

/* True: counted in, and look_end is to count out; the ring's own core needs neither. */
must_use static inline bool look_begin(struct ring *r)
{
	if (ring_is_here(this_core(), r))
		return false;
	atomic_fetch_add(&r->lookers, 1);
	return true;
}

static inline void look_end(struct ring *r, bool counted)
{
	if (counted)
		/* pairs with the loads of looks_wait */
		atomic_fetch_sub_explicit(&r->lookers, 1, memory_order_release);
}

/* What was unlinked, sequentially consistent, before this call is seen by nobody after it. */
static inline void looks_wait(struct ring *r)
{
	while (atomic_load(&r->lookers))
		arch_relax();
}

/* REGISTER_BUFFERS: `vec` is the program's array of `count` iovecs. 0, -EBUSY, -EINVAL, -EFAULT,
 * -ENOMEM. */
must_use int ring_bufs_register(struct ring *r, uaddr_t vec, uint32_t count);
/* REGISTER_PBUF_RING. 0, -EINVAL, -EEXIST, -EFAULT, -ENOMEM. */
must_use int ring_group_register(struct ring *r, const struct io_uring_buf_reg *reg);
must_use int ring_group_unregister(struct ring *r, uint16_t id);
/* PBUF_STATUS: index of the next buffer to be taken. 0 or -ENOENT. */
must_use int ring_group_head(struct ring *r, uint16_t id, uint32_t *head);

#endif
