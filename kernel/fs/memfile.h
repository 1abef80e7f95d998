/*
 * memfile: files without a name that live in memory. See memfile.c.
 */
#ifndef FS_MEMFILE_H
#define FS_MEMFILE_H

#include "mm/mobj.h"
#include "sched/file.h"

#define MEMFILES_MAX 256u /* in the machine */

/* Boot: the table. */
void memfiles_init(void);
/* A new empty one of this core, readable and writable, with one reference, the caller's. 0, -ENFILE
 * (MEMFILES_MAX), -ENOMEM, -ENOSPC. Any serving core; never parks. */
must_use int memfile_make(struct file **out);
/* The pages behind `f`, NULL if it is another kind of file. Good as long as `f` is referenced. */
struct mobj *memfile_object(struct file *f);

#endif
