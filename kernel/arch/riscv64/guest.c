/*
 * guest: processes in VS-mode. vsatp is bare, so that the G-stage table is the address space; the
 * VS CSRs are the program's own interrupt registers.
 *
 * The CSRs of the last VS-mode thread stay in the hart until another one comes (h->guest): threads
 * of plain processes in between cost nothing. A thread's saved state is that in user->guest while
 * user->guest_hart is NULL, else that in the hart.
 *
 * What a program can change of the hart itself is put right whenever another thread is loaded:
 * vsatp (QEMU 7.2 lets it be written in spite of hstatus.VTVM; the G-stage confines all the same),
 * scounteren and senvcfg, which have no VS copies.
 *
 * SSIP is kept pending, and not enabled, while a VS-mode thread is loaded: QEMU 7.2 can lose sight
 * of a guest interrupt that becomes pending just when sret enters VS-mode, unless something else
 * makes it look again.
 */
#include "arch/riscv64/guest.h"

#include "base/panic.h"

#define HGATP_SV39X4 (8ul << 60)
#define HENVCFG_STCE (1ul << 63)
#define VSSTATUS_FS_DIRTY SSTATUS_FS_DIRTY /* FP rights are decided in sstatus (user.c) */
/* External and timer. Not software: then hvip stays 0, and need not be kept for each thread. */
#define HIDELEG_VS (1ul << 10 | 1ul << 6)

unsigned guest_files;
const char *guest_missing = "it has no hypervisor extension";

const char *arch_kind_missing(enum arch_kind kind)
{
	return kind == ARCH_KIND_PLAIN ? NULL : guest_missing;
}

unsigned arch_root_order(enum arch_kind kind)
{
	return kind == ARCH_KIND_PLAIN ? 0 : 2; /* Sv39x4: 16 KiB */
}

void guest_probe(void)
{
	if (!has_hypervisor)
		return;
	csr_write(CSR_HGATP, HGATP_SV39X4);
	if (csr_read(CSR_HGATP) >> 60 != HGATP_SV39X4 >> 60) {
		guest_missing = "its second stage of translation has no Sv39x4";
	} else if (!arch_boot.has_aia) {
		guest_missing = "it has no message-signalled interrupts (AIA)";
	} else if (!has_sstc) {
		guest_missing = "it has no timer for programs (Sstc)";
	} else {
		csr_write(CSR_HGEIE, UINT64_MAX); /* bit 0 is no file */
		guest_files = (unsigned)__builtin_popcountll(csr_read(CSR_HGEIE) & ~1ull);
		csr_write(CSR_HGEIE, 0);
		guest_missing = guest_files ? NULL : "it has no guest interrupt files";
	}
	csr_write(CSR_HGATP, 0);
}

void guest_init_hart(void)
{
	if (guest_missing)
		return;
	csr_write(CSR_HSTATUS, HSTATUS_VSXL64);
	csr_write(CSR_HEDELEG, 0);
	csr_write(CSR_HIDELEG, HIDELEG_VS);
	csr_write(CSR_HCOUNTEREN, 7);
	csr_write(CSR_HTIMEDELTA, 0);
	csr_write(CSR_HENVCFG, HENVCFG_STCE);
	csr_write(CSR_HVICTL, 0);
	csr_write(CSR_HVIP, 0);
	csr_write(CSR_HGEIE, 0);
	csr_write(CSR_HIE, INT_GUEST);
	csr_write(CSR_VSATP, 0);
	csr_write(CSR_HGATP, 0);
	guest_fence_all();
}

static void csrs_save(struct arch_guest *g)
{
	g->status = csr_read(CSR_VSSTATUS);
	g->ie = csr_read(CSR_VSIE);
	g->tvec = csr_read(CSR_VSTVEC);
	g->scratch = csr_read(CSR_VSSCRATCH);
	g->epc = csr_read(CSR_VSEPC);
	g->cause = csr_read(CSR_VSCAUSE);
	g->tval = csr_read(CSR_VSTVAL);
	g->select = csr_read(CSR_VSISELECT);
	g->timecmp = csr_read(CSR_VSTIMECMP);
}

static void csrs_load(const struct arch_guest *g)
{
	csr_write(CSR_VSSTATUS, g->status);
	csr_write(CSR_VSIE, g->ie);
	csr_write(CSR_VSTVEC, g->tvec);
	csr_write(CSR_VSSCRATCH, g->scratch);
	csr_write(CSR_VSEPC, g->epc);
	csr_write(CSR_VSCAUSE, g->cause);
	csr_write(CSR_VSTVAL, g->tval);
	csr_write(CSR_VSISELECT, g->select);
	csr_write(CSR_VSTIMECMP, g->timecmp);
}

void guest_user_init(struct arch_user *user)
{
	user->guest.status = VSSTATUS_FS_DIRTY;
	user->guest.timecmp = UINT64_MAX;
}

void guest_load(struct arch_hart *h, struct arch_user *user)
{
	struct arch_user *old = h->guest;

	if (old != user || user->guest_hart != h) {
		if (old && old->guest_hart == h) {
			csrs_save(&old->guest);
			old->guest_hart = NULL;
		}
		audit(!user->guest_hart); /* arch_user_leave */
		csrs_load(&user->guest);
		user->guest_hart = h;
		h->guest = user;
	}
	csr_write(CSR_VSATP, 0);
	csr_write(CSR_HSTATUS, HSTATUS_VSXL64 | HSTATUS_VTVM | HSTATUS_SPVP | HSTATUS_SPV |
				       HSTATUS_VGEIN(user->inbox) | h->guest_share);
	csr_set(sstatus, SSTATUS_SPP);
	csr_set(sip, INT_SOFT);
	h->guest_loaded = true;
}

void guest_leave(struct arch_hart *h)
{
	csr_write(CSR_HSTATUS, HSTATUS_VSXL64);
	csr_clear(sstatus, SSTATUS_SPP);
	csr_clear(sip, INT_SOFT);
	csr_write(scounteren, 7);
	csr_write(CSR_SENVCFG, 0);
	h->guest_loaded = false;
}

void guest_save(struct arch_hart *h, struct arch_user *user)
{
	if (user->guest_hart != h)
		return;
	csrs_save(&user->guest);
	guest_forget(h, user);
}

/* What it had enabled would end every wait of a hart that has nothing to do. */
void guest_forget(struct arch_hart *h, struct arch_user *user)
{
	if (user->guest_hart == h)
		csr_write(CSR_VSIE, 0);
	user->guest_hart = NULL;
	if (h->guest == user)
		h->guest = NULL;
}
