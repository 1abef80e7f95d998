/*
 * relocate (x86-64, hosted machine): makes a position-independent program right for the address
 * it was loaded at. Runs once, before anything else of the program; touches no global data.
 *
 * Source: System V ABI, x86-64 supplement: dynamic section tags and R_X86_64_RELATIVE. A static
 * position-independent image has no other kind of relocation.
 */
#include <stdint.h>

struct dyn {
	int64_t tag;
	uint64_t value;
};

struct rela {
	uint64_t offset;
	uint64_t info;
	int64_t addend;
};

enum { DT_NULL = 0, DT_RELA = 7, DT_RELASZ = 8, R_RELATIVE = 8 };

void async_relocate(uint64_t base, const struct dyn *dyn);

void async_relocate(uint64_t base, const struct dyn *dyn)
{
	const struct rela *rela = 0;
	uint64_t size = 0;

	for (; dyn->tag != DT_NULL; dyn++) {
		if (dyn->tag == DT_RELA)
			rela = (const struct rela *)(base + dyn->value);
		if (dyn->tag == DT_RELASZ)
			size = dyn->value;
	}
	for (; size >= sizeof(*rela); size -= sizeof(*rela), rela++) {
		if ((uint32_t)rela->info != R_RELATIVE)
			__builtin_trap();
		*(uint64_t *)(base + rela->offset) = base + (uint64_t)rela->addend;
	}
}
