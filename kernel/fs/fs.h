/*
 * fs: names that lead to files: the devices below /dev, and what the initrd archive holds. There is
 * no other file system.
 *
 *   /dev/vda ...    block devices, byte by byte; whole blocks go between the program's frames and the
 *                   device (blkfile.c)
 *   /dev/ttyS0 ...  serial ports that are not the console, as raw streams
 *   /dev/uart0 ...  the same ports as devices that the program drives itself
 *   /dev/null, zero, random, urandom, console
 *   /dev/counters, cores, rings: what happens, as text (docs/abi.md)
 *   everything else the initrd, read-only
 */
#ifndef FS_FS_H
#define FS_FS_H

#include "sched/file.h"

#define FS_PATH_MAX 256u
#define FS_FILES_MAX 1024u /* open files of this kind at a time, over all processes */

/* Writes the rings of all cores as lines of text (report.c); ring/ sets it once at boot. */
extern size_t (*fs_rings_text)(char *buf, size_t size);

/* Reads the initrd (a refused one is as good as none: a sentence is printed), takes the disks the
 * drivers have found, and the console's input. Boot core, after drivers_init, before the first
 * fs_open. */
void fs_init(void);

/*
 * Opens `path` (absolute; relative paths start at the root too; "." and ".." are followed) with O_*
 * flags. On success *out is a file with one reference, which is the caller's. Any core; never
 * parks. `mode` is for files that are created, and none can be. -ENOENT, -ENOTDIR, -EISDIR (a
 * directory for writing), -EROFS (writing to the initrd or a read-only disk, or creating), -EEXIST
 * (O_CREAT|O_EXCL), -ENAMETOOLONG, -ENFILE (FS_FILES_MAX are open), -ENOMEM, -EINVAL (access mode
 * 3).
 */
must_use int fs_open(const char *path, uint32_t oflags, uint32_t mode, struct file **out);

/* The same for a path that starts at the directory `dir` (of this kind; anything else is -ENOTDIR).
 * An absolute path does not look at `dir`. */
must_use int fs_open_at(struct file *dir, const char *path, uint32_t oflags, uint32_t mode,
			struct file **out);

/* A file's bytes in the initrd: they stay where they are, for ever. NULL if there is no such
 * regular file. Any core. */
const void *initrd_find(const char *path, size_t *len);

/* As random_bytes (drivers/drivers.h), for memory that the running op holds: in a long step in a
 * window, from a key of its own, since the core's generator is not to be found half-way. */
void random_fill(void *dst, size_t len);

#endif
