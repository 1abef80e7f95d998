/*
 * time: the timer of this hart: stimecmp where the hart has Sstc, else the firmware's timer.
 *
 * One comparator serves both masters: while user code runs it holds the user deadline, during
 * arch_idle_wait the idle deadline. It is written only when its value changes.
 */
#include "arch/riscv64/hart.h"

uint64_t arch_tick_ns;
uint64_t ticks_hz;
bool has_sstc;
bool arch_has_zawrs;
bool has_hypervisor;

nsec_t arch_ticks_ns_slow(uint64_t ticks)
{
	return (nsec_t)((unsigned __int128)ticks * 1000000000u / ticks_hz);
}

/* Rounded up: a deadline never fires early. */
uint64_t ticks_of_ns(nsec_t ns)
{
	if (ns == NSEC_NEVER)
		return UINT64_MAX;
	if (arch_tick_ns)
		return ns / arch_tick_ns + (ns % arch_tick_ns != 0);
	return (uint64_t)(((unsigned __int128)ns * ticks_hz + 999999999u) / 1000000000u);
}

void hart_timer_set(struct arch_hart *h, uint64_t ticks)
{
	if (h->armed == ticks)
		return;
	h->armed = ticks;
	if (has_sstc)
		csr_write(CSR_STIMECMP, ticks);
	else
		sbi_call(SBI_TIME, 0, ticks, 0, 0, 0, 0);
}

uint64_t arch_user_time_hz(void)
{
	return ticks_hz;
}

void arch_user_deadline(nsec_t deadline)
{
	struct arch_hart *h = this_hart();

	h->user_deadline = ticks_of_ns(deadline);
	hart_timer_set(h, h->user_deadline);
}

void arch_idle_wait(nsec_t deadline)
{
	struct arch_hart *h = this_hart();

	hart_timer_set(h, ticks_of_ns(deadline));
	/* Interrupts stay off (sstatus.SIE = 0): what is enabled in sie ends the wait when
	 * pending, also when it became pending before. Privileged Architecture, section 3.3.3. */
	__asm__ volatile("wfi" : : : "memory");
	irq_consume();
	hart_timer_set(h, h->user_deadline);
	if (unlikely(atomic_load_explicit(&harts_stopping, memory_order_relaxed)))
		hart_halt();
}
