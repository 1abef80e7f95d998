/*
 * arch.h: the contract a machine fulfils, one promise per function. kernel/arch/riscv64 fulfils it
 * with the hart itself, kernel/arch/hosted with a Linux process (POSIX threads as cores, or one
 * thread that steps every core, seeded, for the simulator).
 *
 * "Core index": 0 is the boot hart, the others follow in device-tree order. A hart id is
 * arch-private.
 *
 * Traps: the kernel runs with interrupts disabled on every core. A core enters user mode with
 * arch_user_run, which RETURNS when the program traps or an interrupt arrives; the caller's kernel
 * stack is the core's only one. A trap taken while in the kernel is a kernel lie and panics, except
 * an interrupt in a window (below).
 */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

#include "base/types.h"

struct core;
struct aspace;

/*
 * Each machine's arch_machine.h (found through the include path) defines
 *   struct arch_user    - user registers, FP state, what else a thread needs to be resumed
 *   struct arch_aspace  - what the machine keeps per address space (ASID, ...)
 *   struct arch_fiber   - a saved kernel context (stack pointer and callee-saved registers)
 * and, as static inline functions, the promises marked [inline] below.
 */
#include "arch_machine.h"

/* ---- who am I, what is here ------------------------------------------------------------------ */

/* [inline] struct core *arch_core(void): this core, as given to arch_core_set. One register
 * read. */
/* [inline] void arch_core_set(struct core *c): once per core, before anything else of the kernel
 * runs on it. */

struct arch_range {
	paddr_t base;
	uint64_t size;
};

#define ARCH_RANGES_MAX 16

/* Filled by the machine before kernel_main; set once. */
struct arch_boot {
	struct arch_range memory[ARCH_RANGES_MAX];   /* usable RAM */
	/* firmware, kernel image, device tree, initrd, /reserved-memory */
	struct arch_range reserved[ARCH_RANGES_MAX];
	unsigned memory_count, reserved_count;
	struct arch_range initrd; /* size 0: none */
	const char *cmdline;	  /* NUL-terminated */
	unsigned cores;		  /* harts found, at most CORES_MAX */
	const void *fdt;	  /* mapped device tree, NULL on hosted */
	bool has_aia;
};
extern struct arch_boot arch_boot;

/* kernel_main is called by the machine on the boot core, on a kernel stack of at least 16 KiB, with
 * arch_boot filled and direct map and console usable. It never returns. */
noreturn_fn void kernel_main(void);

/* Starts core `index` (not 0): it calls entry(arg) on a kernel stack of its own; arg is also what
 * arch_core() gives there. 0, or -EIO if the hart does not start (within 1 s); then the system goes
 * on without it. */
must_use int arch_core_start(unsigned index, void (*entry)(struct core *), struct core *arg);

/* Ends the machine. status 0: orderly. On hosted the process exits with that status. */
noreturn_fn void arch_poweroff(int status);

/* Called once from panic: stops the other cores as far as the machine can. */
void arch_stop_others(void);

/* ---- time ------------------------------------------------------------------------------------ */

/* [inline] nsec_t arch_time_ns(void): monotonic, the same on all cores to within 1 us. */
/* Frequency of the counter that user programs read themselves (rdtime), Hz; 0 if there is none. */
uint64_t arch_user_time_hz(void);
/* Wall clock at boot, ns since 1970; 0 if the machine has no such clock. */
uint64_t arch_wall_boot_ns(void);

/* ---- sleeping and waking --------------------------------------------------------------------- */

/* Waits until arch_doorbell(this core) was called since the last return, a routed device interrupt
 * is pending, or `deadline` has passed (NSEC_NEVER: no deadline). May return early. Caller has
 * announced its sleep and re-checked. */
void arch_idle_wait(nsec_t deadline);

/* Makes arch_idle_wait on core `index` return, or arch_user_run there return ARCH_EXIT_IRQ. Any
 * core, any time; orders all earlier stores of the caller before it. Idempotent until consumed. */
void arch_doorbell(unsigned index);

/* While this core runs a user thread it comes back (ARCH_EXIT_IRQ) no later than `deadline`;
 * NSEC_NEVER: no tick. */
void arch_user_deadline(nsec_t deadline);

/* [inline] void arch_relax(void): a pause inside a spin loop. */
/* [inline] bool arch_can_watch(void): arch_relax_on waits here. Known before any core is made. */
/* [inline] bool arch_relax_on(_Atomic uint32_t *word, uint32_t seen): a pause that lasts until
 * somebody stores to the word's line, but not if the word no longer holds `seen`, and never longer
 * than the hart's own short limit: the caller looks at everything again, not at this word only. May
 * end early for any reason. True: it was begun. Only where arch_can_watch. */

/* ---- interrupts of devices ------------------------------------------------------------------- */

/* Routes device interrupt source `irq` (APLIC/PLIC source number) to core `index` as a wake-up: it
 * ends arch_idle_wait or user mode there. No handler runs: the owning core polls its devices in its
 * turn. A source counts as an edge: its owner clears the device's own condition before it looks for
 * the last time in arm(), or the next event makes no edge. 0 or -EINVAL/-ENODEV. */
must_use int arch_irq_route(unsigned irq, unsigned index);

/* ---- running user code ----------------------------------------------------------------------- */

enum arch_exit_kind {
	/* the door: number and arguments are in the registers; pc already behind it */
	ARCH_EXIT_SYSCALL,
	ARCH_EXIT_FAULT,   /* page fault: addr, access */
	ARCH_EXIT_IRQ,	   /* doorbell, device, deadline: nothing to do for the thread */
	/* it waits for an interrupt of its own, and was told to share (arch_user_share); pc already
	 * behind it */
	ARCH_EXIT_WAIT,
	/* it asks to go on where an upcall interrupted it; pc is that of the asking */
	ARCH_EXIT_RETURN,
	ARCH_EXIT_BAD,	   /* illegal instruction, misaligned jump, breakpoint, ...: cause */
};

#define ACCESS_READ 1u
#define ACCESS_WRITE 2u
#define ACCESS_EXEC 4u

struct arch_exit {
	uaddr_t addr;	 /* faulting address */
	uint32_t access; /* ACCESS_* of the fault; 0 for BAD */
	uint32_t cause;	 /* machine's own number, for messages */
	uaddr_t pc;
};

/* Runs the thread until it traps. Loads its address space if another one is active. FP state is
 * lazy: kept per thread, saved only when dirty and another thread runs, or it leaves the core.
 * `exit` is filled for FAULT and BAD. */
enum arch_exit_kind arch_user_run(struct arch_user *user, struct aspace *as,
				  struct arch_exit *exit);

/*
 * Two kinds of user mode; a kind belongs to an address space, and so to a process. Both run the
 * same programs over the same memory manager: only the root table differs.
 */
enum arch_kind {
	ARCH_KIND_PLAIN, /* on every machine */
	/* User interrupts reach it without the kernel (docs/uintr.md). riscv64 with H and AIA:
	 * VS-mode, the address space being the G-stage table. */
	ARCH_KIND_UINTR,
};

/* Why this machine lacks `kind`, as the end of a sentence; NULL: it has it. */
const char *arch_kind_missing(enum arch_kind kind);
/* The root table of that kind is 2^order frames, aligned to its size. */
unsigned arch_root_order(enum arch_kind kind);

/* Prepares a fresh thread: pc, stack pointer, user thread pointer (tp), first argument. FP state
 * initial. */
void arch_user_init(struct arch_user *user, uaddr_t pc, uaddr_t sp, uaddr_t tp, uint64_t arg0);
/* The same, but for `sp` and `tp` as `from`, which is settled (below) and made the system call that
 * the new thread answers with 0. Where ARCH_SIGNALS. */
void arch_user_copy(struct arch_user *user, const struct arch_user *from, uaddr_t sp, uaddr_t tp);

/*
 * The quick door: user->quick, set before the thread first runs, is called on the trap of a system
 * call, on the core's stack, while the machine still counts the thread as running: of its registers
 * only those that C may change are in memory. True: its result is set, it goes on at once. False:
 * arch_user_run returns ARCH_EXIT_SYSCALL as usual. A machine that has no shorter way than that may
 * ignore it.
 */
typedef bool (*arch_quick_fn)(struct arch_user *user, uint64_t arg1, uint64_t arg2, uint64_t arg3,
			      uint64_t arg4, uint64_t arg5, uint64_t arg6,
			      uint64_t nr); /* argument 0: arch_user_arg(user, 0) */

/* The thread is gone: forget its FP state, and let go of its address space, if this core still
 * holds them. Called on the core it last ran on, before its address space is put: no core may hold
 * a space that ends (arch_aspace_fini checks). */
void arch_user_fini(struct arch_user *user);

/*
 * The thread goes on on another core. leave, on the core it last ran on (or was sent to), while it
 * is not in user mode: everything that this core still holds of it is written back, and the core
 * lets go of its address space: until a thread of that runs here again, no shootdown comes here.
 * arrive, on the other core, before it runs there.
 */
void arch_user_leave(struct arch_user *user, struct aspace *as);
void arch_user_arrive(struct arch_user *user);

/* [inline] uint64_t arch_user_nr(u), arch_user_arg(u, 0..5); void arch_user_set_result(u,
 * int64_t) */

/* The thread goes on at `to`, all other registers as they are; where it would have gone on instead.
 * Not while it is in user mode. */
uaddr_t arch_user_divert(struct arch_user *user, uaddr_t to);

/*
 * Signals, where ARCH_SIGNALS: arch_machine.h declares what follows; elsewhere nobody calls it.
 * arch_user_settle(user): on its core, while it is parked: all of it is in memory now, and may be
 * changed there by whoever serves its trap, until it runs next. Of a settled thread:
 * arch_user_sp(user), arch_user_tp(user); arch_user_redo(user, arg0): the system call that it made
 * last is made again; arch_signal_save(user, frame), arch_signal_restore(user, frame): its
 * registers, FP ones too, into a struct sigframe and from it: these alone, no right comes from a
 * frame; arch_signal_enter(user, handler, at, signo, context, ret): it goes on at `handler`, whose
 * frame is at `at`.
 */

/* Hosted machine: address a program calls instead of trapping; 0 where it traps by instruction. */
uaddr_t arch_user_enter_fn(void);

/* ---- mailboxes of user interrupts ------------------------------------------------------------ */

/*
 * A thread of the kind uintr receives identities 1 to ARCH_INBOX_IDS - 1 through a mailbox that its
 * core keeps for it: riscv64: a guest interrupt file of the hart's IMSIC (AIA 1.0, chapter 3).
 * Each core has a few slots, numbered from 1; sched/inbox.c decides who has one. arch_machine.h
 * defines struct arch_inbox, what a mailbox holds while it is in no slot: enabled, pending (bit per
 * identity), on (deliver at all).
 */
#define ARCH_INBOX_IDS 64u

/* Slots per core; 0: the machine has none, and no other function of this chapter is called. */
unsigned arch_inbox_slots(void);
/* The page of a slot: a 32-bit store of an identity at its start posts it. */
paddr_t arch_inbox_page(unsigned core, unsigned slot);
/* Posts identity `id`; orders earlier stores of the caller before it. Any core. */
void arch_inbox_post(unsigned core, unsigned slot, unsigned id);

/*
 * Device interrupt source `irq` posts identity `id` to a slot by itself, on each edge. What came
 * while it was masked comes as one when it is routed again. arch_irq_route takes it back. Any core,
 * one at a time per source. -EINVAL, -ENODEV (not delegated).
 */
must_use int arch_inbox_irq(unsigned irq, unsigned core, unsigned slot, unsigned id);
void arch_irq_mask(unsigned irq);

/*
 * Lines, on every machine with device interrupts: source `irq` interrupts `core` as arch_irq_route
 * makes it, and arch_line_taken is called there, in the kernel, with nothing locked. True: the
 * source is held, and does not come again before arch_line_release (a machine whose sources are
 * edges need not hold it). arch_irq_route and arch_irq_mask end it. Any core, one at a time per
 * source. -EINVAL, -ENODEV as arch_irq_route.
 */
#define ARCH_LINES 8u
extern bool (*arch_line_taken)(unsigned line); /* set once at boot, by sched */
must_use int arch_line_route(unsigned irq, unsigned core, unsigned line);
void arch_line_release(unsigned irq, unsigned core);

/* The rest on the slot's core only. Brings a mailbox into an empty slot; takes it out, leaving the
 * slot empty: nothing of it is ever seen by the next owner. */
void arch_inbox_load(unsigned slot, const struct arch_inbox *from);
void arch_inbox_save(unsigned slot, struct arch_inbox *to);
/* Forgets everything that is pending there. */
void arch_inbox_drop(unsigned slot);
/* While its owner does not run: an identity that is pending and enabled ends arch_idle_wait or user
 * mode, and shows in arch_inbox_ready. */
void arch_inbox_watch(unsigned slot, bool on);
/* Bit per watched slot that has something for its owner; it is not watched any more then. */
uint64_t arch_inbox_ready(void);
/* From now on `user`, which runs on this core, receives through `slot` (0: through none). */
void arch_user_inbox(struct arch_user *user, unsigned slot);
/* Would it be interrupted by what is pending now? Just after arch_user_run of it. */
bool arch_user_listens(const struct arch_user *user);
/* Others want this core: a wait of a thread for its own interrupts ends in ARCH_EXIT_WAIT from now
 * on; or no more. */
void arch_user_share(bool on);
/* When the thread's own timer rings, NSEC_NEVER: not. Just after arch_user_run of it. */
nsec_t arch_user_alarm(const struct arch_user *user);
/* What a program's word on its own waiting (uapi/notice.h, dozed) says by now. Any core. */
nsec_t arch_user_dozed(int64_t word);
/* Its notices arrive at `handler` from now on. */
void arch_user_vector(struct arch_user *user, uaddr_t handler);
/* Where ARCH_STORES_TRAP: `code` is what stands at the pc of `user`, which faulted there. If that
 * is a 32-bit store: its value through *value, and the thread goes on behind it. Else false. */
bool arch_user_skip_store(struct arch_user *user, uint32_t code, uint32_t *value);

/* ---- address translation --------------------------------------------------------------------- */

/*
 * Page tables are radix tables of 512 Sv39-format entries on every machine (Privileged Architecture
 * 20211203, section 4.4): on riscv64 the hart walks them, on hosted they are the truth that host
 * mappings mirror.
 */
/* [inline] void *arch_direct(paddr_t): the kernel's direct map; valid for all RAM, for ever. */
/* [inline] paddr_t arch_direct_paddr(const void *): its inverse. */

/*
 * Where user addresses of one address space may lie: [arch_user_low(aa), arch_user_top(aa)), always
 * inside [ARCH_USER_LOW, ARCH_USER_TOP) and page-aligned. mm checks and places every mapping within
 * it. On riscv64 it is the same for all; on hosted all programs live in one host process, so each
 * address space has a window of its own. A machine with windows defines ARCH_USER_WINDOWS and both
 * functions in its arch_machine.h.
 */
#define ARCH_USER_LOW 0x10000ull       /* lowest mappable user address */
#define ARCH_USER_TOP (1ull << 38)     /* first address behind user space */
#ifndef ARCH_USER_WINDOWS
static inline uaddr_t arch_user_low(const struct arch_aspace *aa)
{
	(void)aa;
	return ARCH_USER_LOW;
}
static inline uaddr_t arch_user_top(const struct arch_aspace *aa)
{
	(void)aa;
	return ARCH_USER_TOP;
}
#endif

/* e_machine of the programs this machine runs (riscv64: 243; hosted on x86-64: 62, static-pie
 * only). */
#ifndef ARCH_ELF_MACHINE
#define ARCH_ELF_MACHINE 243
#endif

/* What the processor can, as AT_HWCAP tells it: riscv64: bit per single-letter extension. */
#ifndef ARCH_HWCAP
#define ARCH_HWCAP 0
#endif

/* Called by mm when an address space is made (root: its zeroed root table of arch_root_order(kind);
 * the machine may add kernel entries) and when its last reference is gone (no thread runs it any
 * more). -EOPNOTSUPP: no such kind here. */
must_use int arch_aspace_init(struct aspace *as, struct arch_aspace *aa, paddr_t root,
			      enum arch_kind kind);
void arch_aspace_fini(struct aspace *as, struct arch_aspace *aa);

/* Called by mm after it changed the leaf for `va` from `was` to `now` (Sv39 leaf entries, 0 =
 * absent). riscv64: local sfence.vma when the old one was present (the shootdown is separate).
 * hosted: mirrors it with mmap/mprotect/munmap. was == now: a stale translation made the thread
 * fault, forget it. A leaf without PTE_V counts as absent. Two cores that change one leaf may call
 * in either order: a mirror takes the truth from the table, under a lock of its own. */
void arch_pte_changed(struct aspace *as, struct arch_aspace *aa, uaddr_t va, uint64_t was,
		      uint64_t now);

/* Returns after no core holds a translation for [va, va+len) of `as` that was removed before the
 * call. */
void arch_tlb_shootdown(struct aspace *as, struct arch_aspace *aa, uaddr_t va, uint64_t len);

/* After the kernel wrote instructions into user frames (program loading). */
void arch_icache_sync(void);

/* ---- ordering against devices ---------------------------------------------------------------- */

/* [inline] void arch_before_doorbell(void): earlier stores reach memory before a following MMIO
 * store (fence w,o). */
/* [inline] void arch_before_dma(void): before handing memory to a device through an index (fence
 * iorw,iorw). */
/* [inline] void arch_after_dma(void): after reading a device's index, before reading its data
 * (fence iorw,iorw). */

/* ---- fibers ---------------------------------------------------------------------------------- */

/* Prepares `f` to call entry(arg) on the stack [base, base+size) at the first switch to it. */
void arch_fiber_init(struct arch_fiber *f, void *base, size_t size, void (*entry)(void *),
		     void *arg);
/* Saves the running kernel context in `from` and continues `to`. Returns when something switches
 * back. */
void arch_fiber_switch(struct arch_fiber *from, struct arch_fiber *to);

/* ---- interrupting the kernel ----------------------------------------------------------------- */

/*
 * A long step runs on a stack that can be taken away: between begin and end, and there only inside
 * windows, whatever would end arch_idle_wait calls arch_preempted instead, on that stack, with
 * the window closed. It may switch to another context and come back much later, on the same core;
 * when it returns, the window is open again and the interrupted code goes on. ARCH_PREEMPTS says
 * whether the machine can do this; one that cannot has arch_preempt_due, which is asked at
 * every opening. struct arch_preempt, in arch_machine.h, is what the machine keeps meanwhile.
 */
extern void (*arch_preempted)(void); /* set once at boot */
/* `deadline` interrupts; doorbells and devices too if `all`. The context that calls begin calls
 * end, whatever has become of the step. */
void arch_preempt_begin(struct arch_preempt *p, nsec_t deadline, bool all);
void arch_preempt_end(struct arch_preempt *p);
/* [inline] void arch_window_open(void), arch_window_close(void), bool arch_window_is_open(void). No
 * call to anything that owns state stands between: such things audit that no window is open. */
/* [inline] bool arch_preempt_due(void): something rang, or the machine's seed says so. */

/* ---- console of last resort and randomness --------------------------------------------------- */

/* Any core, unbuffered, must work from the first C instruction and inside panic. */
void arch_console_write(const char *text, size_t len);
/* One byte from the console of last resort, -1 if there is none. */
int arch_console_read(void);
/* 64 bits that are hard to guess from outside at boot (SBI/seed CSR/fdt rng-seed/host); used to
 * seed the pool. */
uint64_t arch_entropy(void);

/* ---- marks ----------------------------------------------------------------------------------- */
/* [inline] ARCH_MARK(n): a no-op that an instruction-counting emulator plugin recognises (slti
 * x0,x0,0x700+n). */

#endif
