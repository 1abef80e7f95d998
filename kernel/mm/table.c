/*
 * table: walking and growing the radix table of an address space. See table.h.
 *
 * Any core. Two that miss the same table both bring one, and the exchange decides.
 */
#include "mm/table.h"

#include <string.h>

#include "base/counters.h"
#include "base/machine.h"
#include "uapi/errno.h"

void shootdown(struct aspace *as, uaddr_t va, uint64_t len)
{
	struct counters *count = counters_of_core[base_core_index()];

	if (count)
		count->shootdowns++;
	arch_tlb_shootdown(as, &as->arch, va, len);
}

int aspace_charge(struct aspace *as, uint64_t n)
{
	return frames_has_spare(n) && resident_take(as, n) ? 0 : -ENOMEM;
}

void aspace_uncharge(struct aspace *as, uint64_t n)
{
	resident_give(as, n);
}

paddr_t frame_for(struct aspace *as)
{
	paddr_t pa;

	if (!resident_take(as, 1))
		return 0;
	pa = frame_alloc_user();
	if (!pa) {
		resident_give(as, 1);
		return 0;
	}
	memset(arch_direct(pa), 0, PAGE_SIZE);
	return pa;
}

pte_slot *slot_find(struct aspace *as, uaddr_t va)
{
	paddr_t table = as->root;

	for (unsigned level = 2; level > 0; level--) {
		uint64_t e = atomic_load_explicit(table_slot(table, va, level),
						  memory_order_acquire);

		if (!(e & PTE_V))
			return NULL;
		table = pte_paddr(e);
	}
	return table_slot(table, va, 0);
}

pte_slot *slot_make(struct aspace *as, uaddr_t va)
{
	paddr_t table = as->root;

	for (unsigned level = 2; level > 0; level--) {
		pte_slot *slot = table_slot(table, va, level);
		uint64_t e = atomic_load_explicit(slot, memory_order_acquire);

		if (!(e & PTE_V)) {
			paddr_t fresh = frame_for(as);
			uint64_t none = 0;

			if (!fresh)
				return NULL;
			e = pte_make(fresh, PTE_V);
			if (!atomic_compare_exchange_strong_explicit(slot, &none, e,
								     memory_order_acq_rel,
								     memory_order_acquire)) {
				frame_put(fresh);
				resident_give(as, 1);
				e = none;
			}
		}
		table = pte_paddr(e);
	}
	return table_slot(table, va, 0);
}

pte_slot *slot_next(struct aspace *as, uaddr_t *va, uaddr_t end)
{
	while (*va < end) {
		paddr_t table = as->root;
		unsigned level = 2;

		for (; level > 0; level--) {
			uint64_t e = atomic_load_explicit(table_slot(table, *va, level),
							  memory_order_acquire);

			if (!(e & PTE_V))
				break;
			table = pte_paddr(e);
		}
		if (!level)
			return table_slot(table, *va, 0);
		*va = align_down(*va, 1ull << (PAGE_SHIFT + 9 * level)) +
		      (1ull << (PAGE_SHIFT + 9 * level));
	}
	return NULL;
}

uint64_t aspace_leaf(struct aspace *as, uaddr_t va)
{
	pte_slot *slot = va - as->low < as->top - as->low ? slot_find(as, va) : NULL;

	return slot ? atomic_load_explicit(slot, memory_order_acquire) : 0;
}
