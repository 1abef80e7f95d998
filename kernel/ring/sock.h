/*
 * sock: what the socket families (sock_*.c) share: from an op to its socket, and addresses to and
 * from a program's memory.
 *
 * Every op of these families runs on the core that owns the socket: the executor brought it there
 * because the op's file is there.
 */
#ifndef RING_SOCK_H
#define RING_SOCK_H

#include "net/socket.h"
#include "ring/ring.h"

/* Flags that change nothing here: a write to a closed connection never signals, and looking first
 * is what every receive does. */
#define MSG_RECV_OK (MSG_PEEK | MSG_DONTWAIT | MSG_WAITALL | MSG_TRUNC)

static inline struct sock *op_sock(struct op *op)
{
	return sock_of(op->file);
}

/* May this op wait? */
static inline bool op_sock_waits(struct op *op, struct sock *s, uint32_t msg_flags)
{
	(void)op;
	return !(msg_flags & MSG_DONTWAIT) && !sock_is_nonblock(s);
}

/* Copies an address of `len` bytes in. 0, -EINVAL (longer than any), -EFAULT. */
must_use int sock_name_read(struct aspace *as, uaddr_t from, uint32_t len, struct sock_name *name);
/* Copies an address out, cut at *(int *)len_at, and stores its full length there. at 0: not
 * wanted. */
must_use int sock_name_write(struct aspace *as, uaddr_t at, uaddr_t len_at,
			     const struct sock_name *name);

/* Takes a parked op off its wait list; its step sees OP_CANCELLED. */
int sock_cancel(struct op *op);

/* An op that waited to receive ends without having received: what it was woken for is for the next
 * one. */
static inline void sock_pass_on(struct sock *s)
{
	if (sock_has_data(s) || !list_is_empty(&s->accepted))
		waitlist_wake_one(&s->readers);
}

#endif
