/*
 * pipe: two ends of a queue of bytes. See pipe.c.
 */
#ifndef FS_PIPE_H
#define FS_PIPE_H

#include "sched/file.h"

#define PIPES_MAX 512u	   /* in the machine */
#define PIPE_BYTES 65536u  /* what one holds */
#define PIPE_BUF 4096u	   /* a write of at most this many bytes is never torn */

/* Boot: the table. */
void pipes_init(void);

/*
 * A new pipe of this core: ends[0] reads, ends[1] writes, each with one reference, the caller's.
 * oflags: O_NONBLOCK or 0. 0, -ENFILE (PIPES_MAX), -ENOMEM. Any serving core; never parks.
 */
must_use int pipe_make(uint32_t oflags, struct file *ends[2]);

/* Is `f` an end of a pipe? */
bool pipe_is(const struct file *f);

#endif
