/*
 * What if a program lies to the kernel about its upcalls? A return to the kernel's half, one that
 * answers no upcall, or a handler that never returns and lets itself be interrupted for ever end
 * that program alone; the memory of its area may go, and posts go on.
 *
 * env: SLUICE_UINTR=0
 * also: SLUICE_UINTR=0 pc
 * ends: killed by signal 11
 * also: SLUICE_UINTR=0 sret
 * ends: killed by signal 11
 * also: SLUICE_UINTR=0 deep
 * ends: killed by signal 11
 */
#include "libasync/notice.h"
#include "tests/abi/lib/say.h"
#include "uapi/mman.h"

#define ID 4u

static struct ring *ring;
static int fd;
static char last;

static void wrong(void)
{
	volatile uint32_t *volatile nowhere = (uint32_t *)8;

	*nowhere = 1;
}

static void nothing(uint32_t id)
{
	(void)id;
}

/* Hosted handlers go on by themselves, so that nothing said here is believed: a plain lie
 * instead. */
static void lie(uint32_t id)
{
	(void)id;
	if (ring_start_info->enter_fn)
		wrong();
	notice_first.area.pc = 0xffffffff80200000;
}

static void deep(uint32_t id)
{
	volatile char frame[4096] = { (char)id };

	__atomic_fetch_or(&notice_first.area.pending, 1ull << ID, __ATOMIC_SEQ_CST);
	notice_on(); /* serves what is pending, inside itself */
	last = frame[0];
}

/* The area's page is the kernel's as long as it needs it, mapped here or not. */
static void without_area(void)
{
	int64_t at = ring_syscall(ring, SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0);
	struct sluice_upcall *area = (struct sluice_upcall *)(uintptr_t)at;

	say_is("an area of its own",
	       notice_call(ring, SLUICE_NOTICE_REGISTER, -1, (uint64_t)at,
			   (void *)(uintptr_t)upcall_entry),
	       SLUICE_NOTICE_UPCALLS);
	fd = notice_endpoint(ring, ID);
	area->enabled = 1ull << ID;
	say_is("a post", notice_call(ring, SLUICE_NOTICE_POST, fd, 0, NULL), 0);
	say_is("came", (int64_t)__atomic_load_n(&area->pending, __ATOMIC_SEQ_CST), 1 << ID);
	say_is("the page goes", ring_syscall(ring, SYS_munmap, (uint64_t)at, 4096, 0, 0, 0, 0), 0);
	say_is("a post", notice_call(ring, SLUICE_NOTICE_POST, fd, 0, NULL), 0);
}

int ring_main(struct ring *native, int argc, char **argv)
{
	char way = argc > 1 ? argv[1][0] : 0;

	ring = native;
	if (!way) {
		without_area();
		return say_verdict();
	}
	say_is("registering", notice_start(ring), SLUICE_NOTICE_UPCALLS);
	notice_handle(ring, ID, way == 'p' ? lie : way == 'd' ? deep : nothing);
	fd = notice_endpoint(ring, ID);
	if (way == 's') {
#ifdef __riscv
		__asm__ volatile("sret");
#endif
		wrong();
	}
	notice_on();
	say_is("a post", notice_call(ring, SLUICE_NOTICE_POST, fd, 0, NULL), 0);
	for (volatile uint32_t i = 0; i < 1000000000; i++)
		;
	return 3;
}
