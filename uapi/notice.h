/*
 * notice: notices between programs, and from kernel cores to programs: IORING_OP_NOTICE.
 *
 * Vocabulary: a thread registers a handler and so becomes a receiver of identities 1 to 63; an
 * endpoint is a descriptor by which others post one of them to it; connecting an endpoint maps a
 * doorbell page, where a 32-bit store of the identity posts it without a system call. docs/uintr.md
 * says what is guaranteed and what it costs.
 *
 * How identities reach a handler: without the kernel, if the program runs in VS-mode; by an upcall
 * from the kernel, if it named a struct sluice_upcall; or they are waited for.
 */
#ifndef UAPI_NOTICE_H
#define UAPI_NOTICE_H

#include <stdint.h>

/* len: SLUICE_NOTICE_*; fd, off and addr as said there; every other field is 0. */
#define IORING_OP_NOTICE 0xE2

#define SLUICE_NOTICE_IDS 64u

/*
 * What a program and the kernel share when notices come by upcalls: 64 bytes, aligned to 64, in
 * memory of the program's own that stays where it is. In the terms of a hart: the mailbox's pending
 * and enabled bits, the bit that lets interrupts in, and where it was interrupted.
 *
 * An upcall: the kernel changes `on` to 0, keeps it in `was` and the program counter in `pc`, and
 * lets the thread go on at its handler; every other register is as it was. It does so when the
 * thread is about to run (a post interrupts it first), `on` is SLUICE_UPCALL_ON, and an enabled
 * identity is pending. The handler takes identities by clearing bits, atomically. It returns with
 * all registers restored: on riscv64 by `sret`, which traps, and the kernel makes `was` and `pc`
 * hold again; elsewhere the program does that itself. Who sets `on`, or enables an identity, looks
 * behind a full fence whether something is pending, and serves it. Bit 0 is the alarm.
 *
 * The kernel trusts nothing here: a program that fills it with nonsense is entered at nonsense.
 */
struct sluice_upcall {
	uint64_t pending; /* both, atomic */
	uint64_t enabled; /* program */
	uint32_t on;	  /* both: SLUICE_UPCALL_* */
	uint32_t was;	  /* kernel; the program may change it before it returns */
	uint64_t pc;	  /* kernel; likewise */
	int64_t dozed;	  /* program, if direct: below */
	uint64_t reserved[3];
};
#define SLUICE_UPCALL_OFF 0u
#define SLUICE_UPCALL_ON 1u
#define SLUICE_UPCALL_WAKE                                                                         \
	2u /* no upcall, but a wait in enter ends with -EINTR, as it does for ON */

/*
 * A direct program waits in its own mode (wfi), where the kernel does not see it. It says so in
 * `dozed`, so that those who watch, or balance, its core know what it does: ticks of its clock that
 * it has waited in all; while it waits that, less the clock when it began, which is negative. What
 * it says changes how busy its core looks for as long as it runs there, and nothing else. Who says
 * nothing looks busy.
 */

/*
 * The alarm, a call of its own as the doorbell is: ecall (hosted: enter_fn) with this number, first
 * argument: nanoseconds from now until identity 0 becomes pending; UINT64_MAX: never. Only one
 * alarm, the last that was set. 0; -ENXIO for a thread without upcalls.
 */
#define SLUICE_CALL_ALARM 0x5102

/*
 * The thread becomes a receiver whose ring this is (of a ring that is nobody's, the program's
 * first; so for all commands that say "this receiver"). addr: its handler, in executable memory
 * (-EFAULT), or 0 to have none; off: its struct sluice_upcall (-EFAULT; -EINVAL: not aligned, or no
 * handler), or 0; of the registration that made the receiver: again only the handler changes.
 * Result:
 *   SLUICE_NOTICE_DIRECT   identities reach the handler without the kernel (the program runs in
 *                          VS-mode: stvec is set; the program enables identities in its mailbox by
 *                          siselect and sireg, AIA 1.0, chapter 3); of `off` only `dozed` is used
 *   SLUICE_NOTICE_UPCALLS  by upcalls
 *   0                      they are waited for (WAIT) and enabled by ENABLE
 */
#define SLUICE_NOTICE_REGISTER 1u
#define SLUICE_NOTICE_DIRECT 1
#define SLUICE_NOTICE_UPCALLS 2

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

/* Receivers that are not direct (by upcalls: where they are enabled is the program's). off:
 * identities to wait for, addr: where the 64-bit set of those that came is written; it then is no
 * longer pending. -EOPNOTSUPP: this one is direct. */
#define SLUICE_NOTICE_WAIT 5u
/* off: the identities that are not masked. What comes for a masked one stays pending. -EOPNOTSUPP:
 * this receiver has its mask itself. */
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
 * program's ring, as the doorbell (enter with SQ_WAKEUP) does, without a trap; not while the ring
 * says SLUICE_SQ_AWAY. page 0: none here. */
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
 * receiver, by itself and on each edge; 0: none any more. It ends with the claim. By upcalls the
 * kernel takes it, holds the line, and lets go of it when the handler has returned or the thread
 * waits, the identity being taken. -ENOTTY: no such device, or it has no interrupt. -EOPNOTSUPP:
 * this receiver only waits. -ENOSPC: all mailboxes but one are bound to devices, or 8 lines are
 * held for receivers by upcalls.
 */
#define SLUICE_NOTICE_DEVICE 12u

#endif
