/*
 * process: the table of processes and their birth. Death is in death.c, descriptors in fd.c, the
 * run list in boot.c.
 *
 * A slot of the table is claimed by compare-and-swap, so that any home core may give birth;
 * everything else about a process happens on its own home core. Memory of processes is type-stable.
 */
#include "proc/process.h"

#include <stdio.h>
#include <string.h>

#include "base/cmdline.h"
#include "base/print.h"
#include "base/trace.h"
#include "drivers/drivers.h"
#include "fs/fs.h"
#include "mm/frames.h"
#include "proc/internal.h"
#include "sched/preempt.h"
#include "uapi/errno.h"
#include "uapi/fs.h"

struct process_hooks process_hooks;
_Atomic uint32_t processes_refused;

/* set once at boot */
static struct process *process_table;
static uint64_t resident_max; /* frames one program may have */
static bool uintr_all;	      /* every program gets user interrupts */
/* any core, atomic */
static _Atomic uint32_t process_ids;
static _Atomic uint32_t process_count;

void processes_init(void)
{
	uint64_t mib = cmdline_find_u64("mem_limit", 0);
	const char *uintr = cmdline_find("uintr");

	process_table = frames_boot_alloc(sizeof(*process_table) * PROCESSES_MAX);
	threads_init();
	moves_init();
	resident_max = mib ? mib << (20 - PAGE_SHIFT) : frames_free_count() / 2;
	console_attention = processes_shutdown;
	if (uintr && strcmp(uintr, "all"))
		kprint("boot argument uintr=%s: only `all` is known\n", uintr);
	else if (uintr && arch_kind_missing(ARCH_KIND_UINTR))
		kprint("uintr=all: all programs stay plain: this machine cannot, %s\n",
		       arch_kind_missing(ARCH_KIND_UINTR));
	else
		uintr_all = uintr;
}

unsigned processes_count(void)
{
	return atomic_load(&process_count);
}

struct process *process_at(unsigned index)
{
	struct process *p = &process_table[index];

	return index < PROCESSES_MAX && atomic_load(&p->used) == 2 ? p : NULL;
}

struct process *process_find(uint32_t pid)
{
	for (unsigned i = 0; i < PROCESSES_MAX; i++) {
		struct process *p = process_at(i);

		if (p && p->pid == pid)
			return p;
	}
	return NULL;
}

static struct process *process_claim(void)
{
	for (unsigned i = 0; i < PROCESSES_MAX; i++) {
		struct process *p = &process_table[i];
		uint32_t none = 0;

		if (!atomic_compare_exchange_strong(&p->used, &none, 1))
			continue;
		memset(p, 0, sizeof(*p));
		atomic_store(&p->used, 1);
		atomic_fetch_add(&process_count, 1);
		return p;
	}
	return NULL;
}

void process_gone(struct process *p)
{
	atomic_store(&p->used, 1);
	atomic_fetch_sub(&process_count, 1);
}

void process_slot_free(struct process *p)
{
	atomic_store(&p->used, 0);
}

static void process_name(struct process *p, const char *path)
{
	const char *base = strrchr(path, '/');

	snprintf(p->name, sizeof(p->name), "%s", base ? base + 1 : path);
}

/* Descriptors 0, 1 and 2, in this order. */
static int spawn_console(struct process *p)
{
	struct file *console;
	int err = fs_open("/dev/console", O_RDWR, 0, &console);

	if (err)
		return err;
	for (int fd = 0; fd < 3 && !err; fd++) {
		int made = fd_install(p, console, fd, false);

		err = made < 0 ? made : 0;
	}
	file_put(console);
	return err;
}

static int spawn_descriptors(struct process *p, const struct process_spec *spec)
{
	int err = 0;

	if (!spec->file_count)
		return spawn_console(p);
	for (uint32_t i = 0; i < spec->file_count && err >= 0; i++)
		if (spec->files[i])
			err = fd_replace(p, spec->files[i], (int)i, false);
	return min_of(err, 0);
}

/* What the kernel knows before the ring is made; ring_create adds the rest. */
void process_announce(struct sluice_start *start, uint32_t user_core, uint32_t home)
{
	*start = (struct sluice_start){
		.size = sizeof(*start),
		.version = SLUICE_START_VERSION,
		.ring_fd = -1,
		.enter_fn = arch_user_enter_fn(),
		.time_hz = arch_user_time_hz(),
		.core = user_core,
		.kernel_core = home,
	};
	if (cmdline_find("spin_us")) {
		start->spin_us = (uint32_t)(cores[user_core]->spin.max / 1000);
		start->flags |= SLUICE_START_SPIN_GIVEN;
	}
	if (cores[user_core]->spin.fixed)
		start->flags |= SLUICE_START_SPIN_FIXED;
	for (unsigned i = 0; i < CORES_MAX; i++)
		start->user_cores += cores[i] && (cores[i]->roles & ROLE_USER);
	if (start->enter_fn)
		start->flags |= SLUICE_START_HOSTED;
	if (user_core == home)
		start->flags |= SLUICE_START_MIXED;
}

/* A program asks for user interrupts by its file's note, `uintr=all` asks for every program, and
 * its environment has the last word (SLUICE_UINTR=0 or 1). Where the machine has none all are
 * plain, and may have upcalls. */
static bool process_asks(const struct process_spec *spec, uint32_t notes)
{
	bool asked = uintr_all || (notes & SLUICE_NOTE_UINTR);

	for (const char *const *e = spec->envp; e && *e; e++)
		if (!strcmp(*e, "SLUICE_UINTR=1") || !strcmp(*e, "SLUICE_UINTR=0"))
			asked = (*e)[13] == '1';
	return asked;
}

static int spawn_first_thread(struct process *p, const struct process_spec *spec,
			      const struct elf_info *elf, bool asked)
{
	uint32_t core = spec->user_core == PROCESS_ANY_CORE ? placement_least_loaded() :
							      spec->user_core;
	struct sluice_start start;
	struct thread_spec thread;
	struct user_thread *ut;
	uaddr_t sp;
	int err;

	process_announce(&start, core, spec->home);
	if (asked && p->as->kind == ARCH_KIND_PLAIN)
		start.flags |= SLUICE_START_UPCALLS;
	err = process_hooks.ring_create(p, &start);
	if (err) {
		kprint("%s: no ring for it: error %d\n", spec->path, -err);
		return err;
	}
	err = stack_build(p, spec, elf, &start, &sp);
	if (err) {
		kprint("%s: %s\n", spec->path,
		       err == -E2BIG ? "its arguments do not fit the start block" :
				       "no memory for its stack");
		goto out_rings;
	}
	thread = (struct thread_spec){ .core = core, .pc = elf->entry, .sp = sp };
	err = thread_create(p, &thread, &ut);
	if (err) {
		kprint("%s: no thread for it: error %d\n", spec->path, -err);
		goto out_rings;
	}
	p->state = PROCESS_ALIVE;
	p->first = ut;
	atomic_store(&p->used, 2);
	trace_event(TRACE_PROC, 0, p->pid, 0);
	process_thread_start(ut);
	return 0;

out_rings:
	while (process_hooks.quiesce(p))
		; /* nothing was submitted: empty at once */
	fds_close_all(p);
	process_hooks.rings_free(p);
	return err;
}

int process_spawn(const struct process_spec *spec, struct process **out)
{
	struct elf_info elf;
	struct process *p;
	enum arch_kind kind;
	const void *image;
	uint32_t notes;
	size_t size;
	bool asked;
	int err;

	if (atomic_load(&processes_refused))
		return -EAGAIN;
	image = initrd_find(spec->path, &size);
	if (!image) {
		if (!spec->parent)
			kprint("%s: no such file in the initrd\n", spec->path);
		return -ENOENT;
	}
	err = elf_notes(spec->path, image, size, &notes);
	if (err)
		return err;
	asked = process_asks(spec, notes);
	kind = asked && !arch_kind_missing(ARCH_KIND_UINTR) ? ARCH_KIND_UINTR : ARCH_KIND_PLAIN;
	p = process_claim();
	if (!p) {
		kprint("%s: %u processes are the limit\n", spec->path, PROCESSES_MAX);
		return -EAGAIN;
	}
	p->pid = atomic_fetch_add(&process_ids, 1) + 1;
	p->home = spec->home;
	p->state = PROCESS_LOADING;
	p->exited = spec->exited;
	p->exited_arg = spec->exited_arg;
	process_name(p, spec->path);
	memset(p->allow_opcode, 0xff, sizeof(p->allow_opcode));
	memset(p->allow_syscall, 0xff, sizeof(p->allow_syscall));
	list_init(&p->threads);
	list_init(&p->rings);
	list_init(&p->link);
	list_init(&p->children);
	waitlist_init(&p->child_waiters);
	for (unsigned i = 0; i < PROCESS_FUTEXES; i++)
		waitlist_init(&p->futexes[i]);
	list_init(&p->child_link);
	p->parent_home = PROCESS_ANY_CORE;
	if (spec->parent) {
		p->parent_home = spec->parent->home;
		p->restricted = spec->parent->restricted;
		memcpy(p->allow_opcode, spec->parent->allow_opcode, sizeof(p->allow_opcode));
		memcpy(p->allow_syscall, spec->parent->allow_syscall, sizeof(p->allow_syscall));
	}
	death_init(p);
	err = -ENOMEM;
	p->as = aspace_create_kind(kind);
	if (!p->as || fds_init(p)) {
		kprint("%s: no memory for a process\n", spec->path);
		goto out_memory;
	}
	p->as->resident_max = resident_max;
	if (preempt_may())
		preempt_here();
	err = elf_load(p->as, spec->path, image, size, &elf);
	if (err)
		goto out_memory;
	p->brk_base = p->brk = elf.end;
	err = spawn_descriptors(p, spec);
	if (preempt_may())
		preempt_here();
	if (!err && atomic_load(&processes_refused)) {
		err = -EAGAIN; /* since it was loaded */
		goto out_fds;
	}
	if (err) {
		kprint("%s: no console for it: error %d\n", spec->path, -err);
		goto out_fds;
	}
	err = spawn_first_thread(p, spec, &elf, asked);
	if (err)
		goto out_fds;
	if (out)
		*out = p;
	return 0;

out_fds:
	fds_close_all(p);
out_memory:
	fds_free(p);
	if (p->as)
		aspace_put(p->as);
	process_gone(p);
	process_slot_free(p);
	return err;
}
