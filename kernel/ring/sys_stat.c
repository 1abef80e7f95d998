/*
 * sys_stat: what a file is, as system calls ask it: fstat, newfstatat, faccessat, readlinkat,
 * getcwd, ioctl.
 *
 *   all: ACT --> done
 *
 * They look where STATX does (path.c) and give the answer the older form. There are no links and no
 * working directory: a link to read is never found, relative paths start at the root. Home core.
 */
#include "ring/internal.h"
#include "ring/sys.h"
#include "uapi/errno.h"
#include "uapi/fs.h"

/* ---- stat ------------------------------------------------------------------------------------ */

/* The device's number in Linux' 64-bit form (sys/sysmacros.h). */
static uint64_t stat_device(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | (uint64_t)(major & 0xfff) << 8 | (uint64_t)(minor & ~0xffu) << 12;
}

static int stat_write(struct aspace *as, uaddr_t to, const struct statx *from)
{
	struct stat_out out = {
		.st_dev = stat_device(from->stx_dev_major, from->stx_dev_minor),
		.st_ino = from->stx_ino,
		.st_mode = from->stx_mode,
		.st_nlink = from->stx_nlink,
		.st_uid = from->stx_uid,
		.st_gid = from->stx_gid,
		.st_rdev = stat_device(from->stx_rdev_major, from->stx_rdev_minor),
		.st_size = (int64_t)from->stx_size,
		.st_blksize = (int32_t)from->stx_blksize,
		.st_blocks = (int64_t)from->stx_blocks,
		.st_atime_sec = from->stx_atime.tv_sec,
		.st_atime_nsec = from->stx_atime.tv_nsec,
		.st_mtime_sec = from->stx_mtime.tv_sec,
		.st_mtime_nsec = from->stx_mtime.tv_nsec,
		.st_ctime_sec = from->stx_ctime.tv_sec,
		.st_ctime_nsec = from->stx_ctime.tv_nsec,
	};

	return user_write(as, to, &out, sizeof(out));
}

/* Of a file that the caller holds a reference of, and gives up here. */
static int stat_file(struct op *op, struct file *f, uaddr_t to)
{
	struct statx st = { 0 };
	int res = f->ops->stat ? f->ops->stat(f, &st) : -EBADF;

	file_put(f);
	return res ? res : stat_write(op_aspace(op), to, &st);
}

static enum step fstat_step(struct op *op, const struct sys_args *args)
{
	struct file *f = fd_get(op_process(op), (int)args->a[0]);

	return op_finish(op, f ? stat_file(op, f, args->a[1]) : -EBADF);
}

static enum step newfstatat_step(struct op *op, const struct sys_args *args)
{
	struct file *f;
	int res;

	if (args->a[3] & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
		return op_finish(op, -EINVAL);
	res = path_find(op, (int)args->a[0], args->a[1], args->a[3] & AT_EMPTY_PATH, &f);
	return op_finish(op, res ? res : stat_file(op, f, args->a[2]));
}

const struct sys_row sys_fstat = { .name = "fstat", .step = fstat_step };
const struct sys_row sys_newfstatat = { .name = "newfstatat", .step = newfstatat_step };

/* ---- names ----------------------------------------------------------------------------------- */

/* Everybody is user 0, who may do what the file's rights and a read-only file system allow. */
static int access_answer(const struct statx *st, uint64_t mode)
{
	uint32_t type = st->stx_mode & S_IFMT;

	if ((mode & W_OK) && (type == S_IFREG || type == S_IFDIR))
		return -EROFS;
	if ((mode & X_OK) && type != S_IFDIR && !(st->stx_mode & 0111))
		return -EACCES;
	return 0;
}

static enum step faccessat_step(struct op *op, const struct sys_args *args)
{
	struct statx st = { 0 };
	struct file *f;
	int res;

	if (args->a[2] & ~(uint64_t)(R_OK | W_OK | X_OK))
		return op_finish(op, -EINVAL);
	res = path_find(op, (int)args->a[0], args->a[1], false, &f);
	if (res)
		return op_finish(op, res);
	res = f->ops->stat ? f->ops->stat(f, &st) : 0;
	file_put(f);
	return op_finish(op, res ? res : access_answer(&st, args->a[2]));
}

/* Whatever has a name is no link. */
static enum step readlinkat_step(struct op *op, const struct sys_args *args)
{
	struct file *f;
	int res;

	if ((int32_t)args->a[3] <= 0)
		return op_finish(op, -EINVAL);
	res = path_find(op, (int)args->a[0], args->a[1], false, &f);
	if (!res)
		file_put(f);
	return op_finish(op, res ? res : -EINVAL);
}

/* Whatever has a name is there; nothing else can be. */
static enum step mkdirat_step(struct op *op, const struct sys_args *args)
{
	struct file *f;
	int res = path_find(op, (int)args->a[0], args->a[1], false, &f);

	if (!res)
		file_put(f);
	return op_finish(op, !res ? -EEXIST : res == -ENOENT ? -EROFS : res);
}

static enum step getcwd_step(struct op *op, const struct sys_args *args)
{
	int res;

	if (args->a[1] < sizeof("/"))
		return op_finish(op, -ERANGE);
	res = user_write(op_aspace(op), args->a[0], "/", sizeof("/"));
	return op_finish(op, res ? res : (int)sizeof("/"));
}

const struct sys_row sys_faccessat = { .name = "faccessat", .step = faccessat_step };
const struct sys_row sys_readlinkat = { .name = "readlinkat", .step = readlinkat_step };
const struct sys_row sys_mkdirat = { .name = "mkdirat", .step = mkdirat_step };
const struct sys_row sys_getcwd = { .name = "getcwd", .step = getcwd_step, .anywhere = true };

/* ---- ioctl: what the file itself knows; there are no terminals ------------------------------- */

static enum step ioctl_step(struct op *op, const struct sys_args *args)
{
	struct file *f = fd_get(op_process(op), (int)args->a[0]);
	int64_t res = -ENOTTY;

	if (!f)
		return op_finish(op, -EBADF);
	if (f->ops->control)
		res = f->ops->control(f, op_aspace(op), (uint32_t)args->a[1], args->a[2]);
	file_put(f);
	return op_finish64(op, res);
}

const struct sys_row sys_ioctl = { .name = "ioctl", .step = ioctl_step };
