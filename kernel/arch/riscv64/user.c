/*
 * user: the slow half of running user code: loading a thread, deciding what a trap was, FP state.
 *
 * Runs on the core that runs the thread. A thread is "loaded" on at most one hart (user->hart);
 * then satp names its address space and sstatus.FS says what it may do with the FP registers:
 *
 *   Off --first FP instruction traps, registers are loaded--> Clean --a write--> Dirty
 *   Dirty --another thread is loaded: registers are saved--> (that thread's own state)
 *
 * so that threads without FP never pay for it, and the kernel, which uses none, never saves any.
 * A thread that leaves its hart leaves nothing there, and if it was writing FP registers it finds
 * them on the next.
 */
#include "arch/riscv64/user.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "arch/riscv64/guest.h"
#include "base/panic.h"

static_assert(offsetof(struct arch_user, x) == USER_X(0), "trap.S");
static_assert(offsetof(struct arch_user, kernel_sp) == USER_KERNEL_SP, "trap.S");
static_assert(offsetof(struct arch_user, hart) == USER_HART, "trap.S");
static_assert(offsetof(struct arch_user, fcsr) == USER_FCSR, "trap.S");
static_assert(offsetof(struct arch_user, f) == USER_F(0), "trap.S");
static_assert(offsetof(struct arch_user, quick) == USER_QUICK, "trap.S");
static_assert(offsetof(struct arch_hart, core) == HART_CORE, "trap.S");
static_assert(offsetof(struct arch_hart, emergency_sp) == HART_EMERGENCY_SP, "boot.S, trap.S");
static_assert(offsetof(struct arch_hart, dead_x) == HART_DEAD_X(0), "trap.S");
static_assert(offsetof(struct arch_hart, id) == HART_ID, "boot.S");
static_assert(offsetof(struct arch_hart, entry) == HART_ENTRY, "boot.S");
static_assert(sizeof(struct arch_hart) == HART_BYTES, "boot.S");
static_assert(ARCH_EXIT_SYSCALL == 0, "trap.S answers it without asking");

#define CAUSE_INTERRUPT (1ul << 63)
#define CAUSE_ILLEGAL 2
#define CAUSE_FETCH_FAULT 12
#define CAUSE_LOAD_FAULT 13
#define CAUSE_STORE_FAULT 15
#define CAUSE_GUEST_FETCH_FAULT 20
#define CAUSE_GUEST_LOAD_FAULT 21
#define INSTRUCTION_WFI 0x10500073
#define INSTRUCTION_SRET 0x10200073
#define CAUSE_VIRTUAL 22 /* an instruction that VS-mode may not execute */
#define CAUSE_GUEST_STORE_FAULT 23

/* trap.S */
void fp_save(struct arch_user *user);
void fp_load(const struct arch_user *user);
void fiber_begin(void);

static void fs_set(uint64_t fs)
{
	csr_clear(sstatus, SSTATUS_FS);
	csr_set(sstatus, fs);
}

static void fp_bring(struct arch_hart *h, struct arch_user *user)
{
	fs_set(SSTATUS_FS_CLEAN);
	fp_load(user);
	fs_set(SSTATUS_FS_CLEAN);
	h->fp_owner = user;
	user->fp_hart = h;
	user->fp_moved = false;
}

/* What the hart has of the loaded thread's FP state goes to memory if it is newer: true if it wrote
 * registers. QEMU 7.2 does not count a write of fcsr alone that is made in VS-mode. */
static bool fp_keep(const struct arch_hart *h, struct arch_user *user)
{
	uint64_t fs = csr_read(sstatus) & SSTATUS_FS;

	if (fs == SSTATUS_FS_DIRTY)
		fp_save(user);
	else if (unlikely(fs && h->guest_loaded))
		user->fcsr = csr_read(CSR_FCSR);
	return fs == SSTATUS_FS_DIRTY;
}

/* The thread that is loaded makes room. */
static void user_unload(struct arch_hart *h)
{
	struct arch_user *old = h->user;

	if (!old)
		return;
	if (old->hart == h) { /* else it was made anew */
		(void)fp_keep(h, old);
		old->hart = NULL;
	}
	csr_clear(sstatus, SSTATUS_FS);
	h->user = NULL;
}

void hart_load_user(struct arch_user *user, struct aspace *as)
{
	struct arch_hart *h = this_hart();

	user_unload(h);
	if (h->fp_owner == user && user->fp_hart == h)
		fs_set(SSTATUS_FS_CLEAN);
	else if (unlikely(user->fp_moved))
		fp_bring(h, user);
	if (satp_load(h, as))
		guest_load(h, user);
	else if (h->guest_loaded)
		guest_leave(h);
	user->hart = h;
	h->user = user;
}

static int exit_interrupt(struct arch_hart *h, uint64_t cause)
{
	irq_consume();
	if ((cause & ~CAUSE_INTERRUPT) == 5) { /* the deadline: it has done its work */
		h->user_deadline = UINT64_MAX;
		hart_timer_set(h, UINT64_MAX);
	}
	if (unlikely(atomic_load_explicit(&harts_stopping, memory_order_relaxed)))
		hart_halt();
	return ARCH_EXIT_IRQ;
}

static uint32_t exit_access(uint64_t cause)
{
	switch (cause) {
	case CAUSE_FETCH_FAULT:
	case CAUSE_GUEST_FETCH_FAULT:
		return ACCESS_EXEC;
	case CAUSE_LOAD_FAULT:
	case CAUSE_GUEST_LOAD_FAULT:
		return ACCESS_READ;
	case CAUSE_STORE_FAULT:
	case CAUSE_GUEST_STORE_FAULT:
		return ACCESS_WRITE;
	}
	return 0;
}

int hart_user_trapped(struct arch_user *user, uint64_t cause, struct arch_exit *exit)
{
	struct arch_hart *h = this_hart();
	uint64_t status = csr_read(sstatus), addr = csr_read(stval);
	bool guest = guest_trapped();

	if (unlikely((status & SSTATUS_SPP) && !guest))
		panic("trap %llu on the way into user mode, pc 0x%llx, address 0x%llx",
		      (unsigned long long)cause, (unsigned long long)user->x[0],
		      (unsigned long long)addr);
	if (cause & CAUSE_INTERRUPT)
		return exit_interrupt(h, cause);
	if (cause == CAUSE_ILLEGAL && addr == INSTRUCTION_SRET) {
		exit->cause = CAUSE_ILLEGAL;
		exit->pc = user->x[0];
		exit->access = 0; /* an illegal instruction, if there is nothing to return from */
		return ARCH_EXIT_RETURN;
	}
	if (cause == CAUSE_ILLEGAL && !(status & SSTATUS_FS)) {
		/* perhaps its first FP instruction; if it is not, it comes back with FS on */
		fp_bring(h, user);
		return -1;
	}
	if (guest && exit_access(cause)) {
		/* A fault of VS-mode's own stage: the program turned on a table of its own, which
		 * is refused like the instruction that did it (QEMU 7.2 does not trap that one). */
		if (cause < CAUSE_GUEST_FETCH_FAULT)
			cause = CAUSE_VIRTUAL;
		else if (csr_read(CSR_HTVAL)) /* guest-physical, without the lowest bits */
			addr = csr_read(CSR_HTVAL) << 2 | (addr & 3);
	}
	exit->addr = addr;
	exit->access = exit_access(cause);
	exit->cause = (uint32_t)cause;
	exit->pc = user->x[0];
	if (cause == CAUSE_VIRTUAL && addr == INSTRUCTION_WFI) {
		user->x[0] += 4;
		return ARCH_EXIT_WAIT;
	}
	if (!exit->access)
		return ARCH_EXIT_BAD;
	/* A hart may remember that a page was absent; the same fault twice means that it did. */
	if (addr == h->fault_addr && guest)
		guest_fence_page(addr);
	else if (addr == h->fault_addr)
		__asm__ volatile("sfence.vma %0, x0" : : "r"(addr) : "memory");
	h->fault_addr = addr;
	return ARCH_EXIT_FAULT;
}

void arch_user_init(struct arch_user *user, uaddr_t pc, uaddr_t sp, uaddr_t tp, uint64_t arg0)
{
	arch_quick_fn quick = user->quick;

	memset(user, 0, sizeof(*user));
	user->quick = quick;
	user->x[0] = pc;
	user->x[2] = sp;
	user->x[4] = tp;
	user->x[10] = arg0;
	guest_user_init(user);
}

void arch_user_copy(struct arch_user *user, const struct arch_user *from, uaddr_t sp, uaddr_t tp)
{
	arch_user_init(user, from->x[0], sp, tp, 0);
	memcpy(user->x, from->x, sizeof(user->x));
	memcpy(user->f, from->f, sizeof(user->f));
	user->fcsr = from->fcsr;
	user->x[2] = sp;
	user->x[4] = tp;
	user->x[10] = 0;
}

/* It stays the loaded one as far as its address space goes: the next run loads it anew. */
void arch_user_settle(struct arch_user *user)
{
	struct arch_hart *h = this_hart();

	if (user->hart == h) {
		(void)fp_keep(h, user);
		csr_clear(sstatus, SSTATUS_FS);
		user->hart = NULL;
	}
	if (h->fp_owner == user)
		h->fp_owner = NULL;
}

/* This hart has nothing of it any more. */
static void user_drop(struct arch_hart *h, struct arch_user *user)
{
	if (h->fp_owner == user)
		h->fp_owner = NULL;
	user->hart = user->fp_hart = NULL;
	if (h->user != user)
		return;
	csr_clear(sstatus, SSTATUS_FS);
	h->user = NULL;
	satp_unload(h);
}

void arch_user_leave(struct arch_user *user, struct aspace *as)
{
	struct arch_hart *h = this_hart();

	guest_save(h, user);
	if (user->hart == h && fp_keep(h, user))
		user->fp_moved = true;
	user_drop(h, user);
	satp_forget(h, as);
}

void arch_user_arrive(struct arch_user *user)
{
	(void)user;
	/* It may have written instructions, and told only the hart that it was on. Its stores are
	 * seen here: they came before the message that it travels in. */
	__asm__ volatile(".4byte 0x0000100f" : : : "memory"); /* fence.i */
}

void arch_user_fini(struct arch_user *user)
{
	struct arch_hart *h = this_hart();

	guest_forget(h, user);
	user_drop(h, user);
}

uaddr_t arch_user_enter_fn(void)
{
	return 0;
}

uaddr_t arch_user_divert(struct arch_user *user, uaddr_t to)
{
	uaddr_t was = user->x[0];

	user->x[0] = to;
	return was;
}

void arch_fiber_init(struct arch_fiber *f, void *base, size_t size, void (*entry)(void *),
		     void *arg)
{
	*f = (struct arch_fiber){
		.sp = align_down((uint64_t)base + size, 16ul),
		.ra = (uint64_t)fiber_begin,
		.s = { (uint64_t)entry, (uint64_t)arg },
	};
}

noreturn_fn void trap_panic(struct arch_hart *h)
{
	uint64_t cause = csr_read(scause), addr = csr_read(stval), sp = h->dead_x[2];
	const char *what = "";

	/* the page below a stack is a guard */
	if ((cause == CAUSE_LOAD_FAULT || cause == CAUSE_STORE_FAULT) &&
	    addr >= sp - 2 * PAGE_SIZE && addr < sp + PAGE_SIZE && addr >= IMAGE_BASE)
		what = ", at the stack's end";
	panic("trap in the kernel%s: scause %llu sepc 0x%llx stval 0x%llx ra 0x%llx sp 0x%llx tp "
	      "0x%llx\n"
	      "  a0 0x%llx a1 0x%llx a2 0x%llx s0 0x%llx s1 0x%llx",
	      what, (unsigned long long)cause, (unsigned long long)h->dead_x[0],
	      (unsigned long long)addr, (unsigned long long)h->dead_x[1], (unsigned long long)sp,
	      (unsigned long long)h->dead_x[4], (unsigned long long)h->dead_x[10],
	      (unsigned long long)h->dead_x[11], (unsigned long long)h->dead_x[12],
	      (unsigned long long)h->dead_x[8], (unsigned long long)h->dead_x[9]);
}
