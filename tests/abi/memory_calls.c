/*
 * Do mmap, munmap, mprotect, madvise and brk do to a program's pages what Linux does, on pages the
 * program and the kernel both touch?
 */
#include "tests/abi/lib/say.h"
#include "uapi/mman.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define PAGE 4096ull

static int64_t call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	return ring_syscall(&ring_native, nr, a0, a1, a2, a3, ~0ull, 0);
}

static volatile uint64_t *word(uint64_t at)
{
	return (volatile uint64_t *)(uintptr_t)at;
}

/* The kernel's own opinion of a page: can it write there for us (uname writes 390 bytes), can it
 * read? */
static int64_t kernel_writes(uint64_t at)
{
	return call(SYS_uname, at, 0, 0, 0);
}

static int64_t kernel_reads(uint64_t at)
{
	ring_fill(ring_sqe(&ring_native), IORING_OP_WRITE, 1, ~0ull, at, 0, 0, 0);
	if (say_wait())
		return 1;
	/* a path: absent in either case, but only found out when it can be read */
	ring_fill(ring_sqe(&ring_native), IORING_OP_OPENAT, -100, 0, at, 0, 0, 0);
	return say_wait();
}

static void protections(void)
{
	uint64_t at = (uint64_t)call(SYS_mmap, 0, 4 * PAGE, RW, ANON);

	for (unsigned i = 0; i < 4; i++)
		*word(at + i * PAGE) = 0x2f0000000000002full + i; /* "/" at both ends */
	say_is("protect the second page", call(SYS_mprotect, at + PAGE, PAGE, PROT_READ, 0), 0);
	say_is("the kernel may not write there", kernel_writes(at + PAGE), -EFAULT);
	say_is("but read", kernel_reads(at + PAGE) == -EFAULT, 0);
	say_is("what was there", (int64_t)(*word(at + PAGE) & 0xff), 0x30);
	say_is("a write that begins before it stops there",
	       call(SYS_getrandom, at + PAGE - 64, 4096, 0, 0), 64);
	say_is("take all rights away", call(SYS_mprotect, at + 2 * PAGE, PAGE, PROT_NONE, 0), 0);
	say_is("the kernel may not read there", kernel_reads(at + 2 * PAGE), -EFAULT);
	say_is("give them back", call(SYS_mprotect, at, 4 * PAGE, RW, 0), 0);
	say_is("what was there survives", (int64_t)(*word(at + 2 * PAGE) & 0xff), 0x31);
	*word(at + PAGE) = 7;
	say_is("and is writable again", (int64_t)*word(at + PAGE), 7);
	say_is("unmap the middle", call(SYS_munmap, at + PAGE, 2 * PAGE, 0, 0), 0);
	say_is("the kernel finds a hole", kernel_writes(at + PAGE), -EFAULT);
	say_is("neighbours stay",
	       (int64_t)(*word(at) & 0xff) + (int64_t)(*word(at + 3 * PAGE) & 0xff), 0x2f + 0x32);
	say_is("unmapping a hole is no error", call(SYS_munmap, at, 4 * PAGE, 0, 0), 0);
}

static void places(void)
{
	uint64_t at = (uint64_t)call(SYS_mmap, 0, 8 * PAGE, RW, ANON), got;

	say_is("a new mapping is page-aligned", (int64_t)(at & (PAGE - 1)), 0);
	*word(at) = 1;
	got = (uint64_t)call(SYS_mmap, at, PAGE, RW, ANON | MAP_FIXED);
	say_is("fixed: where it was asked", (int64_t)(got - at), 0);
	say_is("and empty", (int64_t)*word(at), 0);
	say_is("not over something",
	       call(SYS_mmap, at + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE), -EEXIST);
	call(SYS_munmap, at + 4 * PAGE, PAGE, 0, 0);
	got = (uint64_t)call(SYS_mmap, at + 4 * PAGE, PAGE, RW, ANON);
	say_is("a hint is taken when it fits", (int64_t)(got - at), 4 * PAGE);
	got = (uint64_t)call(SYS_mmap, at + 4 * PAGE, PAGE, RW, ANON);
	say_true("and goes elsewhere when it does not", got != at + 4 * PAGE && got < 1ull << 40);
	say_is("a part of a page is a page",
	       call(SYS_mmap, at, 1, RW, ANON | MAP_FIXED) == (int64_t)at, 1);
	*word(at + 8) = 5;
	call(SYS_munmap, at, 8 * PAGE, 0, 0);
	call(SYS_munmap, got, PAGE, 0, 0);
}

static void advice(void)
{
	uint64_t at = (uint64_t)call(SYS_mmap, 0, 1 << 20, RW, ANON | MAP_POPULATE);
	uint64_t sum = 0;

	for (uint64_t off = 0; off < 1 << 20; off += PAGE)
		sum += *word(at + off);
	say_is("populated memory is zero", (int64_t)sum, 0);
	for (uint64_t off = 0; off < 1 << 20; off += PAGE)
		*word(at + off) = off;
	say_is("throw it away", call(SYS_madvise, at, 1 << 20, MADV_DONTNEED, 0), 0);
	for (uint64_t off = 0; off < 1 << 20; off += PAGE)
		sum += *word(at + off);
	say_is("and it is zero again", (int64_t)sum, 0);
	say_is("advice that changes nothing", call(SYS_madvise, at, 1 << 20, MADV_SEQUENTIAL, 0),
	       0);
	say_is("the ring's pages cannot be thrown away",
	       call(SYS_madvise, (uint64_t)(uintptr_t)ring_native.sqes & ~(PAGE - 1), PAGE,
		    MADV_DONTNEED, 0),
	       -EINVAL);
	call(SYS_munmap, at, 1 << 20, 0, 0);
}

static void heap(void)
{
	uint64_t start = (uint64_t)call(SYS_brk, 0, 0, 0, 0);

	say_true("brk names the heap's end", start > 4096 && start < 1ull << 38);
	say_is("it grows", call(SYS_brk, start + 10000, 0, 0, 0) - (int64_t)start, 10000);
	*word(start & ~7ull) = 3;
	*word((start + 9000) & ~7ull) = 4;
	say_is("not below its start", call(SYS_brk, start - 4096, 0, 0, 0) - (int64_t)start, 10000);
	say_is("not into the sky", call(SYS_brk, 1ull << 50, 0, 0, 0) - (int64_t)start, 10000);
	say_is("it shrinks", call(SYS_brk, start, 0, 0, 0) - (int64_t)start, 0);
	say_is("and grows again", call(SYS_brk, start + 10000, 0, 0, 0) - (int64_t)start, 10000);
	say_is("empty", (int64_t)*word((start + 9000) & ~7ull), 0);
	call(SYS_brk, start, 0, 0, 0);
}

/* Rights are taken away while the other core holds a translation: the shootdown has to reach it. */
static void shootdowns(void)
{
	uint64_t at = (uint64_t)call(SYS_mmap, 0, PAGE, RW, ANON), wrong = 0;

	for (uint64_t i = 0; i < 500; i++) {
		*word(at) = i + 1;
		call(SYS_madvise, at, PAGE, MADV_DONTNEED, 0);
		wrong += *word(at) != 0;
	}
	say_is("a page thrown away is gone at once, 500 times", (int64_t)wrong, 0);
	call(SYS_munmap, at, PAGE, 0, 0);
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	(void)ring;
	(void)argc;
	(void)argv;
	protections();
	places();
	advice();
	heap();
	shootdowns();
	return say_verdict();
}
