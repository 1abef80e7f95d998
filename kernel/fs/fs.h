/*
 * fs: paths to files: devices below /dev, the initrd below /.
 */
#ifndef FS_FS_H
#define FS_FS_H

#include "sched/file.h"

/* Opens `path` (absolute, NUL-terminated) with O_* flags: a file with one reference and no handle through *out. 0, or
 * -ENOENT, -EACCES, -EISDIR, -ENOTDIR, -EROFS, -ENXIO, -ENFILE. Any serving core; never parks. */
must_use int fs_open(const char *path, uint32_t oflags, uint32_t mode, struct file **out);

/* The bytes of a regular file of the initrd; NULL: no such file. They stay for ever. Any core. */
const void *initrd_find(const char *path, size_t *len);

#endif
