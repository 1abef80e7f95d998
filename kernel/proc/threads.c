/*
 * threads: the user threads of processes: made and taken apart on the home core, trapping and dying
 * on their own. How one ends while its process goes on is in ending.c.
 *
 *   home: thread_create -> thread_start ... threads_kill --kill_mail--> own core: thread_kill --kill_mail--> home
 *                                                  own core: dead --mail--> home: one thread less
 *   home, all dead and the rings empty: threads_barrier --kill_mail--> every core it has been on, its last one
 *       last --kill_mail--> home: threads_free
 *
 * The barrier drives every message that is still under way to a thread ahead of itself, those that
 * follow it from core to core too, so that a thread's memory is never used again while one of its
 * messages is in some mailbox.
 */
#include <stdio.h>
#include <string.h>

#include "base/panic.h"
#include "base/trace.h"
#include "mm/frames.h"
#include "proc/internal.h"
#include "sched/inbox.h"
#include "uapi/errno.h"
#include "uapi/signal.h"

#define THREADS_MAX 256u

/* set once at boot */
static struct user_thread *thread_table;
static _Atomic uint32_t thread_ids;
/* any core, atomic: threads beside the first one of each process */
static _Atomic uint32_t threads_more;

void threads_init(void)
{
	thread_table = frames_boot_alloc(sizeof(*thread_table) * THREADS_MAX);
}

/* ---- traps, on the thread's core ------------------------------------------------------------- */

/* What a cause the machine could not resolve means to a program. riscv64: Privileged Architecture
 * 20211203, table 4.2; hosted: the trap numbers of x86-64, and 255 for a system call the program
 * made on its own. */
static unsigned signal_of(uint32_t cause)
{
	if (ARCH_ELF_MACHINE == 62)
		switch (cause) {
		case 0: case 16: case 19:
			return SIGNAL_FPE;
		case 1: case 3:
			return SIGNAL_TRAP;
		case 6:
			return SIGNAL_ILL;
		case 17:
			return SIGNAL_BUS;
		case 255:
			return SIGNAL_SYS;
		default:
			return SIGNAL_SEGV;
		}
	switch (cause) {
	case 2: case 22: /* 22: VS-mode's word for it */
		return SIGNAL_ILL;
	case 3:
		return SIGNAL_TRAP;
	default:
		return SIGNAL_BUS;
	}
}

static const char *access_name(uint32_t access)
{
	if (access & ACCESS_EXEC)
		return "execute";
	return access & ACCESS_WRITE ? "write" : "read";
}

/* A doorbell whose receiver is in no slot: what was to be stored there is posted
 * (sched/inbox.h). */
static bool trap_doorbell(struct user_thread *ut, const struct arch_exit *exit)
{
	struct wire *w = exit->access == ACCESS_WRITE ? wire_find(ut->thread.as, exit->addr) : NULL;
	uint16_t half[2] = { 0 };
	uint32_t value;

	if (!w || user_read(ut->thread.as, exit->pc, &half[0], 2))
		return false;
	if ((half[0] & 3) == 3 && user_read(ut->thread.as, exit->pc + 2, &half[1], 2))
		return false;
	if (!arch_user_skip_store(&ut->thread.user, half[0] | (uint32_t)half[1] << 16, &value))
		return false;
	this_core()->count->wire_faults++;
	if (exit->addr == w->at)
		wire_post(w, value);
	return true;
}

void thread_fault_kill(struct user_thread *ut, const struct signal_info *info,
		       const struct arch_exit *exit)
{
	unsigned long long addr = exit->addr, pc = exit->pc;

	if (!exit->access)
		process_kill_because(ut->proc, info->signo, "trap %u at pc 0x%llx", exit->cause,
				     pc);
	else if (info->signo == SIGNAL_BUS)
		process_kill_because(ut->proc, SIGNAL_BUS, "no page of its file at 0x%llx", addr);
	else
		process_kill_because(ut->proc, SIGNAL_SEGV, "may not %s 0x%llx, pc 0x%llx",
				     access_name(exit->access), addr, pc);
}

/* The thread goes on in a handler some time, or its program ends. */
static bool trap_signal(struct user_thread *ut, uint32_t signo, int32_t code, uint64_t addr,
			const struct arch_exit *exit)
{
	struct signal_info info = { .signo = signo, .code = code, .value = addr };

	if (!signal_fault(ut, &info, exit))
		thread_fault_kill(ut, &info, exit);
	return false;
}

static bool trap_fault(struct user_thread *ut, const struct arch_exit *exit)
{
	int err;

	this_core()->count->page_faults++;
	trace_event(TRACE_FAULT, exit->access, exit->pc, exit->addr);
	err = aspace_fault(ut->thread.as, exit->addr, exit->access);
	if (!err || (err == -EFAULT && trap_doorbell(ut, exit)))
		return true;
	if (err == -ENXIO)
		return trap_signal(ut, SIGNAL_BUS, BUS_ADRERR, exit->addr, exit);
	if (err != -ENOMEM)
		return trap_signal(ut, SIGNAL_SEGV, SEGV_MAPERR, exit->addr, exit);
	process_kill_because(ut->proc, SIGNAL_KILL, "out of memory: no frame for 0x%llx",
			     (unsigned long long)exit->addr);
	return false;
}

/* 1 says of each of these signals what it says here: an opcode, a breakpoint, an alignment. */
static bool trap_bad(struct user_thread *ut, const struct arch_exit *exit)
{
	uint32_t signo = signal_of(exit->cause);

	return trap_signal(ut, signo, 1, signo == SIGNAL_BUS ? exit->addr : exit->pc, exit);
}

static bool thread_trap(struct thread *t, enum arch_exit_kind kind, const struct arch_exit *exit)
{
	struct user_thread *ut = container_of(t, struct user_thread, thread);
	bool on = false;

	switch (kind) {
	case ARCH_EXIT_SYSCALL:
		return process_hooks.door(ut);
	case ARCH_EXIT_FAULT:
		on = trap_fault(ut, exit);
		break;
	case ARCH_EXIT_BAD:
		on = trap_bad(ut, exit);
		break;
	case ARCH_EXIT_RETURN:
		on = (t->inbox && inbox_return(t->inbox)) || trap_bad(ut, exit);
		break;
	case ARCH_EXIT_WAIT: /* one that receives nothing waits in vain, and on its own time */
		if (t->inbox)
			inbox_wait(t->inbox);
		return t->state == THREAD_RUNNING;
	case ARCH_EXIT_IRQ:
		return true;
	}
	if (!on && t->state == THREAD_RUNNING) /* else a handler may take it */
		thread_kill(t);
	return on;
}

/* ---- death: own core to home ----------------------------------------------------------------- */

static void death_arrives(struct mail *m)
{
	struct user_thread *ut = container_of(m, struct user_thread, mail);

	ut->proc->threads_running--;
	ut->dead = true;
	if (ut->stage)
		thread_advance(ut);
	else
		death_advance(ut->proc);
}

static void thread_dead(struct thread *t)
{
	struct user_thread *ut = container_of(t, struct user_thread, thread);

	if (t->inbox)
		inbox_close(t->inbox);
	ut->mail.deliver = death_arrives;
	mailbox_post(ut->proc->home, &ut->mail);
}

static void thread_moved(struct thread *t)
{
	process_hooks.thread_moved(container_of(t, struct user_thread, thread));
}

static void order_returns(struct mail *m)
{
	struct user_thread *ut = container_of(m, struct user_thread, kill_mail);

	if (ut->stage) {
		ut->order_back = true;
		thread_advance(ut);
		return;
	}
	ut->proc->mails_out--;
	death_advance(ut->proc);
}

static void order_back(struct user_thread *ut)
{
	ut->kill_mail.deliver = order_returns;
	mailbox_post(ut->proc->home, &ut->kill_mail);
}

static void order_reached(struct mail *m)
{
	struct user_thread *ut = container_of(m, struct user_thread, kill_mail);

	if (thread_follow(&ut->thread, m))
		return;
	thread_kill(&ut->thread);
	order_back(ut);
}

/* Where the barrier goes next. The thread is dead: nobody else changes where it has been. */
static unsigned barrier_next(struct thread *t)
{
	for (unsigned i = 0; i < CORE_WORDS; i++) {
		uint64_t left = t->been[i];

		t->been[i] &= left - 1;
		if (left)
			return i * 64 + (unsigned)__builtin_ctzll(left);
	}
	return thread_core(t);
}

/* A message that waited on an earlier core was before us there, and so is on the last one. */
static void barrier_reached(struct mail *m)
{
	struct user_thread *ut = container_of(m, struct user_thread, kill_mail);

	if (thread_core(&ut->thread) == this_core()->index)
		order_back(ut);
	else
		mailbox_post(barrier_next(&ut->thread), m);
}

void thread_order_death(struct user_thread *ut)
{
	ut->kill_mail.deliver = order_reached;
	mailbox_post(thread_core(&ut->thread), &ut->kill_mail);
}

void thread_order_barrier(struct user_thread *ut)
{
	unsigned last = thread_core(&ut->thread);

	ut->kill_mail.deliver = barrier_reached;
	ut->thread.been[last / 64] &= ~(1ull << last % 64);
	mailbox_post(barrier_next(&ut->thread), &ut->kill_mail);
}

static void threads_order(struct process *p, void (*order)(struct user_thread *ut))
{
	list_for_each(pos, &p->threads) {
		struct user_thread *ut = list_item(pos, struct user_thread, sibling);

		if (ut->stage)
			continue; /* its end is under way already */
		p->mails_out++;
		order(ut);
	}
}

void threads_kill(struct process *p)
{
	threads_order(p, thread_order_death);
}

void threads_barrier(struct process *p)
{
	threads_order(p, thread_order_barrier);
}

/* ---- birth and end, home core ---------------------------------------------------------------- */

/* Every process finds a place for its first thread; what is beyond is for the others. */
static bool thread_claim_more(void)
{
	uint32_t n = atomic_load_explicit(&threads_more, memory_order_relaxed);

	do
		if (n == THREADS_MAX - PROCESSES_MAX)
			return false;
	while (!atomic_compare_exchange_weak(&threads_more, &n, n + 1));
	return true;
}

static struct user_thread *thread_claim(struct process *p)
{
	if (p->thread_count == PROCESS_THREADS_MAX || (p->thread_count && !thread_claim_more()))
		return NULL;
	for (unsigned i = 0; i < THREADS_MAX; i++) {
		uint32_t none = 0;

		if (atomic_compare_exchange_strong(&thread_table[i].used, &none, 1))
			return &thread_table[i];
	}
	panic("the table of threads is smaller than its shares");
}

/* The last one of a process gives the first one's place back, whoever it is. */
static void thread_unclaim(struct process *p, struct user_thread *ut)
{
	if (p->thread_count)
		atomic_fetch_sub(&threads_more, 1);
	atomic_store_explicit(&ut->used, 0, memory_order_release);
}

/* What it begins with. */
static void thread_fill(struct user_thread *ut, const struct thread_spec *spec)
{
	const struct user_thread *like = spec->like;

	if (!like) {
		arch_user_init(&ut->thread.user, spec->pc, spec->sp, spec->tp, spec->arg);
		return;
	}
	arch_user_copy(&ut->thread.user, &like->thread.user, spec->sp, spec->tp);
	ut->sig.mask = like->sig.mask;
	for (unsigned i = 0; i < CORE_WORDS; i++)
		ut->thread.allowed[i] = like->thread.allowed[i];
}

int thread_create(struct process *p, const struct thread_spec *spec, struct user_thread **out)
{
	struct user_thread *ut = thread_claim(p);
	int err;

	if (!ut)
		return -EAGAIN;
	memset(&ut->thread, 0, sizeof(ut->thread));
	memset(&ut->mail, 0, sizeof(ut->mail));
	memset(&ut->kill_mail, 0, sizeof(ut->kill_mail));
	memset(ut->door, 0, sizeof(ut->door));
	ut->slot = NULL;
	ut->enter = NULL;
	ut->receiver = NULL;
	ut->proc = p;
	ut->stage = 0;
	signal_thread_init(ut);
	ut->dead = ut->order_back = ut->poked = false;
	ut->tid_at = spec->tid_at;
	ut->robust_at = 0;
	ut->thread.as = p->as;
	ut->thread.trap = thread_trap;
	ut->thread.dead = thread_dead;
	ut->thread.stopped = signal_stopped;
	ut->thread.moved = thread_moved;
	list_init(&ut->thread.link);
	/* The first thread is named as its process, as on Linux. */
	ut->tid = p->thread_count ? 0x10000 + atomic_fetch_add(&thread_ids, 1) : p->pid;
	err = process_hooks.thread_init(ut);
	if (err) {
		thread_unclaim(p, ut);
		return err;
	}
	thread_place(&ut->thread, spec->core);
	thread_fill(ut, spec);
	list_push_back(&p->threads, &ut->sibling);
	p->thread_count++;
	*out = ut;
	return 0;
}

void thread_free(struct user_thread *ut)
{
	struct process *p = ut->proc;

	process_hooks.thread_fini(ut);
	signal_thread_fini(ut);
	list_remove(&ut->sibling);
	p->thread_count--;
	thread_unclaim(p, ut);
}

void threads_free(struct process *p)
{
	list_for_each_safe(pos, &p->threads)
		thread_free(list_item(pos, struct user_thread, sibling));
}
