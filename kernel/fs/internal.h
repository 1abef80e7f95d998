/*
 * internal: what the files of fs/ share: open files, the path table's targets, the initrd's
 * entries.
 */
#ifndef FS_INTERNAL_H
#define FS_INTERNAL_H

#include "fs/fs.h"
#include "uapi/errno.h"
#include "uapi/fs.h"

struct disk; /* blkfile.c */

struct initrd_entry {
	const char *name; /* without leading slash; in the archive */
	const char *data;
	uint32_t size;
	uint32_t mode; /* S_IF* | permissions */
	uint32_t mtime;
	uint32_t ino;
};

/* An open file. From a table that is never used for anything else. */
struct fs_file {
	struct file file;
	union {
		struct disk *disk;
		const struct initrd_entry *entry; /* NULL: the root directory, or /dev */
		char *text;			  /* /dev/counters, ...: a block, filled at open */
		unsigned serial;		  /* index of a serial port */
	};
	uint32_t text_len;
	bool sync; /* O_DSYNC: a write of a disk is on stable storage before it is done */
	uint32_t dir_len;     /* directories: the path without slashes around it, */
	const char *dir_name; /* dir_len characters of it: in the archive, or a constant */
};

static inline struct fs_file *fs_file_of(struct file *f)
{
	return container_of(f, struct fs_file, file);
}

/* A fresh one, initialised with `ops`; NULL when the table is full. Any core. */
struct fs_file *fs_file_alloc(const struct file_ops *ops, uint32_t mode, uint32_t oflags);
/* Last step of every ops->free. Any core. */
void fs_file_release(struct fs_file *ff);
/* Calls `each` for every open file with these ops, holding a reference meanwhile. Any core. */
void fs_files_each(const struct file_ops *ops, void (*each)(struct file *f));

/* Fills the fields that all files have alike. */
void fs_stat_common(struct statx *st, uint32_t mode, uint64_t ino, uint64_t size);

/* initrd.c. The entry of a path without leading slash, NULL if there is none. */
void initrd_init(void);
const struct initrd_entry *initrd_lookup(const char *path);
/* Is there an entry below this path? (an archive may hold files without their folders) */
bool initrd_has_below(const char *path);
/* The name of such an entry, NULL if there is none. Stays for ever. */
const char *initrd_name_below(const char *path);
extern const struct file_ops initrd_file_ops, initrd_dir_ops;

/* blkfile.c: "vda" and its like; -ENOENT if there is no such disk. */
void disks_init(void);
int disk_open(const char *name, uint32_t oflags, struct fs_file **out);

/* report.c: the texts of /dev/cores and /dev/rings, NUL-terminated, whole lines as far as `size`
 * goes. The length. */
size_t report_cores(char *buf, size_t size);
size_t report_rings(char *buf, size_t size);

/* devices.c: /dev/null and its like; ttyfile.c: /dev/console. -ENOENT if `name` is none of them. */
int device_open(const char *name, uint32_t oflags, struct fs_file **out);
void tty_init(void);
int tty_open(const char *name, uint32_t oflags, struct fs_file **out);
/* serialfile.c: /dev/ttyS0 and its like; -EBUSY: it is the console, or a program drives it. */
void serials_init(void);
int serial_open(const char *name, uint32_t oflags, struct fs_file **out);
/* claimfile.c: /dev/uart0 and its like; -EBUSY likewise, -EACCES unless opened for both ways. */
int claim_open(const char *name, uint32_t oflags, struct fs_file **out);

#endif
