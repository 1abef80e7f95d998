/*
 * early: the first page tables. Boot hart, once, at physical addresses with translation off: every
 * address here is relative to the program counter, so "&object" is physical, and nothing may use a
 * pointer that the linker stored.
 */
#include "arch/riscv64/early.h"

#include "arch/riscv64/layout.h"

#define PTE_VALID 0x1ul
#define PTE_TABLE PTE_VALID
#define PTE_TEXT (PTE_VALID | 0x2ul | 0x8ul | 0x20ul | 0x40ul)		   /* R X G A */
#define PTE_CONSTANT (PTE_VALID | 0x2ul | 0x20ul | 0x40ul)		   /* R G A */
#define PTE_DATA (PTE_VALID | 0x2ul | 0x4ul | 0x20ul | 0x40ul | 0x80ul) /* R W G A D */
#define SATP_SV39 (8ul << 60)
#define GIGA_SHIFT 30
#define LARGE_SHIFT 21

extern char image_text[], image_constants[], image_data[], image_data_end[], image_stacks[];

uint64_t kernel_root[512] __attribute__((aligned(4096)));
uint64_t early_satp;
static uint64_t image_table[512] __attribute__((aligned(4096)));
static uint64_t stack_tables[2][512] __attribute__((aligned(4096)));

static uint64_t entry(uint64_t pa, uint64_t bits)
{
	return pa >> PAGE_SHIFT << 10 | bits;
}

void early_map_direct(paddr_t pa)
{
	kernel_root[256 + (pa >> GIGA_SHIFT)] = entry(pa >> GIGA_SHIFT << GIGA_SHIFT, PTE_DATA);
}

/* Entries of the slot's pages; guards stay absent. `stacks` is physical. */
static void map_slot(unsigned slot, paddr_t stacks)
{
	for (uint64_t at = PAGE_SIZE; at < SLOT_BYTES; at += PAGE_SIZE) {
		uint64_t page = ((uint64_t)slot << SLOT_SHIFT | at) >> PAGE_SHIFT;

		if (at >= SLOT_EMERGENCY_TOP && at < SLOT_STACK_BOTTOM)
			continue;
		stack_tables[page / 512][page % 512] =
			entry(stacks + ((uint64_t)page << PAGE_SHIFT), PTE_DATA);
	}
}

void early_map_slot(unsigned slot)
{
	map_slot(slot, (paddr_t)image_stacks - IMAGE_OFFSET);
}

static void map_image(const char *from, const char *to, uint64_t bits)
{
	for (paddr_t pa = (paddr_t)from; pa < (paddr_t)to; pa += 1ul << LARGE_SHIFT)
		image_table[pa >> LARGE_SHIFT & 511] = entry(pa, bits);
}

uint64_t early_map(paddr_t fdt)
{
	paddr_t stacks = (paddr_t)image_stacks;

	for (paddr_t pa = 0; pa < 4ul << GIGA_SHIFT; pa += 1ul << GIGA_SHIFT)
		early_map_direct(pa);
	early_map_direct(fdt);
	kernel_root[510] = entry((paddr_t)image_table, PTE_TABLE);
	map_image(image_text, image_constants, PTE_TEXT);
	map_image(image_constants, image_data, PTE_CONSTANT);
	map_image(image_data, image_data_end, PTE_DATA);
	for (unsigned i = 0; i < 2; i++)
		image_table[(stacks >> LARGE_SHIFT & 511) + i] =
			entry((paddr_t)stack_tables[i], PTE_TABLE);
	map_slot(0, stacks);
	early_satp = SATP_SV39 | (paddr_t)kernel_root >> PAGE_SHIFT;
	return early_satp;
}
