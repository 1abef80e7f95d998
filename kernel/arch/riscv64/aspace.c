/*
 * aspace: the hart's side of an address space: root, ASID, which cores may hold translations. A
 * space of a VS-mode process is named by hgatp instead of satp, and the same number serves as VMID.
 *
 * ASIDs are given out in generations. When they run out a new generation begins: every space gets
 * a new ASID when it is next loaded, and a hart forgets all translations before it first uses one
 * of the new generation. So the ASID in satp may be of an older generation than the space's own;
 * remote fences therefore name addresses, not ASIDs. Kernel mappings are global and the same in
 * every root.
 */
#include <string.h>

#include "arch/riscv64/early.h"
#include "arch/riscv64/guest.h"
#include "arch/riscv64/user.h"
#include "base/panic.h"
#include "uapi/errno.h"

#define SATP_SV39 (8ul << 60)
#define SATP_ASID_SHIFT 44
#define SATP_ASID_MASK 0xfffful
#define HGATP_SV39X4 (8ul << 60)
#define HGATP_VMID_SHIFT 44
#define HGATP_VMID_MASK 0x3ffful
#define GENERATION_SHIFT 16
#define FENCE_PAGES_MAX 64 /* more is cheaper as one full fence */

/* set once at boot */
static uint64_t asid_last; /* the highest ASID, and VMID; 0: the hart has none */
/* Where a struct aspace keeps its struct arch_aspace; mm decides, the first space tells. */
static _Atomic size_t aspace_offset;

/* any core, under asid_lock */
static atomic_flag asid_lock = ATOMIC_FLAG_INIT;
static _Atomic uint64_t asid_generation = 1;
static uint64_t asid_next = 1;

static void fence_all(void)
{
	__asm__ volatile("sfence.vma" : : : "memory");
	if (!guest_missing)
		guest_fence_all();
}

static void fence_page(const struct arch_aspace *aa, uaddr_t va)
{
	if (aa->guest)
		guest_fence_page(va);
	else
		__asm__ volatile("sfence.vma %0, x0" : : "r"(va) : "memory");
}

static uint64_t fence_remote(const struct arch_aspace *aa)
{
	return aa->guest ? SBI_RFENCE_GVMA : SBI_RFENCE_VMA;
}

void satp_probe(void)
{
	uint64_t satp = csr_read(satp);

	csr_write(satp, satp | SATP_ASID_MASK << SATP_ASID_SHIFT);
	asid_last = csr_read(satp) >> SATP_ASID_SHIFT & SATP_ASID_MASK;
	csr_write(satp, satp);
	if (!guest_missing) {
		csr_write(CSR_HGATP, HGATP_SV39X4 | HGATP_VMID_MASK << HGATP_VMID_SHIFT);
		asid_last = min_of(asid_last,
				   csr_read(CSR_HGATP) >> HGATP_VMID_SHIFT & HGATP_VMID_MASK);
		csr_write(CSR_HGATP, 0);
	}
	fence_all();
}

/* The space's ASID in the present generation; harts that meet a new generation forget the old
 * one. */
static uint64_t asid_take(struct arch_hart *h, struct arch_aspace *aa)
{
	uint64_t generation, context;

	if (!asid_last) {
		h->asid_generation = 1;
		return 0;
	}
	while (atomic_flag_test_and_set_explicit(&asid_lock, memory_order_acquire))
		arch_relax();
	generation = atomic_load_explicit(&asid_generation, memory_order_relaxed);
	context = atomic_load_explicit(&aa->context, memory_order_relaxed);
	if (context >> GENERATION_SHIFT != generation) {
		if (asid_next > asid_last) {
			asid_next = 1;
			atomic_store_explicit(&asid_generation, ++generation, memory_order_relaxed);
		}
		context = generation << GENERATION_SHIFT | asid_next++;
		atomic_store_explicit(&aa->context, context, memory_order_relaxed);
	}
	atomic_flag_clear_explicit(&asid_lock, memory_order_release);
	if (h->asid_generation != generation) {
		h->asid_generation = generation;
		fence_all();
	}
	return context & SATP_ASID_MASK;
}

/* The other register than `next`'s names no space any more. */
static void satp_clear(struct arch_hart *h, const struct arch_aspace *next)
{
	if (!h->aspace || (next && h->aspace->guest == next->guest))
		return;
	if (h->aspace->guest)
		csr_write(CSR_HGATP, 0);
	else
		csr_write(satp, early_satp);
	if (!asid_last)
		fence_all();
}

bool satp_load(struct arch_hart *h, struct aspace *as)
{
	struct arch_aspace *aa = (void *)((char *)as + aspace_offset);
	uint64_t asid, bit = 1ull << h->index;

	if (h->aspace == aa &&
	    h->asid_generation == atomic_load_explicit(&asid_generation, memory_order_relaxed))
		return aa->guest;
	/* before the first walk; pairs with the load in arch_tlb_shootdown */
	if (!(atomic_load_explicit(&aa->cores, memory_order_relaxed) & bit))
		atomic_fetch_or_explicit(&aa->cores, bit, memory_order_seq_cst);
	__asm__ volatile("fence rw, rw" : : : "memory");
	asid = asid_take(h, aa);
	satp_clear(h, aa);
	if (aa->guest)
		csr_write(CSR_HGATP,
			  HGATP_SV39X4 | asid << HGATP_VMID_SHIFT | aa->root >> PAGE_SHIFT);
	else
		csr_write(satp, SATP_SV39 | asid << SATP_ASID_SHIFT | aa->root >> PAGE_SHIFT);
	if (!asid_last)
		fence_all();
	h->aspace = aa;
	return aa->guest;
}

void satp_unload(struct arch_hart *h)
{
	satp_clear(h, NULL);
	h->aspace = NULL;
}

void satp_forget(struct arch_hart *h, struct aspace *as)
{
	struct arch_aspace *aa = (void *)((char *)as + aspace_offset);
	uint64_t bit = 1ull << h->index;

	if (h->aspace == aa || /* another thread of it is loaded */
	    !(atomic_load_explicit(&aa->cores, memory_order_relaxed) & bit))
		return;
	/* nothing walks its tables here now; a core that misses our bit finds nothing kept */
	fence_all();
	atomic_fetch_and_explicit(&aa->cores, ~bit, memory_order_seq_cst);
}

int arch_aspace_init(struct aspace *as, struct arch_aspace *aa, paddr_t root, enum arch_kind kind)
{
	size_t offset = (size_t)((char *)aa - (char *)as);
	uint64_t *table = arch_direct(root);

	aa->guest = kind == ARCH_KIND_UINTR;
	if (aa->guest && guest_missing)
		return -EOPNOTSUPP;
	kassert(!aspace_offset || aspace_offset == offset);
	aspace_offset = offset;
	if (!aa->guest) /* a G-stage table holds nothing of the kernel */
		memcpy(table + 256, kernel_root + 256, 256 * sizeof(*table));
	aa->root = root;
	atomic_init(&aa->context, 0);
	atomic_init(&aa->cores, 0);
	return 0;
}

void arch_aspace_fini(struct aspace *as, struct arch_aspace *aa)
{
	uint64_t cores = atomic_load_explicit(&aa->cores, memory_order_relaxed);

	(void)as;
	if (this_hart()->aspace == aa)
		satp_unload(this_hart());
	for (unsigned i = 0; i < arch_boot.cores; i++)
		kassert(harts[i].aspace != aa);
	/* Its ASID is not used again in this generation, but a hart without ASIDs, or one that
	 * walked ahead, may still look at tables that are about to be freed. */
	cores &= ~(1ull << this_hart()->index);
	fence_all();
	if (cores)
		sbi_fence_cores(fence_remote(aa), cores, 0, UINT64_MAX);
}

void arch_pte_changed(struct aspace *as, struct arch_aspace *aa, uaddr_t va, uint64_t was,
		      uint64_t now)
{
	(void)as;
	(void)now;
	/* A new leaf needs no fence: hart_user_trapped fences when a hart insists on the old
	 * absence. */
	if ((was & 1) &&
	    (atomic_load_explicit(&aa->cores, memory_order_relaxed) >> this_hart()->index & 1))
		fence_page(aa, va);
}

void arch_tlb_shootdown(struct aspace *as, struct arch_aspace *aa, uaddr_t va, uint64_t len)
{
	uint64_t cores, me = 1ull << this_hart()->index;

	(void)as;
	/* the leaves changed before; pairs with the fetch_or in satp_load: a core whose bit we
	 * miss walks the tables only after our change */
	atomic_thread_fence(memory_order_seq_cst);
	cores = atomic_load_explicit(&aa->cores, memory_order_seq_cst);
	if (cores & me) {
		if (len > FENCE_PAGES_MAX * PAGE_SIZE)
			fence_all();
		else
			for (uaddr_t at = align_down(va, PAGE_SIZE); at < va + len; at += PAGE_SIZE)
				fence_page(aa, at);
	}
	cores &= ~me;
	if (cores)
		sbi_fence_cores(fence_remote(aa), cores, align_down(va, PAGE_SIZE),
				align_up(va + len, PAGE_SIZE) - align_down(va, PAGE_SIZE));
}

void arch_icache_sync(void)
{
	uint64_t others = 0;

	for (unsigned i = 0; i < arch_boot.cores; i++)
		if (&harts[i] != this_hart() &&
		    atomic_load_explicit(&harts[i].up, memory_order_acquire))
			others |= 1ull << i;
	/* our stores first, here for ourselves and through the firmware for the others */
	__asm__ volatile("fence rw, rw\n\t.4byte 0x0000100f" : : : "memory"); /* fence.i */
	if (others)
		sbi_fence_cores(SBI_RFENCE_I, others, 0, 0);
}
