/*
 * notice: what the other files of ring/ need of notice.c.
 */
#ifndef RING_NOTICE_H
#define RING_NOTICE_H

#include "ring/ring.h"

/* Boot: receivers and endpoints of a serving core. */
void notices_init(unsigned core);
/* A thread of a process that is gone is taken apart. Home core. */
void notice_thread_gone(struct user_thread *t);
/* SLUICE_CALL_ALARM. Thread's core. */
int64_t notice_alarm(struct user_thread *t, uint64_t ns);
/* Completions were published on a ring that asked for notices. Ring's core. */
void notice_completions(struct core *c, struct ring *r);
/* enter.c: a thread that waits in enter stops waiting with -EINTR, or what it has. Home core. */
void enter_interrupt(struct user_thread *t);

#endif
