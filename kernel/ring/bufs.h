/*
 * bufs: registration of buffers and provided-buffer rings, for register.c. Ring's core; see ring.h
 * for what ops use.
 */
#ifndef RING_BUFS_H
#define RING_BUFS_H

#include "ring/internal.h"
#include "uapi/socket.h"

/* REGISTER_BUFFERS: `vec` is the program's array of `count` iovecs. 0, -EBUSY, -EINVAL, -EFAULT,
 * -ENOMEM. */
must_use int ring_bufs_register(struct ring *r, uaddr_t vec, uint32_t count);
/* REGISTER_PBUF_RING. 0, -EINVAL, -EEXIST, -EFAULT, -ENOMEM. */
must_use int ring_group_register(struct ring *r, const struct io_uring_buf_reg *reg);
must_use int ring_group_unregister(struct ring *r, uint16_t id);
/* PBUF_STATUS: index of the next buffer to be taken. 0 or -ENOENT. */
must_use int ring_group_head(struct ring *r, uint16_t id, uint32_t *head);

#endif
