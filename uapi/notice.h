/*
 * notice: notices between programs, and from kernel cores to programs: IORING_OP_NOTICE.
 *
 * Vocabulary: a thread registers a handler and so becomes a receiver of identities 1 to 63; an
 * endpoint is a descriptor by which others post one of them to it; connecting an endpoint maps a
 * doorbell page, where a 32-bit store of the identity posts it without a system call. docs/uintr.md
 * says what is guaranteed and what it costs.
 */
#ifndef UAPI_NOTICE_H
#define UAPI_NOTICE_H

#include <stdint.h>

/* len: SLUICE_NOTICE_*; fd, off and addr as said there; every other field is 0. */
#define IORING_OP_NOTICE 0xE2

#define SLUICE_NOTICE_IDS 64u

/*
 * The program's first thread becomes a receiver. addr: its handler, in executable memory (-EFAULT),
 * or 0 to have none. Result: SLUICE_NOTICE_DIRECT when identities reach the handler without the
 * kernel (the program runs in VS-mode: stvec is set; the program enables identities in its mailbox
 * by siselect and sireg, AIA 1.0, chapter 3); 0 when they are waited for (WAIT) and enabled by
 * ENABLE. Again: only the handler changes.
 */
#define SLUICE_NOTICE_REGISTER 1u
#define SLUICE_NOTICE_DIRECT 1

/* off: an identity. A new endpoint of this receiver: its descriptor. -ENXIO: not registered. */
#define SLUICE_NOTICE_CREATE 2u

/* fd: an endpoint, addr: where a struct sluice_doorbell is written. Maps its doorbell. -EPIPE:
 * revoked, or the receiver is gone. -ENOSPC: 16 doorbells are a program's limit. */
#define SLUICE_NOTICE_CONNECT 3u
struct sluice_doorbell {
	uint64_t page; /* store `id` there, 32 bits; 0: this receiver has none, use POST */
	uint32_t id;
	uint32_t reserved;
};

/* fd: an endpoint. Posts its identity. 0, -EPIPE. */
#define SLUICE_NOTICE_POST 4u

/* Receivers that are not direct. off: identities to wait for, addr: where the 64-bit set of those
 * that came is written; it then is no longer pending. -EOPNOTSUPP: this one is direct. */
#define SLUICE_NOTICE_WAIT 5u
/* off: the identities that are not masked. What comes for a masked one stays pending. */
#define SLUICE_NOTICE_ENABLE 6u

/* fd: an endpoint of this receiver. It and every doorbell that came from it lead nowhere from now
 * on. -EPERM: somebody else's. */
#define SLUICE_NOTICE_REVOKE 7u

/*
 * fd: a ring of this program. off: identity to post when completions come and the ring's notify
 * word is armed; 0: none any more. The word is the 32 bits behind the CQ flags (cq_off.flags + 4).
 * The program arms it by SLUICE_NOTIFY_ARMED, then, behind a full fence, looks at the CQ tail once
 * more; the kernel stores the tail, then, behind a full fence, changes ARMED to 0 and posts once.
 * While it is 0 ("I am polling") nothing is posted.
 */
#define SLUICE_NOTICE_RING 8u
#define SLUICE_NOTIFY_ARMED 1u

/* addr: where a struct sluice_doorbell is written: a store there wakes the core that polls the
 * program's ring, as the doorbell (enter with SQ_WAKEUP) does, without a trap. page 0: none
 * here. */
#define SLUICE_NOTICE_WAKER 9u

/*
 * The way back. OFFER: fd: an endpoint of somebody else, off: an identity of ours: a new endpoint
 * of this receiver waits at that one. -EBUSY: one waits already. TAKE: fd: an endpoint of this
 * receiver: the descriptor of what waits there; -EAGAIN: nothing. -EPERM as for REVOKE.
 */
#define SLUICE_NOTICE_OFFER 10u
#define SLUICE_NOTICE_TAKE 11u

/*
 * fd: a device that is claimed (/dev/uart0), off: the identity that its interrupt posts to this
 * receiver, by itself and on each edge; 0: none any more. It ends with the claim. -ENOTTY: no such
 * device, or it has no interrupt. -EOPNOTSUPP: this receiver is not direct. -ENOSPC: all mailboxes
 * but one are bound to devices.
 */
#define SLUICE_NOTICE_DEVICE 12u

#endif
