/*
 * prog: programs as C functions on fibers, run where the kernel believes a user thread runs.
 *
 * Each program is a real process: a tiny ELF file per program number in an archive made here,
 * loaded by proc/, whose entry point tells which function is meant. Memory accesses walk the
 * kernel's own tables; a missing page leaves the program with ARCH_EXIT_FAULT and comes back when
 * the kernel has mapped it, or never.
 */
#include "lib/prog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/internal.h"
#include "lib/timed.h"
#include "mm/aspace.h"
#include "mm/frames.h"
#include "ring/ring.h"
#include "sched/op.h"
#include "uapi/auxv.h"
#include "uapi/errno.h"
#include "uapi/syscall.h"

#define PROGRAMS_MAX 64u
#define THREAD_MAINS_MAX 16u
#define THREAD_START 128u /* in a thread's block: behind the ask and the word */
#define ENTRY_FIRST 0x200u
#define ENTRY_STEP 16u
#define ARCHIVE_BYTES (1u << 19)

struct sim_thread {
	struct arch_fiber fiber;
	struct arch_user *user;
	struct aspace *as;
	void *stack;
	unsigned core; /* where it runs now */
	enum arch_exit_kind kind;
	struct arch_exit exit;
	struct sim_prog prog;
	void (*main)(struct sim_prog *p);
};

static struct {
	void (*main)(struct sim_prog *p);
	void *arg;
	struct process *proc;
} programs[PROGRAMS_MAX];
/* threads beside the first are told by their entry what to do */
static void (*thread_mains[THREAD_MAINS_MAX])(struct sim_prog *p);
static unsigned program_count, programs_gone, programs_failed;
static uint64_t frames_before, ops_before;

/* ---- leaving and coming back ----------------------------------------------------------------- */

static struct sim_thread *thread_here(struct sim_prog *p)
{
	return p->thread;
}

/* Back into the kernel, with a reason; returns when the kernel runs the thread again. */
static void leave(struct sim_thread *t, enum arch_exit_kind kind)
{
	struct sim_core *sc = &sim_cores[t->core];

	t->kind = kind;
	sc->current = &sc->fiber;
	arch_fiber_switch(&t->fiber, &sc->fiber);
}

void prog_pause(struct sim_prog *p)
{
	struct sim_thread *t = thread_here(p);
	struct sim_core *sc = &sim_cores[t->core];

	sim_yield();
	/* a doorbell and the tick end user mode; anything else may as well */
	while (sim_timed ? sim_timed_heard(sc) || sc->tick <= sim_clock() :
			   sc->bell || sc->tick <= sim_now || sim_chance(50)) {
		sc->bell = false;
		leave(t, ARCH_EXIT_IRQ);
		sc = &sim_cores[t->core];
	}
}

static void thread_begin(void *arg)
{
	struct sim_thread *t = arg;
	struct sim_prog *p = &t->prog;
	uint64_t word, at = p->stack;

	/* argc, argv, 0, environment, 0, auxiliary vector (System V ABI) */
	prog_read(p, at, &word, 8);
	at += 8 * (word + 2);
	do {
		prog_read(p, at, &word, 8);
		at += 8;
	} while (word);
	for (;; at += 16) {
		prog_read(p, at, &word, 8);
		if (word == AT_NULL)
			sim_fail("a program found no AT_SLUICE");
		if (word == AT_SLUICE)
			break;
	}
	prog_read(p, at + 8, &word, 8);
	prog_read(p, word, &p->start, sizeof(p->start));
	t->main(p);
	prog_exit(p, 0);
}

static void more_begin(void *arg)
{
	struct sim_thread *t = arg;
	struct sim_prog *p = &t->prog;

	prog_read(p, t->user->first_arg + THREAD_START, &p->start, sizeof(p->start));
	t->main(p);
	prog_thread_exit(p, 0);
}

enum arch_exit_kind sim_user_run(struct arch_user *u, struct aspace *as, struct arch_exit *exit)
{
	struct sim_core *sc = &sim_cores[sim_here];
	struct sim_thread *t = u->frame;

	if (!t) {
		unsigned index = (unsigned)((u->pc & (PAGE_SIZE - 1)) - ENTRY_FIRST) / ENTRY_STEP;

		bool more = index >= PROGRAMS_MAX;

		sim_check(more ? index < PROGRAMS_MAX + THREAD_MAINS_MAX : index < program_count);
		t = calloc(1, sizeof(*t));
		t->user = u;
		t->as = as;
		t->stack = sim_stack_alloc();
		t->main = more ? thread_mains[index - PROGRAMS_MAX] : programs[index].main;
		t->prog = (struct sim_prog){
			.arg = more ? (void *)(uintptr_t)u->sp : programs[index].arg,
			.stack = u->sp,
			.proc = more ? NULL : programs[index].proc,
			.thread = t,
		};
		arch_fiber_init(&t->fiber, t->stack, SIM_STACK_BYTES,
				more ? more_begin : thread_begin, t);
		u->frame = t;
	}
	sc->tick = hosted_cpu_self->deadline;
	if (sim_timed ? sim_timed_heard(sc) : sc->bell) {
		sc->bell = false;
		return ARCH_EXIT_IRQ;
	}
	t->core = sim_here;
	sc->current = &t->fiber;
	arch_fiber_switch(&sc->fiber, &t->fiber);
	*exit = t->exit;
	return t->kind;
}

void sim_user_fini(struct arch_user *u)
{
	struct sim_thread *t = u->frame;

	if (!t)
		return;
	sim_stack_free(t->stack);
	free(t);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* The program's byte at `va`, present and permitted, in this instant. */
static void *touch(struct sim_thread *t, uaddr_t va, uint32_t access)
{
	uint64_t need = PTE_V | PTE_U | (access == ACCESS_WRITE ? PTE_W : PTE_R), leaf;

	prog_pause(&t->prog);
	for (;;) {
		leaf = va >= t->as->low && va < t->as->top ? aspace_leaf(t->as, va) : 0;
		if ((leaf & need) == need) {
			char *at = (char *)arch_direct(pte_paddr(leaf)) + (va & (PAGE_SIZE - 1));

			if (!sim_timed)
				return at;
			/* others may run meanwhile, and take the page away */
			sim_line_touch(at, access == ACCESS_WRITE, false, 0);
			if (aspace_leaf(t->as, va) == leaf)
				return at;
			continue;
		}
		t->exit = (struct arch_exit){
			.addr = va, .access = access, .cause = 14, .pc = t->user->pc
		};
		leave(t, ARCH_EXIT_FAULT);
	}
}

void prog_read(struct sim_prog *p, uaddr_t from, void *dst, size_t n)
{
	while (n) {
		size_t piece = min_of(n, PAGE_SIZE - (from & (PAGE_SIZE - 1)));

		memcpy(dst, touch(thread_here(p), from, ACCESS_READ), piece);
		dst = (char *)dst + piece;
		from += piece;
		n -= piece;
	}
}

void prog_write(struct sim_prog *p, uaddr_t to, const void *src, size_t n)
{
	while (n) {
		size_t piece = min_of(n, PAGE_SIZE - (to & (PAGE_SIZE - 1)));

		memcpy(touch(thread_here(p), to, ACCESS_WRITE), src, piece);
		src = (const char *)src + piece;
		to += piece;
		n -= piece;
	}
}

uint32_t prog_load(struct sim_prog *p, uaddr_t from)
{
	return atomic_load((_Atomic uint32_t *)touch(thread_here(p), from, ACCESS_READ));
}

void prog_store(struct sim_prog *p, uaddr_t to, uint32_t value)
{
	atomic_store((_Atomic uint32_t *)touch(thread_here(p), to, ACCESS_WRITE), value);
}

/* ---- the door -------------------------------------------------------------------------------- */

int64_t prog_enter(struct sim_prog *p, int64_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
		   uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct sim_thread *t = thread_here(p);

	prog_pause(p);
	memcpy(t->user->args, (uint64_t[]){ (uint64_t)nr, a0, a1, a2, a3, a4, a5 },
	       sizeof(t->user->args));
	leave(t, ARCH_EXIT_SYSCALL);
	return (int64_t)t->user->result;
}

noreturn_fn void prog_exit(struct sim_prog *p, int status)
{
	int64_t said;

	/* the door may be full for a while, as it may for any call */
	while ((said = prog_enter(p, SYS_exit_group, (uint64_t)status, 0, 0, 0, 0, 0)) == -EAGAIN)
		prog_pause(p);
	sim_fail("exit_group came back with %lld", (long long)said);
}

noreturn_fn void prog_thread_exit(struct sim_prog *p, int status)
{
	int64_t said;

	while ((said = prog_enter(p, SYS_exit, (uint64_t)status, 0, 0, 0, 0, 0)) == -EAGAIN)
		prog_pause(p);
	sim_fail("exit came back with %lld", (long long)said);
}

int32_t prog_thread(struct sim_prog *p, void (*main)(struct sim_prog *p), void *arg, uaddr_t at,
		    uint32_t core)
{
	struct sluice_thread ask = {
		.size = sizeof(ask),
		.sp = (uintptr_t)arg, /* nothing here has a stack of the program's */
		.arg = at,
		.tid = prog_thread_word(at),
		.start = at + THREAD_START,
		.core = core,
	};
	struct io_uring_sqe sqe = { .opcode = IORING_OP_THREAD,
				    .addr = at,
				    .len = sizeof(ask),
				    .user_data = at };
	unsigned i = 0;

	while (i < THREAD_MAINS_MAX && thread_mains[i] && thread_mains[i] != main)
		i++;
	sim_check(i < THREAD_MAINS_MAX);
	thread_mains[i] = main;
	ask.entry = align_down(thread_here(p)->user->pc, PAGE_SIZE) + ENTRY_FIRST +
		    (PROGRAMS_MAX + i) * ENTRY_STEP;
	prog_write(p, at, &ask, sizeof(ask));
	return prog_do(p, &sqe, NULL);
}

uaddr_t prog_map(struct sim_prog *p, uint64_t len)
{
	/* PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS: the generic Linux numbers */
	int64_t at = prog_enter(p, SYS_mmap, 0, len, 3, 0x22, (uint64_t)-1, 0);

	if (at < 0 && at > -4096)
		prog_exit(p, 99);
	return (uaddr_t)at;
}

/* ---- the ring -------------------------------------------------------------------------------- */

bool prog_sqe(struct sim_prog *p, const struct io_uring_sqe *sqe)
{
	const struct sluice_start *s = &p->start;

	if (p->sq_tail - prog_load(p, s->sq_ring + s->params.sq_off.head) == s->params.sq_entries)
		return false;
	prog_write(p, s->sqes + (p->sq_tail & (s->params.sq_entries - 1)) * sizeof(*sqe), sqe,
		   sizeof(*sqe));
	p->sq_tail++;
	return true;
}

void prog_submit(struct sim_prog *p)
{
	const struct sluice_start *s = &p->start;
	uint32_t fresh;

	prog_store(p, s->sq_ring + s->params.sq_off.tail, p->sq_tail);
	if (!(s->params.flags & IORING_SETUP_SQPOLL)) {
		/* with what an earlier call has left, because the pool was empty */
		fresh = p->sq_tail - prog_load(p, s->sq_ring + s->params.sq_off.head);
		if (fresh)
			prog_enter(p, SYS_io_uring_enter, (uint64_t)s->ring_fd, fresh, 0, 0, 0, 0);
	} else if (prog_load(p, s->sq_ring + s->params.sq_off.flags) & IORING_SQ_NEED_WAKEUP) {
		prog_enter(p, SYS_io_uring_enter, (uint64_t)s->ring_fd, 0, 0,
			   IORING_ENTER_SQ_WAKEUP, 0, 0);
	}
}

bool prog_cqe(struct sim_prog *p, struct io_uring_cqe *cqe)
{
	const struct sluice_start *s = &p->start;

	if (p->cq_head == prog_load(p, s->cq_ring + s->params.cq_off.tail))
		return false;
	prog_read(p,
		  s->cq_ring + s->params.cq_off.cqes +
			  (p->cq_head & (s->params.cq_entries - 1)) * sizeof(*cqe),
		  cqe, sizeof(*cqe));
	p->cq_head++;
	prog_store(p, s->cq_ring + s->params.cq_off.head, p->cq_head);
	return true;
}

void prog_wait(struct sim_prog *p, uint32_t n)
{
	prog_enter(p, SYS_io_uring_enter, (uint64_t)p->start.ring_fd, 0, n, IORING_ENTER_GETEVENTS,
		   0, 0);
}

void prog_wait_cqe(struct sim_prog *p, struct io_uring_cqe *cqe)
{
	unsigned patience = (unsigned)sim_below(30);

	while (!prog_cqe(p, cqe)) {
		if (patience)
			patience--;
		else
			prog_wait(p, 1);
	}
}

int32_t prog_do(struct sim_prog *p, const struct io_uring_sqe *sqe, uint32_t *flags)
{
	struct io_uring_cqe cqe;

	sim_check(prog_sqe(p, sqe));
	prog_submit(p);
	prog_wait_cqe(p, &cqe);
	sim_check(cqe.user_data == sqe->user_data);
	if (flags)
		*flags = cqe.flags;
	return cqe.res;
}

int64_t prog_call(struct sim_prog *p, uint16_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
		  uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct sluice_syscall_sqe call = {
		.opcode = IORING_OP_SYSCALL,
		.nr = nr,
		.a0 = a0,
		.a1 = a1,
		.a2 = a2,
		.a3 = a3,
		.a4 = a4,
		.a5 = a5,
		.user_data = sim_random(),
	};
	struct io_uring_cqe wide = { 0 };
	struct io_uring_sqe sqe;

	memcpy(&sqe, &call, sizeof(sqe));
	wide.res = prog_do(p, &sqe, &wide.flags);
	return sluice_wide_result(&wide);
}

/* ---- processes ------------------------------------------------------------------------------- */

/* Appends one newc entry at `at` (cpio(5)) and returns its end. */
static char *archive_entry(char *at, const char *name, const void *data, size_t size)
{
	size_t name_size = strlen(name) + 1;

	sprintf(at, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 1, 0100755, 0, 0,
		1, 0, (unsigned)size, 0, 0, 0, 0, (unsigned)name_size, 0);
	strcpy(at + 110, name);
	at += align_up(110 + name_size, 4ul);
	memcpy(at, data, size);
	return at + align_up(size, 4ul);
}

/* "/bin/N" for each program number: an ELF file of one page, whose entry point carries the number.
 * Sources: System V ABI, chapters 4, 5. */
void sim_archive_make(void)
{
	paddr_t base = HOSTED_RAM_BASE + hosted_ram_bytes - ARCHIVE_BYTES;
	char *start = arch_direct(base), *at = start, name[16];

	for (unsigned i = 0; i < PROGRAMS_MAX; i++) {
		uint64_t image[512] = { 0 };
		uint8_t *b = (uint8_t *)image;

		memcpy(b, "\x7f" "ELF\2\1\1", 7);
		b[16] = 3; /* ET_DYN */
		b[18] = ARCH_ELF_MACHINE;
		b[20] = 1;
		image[3] = ENTRY_FIRST + i * ENTRY_STEP;
		image[4] = 64; /* e_phoff */
		b[52] = 64;
		b[54] = 56; /* e_phentsize */
		b[56] = 1;
		b[64] = 1; /* PT_LOAD */
		b[68] = 5; /* readable, executable */
		image[12] = image[13] = sizeof(image); /* p_filesz, p_memsz */
		image[14] = PAGE_SIZE;
		snprintf(name, sizeof(name), "bin/%u", i);
		at = archive_entry(at, name, image, sizeof(image));
	}
	at = archive_entry(at, "TRAILER!!!", "", 0);
	if ((size_t)(at - start) > ARCHIVE_BYTES)
		sim_fail("the archive of programs is too large");
	arch_boot.initrd = (struct arch_range){ base, (uint64_t)(at - start) };
	arch_boot.reserved[arch_boot.reserved_count++] = (struct arch_range){ base, ARCHIVE_BYTES };
}

static void program_exited(struct process *p, void *arg)
{
	(void)arg;
	programs_gone++;
	programs_failed += p->exit_status != 0;
}

struct spawn {
	unsigned index, user_core, home;
	struct process *proc;
};

static void spawn_here(void *arg)
{
	struct spawn *s = arg;
	char path[16];
	const char *argv[] = { path, NULL }, *envp[] = { NULL };
	struct process_spec spec = {
		.path = path,
		.argv = argv,
		.envp = envp,
		.home = s->home,
		.user_core = s->user_core,
		.exited = program_exited,
	};
	int err;

	snprintf(path, sizeof(path), "/bin/%u", s->index);
	err = process_spawn(&spec, &s->proc);
	if (err)
		sim_fail("a program does not start: error %d", -err);
}

static uint64_t ops_free(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < cores_count; i++)
		if (cores[i])
			sum += ops_free_count(cores[i]);
	return sum;
}

struct process *sim_spawn(void (*main)(struct sim_prog *p), void *arg, unsigned user_core,
			  unsigned home)
{
	struct spawn s = { .index = program_count, .user_core = user_core, .home = home };

	if (program_count == PROGRAMS_MAX)
		sim_fail("more than %u programs", PROGRAMS_MAX);
	if (!program_count) {
		frames_before = frames_free_count();
		ops_before = ops_free();
	}
	programs[program_count].main = main;
	programs[program_count].arg = arg;
	program_count++;
	sim_on_core(home, spawn_here, &s);
	programs[s.index].proc = s.proc;
	return s.proc;
}

unsigned sim_alive(void)
{
	return program_count - programs_gone;
}

unsigned sim_failed_programs(void)
{
	return programs_failed;
}

struct killing {
	struct process *proc;
};

static void kill_here(void *arg)
{
	process_kill(((struct killing *)arg)->proc, 9);
}

void sim_kill(struct process *p)
{
	struct killing k = { p };

	sim_on_core((unsigned)sim_below(cores_count), kill_here, &k);
}

/* From its home core, which knows whether it is alive. */
static void move_here(void *arg)
{
	struct process *p = ((struct killing *)arg)->proc;
	unsigned to = (unsigned)sim_below(cores_count + 1);
	struct list *at = &p->threads;
	int err;

	if (p->state != PROCESS_ALIVE || atomic_load(&p->used) != 2)
		return;
	for (uint64_t n = sim_below(p->thread_count) + 1; n; n--)
		at = at->next;
	err = thread_move(list_item(at, struct user_thread, sibling), to);
	if (to == cores_count || !(cores[to]->roles & ROLE_USER))
		sim_check(err == -EINVAL);
	else
		sim_check(!err || err == -EBUSY);
}

void sim_move(struct process *p)
{
	struct killing k = { p };

	sim_on_core(p->home, move_here, &k);
}

static void move_ring_here(void *arg)
{
	unsigned to = (unsigned)sim_below(cores_count + 1);
	int err = ring_move(arg, to);

	if (to == cores_count || !(cores[to]->roles & ROLE_SERVES))
		sim_check(err == -EINVAL);
	else
		sim_check(!err || err == -EBUSY || err == -EALREADY || err == -EINVAL);
}

void sim_move_ring(struct process *p)
{
	unsigned n = 0;

	if (atomic_load(&p->used) != 2)
		return;
	list_for_each(pos, &p->rings)
		n++;
	n = n ? (unsigned)sim_below(n) : 0;
	list_for_each(pos, &p->rings) {
		struct ring *r = list_item(pos, struct ring, sibling);

		if (!n-- && r->core != RING_NOWHERE)
			sim_on_core(r->core, move_ring_here, r);
	}
}

static bool all_gone(void *arg)
{
	(void)arg;
	return !sim_alive();
}

static bool all_back(void *arg)
{
	(void)arg;
	return frames_free_count() == frames_before && ops_free() == ops_before;
}

static void show_counters(void)
{
	char text[2048];

	counters_print(text, sizeof(text));
	fprintf(stderr, "%s", text);
}

void sim_finish(void)
{
	sim_until(all_gone, NULL);
	sim_busy = false;
	sim_for(100000000); /* closes and frees are still on their way */
	if (sim_verbose)
		show_counters();
	if (!all_back(NULL))
		sim_fail("not given back: %lld frames, %lld ops",
			 (long long)(frames_before - frames_free_count()),
			 (long long)(ops_before - ops_free()));
}
