/*
 * Does a program that was built for Linux, and knows nothing of rings, get its files, its memory,
 * its clocks and its thread-local words here, by nothing but ecall?
 *
 * also: SLUICE_UINTR=1 again
 * also: SLUICE_UINTR=0 plain
 * ends: exit status 0
 * ends: exit status 0
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

/* uapi/ is not on an unmodified program's path: this is not Linux' number. */
#define AT_SLUICE 0x5100

static void *volatile nowhere = (void *)16; /* no page is there */
static __thread int tls_given = 7;
static __thread char tls_zero[100];

static void birth(int argc, char **argv)
{
	unsigned char *random = (unsigned char *)getauxval(AT_RANDOM);
	int bits = 0;

	expect(argc >= 1 && strstr(argv[0], "files") && !argv[argc]);
	expect(tls_given == 7 && !tls_zero[99]);
	expect(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_PHENT) == 56 &&
	       getauxval(AT_PHNUM) > 2);
	expect(*(uint32_t *)getauxval(AT_PHDR) != 0 && getauxval(AT_ENTRY) && getauxval(AT_SLUICE));
	expect(getauxval(AT_HWCAP) & 1u << ('C' - 'A') && getauxval(AT_HWCAP) & 1u << ('D' - 'A'));
	for (int i = 0; i < 16; i++)
		bits |= random[i];
	expect(bits);
	expect(!strcmp((char *)getauxval(AT_EXECFN) + strlen((char *)getauxval(AT_EXECFN)) - 5,
		       "files"));
	expect(getenv("SLUICE_UINTR") ? argc == 2 : argc == 1);
}

static void who(void)
{
	struct utsname name;
	struct rlimit limit;
	struct sysinfo info;

	expect(getpid() > 0 && syscall(SYS_gettid) == getpid() && getppid() == 0 && geteuid() == 0);
	expect(!uname(&name) && !strcmp(name.sysname, "Linux") && !strcmp(name.machine, "riscv64"));
	expect(!getrlimit(RLIMIT_STACK, &limit) && limit.rlim_cur == 8 << 20);
	expect(!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur == 4096);
	expect_errno(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
	expect(!sysinfo(&info) && info.totalram > 64 << 20 && info.freeram < info.totalram);
	expect(!sched_yield());
	expect_errno((int)syscall(SYS_getpgid, 0), ENOSYS);
	expect_errno((int)syscall(400, 0), ENOSYS);
}

/* What is not served is counted where anybody can look. */
static void counted(void)
{
	char text[8192] = "", *line;
	int fd = open("/dev/counters", O_RDONLY);

	expect(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && !close(fd));
	line = strstr(text, "\nunserved ");
	expect(line && atoi(line + 10) >= 2);
}

static void files(char **argv)
{
	char magic[5] = "", at[8];
	struct stat st, same;
	uint64_t stx[32] = { 0 }; /* struct statx, which one of the two libraries has not */
	struct iovec iov[2] = { { magic, 2 }, { magic + 2, 2 } };
	int fd = open(argv[0], O_RDONLY), dup;

	expect(fd >= 3 && read(fd, magic, 4) == 4 && !memcmp(magic, "\177ELF", 4));
	expect(lseek(fd, 0, SEEK_CUR) == 4 && pread(fd, at, 3, 1) == 3 && !memcmp(at, "ELF", 3));
	memset(magic, 0, sizeof(magic));
	expect(preadv(fd, iov, 2, 0) == 4 && !memcmp(magic, "\177ELF", 4));
	expect(!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 10000 &&
	       st.st_blksize == 4096);
	expect(!stat(argv[0], &same) && same.st_ino == st.st_ino && same.st_size == st.st_size);
	expect(!syscall(SYS_statx, AT_FDCWD, argv[0], 0, 0x200, stx) &&
	       stx[5] == (uint64_t)st.st_size);
	expect(lseek(fd, 0, SEEK_END) == st.st_size && read(fd, at, 8) == 0);
	expect(!access(argv[0], R_OK | X_OK));
	expect_errno(access(argv[0], W_OK), EROFS);
	expect_errno(access("/absent", F_OK), ENOENT);
	expect_errno(open("/absent", O_RDONLY), ENOENT);
	expect_errno((int)readlink(argv[0], at, sizeof(at)), EINVAL);
	expect_errno((int)readlink("/absent", at, sizeof(at)), ENOENT);
	expect_errno(ioctl(fd, TCGETS, &(struct termios){ 0 }), ENOTTY);
	expect(!isatty(1) && errno == ENOTTY);
	expect(getcwd(at, sizeof(at)) && !strcmp(at, "/"));
	dup = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	expect(dup == 100 && fcntl(dup, F_GETFD) == FD_CLOEXEC && !close(dup));
	expect(!close(fd));
	expect_errno((int)read(fd, at, 1), EBADF);
	expect(!stat("/dev/null", &st) && S_ISCHR(st.st_mode));
}

/* What fio and its like ask besides. */
static void besides(char **argv)
{
	struct timeval none = { 0, 0 }, little = { 0, 3000 };
	struct timespec before, after;
	int fd = open(argv[0], O_RDONLY), ends[2];
	fd_set in, out, bad;

	expect(!posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) &&
	       posix_fadvise(fd, 0, 0, 99) == EINVAL);
	expect_errno(mkdir("/dev/null", 0700), EEXIST);
	expect_errno(mkdir("/absent", 0700), EROFS);
	errno = 0;
	expect(nice(0) == 0 && !errno);
	expect_errno(nice(3), EPERM);
	expect_errno(getpriority(PRIO_PROCESS, 123456), ESRCH);
	expect(!pipe(ends) && posix_fadvise(ends[0], 0, 0, 0) == ESPIPE);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&bad);
	FD_SET(ends[0], &in);
	FD_SET(ends[0], &bad);
	expect(!clock_gettime(CLOCK_MONOTONIC, &before));
	expect(!select(ends[0] + 1, &in, NULL, &bad, &little) && !FD_ISSET(ends[0], &in));
	expect(!clock_gettime(CLOCK_MONOTONIC, &after));
	expect((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >=
	       3000000);
	FD_SET(ends[0], &in);
	FD_SET(ends[0], &bad);
	expect(write(ends[1], "x", 1) == 1 && select(ends[0] + 1, &in, NULL, &bad, NULL) == 1);
	expect(FD_ISSET(ends[0], &in) && !FD_ISSET(ends[0], &bad));
	FD_SET(ends[1], &out);
	expect(select(FD_SETSIZE, NULL, &out, NULL, NULL) == 1 && FD_ISSET(ends[1], &out));
	expect_errno(select(FD_SETSIZE, &in, &out, NULL, NULL), ENOSYS);
	expect(select(ends[0], &in, &out, NULL, &none) == 0); /* it ends before both */
	FD_ZERO(&in);
	FD_SET(999, &in);
	expect_errno(select(1000, &in, NULL, NULL, NULL), EBADF);
	expect_errno((int)syscall(SYS_pselect6, 1025, NULL, NULL, NULL, &none, NULL), EINVAL);
	expect_errno((int)syscall(SYS_pselect6, 64, 8, NULL, NULL, NULL, NULL), EFAULT);
	expect(!close(ends[0]) && !close(ends[1]) && !close(fd));
}

static void streams(void)
{
	int fd = memfd_create("paper", 0);
	FILE *f = fdopen(fd, "w+");
	char line[64];
	int sum = 0, n;

	expect(f != NULL);
	for (int i = 0; i < 10000; i++)
		expect(fprintf(f, "line %d\n", i) > 0);
	expect(!fflush(f) && !fseek(f, 0, SEEK_SET));
	while (fgets(line, sizeof(line), f)) {
		expect(sscanf(line, "line %d", &n) == 1);
		sum += n;
	}
	expect(sum == 9999 * 10000 / 2 && !fclose(f));
}

static void memory(char **argv)
{
	char *heap = malloc(3000000), *small = malloc(20), *page, *file;
	int fd = memfd_create("shared", 0);
	long end = syscall(SYS_brk, 0);

	expect(heap && small);
	memset(heap, 5, 3000000);
	heap = realloc(heap, 6000000);
	expect(heap && heap[2999999] == 5);
	free(heap), free(small);
	expect(end > 0 && syscall(SYS_brk, end + 65536) == end + 65536);
	*(char *)(end + 65535) = 1;
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(page != MAP_FAILED);
	page[8191] = 1;
	expect(!mprotect(page, 4096, PROT_READ) && !munmap(page, 8192));
	expect(!ftruncate(fd, 4096) && pwrite(fd, "abc", 3, 0) == 3);
	file = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	expect(file != MAP_FAILED && !memcmp(file, "abc", 3));
	file[0] = 'x';
	expect(pread(fd, file + 8, 3, 0) == 3 && !memcmp(file + 8, "xbc", 3));
	expect(!close(fd) && !munmap(file, 4096));
	expect_errno((int)read(open(argv[0], O_RDONLY), nowhere, 8), EFAULT);
}

static void times(void)
{
	struct timespec a, b, nap = { 0, 3000000 };

	expect(!clock_gettime(CLOCK_MONOTONIC, &a) && !nanosleep(&nap, NULL));
	expect(!clock_gettime(CLOCK_MONOTONIC, &b));
	expect((b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec >= 3000000);
	expect(time(NULL) > 1000000000 && !clock_getres(CLOCK_MONOTONIC, &a));
	expect_errno(clock_gettime(1000, &a), EINVAL);
}

static void polls(void)
{
	struct pollfd set[3];
	struct timespec a, b;
	int ends[2], fd;
	char c = 0;

	expect(!pipe(ends));
	set[0] = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	set[1] = (struct pollfd){ .fd = ends[1], .events = POLLOUT };
	set[2] = (struct pollfd){ .fd = 99, .events = POLLIN };
	expect(poll(set, 1, 0) == 0 && set[0].revents == 0);
	expect(!clock_gettime(CLOCK_MONOTONIC, &a) && poll(set, 1, 5) == 0);
	expect(!clock_gettime(CLOCK_MONOTONIC, &b));
	expect((b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec >= 5000000);
	expect(poll(set, 3, -1) == 2 && set[1].revents == POLLOUT && set[2].revents == POLLNVAL);
	expect(write(ends[1], "x", 1) == 1 && poll(set, 1, -1) == 1 && set[0].revents == POLLIN);
	expect(read(ends[0], &c, 1) == 1 && c == 'x');
	expect(poll(NULL, 0, 2) == 0);
	expect(!close(ends[1]) && poll(set, 1, -1) == 1 && set[0].revents & POLLHUP);
	expect_errno(poll(nowhere, 1, 0), EFAULT);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	expect(fd >= 0);
	set[0] = (struct pollfd){ .fd = fd, .events = POLLIN | POLLOUT };
	expect(poll(set, 1, 1000) == 1 && set[0].revents == POLLOUT && !close(fd));
}

static void randoms(void)
{
	uint64_t a = 0, b = 0;

	expect(getrandom(&a, 8, 0) == 8 && getrandom(&b, 8, GRND_NONBLOCK) == 8 && a != b);
}

int main(int argc, char **argv)
{
	birth(argc, argv);
	who();
	counted();
	files(argv);
	besides(argv);
	streams();
	memory(argv);
	times();
	polls();
	randoms();
	tls_given++;
	expect(printf("files: %d lines of stdio%s\n", 10000, argc > 1 ? argv[1] : "") > 0);
	expect(dprintf(2, "files: done\n") == 12);
	return tls_given - 8;
}
