/*
 * Do openat, close, statx and fallocate answer as on Linux, with descriptors, direct slots and
 * directories?
 */
#include "tests/abi/lib/say.h"
#include "uapi/fs.h"

static struct statx st;

static int64_t open_slot(int dir, const char *path, uint32_t flags, uint32_t slot)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring_native);

	ring_fill(sqe, IORING_OP_OPENAT, dir, 0, (uint64_t)(uintptr_t)path, 0, flags, 0);
	sqe->file_index = slot;
	return say_wait();
}

static int64_t open_at(int dir, const char *path, uint32_t flags)
{
	return open_slot(dir, path, flags, 0);
}

static int64_t close_slot(int fd, uint32_t slot)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring_native);

	ring_fill(sqe, IORING_OP_CLOSE, fd, 0, 0, 0, 0, 0);
	sqe->file_index = slot;
	return say_wait();
}

static int64_t stat_at(int dir, const char *path, uint32_t flags)
{
	ring_fill(ring_sqe(&ring_native), IORING_OP_STATX, dir, (uint64_t)(uintptr_t)&st,
		  (uint64_t)(uintptr_t)path, STATX_BASIC_STATS, flags, 0);
	return say_wait();
}

static int64_t read_at(int fd, void *buf, uint32_t len, uint64_t off, uint8_t flags)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring_native);

	ring_fill(sqe, IORING_OP_READ, fd, off, (uint64_t)(uintptr_t)buf, len, 0, 0);
	sqe->flags = flags;
	return say_wait();
}

static void opening(void)
{
	char magic[4] = { 0 };
	int64_t fd = open_at(AT_FDCWD, "/bin/t_path_calls", O_RDONLY), dir, again;

	say_true("open myself", fd >= 3);
	say_is("read my first bytes", read_at((int)fd, magic, 4, 0, 0), 4);
	say_true("an ELF file", magic[0] == 0x7f && magic[1] == 'E');
	say_is("close", close_slot((int)fd, 0), 0);
	say_is("closed is closed", read_at((int)fd, magic, 4, 0, 0), -EBADF);
	say_is("twice is too often", close_slot((int)fd, 0), -EBADF);
	say_is("what is not there", open_at(AT_FDCWD, "/bin/absent", O_RDONLY), -ENOENT);
	say_is("an empty path", open_at(AT_FDCWD, "", O_RDONLY), -ENOENT);
	say_is("the archive is read-only", open_at(AT_FDCWD, "/bin/t_path_calls", O_RDWR), -EROFS);
	say_is("a file as a folder", open_at(AT_FDCWD, "/bin/t_path_calls/x", O_RDONLY), -ENOTDIR);
	say_is("a file, but a folder wanted", open_at(AT_FDCWD, "/bin/t_path_calls", O_DIRECTORY),
	       -ENOTDIR);
	dir = open_at(AT_FDCWD, "/bin", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	say_true("open a folder", dir >= 3);
	again = open_at((int)dir, "t_path_calls", O_RDONLY);
	say_true("and from there myself", again > dir);
	say_is("and back", close_slot((int)again, 0), 0);
	again = open_at((int)dir, "../dev/null", O_RDWR);
	say_true("and over the top", again > dir);
	say_is("from a file that is no folder", open_at((int)again, "x", O_RDONLY), -ENOTDIR);
	say_is("from a descriptor that is none", open_at(77, "x", O_RDONLY), -EBADF);
	say_true("an absolute path asks no folder", open_at(77, "/dev/zero", O_RDONLY) > 0);
	close_slot((int)again, 0);
	close_slot((int)dir, 0);
}

static void slots(void)
{
	int32_t none[4] = { -1, -1, -1, -1 };
	char byte = 1;

	say_is("no table, no slot", open_slot(AT_FDCWD, "/dev/zero", O_RDONLY, 1), -ENXIO);
	say_is("make a table",
	       ring_syscall(&ring_native, SYS_io_uring_register, (uint64_t)ring_native.fd,
			    IORING_REGISTER_FILES, (uint64_t)(uintptr_t)none, 4, 0, 0),
	       0);
	say_is("open into the second slot", open_slot(AT_FDCWD, "/dev/zero", O_RDONLY, 2), 0);
	say_is("read it there", read_at(1, &byte, 1, 0, IOSQE_FIXED_FILE), 1);
	say_is("zero", byte, 0);
	say_is("any slot: the first",
	       open_slot(AT_FDCWD, "/dev/zero", O_RDONLY, IORING_FILE_INDEX_ALLOC), 0);
	say_is("a slot has no close-on-exec", open_slot(AT_FDCWD, "/dev/zero", O_CLOEXEC, 3),
	       -EINVAL);
	say_is("past the table", open_slot(AT_FDCWD, "/dev/zero", O_RDONLY, 5), -EINVAL);
	say_is("close the second slot", close_slot(0, 2), 0);
	say_is("it is empty", read_at(1, &byte, 1, 0, IOSQE_FIXED_FILE), -EBADF);
	say_is("and cannot be closed again", close_slot(0, 2), -EBADF);
	say_is("descriptor and slot at once", close_slot(3, 2), -EINVAL);
	say_is("a slot past the table", close_slot(0, 9), -EINVAL);
}

static void stating(void)
{
	int64_t fd;

	say_is("stat myself", stat_at(AT_FDCWD, "/bin/t_path_calls", 0), 0);
	say_true("a file with a size", (st.stx_mode & S_IFMT) == S_IFREG && st.stx_size > 1000);
	say_is("stat a folder", stat_at(AT_FDCWD, "/bin", 0), 0);
	say_true("a folder", (st.stx_mode & S_IFMT) == S_IFDIR);
	say_is("stat a device", stat_at(AT_FDCWD, "/dev/null", 0), 0);
	say_true("a character device", (st.stx_mode & S_IFMT) == S_IFCHR);
	fd = open_at(AT_FDCWD, "/bin/t_path_calls", O_RDONLY);
	st.stx_size = 0;
	say_is("stat a descriptor", stat_at((int)fd, "", AT_EMPTY_PATH), 0);
	say_true("the same size", st.stx_size > 1000);
	say_is("an empty path without the flag", stat_at((int)fd, "", 0), -ENOENT);
	say_is("a descriptor that is none", stat_at(77, "", AT_EMPTY_PATH), -EBADF);
	say_is("unknown flags", stat_at(AT_FDCWD, "/bin", 0x8000), -EINVAL);
	say_is("what is not there", stat_at(AT_FDCWD, "/absent", 0), -ENOENT);
	close_slot((int)fd, 0);
}

static int64_t punch(int fd, uint64_t off, uint64_t len, uint32_t mode)
{
	ring_fill(ring_sqe(&ring_native), IORING_OP_FALLOCATE, fd, off, len, mode, 0, 0);
	return say_wait();
}

static void punching(void)
{
	static char block[4096];
	const uint32_t hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	int64_t fd = open_at(AT_FDCWD, "/dev/vda", O_RDWR), got;
	unsigned other = 0;

	if (fd == -ENOENT) {
		say("no disk: nothing to punch\n");
		return;
	}
	for (unsigned i = 0; i < sizeof(block); i++)
		block[i] = 'x';
	ring_fill(ring_sqe(&ring_native), IORING_OP_WRITE, (int)fd, 8192,
		  (uint64_t)(uintptr_t)block, sizeof(block), 0, 0);
	say_is("write a block", say_wait(), sizeof(block));
	say_is("zero it", punch((int)fd, 8192, 4096, FALLOC_FL_ZERO_RANGE), 0);
	say_is("read it back", read_at((int)fd, block, sizeof(block), 8192, 0), sizeof(block));
	for (unsigned i = 0; i < sizeof(block); i++)
		other += block[i] != 0;
	say_is("zeroes", other, 0);
	got = punch((int)fd, 8192, 4096, hole);
	say_true("a hole is punched or honestly refused", got == 0 || got == -EOPNOTSUPP);
	say_is("a disk cannot grow", punch((int)fd, 0, 4096, 0), -EOPNOTSUPP);
	say_is("no length", punch((int)fd, 0, 0, hole), -EINVAL);
	say_is("a negative offset", punch((int)fd, 1ull << 63, 4096, hole), -EINVAL);
	say_is("past all files", punch((int)fd, (1ull << 63) - 1, (1ull << 63) - 1, hole), -EFBIG);
	say_is("a file that is no disk", punch(1, 0, 4096, hole), -EOPNOTSUPP);
	close_slot((int)fd, 0);
	fd = open_at(AT_FDCWD, "/dev/vda", O_RDONLY);
	say_is("opened for reading only", punch((int)fd, 8192, 4096, hole), -EBADF);
	close_slot((int)fd, 0);
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	(void)ring;
	(void)argc;
	(void)argv;
	opening();
	slots();
	stating();
	punching();
	return say_verdict();
}
