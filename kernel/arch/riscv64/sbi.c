/*
 * sbi: calls into the firmware. Any hart. Numbers: RISC-V SBI specification 1.0.
 */
#include "arch/riscv64/hart.h"
#include "base/panic.h"

struct sbi_result sbi_call(uint64_t ext, uint64_t fn, uint64_t a0, uint64_t a1, uint64_t a2,
			   uint64_t a3, uint64_t a4)
{
	register uint64_t r0 __asm__("a0") = a0, r1 __asm__("a1") = a1, r2 __asm__("a2") = a2;
	register uint64_t r3 __asm__("a3") = a3, r4 __asm__("a4") = a4;
	register uint64_t r6 __asm__("a6") = fn, r7 __asm__("a7") = ext;

	__asm__ volatile("ecall"
			 : "+r"(r0), "+r"(r1)
			 : "r"(r2), "r"(r3), "r"(r4), "r"(r6), "r"(r7)
			 : "memory");
	return (struct sbi_result){ (int64_t)r0, (int64_t)r1 };
}

void sbi_fence_cores(uint64_t fn, uint64_t cores, uint64_t start, uint64_t size)
{
	/* the firmware wants hart ids: a base and 64 bits from it; ids may be far apart */
	while (cores) {
		uint64_t base = UINT64_MAX, mask = 0;
		struct sbi_result r;

		for (unsigned i = 0; i < arch_boot.cores; i++)
			if (cores >> i & 1)
				base = min_of(base, harts[i].id);
		for (unsigned i = 0; i < arch_boot.cores; i++) {
			if ((cores >> i & 1) && harts[i].id - base < 64) {
				mask |= 1ull << (harts[i].id - base);
				cores &= ~(1ull << i);
			}
		}
		if (!mask)
			return;
		r = sbi_call(SBI_RFENCE, fn, mask, base, start, size, 0);
		if (r.error)
			panic("firmware refused a remote fence: %lld", (long long)r.error);
	}
}
