/*
 * Is a memory file a file (sparse, sized, sought, bounded) and are its pages the same ones that a
 * shared mapping shows, and not those that a private one shows after a write?
 */
#include "tests/abi/lib/say.h"
#include "uapi/fs.h"
#include "uapi/mman.h"

#define PAGE 4096ull
#define RW (PROT_READ | PROT_WRITE)
#define GIB (1ull << 30)

static char buf[3 * PAGE];

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static int64_t call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	return ring_syscall(&ring_native, nr, a0, a1, a2, a3, 0, 0);
}

static int64_t map(uint64_t fd, uint64_t len, uint64_t prot, uint64_t flags, uint64_t off)
{
	return ring_syscall(&ring_native, SYS_mmap, 0, len, prot, flags, fd, off);
}

static volatile uint64_t *word(int64_t addr)
{
	return (volatile uint64_t *)(uintptr_t)addr;
}

static uint64_t make(void)
{
	int64_t fd = call(SYS_memfd_create, at("test"), 0, 0, 0);

	if (fd < 0)
		ring_die(&ring_native, "FAIL memfile_calls: no file\n");
	return (uint64_t)fd;
}

static int64_t rw(uint8_t opcode, uint64_t fd, uint32_t len, uint64_t off)
{
	ring_fill(ring_sqe(&ring_native), opcode, (int)fd, off, at(buf), len, 0, 0);
	return say_wait();
}

static struct statx st;

static int64_t size_of(uint64_t fd)
{
	ring_fill(ring_sqe(&ring_native), IORING_OP_STATX, (int)fd, at(&st), at(""), STATX_SIZE,
		  AT_EMPTY_PATH, 0);
	return say_wait() ? -1 : (int64_t)st.stx_size;
}

static void bytes(void)
{
	uint64_t fd = make();

	say_is("it is empty", rw(IORING_OP_READ, fd, 10, 0), 0);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (char)(i * 5 + i / 256);
	say_is("write across pages", rw(IORING_OP_WRITE, fd, 2 * PAGE + 3, 100), 2 * PAGE + 3);
	say_is("it has a size", size_of(fd), 2 * PAGE + 103);
	say_is("and three pages", (int64_t)st.stx_blocks, 3 * 8);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = 1;
	say_is("read it all, and no more", rw(IORING_OP_READ, fd, 3 * PAGE, 0), 2 * PAGE + 103);
	say_true("zeros, then what was written",
		 !buf[0] && !buf[99] && buf[101] == 5 && buf[100 + 257] == (char)(257 * 5 + 1) &&
			 buf[2 * PAGE + 103] == 1);
	say_is("far out", rw(IORING_OP_WRITE, fd, 1, GIB - 1), 1);
	say_is("is far out", size_of(fd), GIB);
	say_is("and costs one page", (int64_t)st.stx_blocks, 4 * 8);
	say_is("the hole is zeros", rw(IORING_OP_READ, fd, PAGE, 1 << 20), PAGE);
	say_true("all of it", !buf[0] && !buf[PAGE - 1]);
	say_is("behind the limit", rw(IORING_OP_WRITE, fd, 1, GIB), -EFBIG);
	say_is("over it: what fits", rw(IORING_OP_WRITE, fd, 8, GIB - 4), 4);
	say_is("fsync", call(SYS_fsync, fd, 0, 0, 0), 0);
	say_is("cut", call(SYS_ftruncate, fd, 101, 0, 0), 0);
	say_is("is cut", size_of(fd), 101);
	say_is("and grown", call(SYS_ftruncate, fd, 2 * PAGE, 0, 0), 0);
	say_is("is", rw(IORING_OP_READ, fd, 3 * PAGE, 100), 2 * PAGE - 100);
	say_true("zero behind the cut", !buf[1] && !buf[PAGE]);
	say_is("one page is left", size_of(fd) == 2 * PAGE ? (int64_t)st.stx_blocks : -1, 8);
	say_is("too big", call(SYS_ftruncate, fd, GIB + 1, 0, 0), -EFBIG);
	say_is("negative", call(SYS_ftruncate, fd, ~0ull, 0, 0), -EINVAL);
	ring_fill(ring_sqe(&ring_native), IORING_OP_FTRUNCATE, (int)fd, 0, 0, 0, 0, 0);
	say_is("the operation cuts too", say_wait() ? -1 : size_of(fd), 0);
	say_is("positions", call(SYS_write, fd, at("abcdef"), 6, 0) +
		       call(SYS_lseek, fd, 2, SEEK_SET, 0) + call(SYS_read, fd, at(buf), 3, 0) +
		       call(SYS_lseek, fd, 0, SEEK_CUR, 0), 6 + 2 + 3 + 5);
	say_true("lead to bytes", buf[0] == 'c' && buf[2] == 'e');
	say_is("close", call(SYS_close, fd, 0, 0, 0), 0);
	say_is("flags it does not know", call(SYS_memfd_create, at("x"), 64, 0, 0), -EINVAL);
	say_is("a name that is a lie", call(SYS_memfd_create, 16, 0, 0, 0), -EFAULT);
	say_is("cutting what cannot be cut",
	       call(SYS_ftruncate, 1, 0, 0, 0), -EINVAL);
}

static void mappings(void)
{
	uint64_t fd = make();
	int64_t one, two, own;

	call(SYS_ftruncate, fd, 3 * PAGE, 0, 0);
	one = map(fd, 3 * PAGE, RW, MAP_SHARED, 0);
	two = map(fd, PAGE, RW, MAP_SHARED | MAP_POPULATE, PAGE);
	own = map(fd, 3 * PAGE, RW, MAP_PRIVATE, 0);
	say_true("three mappings", one > 0 && two > 0 && own > 0);
	*word(one + PAGE + 8) = 77;
	say_is("two views of one page", (int64_t)*word(two + 8), 77);
	say_is("and the file", rw(IORING_OP_READ, fd, 8, PAGE + 8) == 8 ? buf[0] : -1, 77);
	say_is("and the private view, so far", (int64_t)*word(own + PAGE + 8), 77);
	*word(own + PAGE + 8) = 5;
	*word(own + 2 * PAGE) = 6;
	say_is("its own from now on", (int64_t)*word(two + 8), 77);
	say_is("whether it had looked or not", (int64_t)*word(one + 2 * PAGE), 0);
	buf[0] = 9;
	rw(IORING_OP_WRITE, fd, 1, PAGE + 8);
	say_is("a write shows in the shared views", (int64_t)*word(one + PAGE + 8), 9);
	say_is("and not in a copied page", (int64_t)*word(own + PAGE + 8), 5);
	say_is("the kernel writes through a mapping",
	       call(SYS_getrandom, (uint64_t)one, 64, 0, 0), 64);
	say_true("into the file",
		 rw(IORING_OP_READ, fd, 64, 0) == 64 && *(uint64_t *)buf == *word(one));
	say_is("and a file into its own mapping",
	       call(SYS_pread64, fd, (uint64_t)one + PAGE, PAGE, 0), PAGE);
	say_true("the same bytes", *word(one + PAGE) == *word(one));
	say_is("mapped, it does not shrink", call(SYS_ftruncate, fd, PAGE, 0, 0), -EBUSY);
	say_is("but grows", call(SYS_ftruncate, fd, 4 * PAGE, 0, 0), 0);
	say_is("protect a view", call(SYS_mprotect, (uint64_t)one, PAGE, PROT_READ, 0), 0);
	say_is("the kernel minds", call(SYS_getrandom, (uint64_t)one, 64, 0, 0), -EFAULT);
	say_is("behind the end there is nothing",
	       call(SYS_getrandom, (uint64_t)map(fd, 8 * PAGE, RW, MAP_SHARED, 0) + 4 * PAGE, 8, 0,
		    0), -EFAULT);
	say_is("unmap the middle of a view", call(SYS_munmap, (uint64_t)own + PAGE, PAGE, 0, 0), 0);
	say_is("its ends stay", (int64_t)*word(own + 2 * PAGE), 6);
	say_is("throw a view's pages away",
	       call(SYS_madvise, (uint64_t)two, PAGE, MADV_DONTNEED, 0), 0);
	say_true("they are the file's still", *word(two) == *word(one + PAGE));
	say_is("close the file", call(SYS_close, fd, 0, 0, 0), 0);
	*word(two + 16) = 123;
	say_is("its pages live on", (int64_t)*word(one + PAGE + 16), 123);
	say_is("no mapping of a pipe", map(1, PAGE, RW, MAP_SHARED, 0), -ENODEV);
	call(SYS_munmap, (uint64_t)one, 3 * PAGE, 0, 0);
	call(SYS_munmap, (uint64_t)two, PAGE, 0, 0);
	call(SYS_munmap, (uint64_t)own, 3 * PAGE, 0, 0);
}

static void bounds(void)
{
	uint64_t fd = make(), n = 0;
	int64_t last, res = 0;

	for (unsigned i = 0; i < 33; i++) {
		last = map(fd, PAGE, RW, MAP_SHARED, 0);
		if (last < 0)
			break;
		n++;
	}
	say_is("mappings of files are bounded, by name", last, -ENOMEM);
	say_true("and there are some", n >= 20);
	call(SYS_close, fd, 0, 0, 0);
	fd = make();
	for (n = 0; n < GIB / PAGE && res >= 0; n++)
		res = rw(IORING_OP_WRITE, fd, 1, n * PAGE);
	say_is("files take half of the memory and no more", res, -ENOSPC);
	say_is("cut, they give it back", call(SYS_ftruncate, fd, 0, 0, 0), 0);
	say_is("to be used again", rw(IORING_OP_WRITE, fd, PAGE, 0), PAGE);
	call(SYS_close, fd, 0, 0, 0);
	for (n = 0; n < 300; n++) {
		last = call(SYS_memfd_create, at("x"), 0, 0, 0);
		if (last < 0)
			break;
	}
	say_is("files are bounded, by name", last, -ENFILE);
	/* they, and all mappings, go with the program */
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	(void)ring, (void)argc, (void)argv;
	bytes();
	mappings();
	bounds();
	return say_verdict();
}
