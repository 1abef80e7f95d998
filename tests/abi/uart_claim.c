/*
 * Is a serial port one program's at a time: the console, a stream, or a device that is claimed and
 * mapped; and is it really taken back with the claim? Where the port is the console, or there is
 * none, that is all there is to ask. `t_uart_claim deaths`: does it stay free if who claims it ends
 * before the claim is complete? tests/boot/test_uart.py asks where there is a port.
 */
#include "tests/abi/lib/say.h"
#include "uapi/errno.h"
#include "uapi/fs.h"
#include "uapi/mman.h"
#include "uapi/notice.h"
#include "uapi/wait.h"

#define SELF "/bin/t_uart_claim"
#define DEATHS 40u
#define DONE 5 /* its completion was there when it ended */
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

/* Claims, or takes an endpoint, and ends before it is told: the kernel core has seen the entry, or
 * has not yet, or is done. */
static int die(const char *when)
{
	static volatile int *volatile nowhere = (volatile int *)16;
	const uint64_t n = (uint64_t)(when[0] - '0') * 10 + (uint64_t)(when[1] - '0');
	static const char path[] = "/dev/uart0";

	if (n % 2) { /* a receiver before, so that the endpoint can be */
		ring_fill(ring_sqe(&ring_native), IORING_OP_NOTICE, -1, 0, 0,
			  SLUICE_NOTICE_REGISTER, 0, 0);
		if (say_wait() < 0)
			return 2;
		ring_fill(ring_sqe(&ring_native), IORING_OP_NOTICE, -1, 5, 0, SLUICE_NOTICE_CREATE,
			  0, 0);
	}
	ring_fill(ring_sqe(&ring_native), IORING_OP_OPENAT, AT_FDCWD, 0, at(path), 0, O_RDWR, 0);
	ring_submit(&ring_native);
	for (volatile uint64_t i = 0; i < n / 4 * n / 4 * 50; i++)
		;
	if (n % 4 > 1)
		*nowhere = 1;
	return ring_ready(&ring_native) ? DONE : 0;
}

static void deaths(void)
{
	static struct wait_info info;
	unsigned ends = 0, claims = 0, done = 0;

	for (unsigned i = 0; i < DEATHS; i++) {
		char when[] = { (char)('0' + i / 10), (char)('0' + i % 10), 0 };
		const char *words[] = { SELF, "die", when, NULL };
		const char *environment[] = { "SLUICE_UINTR=1", NULL };
		bool vs = ring_start_info->flags & SLUICE_START_UINTR; /* they are as we are */
		int32_t fds[] = { 0, 1, 2 };
		struct sluice_spawn ask = {
			.size = sizeof(ask),
			.fd_count = 3,
			.path = at(SELF),
			.argv = at(words),
			.envp = vs ? at(environment) : 0,
			.fds = at(fds),
			.user_core = SLUICE_ANY_CORE,
			.home = SLUICE_ANY_CORE,
		};
		struct io_uring_sqe *sqe;
		int64_t pid, fd;

		ring_fill(ring_sqe(&ring_native), IORING_OP_SPAWN, 0, 0, at(&ask), sizeof(ask), 0,
			  0);
		pid = say_wait();
		sqe = ring_sqe(&ring_native);
		ring_fill(sqe, IORING_OP_WAITID, (int32_t)pid, at(&info), 0, P_PID, 0, 0);
		sqe->file_index = WEXITED;
		ends += !say_wait() &&
			info.si_code == (i % 4 > 1 ? CLD_KILLED : CLD_EXITED) &&
			(i % 4 > 1 ? info.si_status == 11
				   : info.si_status == 0 || info.si_status == DONE);
		done += info.si_code == CLD_EXITED && info.si_status == DONE;
		fd = open_port("/dev/uart0", O_RDWR);
		claims += fd >= 0;
		if (fd >= 0)
			drop(fd);
	}
	say_is("children that ended between claim and completion", ends, DEATHS);
	say_is("claims behind them", claims, DEATHS);
	say_number(done);
	say(" of them ended behind it\n");
	say("the port was free behind each\n");
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	int64_t fd;

	(void)ring;
	if (argc > 2)
		return die(argv[2]);
	if (argc > 1 && argv[1][0] == 'd') {
		deaths();
		return say_verdict();
	}
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
