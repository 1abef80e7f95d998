/*
 * fs: files as they cross the system-call boundary: open flags, modes, statx.
 *
 * Source: Linux' generic fcntl and stat headers (riscv64 uses them unchanged). A hosted file that
 * includes the host's <fcntl.h> or <sys/stat.h> must not include this one.
 */
#ifndef UAPI_FS_H
#define UAPI_FS_H

#include <stddef.h>
#include <stdint.h>

#define AT_FDCWD (-100)
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_REMOVEDIR 0x200
#define AT_SYMLINK_FOLLOW 0x400
#define AT_NO_AUTOMOUNT 0x800
#define AT_EMPTY_PATH 0x1000
#define AT_STATX_SYNC_TYPE 0x6000

#define O_ACCMODE 03
#define O_RDONLY 00
#define O_WRONLY 01
#define O_RDWR 02
#define O_CREAT 0100
#define O_EXCL 0200
#define O_NOCTTY 0400
#define O_TRUNC 01000
#define O_APPEND 02000
#define O_NONBLOCK 04000
#define O_DSYNC 010000
#define O_DIRECT 040000
#define O_LARGEFILE 0100000
#define O_DIRECTORY 0200000
#define O_NOFOLLOW 0400000
#define O_NOATIME 01000000
#define O_CLOEXEC 02000000
#define O_SYNC 04010000
#define O_PATH 010000000

#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000
#define S_ISUID 04000
#define S_ISGID 02000
#define S_ISVTX 01000

#define F_DUPFD 0
#define F_GETFD 1
#define F_SETFD 2
#define F_GETFL 3
#define F_SETFL 4
#define F_DUPFD_CLOEXEC 1030
#define F_SETPIPE_SZ 1031
#define F_GETPIPE_SZ 1032
#define FD_CLOEXEC 1

/* memfd_create */
#define MFD_CLOEXEC 1
#define MFD_ALLOW_SEALING 2

/* fallocate modes */
#define FALLOC_FL_KEEP_SIZE 0x01
#define FALLOC_FL_PUNCH_HOLE 0x02
#define FALLOC_FL_NO_HIDE_STALE 0x04
#define FALLOC_FL_COLLAPSE_RANGE 0x08
#define FALLOC_FL_ZERO_RANGE 0x10
#define FALLOC_FL_INSERT_RANGE 0x20
#define FALLOC_FL_UNSHARE_RANGE 0x40

/* rw_flags of read and write */
#define RWF_HIPRI 0x01
#define RWF_DSYNC 0x02
#define RWF_SYNC 0x04
#define RWF_NOWAIT 0x08
#define RWF_APPEND 0x10

#ifndef UAPI_IOVEC
#define UAPI_IOVEC
struct iovec {
	void *iov_base;
	size_t iov_len;
};
#endif
#define UIO_MAXIOV 1024

struct statx_timestamp {
	int64_t tv_sec;
	uint32_t tv_nsec;
	int32_t __reserved;
};

struct statx {
	uint32_t stx_mask; /* STATX_*: what was filled in */
	uint32_t stx_blksize;
	uint64_t stx_attributes;
	uint32_t stx_nlink;
	uint32_t stx_uid;
	uint32_t stx_gid;
	uint16_t stx_mode; /* S_IF* | permissions */
	uint16_t __spare0[1];
	uint64_t stx_ino;
	uint64_t stx_size;
	uint64_t stx_blocks; /* of 512 bytes */
	uint64_t stx_attributes_mask;
	struct statx_timestamp stx_atime;
	struct statx_timestamp stx_btime;
	struct statx_timestamp stx_ctime;
	struct statx_timestamp stx_mtime;
	uint32_t stx_rdev_major;
	uint32_t stx_rdev_minor;
	uint32_t stx_dev_major;
	uint32_t stx_dev_minor;
	uint64_t stx_mnt_id;
	uint32_t stx_dio_mem_align;
	uint32_t stx_dio_offset_align;
	uint64_t __spare3[12];
};

_Static_assert(sizeof(struct statx_timestamp) == 16, "statx_timestamp is 16 bytes");
_Static_assert(sizeof(struct statx) == 256, "statx is 256 bytes");
_Static_assert(offsetof(struct statx, stx_size) == 40, "statx layout");
_Static_assert(offsetof(struct statx, stx_rdev_major) == 128, "statx layout");
_Static_assert(offsetof(struct statx, stx_dio_mem_align) == 152, "statx layout");

/* What fstat and newfstatat fill: riscv64's struct stat, which is Linux' generic one. The prefix of
 * the times is not Linux': there these names are macros. */
struct stat_out {
	uint64_t st_dev, st_ino;
	uint32_t st_mode, st_nlink, st_uid, st_gid;
	uint64_t st_rdev, __pad1;
	int64_t st_size;
	int32_t st_blksize, __pad2;
	int64_t st_blocks; /* of 512 bytes */
	int64_t st_atime_sec;
	uint64_t st_atime_nsec;
	int64_t st_mtime_sec;
	uint64_t st_mtime_nsec;
	int64_t st_ctime_sec;
	uint64_t st_ctime_nsec;
	uint32_t __unused4, __unused5;
};
_Static_assert(sizeof(struct stat_out) == 128, "struct stat is 128 bytes");
_Static_assert(offsetof(struct stat_out, st_size) == 48, "stat layout");
_Static_assert(offsetof(struct stat_out, st_atime_sec) == 72, "stat layout");

/* faccessat */
#define R_OK 4
#define W_OK 2
#define X_OK 1

#define STATX_TYPE 0x0001u
#define STATX_MODE 0x0002u
#define STATX_NLINK 0x0004u
#define STATX_UID 0x0008u
#define STATX_GID 0x0010u
#define STATX_ATIME 0x0020u
#define STATX_MTIME 0x0040u
#define STATX_CTIME 0x0080u
#define STATX_INO 0x0100u
#define STATX_SIZE 0x0200u
#define STATX_BLOCKS 0x0400u
#define STATX_BASIC_STATS 0x07ffu
#define STATX_BTIME 0x0800u
#define STATX_MNT_ID 0x1000u
#define STATX_DIOALIGN 0x2000u
#define STATX__RESERVED 0x80000000u

/* openat2 */
struct open_how {
	uint64_t flags;
	uint64_t mode;
	uint64_t resolve;
};
_Static_assert(sizeof(struct open_how) == 24, "open_how is 24 bytes");

/* ioctls of block devices */
#define BLKGETSIZE64 0x80081272
#define BLKFLSBUF 0x1261
#define BLKSSZGET 0x1268
#define TCGETS 0x5401

#endif /* UAPI_FS_H */
