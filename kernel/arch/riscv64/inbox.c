/*
 * inbox: mailboxes of user interrupts are the guest interrupt files of each hart's IMSIC (AIA 1.0,
 * chapter 3). File g of a hart has the g-th page behind its S-level page.
 *
 * A file's registers are reached through vsiselect and vsireg while hstatus.VGEIN names it, on its
 * own hart only; the loaded thread's vsiselect is put back.
 */
#include "arch/riscv64/guest.h"

#define IMSIC_EIDELIVERY 0x70
#define IMSIC_EITHRESHOLD 0x72
#define IMSIC_EIP0 0x80
#define IMSIC_EIE0 0xc0
#define VSSTATUS_SIE (1ul << 1)

unsigned arch_inbox_slots(void)
{
	return guest_missing ? 0 : guest_files;
}

paddr_t arch_inbox_page(unsigned core, unsigned slot)
{
	return arch_direct_paddr((const void *)harts[core].imsic) + slot * PAGE_SIZE;
}

void arch_inbox_post(unsigned core, unsigned slot, unsigned id)
{
	volatile uint32_t *page = arch_direct(arch_inbox_page(core, slot));

	arch_before_doorbell();
	*page = id;
	/* seen by the file before the caller lets go of it: whoever takes the file next, looks */
	__asm__ volatile("fence o, w" : : : "memory");
}

/* ---- registers of a file of this hart -------------------------------------------------------- */

struct file_access {
	uint64_t hstatus, select;
};

static struct file_access file_begin(unsigned slot)
{
	struct file_access a = { csr_read(CSR_HSTATUS), csr_read(CSR_VSISELECT) };

	csr_write(CSR_HSTATUS, (a.hstatus & ~HSTATUS_VGEIN(63)) | HSTATUS_VGEIN(slot));
	return a;
}

static void file_end(struct file_access a)
{
	csr_write(CSR_VSISELECT, a.select);
	csr_write(CSR_HSTATUS, a.hstatus);
}

static uint64_t file_read(uint64_t reg)
{
	csr_write(CSR_VSISELECT, reg);
	return csr_read(CSR_VSIREG);
}

static void file_write(uint64_t reg, uint64_t value)
{
	csr_write(CSR_VSISELECT, reg);
	csr_write(CSR_VSIREG, value);
}

/* Identities that no mailbox keeps may be pending too: whoever has the page can post any. */
static void file_clear(void)
{
	file_write(IMSIC_EIDELIVERY, 0);
	file_write(IMSIC_EITHRESHOLD, 0);
	for (unsigned i = 0; i < imsic_words; i++) {
		file_write(IMSIC_EIE0 + 2 * i, 0);
		file_write(IMSIC_EIP0 + 2 * i, 0);
	}
}

void arch_inbox_load(unsigned slot, const struct arch_inbox *from)
{
	struct file_access a = file_begin(slot);

	file_clear();
	file_write(IMSIC_EIE0, from->enabled);
	/* set bits only: what was posted since must stay */
	csr_write(CSR_VSISELECT, IMSIC_EIP0);
	csr_set(CSR_VSIREG, from->pending);
	file_write(IMSIC_EIDELIVERY, from->on);
	file_end(a);
}

/* After each change of hgeie. QEMU 7.2 computes SGEIP from the file's line and from hgeie before it
 * takes the lock under which it stores that: a post that raises the line in between is overwritten
 * with "nothing", and the hart would sleep on it. What is there now stays until we claim it, so
 * writing it once more says so for good. */
static void watch_settle(void)
{
	uint64_t ready = csr_read(CSR_HGEIP) & csr_read(CSR_HGEIE);

	if (unlikely(ready))
		csr_set(CSR_HGEIE, ready);
}

void arch_inbox_save(unsigned slot, struct arch_inbox *to)
{
	struct file_access a = file_begin(slot);

	to->on = file_read(IMSIC_EIDELIVERY) == 1;
	to->enabled = file_read(IMSIC_EIE0);
	to->pending = file_read(IMSIC_EIP0);
	file_clear();
	file_end(a);
	csr_clear(CSR_HGEIE, 1ul << slot);
	watch_settle();
}

void arch_inbox_drop(unsigned slot)
{
	struct file_access a = file_begin(slot);

	for (unsigned i = 0; i < imsic_words; i++)
		file_write(IMSIC_EIP0 + 2 * i, 0);
	file_end(a);
}

void arch_inbox_watch(unsigned slot, bool on)
{
	if (on)
		csr_set(CSR_HGEIE, 1ul << slot);
	else
		csr_clear(CSR_HGEIE, 1ul << slot);
	watch_settle();
}

uint64_t arch_inbox_ready(void)
{
	uint64_t ready = csr_read(CSR_HGEIP) & csr_read(CSR_HGEIE);

	if (ready) {
		csr_clear(CSR_HGEIE, ready);
		watch_settle();
	}
	return ready;
}

void arch_user_inbox(struct arch_user *user, unsigned slot)
{
	struct arch_hart *h = this_hart();

	user->inbox = slot;
	if (h->user == user && user->hart == h && h->guest_loaded)
		csr_write(CSR_HSTATUS, (csr_read(CSR_HSTATUS) & ~HSTATUS_VGEIN(63)) |
					       HSTATUS_VGEIN(slot));
}

bool arch_user_listens(const struct arch_user *user)
{
	return user->guest_hart == this_hart() && (csr_read(CSR_VSSTATUS) & VSSTATUS_SIE);
}

void arch_user_share(bool on)
{
	this_hart()->guest_share = on ? HSTATUS_VTW : 0;
	if (!this_hart()->guest_loaded)
		return; /* guest_load will see it */
	if (on)
		csr_set(CSR_HSTATUS, HSTATUS_VTW);
	else
		csr_clear(CSR_HSTATUS, HSTATUS_VTW);
}

nsec_t arch_user_alarm(const struct arch_user *user)
{
	uint64_t at;

	if (user->guest_hart != this_hart() || !(csr_read(CSR_VSIE) & INT_TIMER))
		return NSEC_NEVER;
	at = csr_read(CSR_VSTIMECMP);
	return at == UINT64_MAX ? NSEC_NEVER : arch_ticks_ns(at);
}

nsec_t arch_user_dozed(int64_t word)
{
	return arch_ticks_ns((uint64_t)word + (word < 0 ? arch_ticks() : 0));
}

void arch_user_vector(struct arch_user *user, uaddr_t handler)
{
	user->guest.tvec = handler;
	if (user->guest_hart == this_hart())
		csr_write(CSR_VSTVEC, handler);
}

/* Unprivileged ISA 20191213: sw (table 24.2), c.sw and c.swsp (table 16.5 to 16.7). */
bool arch_user_skip_store(struct arch_user *user, uint32_t code, uint32_t *value)
{
	unsigned source, bytes = 2;

	if ((code & 0x707f) == 0x2023) {
		source = code >> 20 & 31;
		bytes = 4;
	} else if ((code & 0xe003) == 0xc000) {
		source = 8 + (code >> 2 & 7);
	} else if ((code & 0xe003) == 0xc002) {
		source = code >> 2 & 31;
	} else {
		return false;
	}
	*value = source ? (uint32_t)user->x[source] : 0;
	user->x[0] += bytes;
	return true;
}
