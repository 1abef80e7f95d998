/*
 * sys_file: the system calls on files and descriptors.
 *
 * Those that have an opcode are that opcode's entry (translate); what is left works on the
 * descriptor table and the file's position: dup, dup3, fcntl, lseek. Home core; none parks.
 */
#include "fs/memfile.h"
#include "fs/pipe.h"
#include "ring/internal.h"
#include "ring/sys.h"
#include "uapi/fs.h"

/* ---- calls that are entries ------------------------------------------------------------------ */

#define COUNT_MAX 0x7ffff000u /* bytes one call moves at most, as on Linux */

static int as_transfer(const struct sys_args *args, struct io_uring_sqe *sqe, uint8_t opcode,
		       uint64_t off)
{
	sqe->opcode = opcode;
	sqe->fd = (int32_t)args->a[0];
	sqe->addr = args->a[1];
	sqe->len = (uint32_t)min_of(args->a[2], (uint64_t)COUNT_MAX);
	sqe->off = off;
	return 0;
}

static int read_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	return as_transfer(args, sqe, IORING_OP_READ, UINT64_MAX);
}

static int write_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	return as_transfer(args, sqe, IORING_OP_WRITE, UINT64_MAX);
}

static int readv_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	return as_transfer(args, sqe, IORING_OP_READV, UINT64_MAX);
}

static int writev_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	return as_transfer(args, sqe, IORING_OP_WRITEV, UINT64_MAX);
}

static int preadv_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	if ((int64_t)args->a[3] < 0)
		return -EINVAL;
	return as_transfer(args, sqe, IORING_OP_READV, args->a[3]);
}

static int pwritev_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	if ((int64_t)args->a[3] < 0)
		return -EINVAL;
	return as_transfer(args, sqe, IORING_OP_WRITEV, args->a[3]);
}

static int pread64_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	if ((int64_t)args->a[3] < 0)
		return -EINVAL;
	return as_transfer(args, sqe, IORING_OP_READ, args->a[3]);
}

static int pwrite64_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	if ((int64_t)args->a[3] < 0)
		return -EINVAL;
	return as_transfer(args, sqe, IORING_OP_WRITE, args->a[3]);
}

static int fsync_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	sqe->opcode = IORING_OP_FSYNC;
	sqe->fd = (int32_t)args->a[0];
	return 0;
}

static int fdatasync_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	sqe->fsync_flags = IORING_FSYNC_DATASYNC;
	return fsync_translate(args, sqe);
}

static int fallocate_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	sqe->opcode = IORING_OP_FALLOCATE;
	sqe->fd = (int32_t)args->a[0];
	sqe->len = (uint32_t)args->a[1];
	sqe->off = args->a[2];
	sqe->addr = args->a[3];
	return 0;
}

static int openat_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	sqe->opcode = IORING_OP_OPENAT;
	sqe->fd = (int32_t)args->a[0];
	sqe->addr = args->a[1];
	sqe->open_flags = (uint32_t)args->a[2];
	sqe->len = (uint32_t)args->a[3];
	return 0;
}

static int close_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	sqe->opcode = IORING_OP_CLOSE;
	sqe->fd = (int32_t)args->a[0];
	return 0;
}

static int statx_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	sqe->opcode = IORING_OP_STATX;
	sqe->fd = (int32_t)args->a[0];
	sqe->addr = args->a[1];
	sqe->statx_flags = (uint32_t)args->a[2];
	sqe->len = (uint32_t)args->a[3];
	sqe->off = args->a[4];
	return 0;
}

static int pipe2_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	sqe->opcode = IORING_OP_PIPE;
	sqe->addr = args->a[0];
	sqe->pipe_flags = (uint32_t)args->a[1];
	return 0;
}

static int ftruncate_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	sqe->opcode = IORING_OP_FTRUNCATE;
	sqe->fd = (int32_t)args->a[0];
	sqe->off = args->a[1];
	return 0;
}

SYS_AS(read);
SYS_AS(write);
SYS_AS(readv);
SYS_AS(writev);
SYS_AS(preadv);
SYS_AS(pwritev);
SYS_AS(pread64);
SYS_AS(pwrite64);
SYS_AS(fsync);
SYS_AS(fdatasync);
SYS_AS(fallocate);
SYS_AS(openat);
SYS_AS(close);
SYS_AS(statx);
SYS_AS(pipe2);
SYS_AS(ftruncate);

/* No page is kept that an advice could be about. */
#define FADVICES 6u /* Linux, linux/fadvise.h */

static enum step fadvise64_step(struct op *op, const struct sys_args *args)
{
	struct file *f = fd_get(op_process(op), (int)args->a[0]);
	int res = -EBADF;

	if (f) {
		res = f->mode == S_IFIFO ? -ESPIPE : args->a[3] < FADVICES ? 0 : -EINVAL;
		file_put(f);
	}
	return op_finish(op, res);
}

const struct sys_row sys_fadvise64 = { .name = "fadvise64", .step = fadvise64_step };

/* ---- descriptors ----------------------------------------------------------------------------- */

static enum step dup_step(struct op *op, const struct sys_args *args)
{
	return op_finish(op, fd_dup(op_process(op), (int)args->a[0], 0));
}

static enum step dup3_step(struct op *op, const struct sys_args *args)
{
	int from = (int)args->a[0], to = (int)args->a[1], res;
	struct file *f;

	if (from == to || (args->a[2] & ~(uint64_t)O_CLOEXEC))
		return op_finish(op, -EINVAL);
	f = fd_get(op_process(op), from);
	if (!f)
		return op_finish(op, -EBADF);
	res = fd_replace(op_process(op), f, to, args->a[2] & O_CLOEXEC);
	file_put(f);
	return op_finish(op, res);
}

const struct sys_row sys_dup = { .name = "dup", .step = dup_step };
const struct sys_row sys_dup3 = { .name = "dup3", .step = dup3_step };

static int fcntl_dup(struct process *p, int fd, int from, bool cloexec)
{
	int made;

	if (from < 0 || from >= PROCESS_FDS_MAX)
		return -EINVAL;
	made = fd_dup(p, fd, from);
	if (made < 0 || !cloexec)
		return made;
	return fd_cloexec_set(p, made, true) ? -EBADF : made;
}

static int fcntl_flags(const struct file *f)
{
	uint32_t flags = atomic_load_explicit(&f->flags, memory_order_relaxed);
	int rights = flags & FILE_WRITABLE ? flags & FILE_READABLE ? O_RDWR : O_WRONLY : O_RDONLY;

	return rights | (flags & FILE_NONBLOCK ? O_NONBLOCK : 0);
}

/* Of the flags that can be set only O_NONBLOCK has a meaning here; those that fcntl ignores on
 * Linux are ignored. */
static int fcntl_set_flags(struct file *f, uint32_t flags)
{
	if (flags & (O_APPEND | O_DIRECT))
		return -EINVAL;
	if (flags & O_NONBLOCK)
		atomic_fetch_or_explicit(&f->flags, FILE_NONBLOCK, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&f->flags, ~FILE_NONBLOCK, memory_order_relaxed);
	return 0;
}

static int fcntl_on_file(struct file *f, uint64_t cmd, uint64_t arg)
{
	switch (cmd) {
	case F_GETFL:
		return fcntl_flags(f);
	case F_SETFL:
		return fcntl_set_flags(f, (uint32_t)arg);
	case F_GETPIPE_SZ:
		return pipe_is(f) ? (int)PIPE_BYTES : -EBADF;
	case F_SETPIPE_SZ: /* one size: asking for less gets more, as on Linux */
		if (!pipe_is(f))
			return -EBADF;
		return arg <= PIPE_BYTES ? (int)PIPE_BYTES : -EPERM;
	}
	return -EINVAL;
}

static enum step fcntl_step(struct op *op, const struct sys_args *args)
{
	struct process *p = op_process(op);
	int fd = (int)args->a[0], res;
	struct file *f;

	switch (args->a[1]) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return op_finish(op, fcntl_dup(p, fd, (int)args->a[2],
					       args->a[1] == F_DUPFD_CLOEXEC));
	case F_GETFD:
		return op_finish(op, fd_cloexec_get(p, fd));
	case F_SETFD:
		return op_finish(op, fd_cloexec_set(p, fd, args->a[2] & FD_CLOEXEC));
	}
	f = fd_get(p, fd);
	if (!f)
		return op_finish(op, -EBADF);
	res = fcntl_on_file(f, args->a[1], args->a[2]);
	file_put(f);
	return op_finish(op, res);
}

const struct sys_row sys_fcntl = { .name = "fcntl", .step = fcntl_step };

/* ---- the position ---------------------------------------------------------------------------- */

static int64_t seek(struct file *f, int64_t off, uint64_t whence)
{
	struct statx st = { 0 };
	int64_t base = 0;

	if (!(atomic_load_explicit(&f->flags, memory_order_relaxed) & FILE_SEEKABLE))
		return -ESPIPE;
	switch (whence) {
	case SEEK_SET:
		break;
	case SEEK_CUR:
		base = (int64_t)atomic_load_explicit(&f->pos, memory_order_relaxed);
		break;
	case SEEK_END:
		if (!f->ops->stat || f->ops->stat(f, &st))
			return -EINVAL;
		base = (int64_t)st.stx_size;
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, off, &base) || base < 0)
		return -EINVAL;
	atomic_store_explicit(&f->pos, (uint64_t)base, memory_order_relaxed);
	return base;
}

static enum step lseek_step(struct op *op, const struct sys_args *args)
{
	struct file *f = fd_get(op_process(op), (int)args->a[0]);
	int64_t at;

	if (!f)
		return op_finish(op, -EBADF);
	at = seek(f, (int64_t)args->a[1], args->a[2]);
	file_put(f);
	return op_finish64(op, at);
}

const struct sys_row sys_lseek = { .name = "lseek", .step = lseek_step };

/* ---- files without a name -------------------------------------------------------------------- */

#define MEMFD_NAME_MAX 249u /* as on Linux; the name is looked at and forgotten */

static enum step memfd_create_step(struct op *op, const struct sys_args *args)
{
	char name[MEMFD_NAME_MAX + 1];
	struct file *f;
	int res;

	if (args->a[1] & ~(uint64_t)(MFD_CLOEXEC | MFD_ALLOW_SEALING))
		return op_finish(op, -EINVAL);
	res = user_read_string(op_aspace(op), args->a[0], name, sizeof(name));
	if (res < 0)
		return op_finish(op, res == -ENAMETOOLONG ? -EINVAL : res);
	res = memfile_make(&f);
	if (res)
		return op_finish(op, res);
	res = fd_install(op_process(op), f, 0, args->a[1] & MFD_CLOEXEC);
	file_put(f);
	return op_finish(op, res);
}

const struct sys_row sys_memfd_create = { .name = "memfd_create", .step = memfd_create_step };
