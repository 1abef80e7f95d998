/*
 * preempt: interrupts in the kernel, which there are in the windows of long steps only (arch.h).
 *
 * A trap in a window overwrites what a trap of the running thread had left for the way back to it:
 * sepc, SPP and SPIE of sstatus, and with H hstatus.SPV. So the context that begins a long step
 * keeps them, and puts them back when it goes on, whether the step ended or was interrupted. The
 * step's own sepc is on its stack (trap.S, trap_in_window). This hart's own state only.
 */
#include "arch/riscv64/guest.h"
#include "arch/riscv64/hart.h"

void (*arch_preempted)(void);

void hart_preempted(void); /* trap.S */

#define STATUS_KEPT (SSTATUS_SPP | SSTATUS_SPIE)

void arch_preempt_begin(struct arch_preempt *p, nsec_t deadline, bool all)
{
	p->epc = csr_read(sepc);
	p->status = csr_read(sstatus) & STATUS_KEPT;
	p->hstatus = has_hypervisor ? csr_read(CSR_HSTATUS) : 0;
	p->enabled = csr_read(sie);
	if (!all)
		csr_write(sie, INT_TIMER);
	hart_timer_set(this_hart(), ticks_of_ns(deadline));
}

void arch_preempt_end(struct arch_preempt *p)
{
	struct arch_hart *h = this_hart();

	hart_timer_set(h, h->user_deadline);
	csr_write(sie, p->enabled);
	if (has_hypervisor)
		csr_write(CSR_HSTATUS, p->hstatus);
	csr_clear(sstatus, STATUS_KEPT);
	csr_set(sstatus, p->status);
	csr_write(sepc, p->epc);
}

void hart_preempted(void)
{
	irq_consume();
	if (unlikely(atomic_load_explicit(&harts_stopping, memory_order_relaxed)))
		hart_halt();
	arch_preempted();
	if (has_hypervisor) /* sret is to stay in HS-mode, whoever ran here meanwhile */
		csr_clear(CSR_HSTATUS, HSTATUS_SPV);
}
