/*
 * upcall: notices for threads whose mailbox is in no slot of the machine: the kernel keeps it in
 * memory that it shares with the program (struct sluice_upcall, uapi/notice.h), and enters the
 * program's handler itself.
 *
 *   post: bit set, thread in user mode? -> doorbell to its core -> placement_run -> upcall_run
 *         parked?                       -> home core is told: enter ends, WAIT ops look again
 *   upcall_run: on and pending -> pc kept in the area, thread goes on at its handler
 *   handler returns (a trap, or by itself): pc and `on` are again what they were
 *
 * The area is the program's memory, pinned by whoever attached it: everything read there is a
 * claim, and nothing but this thread's own registers and waits depends on it. It is reached under
 * the inbox's lock, except on the thread's core, which alone takes it away.
 */
#ifndef SCHED_UPCALL_H
#define SCHED_UPCALL_H

#include "base/types.h"

struct inbox;
struct sluice_upcall;

struct upcall {
	struct sluice_upcall *area; /* NULL: no upcalls. Thread's core, under the lock */
	uaddr_t handler;	    /* thread's core only */
	bool parked;		    /* its thread is. Thread's core, under the lock */
	_Atomic bool asked;	    /* somebody waits for identities. Home core, under the lock */
};

/* Under the lock: identity `id` (0: the alarm) is pending from now on. True: the home core is to be
 * told. Any core. */
bool upcall_post(struct inbox *ib, unsigned id);
/* Under the lock: takes what is pending of `mask`; nothing: somebody waits. Home core. */
uint64_t upcall_take(struct inbox *ib, uint64_t mask);
/* Does a wait in enter end when something comes? Any core, a hint. */
bool upcall_wakes(const struct inbox *ib);

/* The rest on the thread's core. The thread is about to run, has parked (true: the home core is to
 * be told), asks to go on where it was interrupted (false: it has no upcalls). */
void upcall_run(struct inbox *ib);
must_use bool upcall_park(struct inbox *ib);
must_use bool upcall_return(struct inbox *ib);

#endif
