/*
 * file: what an op holds on to while it runs: a reference-counted object with its operations.
 * Sockets, disks, the console, initrd files, rings are files. This header is the seam between ring/
 * (which knows ops) and fs/, net/ (which know objects).
 *
 * Counts: `handles` (descriptors and registered slots; changed on the process's home core) and
 * `refs` (handles + ops in flight, any core, atomic). When handles fall to zero the file is closed:
 * ops->close runs on the file's core and, on native rings, wakes what waits with -ECANCELED. When
 * refs fall to zero ops->free runs on the file's core.
 */
#ifndef SCHED_FILE_H
#define SCHED_FILE_H

#include <stdatomic.h>

#include "mm/pin.h"
#include "sched/op.h"

struct statx_out; /* uapi/fs.h: struct statx */
struct statx;

#define FILE_READABLE 1u
#define FILE_WRITABLE 2u
#define FILE_SEEKABLE 4u /* offsets mean something; -1 is the file position */
#define FILE_STREAM 8u
#define FILE_NONBLOCK 16u /* O_NONBLOCK: an op that would park answers -EAGAIN */
#define FILE_ATOMIC 32u	  /* a write of at most PIPE_BUF bytes comes in one piece, vectored too */

struct file;
struct inbox_source;

/*
 * A transfer as file operations see it. Embedded in the body of the ring's read/write ops; one
 * piece of at most PIN_BYTES_MAX at a time.
 */
struct transfer {
	struct pin pin;	    /* where the bytes go or come from */
	uint32_t job;	    /* the file's own while the piece is under way (it fills a hole) */
	uint64_t off;	    /* file offset of this piece */
	/* result of the piece: bytes, or -errno; set by the file before it wakes the op */
	int32_t moved;
	uint8_t write;
	uint8_t fua;	    /* RWF_DSYNC and friends */
	uint8_t started;    /* the piece is with the device; cleared by the file when it is done */
	uint8_t nonblock;
};

/* long_bytes of what is copied; of what costs some tens of instructions a byte. */
#define FILE_COPY_BYTES 32768u
#define FILE_CIPHER_BYTES 1024u

struct file_ops {
	const char *name;
	/* From so many bytes on a transfer is a long step, in pieces with a window behind each, and
	 * windows of the file's own where a piece computes (sched/preempt.h). 0: never, it is a
	 * device's work. */
	uint32_t long_bytes;
	/* ... and a long one that reads may run on any core that serves. */
	bool roams;
	/*
	 * Where a READ, WRITE or FSYNC (an op whose row says `spread`) runs that is on `core`, not
	 * file->core, now; it may be moved on from there. Any serving core. NULL: on file->core.
	 */
	uint32_t (*place)(struct file *f, uint32_t core);
	/*
	 * One piece of a read or write. Called in state "act" and again after each wake, until it
	 * does not return STEP_PARKED. Returns STEP_DONE with t->moved set (0 at end of file), or
	 * STEP_PARKED after parking `op` (on a wait list of the file, or alone with a device that
	 * will op_wake it). On the file's core. NULL: -EINVAL.
	 */
	enum step (*transfer)(struct file *f, struct op *op, struct transfer *t);
	/*
	 * A short transfer that need not wait: n > 0 bytes at `view`, at file offset `off`, all of
	 * them at once. False: not now, not in one piece, or it would fail; nothing was done then,
	 * and transfer() is asked. On the file's core, which holds a handle meanwhile. May be NULL.
	 */
	bool (*quick)(struct file *f, void *view, uint32_t n, uint64_t off, bool write);
	/* Takes `op` off whatever transfer() parked it on: 0 and the op will be finished by the
	 * caller; -EALREADY: cannot be stopped. */
	int (*transfer_cancel)(struct file *f, struct op *op, struct transfer *t);
	/* Flush to stable storage; same calling convention as transfer (t->moved = 0 or -errno).
	 * NULL: nothing to do, 0. */
	enum step (*flush)(struct file *f, struct op *op, struct transfer *t);
	/* Discard [t->off, +len) (mode: FALLOC_FL_*); same convention. NULL: -EOPNOTSUPP. */
	enum step (*discard)(struct file *f, struct op *op, struct transfer *t, uint64_t len,
			     uint32_t mode);
	/* Sets the size; 0 or -errno. On the file's core, never parks. NULL: -EINVAL. */
	int (*resize)(struct file *f, uint64_t size);
	/* Current poll bits (POLLIN, ...). On the file's core. NULL: always readable and
	 * writable. */
	uint32_t (*poll)(struct file *f);
	/* Fills what it knows. NULL: -EBADF. */
	int (*stat)(struct file *f, struct statx *st);
	/* Shows the device's page of registers to a program: mapped for reading and writing at
	 * *at. Home core of `as`. NULL: -ENODEV. */
	int (*map_device)(struct file *f, struct aspace *as, uaddr_t *at);
	/* The device's interrupt: its source number through *irq, and where it may be attached
	 * (sched/inbox.h). NULL: it has none. */
	struct inbox_source *(*source)(struct file *f, uint32_t *irq);
	/* Last handle gone: no new ops; wake those that wait. On the file's core. May be NULL. */
	void (*close)(struct file *f);
	/* Last reference gone: release the object and the file. On the file's core. */
	void (*free)(struct file *f);
	/* ioctl-like commands: 0 or result, -ENOTTY. May be NULL. Never parks. */
	int64_t (*control)(struct file *f, struct aspace *as, uint32_t cmd, uint64_t arg);
};

struct file {
	/* set once */
	const struct file_ops *ops;
	uint32_t core; /* index of the core that owns the object and runs its ops */
	uint32_t mode; /* S_IF* */

	/* any core, atomic */
	_Atomic uint32_t refs;
	_Atomic uint32_t handles;
	_Atomic uint32_t flags; /* FILE_* */
	_Atomic uint64_t pos;

	/* owner core only */
	struct waitlist pollers; /* ops that wait for poll bits: file_poll_wake */
	struct mail mail;	 /* close and free travel home */
	bool closed;
	uint64_t id;	     /* unique for ever, for reports and stale checks */
};

/* Initialises the header: refs 1, handles 0, core = this core. */
void file_init(struct file *f, const struct file_ops *ops, uint32_t mode, uint32_t flags);

/* Any core. file_get_live takes a reference unless the count is already zero (type-stable memory):
 * false then. */
static inline void file_get(struct file *f)
{
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}
bool file_get_live(struct file *f);
void file_put(struct file *f);

/* Descriptors: add takes a reference of its own; drop closes the file when it was the last. Any
 * core. */
void file_handle_add(struct file *f);
void file_handle_drop(struct file *f);

/* The object's state changed: wakes pollers (each re-checks). Owner core. */
static inline void file_poll_wake(struct file *f)
{
	if (unlikely(!list_is_empty(&f->pollers.ops)))
		waitlist_wake_all(&f->pollers);
}

#endif
