/*
 * open: from a path to a file; and the table that open files come from.
 *
 * Any core: a slot of the table is taken and given back by one atomic bit, so that a file may be
 * opened on one core and die on another.
 */
#include <string.h>

#include "base/panic.h"
#include "fs/internal.h"
#include "fs/memfile.h"
#include "fs/pipe.h"
#include "mm/frames.h"

/* any core, atomic: a set bit is a file in use; set pairs with fs_file_release */
static _Atomic uint64_t files_used[FS_FILES_MAX / 64];
/* set once at boot */
static struct fs_file *files;

struct fs_file *fs_file_alloc(const struct file_ops *ops, uint32_t mode, uint32_t oflags)
{
	static const uint8_t rights[] = { FILE_READABLE, FILE_WRITABLE,
					  FILE_READABLE | FILE_WRITABLE };
	uint32_t flags = rights[oflags & O_ACCMODE] | (oflags & O_NONBLOCK ? FILE_NONBLOCK : 0);

	for (unsigned i = 0; i < array_count(files_used); i++) {
		uint64_t used = atomic_load_explicit(&files_used[i], memory_order_relaxed);

		while (~used) {
			unsigned bit = (unsigned)__builtin_ctzll(~used);
			struct fs_file *ff = &files[i * 64 + bit];

			if (!atomic_compare_exchange_weak_explicit(
				    &files_used[i], &used, used | 1ull << bit, memory_order_acquire,
				    memory_order_relaxed))
				continue;
			file_init(&ff->file, ops, mode, oflags & O_PATH ? 0 : flags);
			return ff;
		}
	}
	return NULL;
}

void fs_file_release(struct fs_file *ff)
{
	size_t i = (size_t)(ff - files);

	atomic_fetch_and_explicit(&files_used[i / 64], ~(1ull << i % 64), memory_order_release);
}

void fs_files_each(const struct file_ops *ops, void (*each)(struct file *f))
{
	for (unsigned i = 0; i < array_count(files_used); i++) {
		uint64_t used = atomic_load_explicit(&files_used[i], memory_order_acquire);

		for (; used; used &= used - 1) {
			struct file *f = &files[i * 64 + (unsigned)__builtin_ctzll(used)].file;

			if (!file_get_live(f))
				continue;
			if (f->ops == ops)
				each(f);
			file_put(f);
		}
	}
}

void fs_stat_common(struct statx *st, uint32_t mode, uint64_t ino, uint64_t size)
{
	memset(st, 0, sizeof(*st));
	st->stx_mask = STATX_BASIC_STATS;
	st->stx_blksize = PAGE_SIZE;
	st->stx_nlink = 1;
	st->stx_mode = (uint16_t)mode;
	st->stx_ino = ino;
	st->stx_size = size;
	st->stx_blocks = (size + 511) / 512;
	st->stx_dev_minor = 1;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* `path` without ".", "..", doubled slashes and leading slash. Returns the length, or
 * -ENAMETOOLONG. *dir: it ends in a slash. */
static int path_normalise(const char *path, char out[FS_PATH_MAX], bool *dir)
{
	size_t len = 0;

	*dir = false;
	while (*path) {
		size_t piece = strcspn(path, "/");

		*dir = path[piece] == '/' || piece == 0;
		if (piece == 2 && path[0] == '.' && path[1] == '.') {
			while (len && out[--len] != '/')
				;
			*dir = true;
		} else if (piece == 1 && path[0] == '.') {
			*dir = true;
		} else if (piece) {
			if (len + piece + 2 > FS_PATH_MAX)
				return -ENAMETOOLONG;
			if (len)
				out[len++] = '/';
			memcpy(out + len, path, piece);
			len += piece;
		}
		path += piece + (path[piece] == '/');
	}
	out[len] = 0;
	return (int)len;
}

static int open_directory(const char *path, const struct initrd_entry *e, uint32_t oflags,
			  struct fs_file **out)
{
	const char *stable = e                      ? e->name
			     : !*path               ? ""
			     : !strcmp(path, "dev") ? "dev"
						    : initrd_name_below(path);

	if ((oflags & O_ACCMODE) != O_RDONLY || (oflags & (O_CREAT | O_TRUNC)))
		return -EISDIR;
	*out = fs_file_alloc(&initrd_dir_ops, S_IFDIR, oflags);
	if (!*out)
		return -ENFILE;
	(*out)->entry = e;
	(*out)->dir_name = stable;
	(*out)->dir_len = (uint32_t)strlen(path);
	return 0;
}

/* Nothing has this name: is a file in the way, a folder missing, or could one be created if this
 * were not read-only? */
static int open_absent(const char *path, uint32_t oflags)
{
	char parent[FS_PATH_MAX];

	for (size_t i = 0; path[i]; i++) {
		const struct initrd_entry *e;

		parent[i] = path[i];
		if (path[i] != '/')
			continue;
		parent[i] = 0;
		e = initrd_lookup(parent);
		if (e && (e->mode & S_IFMT) != S_IFDIR)
			return -ENOTDIR;
		if (!e && !initrd_has_below(parent))
			return -ENOENT;
		parent[i] = '/';
	}
	return oflags & O_CREAT ? -EROFS : -ENOENT;
}

static int open_initrd(const char *path, uint32_t oflags, struct fs_file **out)
{
	const struct initrd_entry *e = initrd_lookup(path);

	if (!e)
		return initrd_has_below(path) ? open_directory(path, NULL, oflags, out)
					      : open_absent(path, oflags);
	switch (e->mode & S_IFMT) {
	case S_IFDIR:
		return open_directory(path, e, oflags, out);
	case S_IFLNK:
		return -ELOOP; /* links are not followed */
	case S_IFREG:
		break;
	default:
		return -ENXIO;
	}
	if ((oflags & O_ACCMODE) != O_RDONLY || (oflags & O_TRUNC))
		return -EROFS;
	*out = fs_file_alloc(&initrd_file_ops, S_IFREG, oflags);
	if (!*out)
		return -ENFILE;
	(*out)->entry = e;
	atomic_fetch_or_explicit(&(*out)->file.flags, FILE_SEEKABLE, memory_order_relaxed);
	return 0;
}

static int open_device(const char *name, uint32_t oflags, struct fs_file **out)
{
	int result = device_open(name, oflags, out);

	if (result == -ENOENT)
		result = tty_open(name, oflags, out);
	if (result == -ENOENT)
		result = serial_open(name, oflags, out);
	if (result == -ENOENT)
		result = claim_open(name, oflags, out);
	if (result == -ENOENT)
		result = disk_open(name, oflags, out);
	return result == -ENOENT && (oflags & O_CREAT) ? -EROFS : result;
}

static int open_normal(const char *path, bool dir, uint32_t oflags, struct fs_file **out)
{
	int result;

	if (!*path || !strcmp(path, "dev"))
		return open_directory(path, NULL, oflags, out);
	if (!strncmp(path, "dev/", 4))
		result = open_device(path + 4, oflags, out);
	else
		result = open_initrd(path, oflags, out);
	if (result)
		return result;
	if ((dir || (oflags & O_DIRECTORY)) && (*out)->file.mode != S_IFDIR)
		result = -ENOTDIR;
	else if ((oflags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		result = -EEXIST;
	if (result)
		file_put(&(*out)->file);
	return result;
}

int fs_open(const char *path, uint32_t oflags, uint32_t mode, struct file **out)
{
	char name[FS_PATH_MAX];
	struct fs_file *ff = NULL;
	bool dir;
	int result;

	(void)mode;
	if (!*path)
		return -ENOENT;
	if (oflags & O_PATH)
		oflags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	if ((oflags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	result = path_normalise(path, name, &dir);
	if (result >= 0)
		result = open_normal(name, dir, oflags, &ff);
	if (result < 0)
		return result;
	*out = &ff->file;
	return 0;
}

int fs_open_at(struct file *dir, const char *path, uint32_t oflags, uint32_t mode,
	       struct file **out)
{
	struct fs_file *ff = fs_file_of(dir);
	char name[FS_PATH_MAX];
	size_t len = strlen(path);

	if (!len)
		return -ENOENT;
	if (*path == '/')
		return fs_open(path, oflags, mode, out);
	if (dir->ops != &initrd_dir_ops)
		return -ENOTDIR;
	if (ff->dir_len + len + 2 > sizeof(name))
		return -ENAMETOOLONG;
	memcpy(name, ff->dir_name, ff->dir_len);
	name[ff->dir_len] = '/';
	memcpy(name + ff->dir_len + 1, path, len + 1);
	return fs_open(name, oflags, mode, out);
}

void fs_init(void)
{
	files = frames_boot_alloc(sizeof(*files) * FS_FILES_MAX);
	initrd_init();
	disks_init();
	tty_init();
	serials_init();
	pipes_init();
	memfiles_init();
}
