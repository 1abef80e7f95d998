/*
 * Is a serial port one program's at a time: the console, a stream, or a device that is claimed and
 * mapped; and is it really taken back with the claim? Where the port is the console, or there is
 * none, that is all there is to ask.
 */
#include "tests/abi/lib/say.h"
#include "uapi/errno.h"
#include "uapi/fs.h"
#include "uapi/mman.h"

#define PAGE 4096ull
#define RW (PROT_READ | PROT_WRITE)
#define REG_SCRATCH 7

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static int64_t open_port(const char *path, uint32_t flags)
{
	return ring_syscall(&ring_native, SYS_openat, (uint64_t)AT_FDCWD, at(path), flags, 0, 0, 0);
}

static int64_t map(int64_t fd, uint64_t len, uint64_t prot, uint64_t flags, uint64_t off)
{
	return ring_syscall(&ring_native, SYS_mmap, 0, len, prot, flags, (uint64_t)fd, off);
}

static int64_t drop(int64_t fd)
{
	return ring_syscall(&ring_native, SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0);
}

static void claimed(int64_t fd)
{
	volatile uint8_t *regs;
	int64_t page, file;

	say_is("a second claim", open_port("/dev/uart0", O_RDWR), -EBUSY);
	say_is("a stream beside it", open_port("/dev/ttyS0", O_RDWR), -EBUSY);
	say_is("two pages of it", map(fd, 2 * PAGE, RW, MAP_SHARED, 0), -EINVAL);
	say_is("the page behind it", map(fd, PAGE, RW, MAP_SHARED, PAGE), -EINVAL);
	say_is("a private one", map(fd, PAGE, RW, MAP_PRIVATE, 0), -EINVAL);
	say_is("to be executed", map(fd, PAGE, RW | PROT_EXEC, MAP_SHARED, 0), -EINVAL);
	page = map(fd, PAGE, RW, MAP_SHARED, 0);
	say_true("its page", page > 0);
	if (page <= 0)
		return;
	say_is("once only", map(fd, PAGE, RW, MAP_SHARED, 0), -EBUSY);
	regs = (volatile uint8_t *)(uintptr_t)page;
	regs[REG_SCRATCH] = 0x5a;
	say_is("a register keeps what is stored", regs[REG_SCRATCH], 0x5a);
	file = open_port("/dev/null", O_RDWR);
	ring_fill(ring_sqe(&ring_native), IORING_OP_WRITE, (int)file, 0, (uint64_t)page, 8, 0, 0);
	say_is("it is no buffer", say_wait(), -EFAULT);
	drop(file);
	say_is("let go of", drop(fd), 0);
	file = open_port("/dev/ttyS0", O_RDWR);
	say_true("a stream again", file >= 0);
	say_is("no claim beside a stream", open_port("/dev/uart0", O_RDWR), -EBUSY);
	drop(file);
	say("the port was claimed and let go of\n");
}

/* Does what it must die of: the page went with the claim, though it is still mapped. */
static int touched(void)
{
	int64_t fd = open_port("/dev/uart0", O_RDWR), page = map(fd, PAGE, RW, MAP_SHARED, 0);

	if (page <= 0)
		return 2;
	(void)((volatile uint8_t *)(uintptr_t)page)[REG_SCRATCH];
	say("the registers are there\n");
	drop(fd);
	(void)((volatile uint8_t *)(uintptr_t)page)[REG_SCRATCH];
	say("and still are\n");
	return 1;
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	int64_t fd;

	(void)ring, (void)argv;
	if (argc > 1)
		return touched();
	say_is("one way only", open_port("/dev/uart0", O_RDONLY) == -ENOENT
				       ? -EACCES
				       : open_port("/dev/uart0", O_RDONLY),
	       -EACCES);
	fd = open_port("/dev/uart0", O_RDWR);
	if (fd >= 0)
		claimed(fd);
	else
		say_true("the console's port, or none", fd == -EBUSY || fd == -ENOENT);
	return say_verdict();
}
