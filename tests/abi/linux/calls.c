/*
 * Calls that are answered at once: does a program keep every register but a0 over them, does each
 * of them answer as Linux does, and does its core get to its other work while it makes nothing but
 * such calls?
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define CALLS 128 /* as many in a row bring a turn of the core: kernel/ring/enter.c */
#define TURNS 10  /* that a datagram to ourselves may take */

/* Of which a call may change a0 alone: x1, x5 to x9 and x11 to x31, a7 being its number. */
static uint64_t before[32], after[32];

__asm__(".text\n"
	".globl kept\n"
	"kept:\n"
	"	addi sp, sp, -112\n"
	"	sd ra, 0(sp)\n"
	"	sd s0, 8(sp)\n"
	"	sd s1, 16(sp)\n"
	"	sd s2, 24(sp)\n"
	"	sd s3, 32(sp)\n"
	"	sd s4, 40(sp)\n"
	"	sd s5, 48(sp)\n"
	"	sd s6, 56(sp)\n"
	"	sd s7, 64(sp)\n"
	"	sd s8, 72(sp)\n"
	"	sd s9, 80(sp)\n"
	"	sd s10, 88(sp)\n"
	"	sd s11, 96(sp)\n"
	"	sd a1, 104(sp)\n"
	"	.irp n,1,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
	"	ld x\\n, (8 * \\n)(a0)\n"
	"	.endr\n"
	"	ld a0, 80(a0)\n"
	"	ecall\n"
	"	sd a0, -8(sp)\n"
	"	ld a0, 104(sp)\n"
	"	.irp n,1,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
	"	sd x\\n, (8 * \\n)(a0)\n"
	"	.endr\n"
	"	ld a1, -8(sp)\n"
	"	sd a1, 80(a0)\n"
	"	ld ra, 0(sp)\n"
	"	ld s0, 8(sp)\n"
	"	ld s1, 16(sp)\n"
	"	ld s2, 24(sp)\n"
	"	ld s3, 32(sp)\n"
	"	ld s4, 40(sp)\n"
	"	ld s5, 48(sp)\n"
	"	ld s6, 56(sp)\n"
	"	ld s7, 64(sp)\n"
	"	ld s8, 72(sp)\n"
	"	ld s9, 80(sp)\n"
	"	ld s10, 88(sp)\n"
	"	ld s11, 96(sp)\n"
	"	addi sp, sp, 112\n"
	"	ret\n");
void kept(const uint64_t *from, uint64_t *to);

static int64_t call_keeping(uint64_t nr, uint64_t a0)
{
	for (unsigned i = 0; i < 32; i++)
		before[i] = 0x1122334455660000 + i * 0x101;
	before[10] = a0;
	before[17] = nr;
	kept(before, after);
	for (unsigned i = 0; i < 32; i++)
		expect(i == 0 || (i >= 2 && i <= 4) || i == 10 || after[i] == before[i]);
	return (int64_t)after[10];
}

static void registers(void)
{
	for (unsigned i = 0; i < 3 * CALLS; i++) { /* in the trap, and with a turn behind it */
		expect(call_keeping(SYS_getpid, 0) == getpid());
		expect(call_keeping(SYS_close, 999) == -EBADF);
		expect(call_keeping(511, 0) == -ENOSYS);
	}
}

static void answers(void)
{
	struct timespec ts = { .tv_nsec = 1 };
	uint64_t much = (uint64_t)3 << 32;
	int fd = memfd_create("m", 0);
	char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	expect(at != MAP_FAILED && (uint64_t)at >> 32); /* more than a completion's 32 bits */
	expect(lseek(fd, (off_t)much, SEEK_SET) == (off_t)much);
	expect(lseek(fd, 0, SEEK_CUR) == (off_t)much);
	expect_errno(lseek(fd, -1, SEEK_SET), EINVAL);
	expect(!lseek(fd, 0, SEEK_SET) && write(fd, "0123456789", 10) == 10);
	expect(pread(fd, at, 4, 3) == 4 && !memcmp(at, "3456", 4));
	expect(!nanosleep(&ts, NULL)); /* one that waits, between others that do not */
	expect(!munmap(at, 4096) && !close(fd));
	expect_errno(close(fd), EBADF);
	expect_errno((int)syscall(SYS_mount, 0, 0, 0, 0, 0), ENOSYS);
}

/* The way of a datagram to ourselves leads through the core's turn. */
static void turns(void)
{
	struct sockaddr_in self = { .sin_family = AF_INET, .sin_port = htons(9) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	unsigned calls = 0;
	char got = 0;

	self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	expect(fd >= 0 && !bind(fd, (struct sockaddr *)&self, sizeof(self)));
	expect(!connect(fd, (struct sockaddr *)&self, sizeof(self)));
	expect(send(fd, "x", 1, 0) == 1);
	while (recv(fd, &got, 1, MSG_DONTWAIT) != 1) {
		expect(errno == EAGAIN);
		for (unsigned i = 0; i < CALLS; i++, calls++)
			expect(getppid() >= 0);
		expect(calls <= TURNS * CALLS);
	}
	expect(got == 'x' && !close(fd));
}

int main(void)
{
	registers();
	answers();
	turns();
	return 0;
}
