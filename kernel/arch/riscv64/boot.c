/*
 * boot: from the first C instruction in the upper half to kernel_main, and the other harts to
 * theirs.
 *
 * The boot hart, whichever it is, is core 0; the others follow in device-tree order. Everything
 * that must never become a free frame is in arch_boot.reserved before kernel_main sees it.
 */
#include "arch/riscv64/early.h"
#include "arch/riscv64/guest.h"
#include "arch/riscv64/hart.h"
#include "arch/riscv64/user.h"
#include "base/machine.h"
#include "base/panic.h"
#include "base/print.h"
#include "uapi/errno.h"

#define START_TIMEOUT_NS 1000000000ull

extern char image_text[], image_text_end[], image_constants[], image_constants_end[];
extern char image_data[], image_data_end[], image_stacks[];
extern char boot_secondary[], trap_entry[];

struct arch_boot arch_boot;
struct arch_hart harts[CORES_MAX];
_Atomic bool harts_stopping;

noreturn_fn void boot_main(uint64_t hart_id, paddr_t fdt);
noreturn_fn void boot_secondary_main(void);

noreturn_fn void hart_halt(void)
{
	csr_write(sie, 0);
	for (;;)
		__asm__ volatile("wfi");
}

void hart_init(struct arch_hart *h)
{
	/* no interrupts in the kernel, sret goes to user mode, no FP, no vectors, no user
	 * memory */
	csr_clear(sstatus, 1ul << 1 | 1ul << 5 | SSTATUS_SPP | SSTATUS_FS | SSTATUS_VS | 3ul << 18);
	csr_write(scounteren, 7); /* programs read cycle, time and instret */
	h->user_deadline = UINT64_MAX;
	h->armed = 0;
	hart_timer_set(h, UINT64_MAX);
	irq_init_hart(h);
	guest_init_hart();
	atomic_store_explicit(&h->up, 1, memory_order_release);
}

static nsec_t boot_time_ns(void)
{
	return ticks_hz ? arch_time_ns() : 0;
}

static unsigned boot_core_index(void)
{
	return this_hart()->index;
}

static void boot_reserve(paddr_t base, paddr_t end)
{
	if (arch_boot.reserved_count == ARCH_RANGES_MAX)
		panic("more than %u reserved ranges of memory", ARCH_RANGES_MAX);
	arch_boot.reserved[arch_boot.reserved_count++] = (struct arch_range){ base, end - base };
}

static void boot_reserve_image(void)
{
	boot_reserve(arch_direct_paddr(image_text), arch_direct_paddr(image_text_end));
	boot_reserve(arch_direct_paddr(image_constants), arch_direct_paddr(image_constants_end));
	boot_reserve(arch_direct_paddr(image_data), arch_direct_paddr(image_data_end));
	boot_reserve(arch_direct_paddr(image_stacks),
		     arch_direct_paddr(image_stacks) + arch_boot.cores * (uint64_t)SLOT_BYTES);
}

static void boot_map(void)
{
	for (unsigned i = 0; i < arch_boot.memory_count; i++) {
		struct arch_range *m = &arch_boot.memory[i];

		for (paddr_t pa = m->base; pa < m->base + m->size; pa += 1ul << 30)
			early_map_direct(pa);
		early_map_direct(m->base + m->size - 1);
	}
	for (unsigned i = 1; i < arch_boot.cores; i++)
		early_map_slot(i);
	__asm__ volatile("sfence.vma" : : : "memory");
}

noreturn_fn void boot_main(uint64_t hart_id, paddr_t fdt)
{
	base_machine = (struct base_machine){
		.write = arch_console_write,
		.time_ns = boot_time_ns,
		.core_index = boot_core_index,
		.stop_others = arch_stop_others,
		.end = arch_poweroff,
	};
	fdt_scan(arch_direct(fdt), hart_id);
	boot_reserve_image();
	boot_map();
	for (unsigned i = 0; i < arch_boot.cores; i++) {
		harts[i].index = i;
		harts[i].emergency_sp = (uint64_t)image_stacks + ((uint64_t)i << SLOT_SHIFT) +
					SLOT_EMERGENCY_TOP;
	}
	guest_probe();
	satp_probe();
	hart_init(&harts[0]);
	kernel_main();
}

noreturn_fn void boot_secondary_main(void)
{
	struct arch_hart *h = this_hart();

	hart_init(h);
	arch_core_set(h->entry_arg);
	arch_doorbell(0); /* arch_core_start waits */
	h->entry(h->entry_arg);
	panic("core %u came back from its loop", h->index);
}

int arch_core_start(unsigned index, void (*entry)(struct core *), struct core *arg)
{
	struct arch_hart *h = &harts[index];
	nsec_t deadline = arch_time_ns() + START_TIMEOUT_NS;
	struct sbi_result r;

	h->entry = entry;
	h->entry_arg = arg;
	__asm__ volatile("fence rw, rw" : : : "memory");
	r = sbi_call(SBI_HSM, 0, h->id, arch_direct_paddr(boot_secondary), 0, 0, 0);
	if (r.error) {
		kprint("core %u (hart %llu) does not start: firmware says %lld\n", index,
		       (unsigned long long)h->id, (long long)r.error);
		return -EIO;
	}
	while (!atomic_load_explicit(&h->up, memory_order_acquire)) {
		if (arch_time_ns() >= deadline) {
			kprint("core %u (hart %llu) was started but does not answer\n", index,
			       (unsigned long long)h->id);
			return -EIO;
		}
		arch_idle_wait(deadline);
	}
	return 0;
}

/* Harts in user mode or asleep stop; one inside the kernel goes on until the machine ends. */
void arch_stop_others(void)
{
	atomic_store(&harts_stopping, true);
	for (unsigned i = 0; i < arch_boot.cores; i++)
		if (&harts[i] != this_hart() &&
		    atomic_load_explicit(&harts[i].up, memory_order_acquire))
			arch_doorbell(i);
}
