/*
 * irq: doorbells and device wake-ups.
 *
 * With AIA (Advanced Interrupt Architecture 1.0) a doorbell is one store to the target hart's
 * S-level IMSIC page, and the S-level APLIC forwards a device's interrupt as a message of the
 * same kind. Two identities are enough, since no handler runs: they only end a wait or user mode.
 * Lines (arch.h) have one each.
 *
 * Without AIA a doorbell is an SBI IPI and devices go through the PLIC (RISC-V PLIC specification
 * 1.0.0); a source that is claimed and not completed is held, and one of priority 0 masked. Routes
 * are set by any core, one at a time per source; the rest is this hart's own.
 */
#include "arch/riscv64/guest.h"
#include "uapi/errno.h"

#define ID_DOORBELL 1
#define ID_DEVICE 2
#define ID_LINE 3 /* and the ARCH_LINES - 1 behind it */

#define IMSIC_EIDELIVERY 0x70
#define IMSIC_EITHRESHOLD 0x72
#define IMSIC_EIE0 0xc0

#define APLIC_DOMAINCFG 0x0000
#define APLIC_DOMAINCFG_IE (1u << 8)
#define APLIC_DOMAINCFG_DM (1u << 2) /* messages, not wires */
#define APLIC_SOURCECFG(irq) (4u * (irq))
#define APLIC_SOURCE_INACTIVE 0u
#define APLIC_SOURCE_EDGE_RISE 4u
#define APLIC_SETIENUM 0x1edc
#define APLIC_CLRIENUM 0x1fdc
#define APLIC_TARGET(irq) (0x3000u + 4u * (irq))
#define APLIC_TARGET_HART_SHIFT 18
#define APLIC_TARGET_GUEST_SHIFT 12

#define PLIC_PRIORITY(irq) (4u * (irq))
#define PLIC_ENABLE(context, irq) (0x2000u + 0x80u * (context) + 4u * ((irq) / 32))
#define PLIC_THRESHOLD(context) (0x200000u + 0x1000u * (context))
#define PLIC_CLAIM(context) (0x200004u + 0x1000u * (context))

/* set once at boot */
static volatile char *aplic, *plic;
static uint32_t sources_count;
uint32_t imsic_words;
bool (*arch_line_taken)(unsigned line);

#define SOURCES_MAX 1024u
/* by whoever routes the source: its line plus 1, or 0 (PLIC: an IMSIC's identity says it) */
static _Atomic uint8_t line_of[SOURCES_MAX];

static void reg_write(volatile char *base, uint32_t at, uint32_t value)
{
	*(volatile uint32_t *)(base + at) = value;
}

static uint32_t reg_read(volatile char *base, uint32_t at)
{
	return *(volatile uint32_t *)(base + at);
}

void irq_set_aia(paddr_t base, uint32_t sources)
{
	aplic = arch_direct(base);
	sources_count = sources;
	reg_write(aplic, APLIC_DOMAINCFG, APLIC_DOMAINCFG_IE | APLIC_DOMAINCFG_DM);
}

void irq_set_plic(paddr_t base, uint32_t sources)
{
	plic = arch_direct(base);
	sources_count = sources;
}

static void imsic_write(uint64_t reg, uint64_t value)
{
	csr_write(CSR_SISELECT, reg);
	csr_write(CSR_SIREG, value);
}

void irq_init_hart(struct arch_hart *h)
{
	if (arch_boot.has_aia) {
		imsic_write(IMSIC_EITHRESHOLD, 0);
		imsic_write(IMSIC_EIE0, 1u << ID_DOORBELL | 1u << ID_DEVICE |
						((1u << ARCH_LINES) - 1) << ID_LINE);
		imsic_write(IMSIC_EIDELIVERY, 1);
	} else if (plic) {
		reg_write(plic, PLIC_THRESHOLD(h->plic_context), 0);
	}
	/* where doorbells are messages, software interrupts mean something else: guest.c */
	csr_write(sie, (guest_missing ? INT_SOFT : 0) | INT_TIMER | INT_EXTERNAL);
}

static void plic_take(volatile char *claim)
{
	uint32_t irq = reg_read(claim, 0);
	unsigned line = irq && irq < SOURCES_MAX ? line_of[irq] : 0;

	/* one is enough: what else is pending ends the next wait */
	if (irq && !(line && arch_line_taken(line - 1)))
		reg_write(claim, 0, irq);
}

void irq_consume(void)
{
	struct arch_hart *h = this_hart();
	uint64_t pending = csr_read(sip);

	if ((pending & INT_SOFT) && guest_missing)
		csr_clear(sip, INT_SOFT);
	/* QEMU 7.2 may raise the last deadline behind the store of the next one; only another store
	 * takes that back. */
	if (pending & INT_TIMER)
		h->armed = 0;
	if (!(pending & INT_EXTERNAL))
		return;
	if (arch_boot.has_aia) {
		uint64_t top;

		do { /* csrrw of stopei takes the topmost identity back, 0: none is left */
			__asm__ volatile("csrrw %0, " csr_name(CSR_STOPEI) ", x0"
					 : "=r"(top)
					 :
					 : "memory");
			if (unlikely(top >> 16 >= ID_LINE))
				(void)arch_line_taken((unsigned)(top >> 16) - ID_LINE);
		} while (top);
	} else if (plic) {
		plic_take(plic + PLIC_CLAIM(h->plic_context));
	}
}

void arch_doorbell(unsigned index)
{
	struct arch_hart *h = &harts[index];

	if (likely(h->imsic)) {
		arch_before_doorbell();
		*h->imsic = ID_DOORBELL;
	} else {
		__asm__ volatile("fence rw, rw" : : : "memory");
		sbi_call(SBI_IPI, 0, 1, h->id, 0, 0, 0);
	}
}

static int route_aplic(unsigned irq, uint32_t target)
{
	reg_write(aplic, APLIC_CLRIENUM, irq);
	/* Edge: a level source that its owner has not yet looked at would send message after
	 * message. */
	reg_write(aplic, APLIC_SOURCECFG(irq), APLIC_SOURCE_EDGE_RISE);
	reg_write(aplic, APLIC_TARGET(irq), target);
	reg_write(aplic, APLIC_SETIENUM, irq);
	/* a source that is not delegated to this domain reads as inactive */
	return reg_read(aplic, APLIC_SOURCECFG(irq)) == APLIC_SOURCE_INACTIVE ? -ENODEV : 0;
}

static int route_plic(unsigned irq, const struct arch_hart *h)
{
	for (unsigned i = 0; i < arch_boot.cores; i++) {
		uint32_t at = PLIC_ENABLE(harts[i].plic_context, irq);
		uint32_t bits = reg_read(plic, at) & ~(1u << irq % 32);

		reg_write(plic, at, &harts[i] == h ? bits | 1u << irq % 32 : bits);
	}
	reg_write(plic, PLIC_PRIORITY(irq), 1);
	return 0;
}

static int route(unsigned irq, unsigned index, uint32_t id)
{
	if (!aplic && !plic)
		return -ENODEV;
	if (!irq || irq > sources_count || irq >= SOURCES_MAX || index >= arch_boot.cores)
		return -EINVAL;
	line_of[irq] = (uint8_t)(id < ID_LINE ? 0 : id - ID_LINE + 1);
	return aplic ? route_aplic(irq, harts[index].imsic_index << APLIC_TARGET_HART_SHIFT | id)
		     : route_plic(irq, &harts[index]);
}

int arch_irq_route(unsigned irq, unsigned index)
{
	return route(irq, index, ID_DEVICE);
}

int arch_line_route(unsigned irq, unsigned core, unsigned line)
{
	return route(irq, core, ID_LINE + line);
}

/* Edges: what comes meanwhile is a message of its own. */
void arch_line_release(unsigned irq, unsigned core)
{
	if (plic)
		reg_write(plic, PLIC_CLAIM(harts[core].plic_context), irq);
}

/* Only where there are mailboxes, and so an APLIC. */
int arch_inbox_irq(unsigned irq, unsigned core, unsigned slot, unsigned id)
{
	if (!irq || irq > sources_count)
		return -EINVAL;
	return route_aplic(irq, harts[core].imsic_index << APLIC_TARGET_HART_SHIFT |
					slot << APLIC_TARGET_GUEST_SHIFT | id);
}

void arch_irq_mask(unsigned irq)
{
	if (aplic)
		reg_write(aplic, APLIC_CLRIENUM, irq);
	else
		reg_write(plic, PLIC_PRIORITY(irq), 0);
}
