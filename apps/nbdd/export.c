/*
 * export: see export.h. A disk is a file of the kernel's; memory is ours, and reads of it are sent
 * from where it lies.
 */
#include "export.h"

#include <string.h>

#include "libasync/async.h"
#include "proto.h"

#define EXPORT_ZEROS 65536u

/* ---- opening ---- */

static int export_open_disk(struct export *ex, const char *path)
{
	struct statx st;
	int err;

	ex->name = "disk";
	ex->description = path;
	ex->fd = async_open(path, O_RDWR);
	if (ex->fd == -EROFS || ex->fd == -EACCES) {
		ex->read_only = true;
		ex->fd = async_open(path, O_RDONLY);
	}
	if (ex->fd < 0) {
		async_printf("nbdd: cannot open %s: error %d\n", path, -ex->fd);
		return ex->fd;
	}
	err = async_statx(ex->fd, "", AT_EMPTY_PATH, STATX_SIZE | STATX_DIOALIGN, &st);
	if (err) {
		async_printf("nbdd: cannot ask %s for its size: error %d\n", path, -err);
		return err;
	}
	ex->size = st.stx_size;
	if ((st.stx_mode & S_IFMT) == S_IFBLK && !ex->size)
		err = (int)async_syscall(SYS_ioctl, (uint64_t)ex->fd, BLKGETSIZE64,
					 (uint64_t)(uintptr_t)&ex->size, 0, 0, 0);
	ex->block_min = st.stx_mask & STATX_DIOALIGN && st.stx_dio_offset_align ?
				st.stx_dio_offset_align :
				512;
	return err;
}

/* Digits and one of K, M, G; 0 when that is not what it is. */
static uint64_t export_ram_size(const char *text)
{
	uint64_t n = 0;

	while (*text >= '0' && *text <= '9' && n < 1ull << 40)
		n = n * 10 + (uint64_t)(*text++ - '0');
	if (*text == 'K' || *text == 'M' || *text == 'G')
		n <<= *text == 'K' ? 10 : *text == 'M' ? 20 : 30, text++;
	return *text == 0 && n < 1ull << 40 ? n : 0;
}

static int export_open_ram(struct export *ex, const char *text)
{
	uint64_t blocks, words;

	ex->name = "ram";
	ex->description = "memory of the server";
	ex->fd = -1;
	ex->block_min = 1;
	ex->size = export_ram_size(text) & ~(uint64_t)(EXPORT_RAM_BLOCK - 1);
	if (!ex->size) {
		async_printf("nbdd: ram:%s is not a size\n", text);
		return -EINVAL;
	}
	blocks = ex->size / EXPORT_RAM_BLOCK;
	words = (blocks + 63) / 64;
	ex->ram = async_pages_alloc(ex->size, true);
	ex->zero_map = async_alloc(words * 8);
	if (!ex->ram || !ex->zero_map) {
		async_printf("nbdd: no memory for ram:%s\n", text);
		return -ENOMEM;
	}
	memset(ex->zero_map, 0xff, words * 8);
	return 0;
}

int export_open(struct export *ex, const char *what)
{
	memset(ex, 0, sizeof(*ex));
	if (strncmp(what, "ram:", 4) == 0)
		return export_open_ram(ex, what + 4);
	if (what[0] == '/')
		return export_open_disk(ex, what);
	async_printf("nbdd: %s is neither /path nor ram:SIZE\n", what);
	return -EINVAL;
}

/* ---- the map of zero blocks ---- */

static bool zero_map_get(const struct export *ex, uint64_t block)
{
	return ex->zero_map[block / 64] >> (block % 64) & 1;
}

/* Blocks touched by [off, off + len) are no longer known to be zero. */
static void zero_map_clear(struct export *ex, uint64_t off, uint64_t len)
{
	for (uint64_t b = off / EXPORT_RAM_BLOCK; b <= (off + len - 1) / EXPORT_RAM_BLOCK; b++)
		ex->zero_map[b / 64] &= ~(1ull << (b % 64));
}

/* Blocks that lie whole in [off, off + len) are zero. */
static void zero_map_set(struct export *ex, uint64_t off, uint64_t len)
{
	uint64_t b = (off + EXPORT_RAM_BLOCK - 1) / EXPORT_RAM_BLOCK;

	for (; (b + 1) * EXPORT_RAM_BLOCK <= off + len; b++)
		ex->zero_map[b / 64] |= 1ull << (b % 64);
}

uint32_t export_status(const struct export *ex, uint64_t off, uint64_t *len)
{
	uint64_t end = off + *len;
	uint64_t block = off / EXPORT_RAM_BLOCK;
	bool zero;

	/* a disk does not tell what it has allocated: all of it is data */
	if (!ex->ram)
		return 0;
	zero = zero_map_get(ex, block);
	do {
		block++;
	} while (block * EXPORT_RAM_BLOCK < end && zero_map_get(ex, block) == zero);
	if (block * EXPORT_RAM_BLOCK < end)
		*len = block * EXPORT_RAM_BLOCK - off;
	return zero ? NBD_STATE_ZERO : 0;
}

/* ---- requests ---- */

int export_read(struct export *ex, char *buf, uint64_t off, uint32_t len, const char **data)
{
	uint32_t done = 0;

	if (ex->ram) {
		*data = ex->ram + off;
		return 0;
	}
	*data = buf;
	while (done < len) {
		int64_t n = async_pread(ex->fd, buf + done, len - done, off + done);

		if (n <= 0)
			return n ? (int)n : -EIO; /* a disk does not end before its size */
		done += (uint32_t)n;
	}
	return 0;
}

char *export_write_begin(struct export *ex, char *buf, uint64_t off, uint32_t len)
{
	if (!ex->ram)
		return buf;
	zero_map_clear(ex, off, len);
	return ex->ram + off;
}

static int export_pwrite(struct export *ex, const char *buf, uint64_t off, uint32_t len, bool fua)
{
	uint32_t done = 0;

	while (done < len) {
		int64_t n = async_pwrite(ex->fd, buf + done, len - done, off + done,
					 fua ? RWF_DSYNC : 0);

		if (n <= 0)
			return n ? (int)n : -EIO;
		done += (uint32_t)n;
	}
	return 0;
}

int export_write_end(struct export *ex, const char *buf, uint64_t off, uint32_t len, bool fua)
{
	if (!ex->ram)
		return export_pwrite(ex, buf, off, len, fua);
	/* again: a request to zero the same blocks may have come in between */
	zero_map_clear(ex, off, len);
	return 0;
}

int export_flush(struct export *ex)
{
	return ex->ram ? 0 : async_fdatasync(ex->fd);
}

int export_trim(struct export *ex, uint64_t off, uint64_t len, bool fua)
{
	int err;

	if (ex->ram)
		return export_zero(ex, off, len, fua);
	err = async_fallocate(ex->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
	if (err == -EOPNOTSUPP)
		err = 0; /* trimming is advice */
	return err || !fua ? err : export_flush(ex);
}

int export_zero(struct export *ex, uint64_t off, uint64_t len, bool fua)
{
	static const char zeros[EXPORT_ZEROS] __attribute__((aligned(4096)));
	int err;

	if (ex->ram) {
		memset(ex->ram + off, 0, len);
		zero_map_set(ex, off, len);
		return 0;
	}
	err = async_fallocate(ex->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, off, len);
	if (err != -EOPNOTSUPP)
		return err || !fua ? err : export_flush(ex);
	for (err = 0; len && !err;) {
		uint32_t n = len < EXPORT_ZEROS ? (uint32_t)len : EXPORT_ZEROS;

		err = export_pwrite(ex, zeros, off, n, false);
		off += n;
		len -= n;
	}
	return err || !fua ? err : export_flush(ex);
}
