/*
 * window: the programs' own addresses. All programs live in this one process, so every address
 * space gets a window of 4 GiB between 4 GiB and 256 GiB of host addresses; window n is [n * 4 GiB,
 * (n + 1) * 4 GiB) without its last page, so that no mapping of the host ever reaches from one
 * window into the next. The host puts nothing of its own there: it places from the top of its
 * addresses downwards.
 *
 * The Sv39 tables that mm keeps are the truth. Host mappings are a translation cache: a page's
 * mapping is made when its leaf changes (window_mirror) or when a program faults on a page that its
 * table permits (hosted_window_refill). When the host has no room for another mapping (Linux counts
 * them: vm.max_map_count) the whole window is forgotten, which always works since no mapping is
 * split by it, and comes back fault by fault.
 *
 * window_mirror reads the leaf and maps under one lock, and mm calls it after every change, so
 * whoever comes last maps what is true. Any core.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/hosted/hosted.h"
#include "base/panic.h"
#include "uapi/errno.h"

#define WINDOW_BYTES (1ull << 32)
#define WINDOW_COUNT                                                                               \
	(ARCH_USER_TOP / WINDOW_BYTES) /* slot 0 stays empty: the host may live there */

/* Leaf bits, Privileged Architecture 20211203, section 4.4.1; mm/aspace.h has the full list. */
#define LEAF_V 1ull
#define LEAF_R 2ull
#define LEAF_W 4ull
#define LEAF_X 8ull
#define LEAF_U 16ull
#define leaf_paddr(pte) (((pte) >> 10 & 0xfffffffffffull) << PAGE_SHIFT)

int hosted_ram_fd = -1;
uint64_t hosted_ram_bytes;

static pthread_mutex_t window_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	/* under window_lock; read without it by the core that runs the space, which keeps it
	 * alive */
	struct aspace *_Atomic as;
	struct arch_aspace *aa;
} windows[WINDOW_COUNT];

/* The raw call: the sanitizers' wrappers have opinions on addresses inside their shadow's gap. */
static void *window_mmap(uaddr_t at, uint64_t len, int prot, int flags, int fd, off_t off)
{
	return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, off);
}

static void window_forget(const struct arch_aspace *aa)
{
	if (syscall(SYS_munmap, aa->low, aa->top - aa->low))
		panic("the host refuses to unmap a window: errno %d", errno);
}

static void window_forget_page(const struct arch_aspace *aa, uaddr_t va)
{
	if (syscall(SYS_munmap, va, PAGE_SIZE))
		/* the hole would have split a mapping, and there may be no more of them */
		window_forget(aa);
}

int hosted_windows_init(void)
{
	/* AddressSanitizer keeps its shadow's gap, which this is, mapped without rights: it is ours
	 * now. */
	return syscall(SYS_munmap, WINDOW_BYTES, (WINDOW_COUNT - 1) * WINDOW_BYTES) ? -errno : 0;
}

const char *arch_kind_missing(enum arch_kind kind)
{
	return kind == ARCH_KIND_PLAIN ? NULL : "a Linux process has no user interrupts to give";
}

unsigned arch_inbox_slots(void)
{
	return 0;
}

/* arch.h: nobody calls these where there are no slots. */
static noreturn_fn void no_inbox(void)
{
	panic("the hosted machine has no mailboxes for user interrupts");
}

paddr_t arch_inbox_page(unsigned core, unsigned slot)
{
	(void)core, (void)slot;
	no_inbox();
}

void arch_inbox_post(unsigned core, unsigned slot, unsigned id)
{
	(void)core, (void)slot, (void)id;
	no_inbox();
}

int arch_inbox_irq(unsigned irq, unsigned core, unsigned slot, unsigned id)
{
	(void)irq, (void)core, (void)slot, (void)id;
	no_inbox();
}

void arch_irq_mask(unsigned irq)
{
	(void)irq;
	no_inbox();
}

/* No program claims a device here. */
bool (*arch_line_taken)(unsigned line);

int arch_line_route(unsigned irq, unsigned core, unsigned line)
{
	(void)irq, (void)core, (void)line;
	no_inbox();
}

void arch_line_release(unsigned irq, unsigned core)
{
	(void)irq, (void)core;
	no_inbox();
}

void arch_inbox_load(unsigned slot, const struct arch_inbox *from)
{
	(void)slot, (void)from;
	no_inbox();
}

void arch_inbox_save(unsigned slot, struct arch_inbox *to)
{
	(void)slot, (void)to;
	no_inbox();
}

void arch_inbox_drop(unsigned slot)
{
	(void)slot;
	no_inbox();
}

bool arch_user_listens(const struct arch_user *user)
{
	(void)user;
	no_inbox();
}

void arch_user_share(bool on)
{
	(void)on;
	no_inbox();
}

nsec_t arch_user_alarm(const struct arch_user *user)
{
	(void)user;
	no_inbox();
}

/* Of the tests: the clock in nanoseconds. */
nsec_t arch_user_dozed(int64_t word)
{
	return (nsec_t)word + (word < 0 ? arch_time_ns() : 0);
}

void arch_user_vector(struct arch_user *user, uaddr_t handler)
{
	(void)user, (void)handler;
	no_inbox();
}

bool arch_user_skip_store(struct arch_user *user, uint32_t code, uint32_t *value)
{
	(void)user, (void)code, (void)value;
	no_inbox();
}

void arch_inbox_watch(unsigned slot, bool on)
{
	(void)slot, (void)on;
	no_inbox();
}

uint64_t arch_inbox_ready(void)
{
	no_inbox();
}

void arch_user_inbox(struct arch_user *user, unsigned slot)
{
	(void)user, (void)slot;
	no_inbox();
}

unsigned arch_root_order(enum arch_kind kind)
{
	(void)kind;
	return 0;
}

int arch_aspace_init(struct aspace *as, struct arch_aspace *aa, paddr_t root, enum arch_kind kind)
{
	int err = -ENOMEM;

	if (kind != ARCH_KIND_PLAIN)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&window_lock);
	for (uint32_t slot = 1; slot < WINDOW_COUNT; slot++) {
		if (windows[slot].as)
			continue;
		windows[slot].as = as;
		windows[slot].aa = aa;
		*aa = (struct arch_aspace){
			.slot = slot,
			.root = root,
			.low = slot * WINDOW_BYTES,
			.top = (slot + 1) * WINDOW_BYTES - PAGE_SIZE,
		};
		err = 0;
		break;
	}
	pthread_mutex_unlock(&window_lock);
	return err;
}

void arch_aspace_fini(struct aspace *as, struct arch_aspace *aa)
{
	pthread_mutex_lock(&window_lock);
	kassert(windows[aa->slot].as == as);
	window_forget(aa);
	windows[aa->slot].as = NULL;
	windows[aa->slot].aa = NULL;
	pthread_mutex_unlock(&window_lock);
}

struct arch_aspace *hosted_window_find(struct aspace *as)
{
	for (uint32_t slot = 1; slot < WINDOW_COUNT; slot++)
		if (windows[slot].as == as)
			return windows[slot].aa;
	return NULL;
}

/* The leaf for `va`, 0 if absent. Tables are never freed while their space lives. */
static uint64_t window_leaf(const struct arch_aspace *aa, uaddr_t va)
{
	paddr_t table = aa->root;

	for (int level = 2;; level--) {
		const _Atomic uint64_t *entries = arch_direct(table);
		uint64_t pte = atomic_load_explicit(&entries[va >> (PAGE_SHIFT + 9 * level) & 511],
						    memory_order_acquire);

		if (!(pte & LEAF_V))
			return 0;
		if (level == 0)
			return pte;
		if (pte & (LEAF_R | LEAF_W | LEAF_X))
			panic("user leaf above 4 KiB at %#llx", (unsigned long long)va);
		table = leaf_paddr(pte);
	}
}

static int window_map(uaddr_t va, uint64_t leaf)
{
	paddr_t pa = leaf_paddr(leaf);
	int prot = (leaf & LEAF_R ? PROT_READ : 0) | (leaf & LEAF_W ? PROT_WRITE : 0) |
		   (leaf & LEAF_X ? PROT_EXEC : 0);

	kassert(pa >= HOSTED_RAM_BASE && pa - HOSTED_RAM_BASE < hosted_ram_bytes);
	return window_mmap(va, PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
			   hosted_ram_fd, (off_t)(pa - HOSTED_RAM_BASE)) == MAP_FAILED
		       ? -errno
		       : 0;
}

/* Makes the host's mapping of one page what the table says now. */
static void window_mirror(struct arch_aspace *aa, uaddr_t va)
{
	uint64_t leaf;

	pthread_mutex_lock(&window_lock);
	leaf = window_leaf(aa, va);
	if (!(leaf & LEAF_U)) {
		window_forget_page(aa, va);
	} else if (window_map(va, leaf)) {
		window_forget(aa);
		if (window_map(va, leaf))
			panic("the host refuses to map user pages: errno %d", errno);
	}
	pthread_mutex_unlock(&window_lock);
}

bool hosted_window_refill(struct arch_aspace *aa, uaddr_t va, uint32_t access)
{
	uint64_t need = LEAF_V | LEAF_U | (access & ACCESS_READ ? LEAF_R : 0) |
			(access & ACCESS_WRITE ? LEAF_W : 0) | (access & ACCESS_EXEC ? LEAF_X : 0);

	if (va < aa->low || va >= aa->top || (window_leaf(aa, va) & need) != need)
		return false;
	window_mirror(aa, align_down(va, PAGE_SIZE));
	return true;
}

void arch_pte_changed(struct aspace *as, struct arch_aspace *aa, uaddr_t va, uint64_t was,
		      uint64_t now)
{
	(void)as;
	if (!(was & LEAF_V) && !(now & LEAF_V))
		return;
	window_mirror(aa, align_down(va, PAGE_SIZE));
}

void arch_tlb_shootdown(struct aspace *as, struct arch_aspace *aa, uaddr_t va, uint64_t len)
{
	/* The host's mmap returns after every thread has lost the old translation. */
	(void)as;
	(void)aa;
	(void)va;
	(void)len;
}

void arch_icache_sync(void)
{
	/* x86-64 keeps instruction fetch coherent with stores of the same processor set. */
}
