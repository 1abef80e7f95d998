/*
 * path: OPENAT, CLOSE, STATX, FALLOCATE, FTRUNCATE: names to files and files to nothing.
 *
 *   OPENAT, CLOSE, STATX, FTRUNCATE:  ACT --> done
 *   FALLOCATE:             ACT --parked with the file--> ACT ... done
 *
 * The first three run on the process's home core (descriptors) or the ring's (direct slots);
 * FALLOCATE and FTRUNCATE on the file's core.
 */
#include <string.h>

#include "fs/fs.h"
#include "ring/internal.h"
#include "uapi/errno.h"
#include "uapi/fs.h"

/* ---- bodies */

struct openat_op {
	uaddr_t path;
	int32_t dir;
	uint32_t flags, mode, slot;
};

struct close_op {
	int32_t fd;
	uint32_t slot; /* 0: fd; n: direct slot n - 1 */
};

struct statx_op {
	uaddr_t path, out;
	int32_t dir;
	uint32_t flags, mask;
};

struct ftruncate_op {
	uint64_t size;
};

struct fallocate_op {
	struct transfer t;
	uint64_t len;
	uint32_t mode;
};

/* ---- states */

static const char *const path_state_names[] = { "act" };

/* ---- checks */

#define OPEN_FLAGS                                                                                 \
	(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |      \
	 O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH)
#define STATX_FLAGS                                                                                \
	(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)

static int openat_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct openat_op *open = op_body(op, struct openat_op);

	if (sqe->ioprio || sqe->buf_index || (op->sqe_flags & IOSQE_FIXED_FILE))
		return sqe->ioprio || sqe->buf_index ? -EINVAL : -EBADF;
	/* openat ignores bits it does not know; a direct slot has no close-on-exec mark */
	if (sqe->file_index && (sqe->open_flags & O_CLOEXEC))
		return -EINVAL;
	open->path = sqe->addr;
	open->dir = sqe->fd;
	open->flags = sqe->open_flags & OPEN_FLAGS;
	open->mode = sqe->len;
	open->slot = sqe->file_index;
	return 0;
}

static int close_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct close_op *close = op_body(op, struct close_op);

	if (sqe->ioprio || sqe->off || sqe->addr || sqe->len || sqe->rw_flags || sqe->buf_index)
		return -EINVAL;
	if (op->sqe_flags & IOSQE_FIXED_FILE)
		return -EBADF;
	if (sqe->file_index && sqe->fd)
		return -EINVAL;
	close->fd = sqe->fd;
	close->slot = sqe->file_index;
	return 0;
}

static int statx_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct statx_op *st = op_body(op, struct statx_op);

	if (sqe->ioprio || sqe->buf_index || sqe->splice_fd_in)
		return -EINVAL;
	if (op->sqe_flags & IOSQE_FIXED_FILE)
		return -EBADF;
	if ((sqe->statx_flags & ~STATX_FLAGS) || (sqe->len & STATX__RESERVED) ||
	    (sqe->statx_flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
		return -EINVAL;
	st->path = sqe->addr;
	st->out = sqe->off;
	st->dir = sqe->fd;
	st->flags = sqe->statx_flags;
	st->mask = sqe->len;
	return 0;
}

static int fallocate_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct fallocate_op *fa = op_body(op, struct fallocate_op);
	uint32_t mode = sqe->len;

	if (sqe->ioprio || sqe->buf_index || sqe->splice_fd_in || sqe->rw_flags)
		return -EINVAL;
	if ((int64_t)sqe->off < 0 || (int64_t)sqe->addr <= 0)
		return -EINVAL;
	if (sqe->off + sqe->addr > INT64_MAX)
		return -EFBIG;
	/* Files here neither grow nor shrink: what is left of fallocate is to give room back, or to
	 * zero. */
	if ((mode & ~FALLOC_FL_KEEP_SIZE) != FALLOC_FL_ZERO_RANGE &&
	    mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
		return -EOPNOTSUPP;
	memset(&fa->t, 0, sizeof(fa->t));
	fa->t.off = sqe->off;
	fa->t.write = 1;
	fa->len = sqe->addr;
	fa->mode = mode;
	return 0;
}

static int ftruncate_check(struct op *op, const struct io_uring_sqe *sqe)
{
	if (sqe->ioprio || sqe->rw_flags || sqe->addr || sqe->len || sqe->buf_index ||
	    sqe->splice_fd_in || sqe->addr3)
		return -EINVAL;
	if ((int64_t)sqe->off < 0)
		return -EINVAL;
	op_body(op, struct ftruncate_op)->size = sqe->off;
	return 0;
}

/* ---- helpers */

/* Opens the path at `at`; a relative one starts where `dir` points. */
static int path_open(struct op *op, int32_t dir, uaddr_t at, uint32_t flags, uint32_t mode,
		     struct file **out)
{
	char path[FS_PATH_MAX];
	int len = user_read_string(op_aspace(op), at, path, sizeof(path));
	struct file *f;

	if (len < 0)
		return len;
	if (!len)
		return -ENOENT;
	if (path[0] == '/' || dir == AT_FDCWD)
		return fs_open(path, flags, mode, out);
	f = fd_get(op_process(op), dir);
	if (!f)
		return -EBADF;
	len = fs_open_at(f, path, flags, mode, out);
	file_put(f);
	return len;
}

int path_find(struct op *op, int32_t dir, uaddr_t at, bool empty, struct file **out)
{
	char first = 0;
	int err = 0;

	if (at || !empty)
		err = user_read(op_aspace(op), at, &first, 1);
	if (err)
		return err;
	if (first || !empty)
		return path_open(op, dir, at, O_PATH, 0, out);
	if (dir == AT_FDCWD)
		return fs_open("/", O_PATH, 0, out);
	*out = fd_get(op_process(op), dir);
	return *out ? 0 : -EBADF;
}

/* ---- steps and cancel */

static enum step openat_step(struct op *op)
{
	struct openat_op *open = op_body(op, struct openat_op);
	struct file *f;
	int res = path_open(op, open->dir, open->path, open->flags, open->mode, &f);

	if (res)
		return op_finish(op, res);
	res = op_fd_install(op, f, open->slot, open->flags & O_CLOEXEC);
	file_put(f);
	return op_finish(op, res);
}

static enum step close_step(struct op *op)
{
	struct close_op *close = op_body(op, struct close_op);

	if (close->slot)
		return op_finish(op, op_fixed_close(op, close->slot - 1));
	return op_finish(op, fd_close(op_process(op), close->fd));
}

static enum step statx_step(struct op *op)
{
	struct statx_op *st = op_body(op, struct statx_op);
	struct statx out = { 0 };
	struct file *f;
	int res = path_find(op, st->dir, st->path, st->flags & AT_EMPTY_PATH, &f);

	if (res)
		return op_finish(op, res);
	res = f->ops->stat ? f->ops->stat(f, &out) : -EBADF;
	if (!res)
		res = user_write(op_aspace(op), st->out, &out, sizeof(out));
	file_put(f);
	return op_finish(op, res);
}

static enum step fallocate_step(struct op *op)
{
	struct fallocate_op *fa = op_body(op, struct fallocate_op);
	struct file *f = op->file;
	enum step verdict;

	if (!f->ops->discard)
		return op_finish(op, f->mode == S_IFDIR ? -EISDIR : -EOPNOTSUPP);
	if (!(atomic_load_explicit(&f->flags, memory_order_relaxed) & FILE_WRITABLE))
		return op_finish(op, -EBADF);
	if (f->closed && !fa->t.started)
		return op_finish(op, -ECANCELED);
	verdict = f->ops->discard(f, op, &fa->t, fa->len, fa->mode);
	return verdict == STEP_DONE ? op_finish(op, fa->t.moved) : verdict;
}

static int fallocate_cancel(struct op *op)
{
	struct fallocate_op *fa = op_body(op, struct fallocate_op);
	struct file *f = op->file;
	int err = f->ops->transfer_cancel ? f->ops->transfer_cancel(f, op, &fa->t) : -EALREADY;

	if (err)
		return err;
	op_wake(op);
	return 0;
}

static enum step ftruncate_step(struct op *op)
{
	struct file *f = op->file;

	if (!f->ops->resize ||
	    !(atomic_load_explicit(&f->flags, memory_order_relaxed) & FILE_WRITABLE))
		return op_finish(op, -EINVAL);
	return op_finish(op, f->ops->resize(f, op_body(op, struct ftruncate_op)->size));
}

const struct op_row row_ftruncate = {
	.name = "ftruncate",
	.body_size = sizeof(struct ftruncate_op),
	.needs_file = 1,
	.state_count = 1,
	.state_names = path_state_names,
	.check = ftruncate_check,
	.step = ftruncate_step,
};

const struct op_row row_openat = {
	.name = "openat",
	.body_size = sizeof(struct openat_op),
	.place = OP_PLACE_HOME,
	.state_count = 1,
	.state_names = path_state_names,
	.check = openat_check,
	.step = openat_step,
};

const struct op_row row_close = {
	.name = "close",
	.body_size = sizeof(struct close_op),
	.place = OP_PLACE_HOME,
	.state_count = 1,
	.state_names = path_state_names,
	.check = close_check,
	.step = close_step,
};

const struct op_row row_statx = {
	.name = "statx",
	.body_size = sizeof(struct statx_op),
	.place = OP_PLACE_HOME,
	.state_count = 1,
	.state_names = path_state_names,
	.check = statx_check,
	.step = statx_step,
};

const struct op_row row_fallocate = {
	.name = "fallocate",
	.body_size = sizeof(struct fallocate_op),
	.needs_file = 1,
	.state_count = 1,
	.state_names = path_state_names,
	.check = fallocate_check,
	.step = fallocate_step,
	.cancel = fallocate_cancel,
};
