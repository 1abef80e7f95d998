/*
 * internal: what the files of proc/ say to each other and to nobody else.
 */
#ifndef PROC_INTERNAL_H
#define PROC_INTERNAL_H

#include "proc/process.h"
#include "uapi/sluice.h"

/* ---- elf.c */

struct elf_info {
	uaddr_t entry;
	uaddr_t phdr; /* user address of the program headers; 0 when no segment holds them */
	uint32_t phnum;
	uaddr_t end; /* first page behind the highest segment */
};

/* Maps the segments of `image` into `as`. 0, -ENOEXEC or -ENOMEM; each refusal prints one sentence
 * that names `path` and the place. What was mapped before the refusal stays: the caller throws the
 * space away. Never parks. */
must_use int elf_load(struct aspace *as, const char *path, const void *image, size_t size,
		      struct elf_info *out);

/* What the file's own notes ask for: SLUICE_NOTE_* bits. 0; -ENOEXEC as elf_load. */
must_use int elf_notes(const char *path, const void *image, size_t size, uint32_t *wanted);

/* ---- stack.c */

#define STACK_GUARD_BYTES (64ull << 10)

/* Maps the lazy stack with its guard, and writes argc, argv, envp, the auxiliary vector and `start`
 * on it. 0 with *sp, or
 * -E2BIG, -ENOMEM. */
must_use int stack_build(struct process *p, const struct process_spec *spec,
			 const struct elf_info *elf, const struct sluice_start *start, uaddr_t *sp);

/* ---- threads.c */

/* Boot: the table of threads. */
void threads_init(void);
/* A new thread of `p`, not started. 0, -EAGAIN (too many threads), or what its slot's making
 * answers. Home core. */
must_use int thread_create(struct process *p, const struct thread_spec *spec,
			   struct user_thread **out);
/* Home core: the order to die to every thread that is not ending by itself, and the barrier
 * afterwards; each comes back by one message and counts p->mails_out down. */
void threads_kill(struct process *p);
void threads_barrier(struct process *p);
/* All threads dead and all messages back: takes them apart. */
void threads_free(struct process *p);
/* The same for one of them. */
void thread_free(struct user_thread *ut);
void thread_order_death(struct user_thread *ut);
void thread_order_barrier(struct user_thread *ut);

/* A fault that nobody handles ends the program, with the line that says why. Any core. */
void thread_fault_kill(struct user_thread *ut, const struct signal_info *info,
		       const struct arch_exit *exit);

/* ---- ending.c */

/* A message about an ending thread (ut->stage) has come home. */
void thread_advance(struct user_thread *ut);

/* ---- process.c */

/* The table, for those who walk it: NULL when the slot is empty. */
struct process *process_at(unsigned index);
/* The process is gone; its slot is free when process_slot_free says so. */
void process_gone(struct process *p);
void process_slot_free(struct process *p);
/* nonzero: the machine is going down, nothing is born any more */
extern _Atomic uint32_t processes_refused;

/* ---- death.c */

/* Called on the home core whenever something a dying process waits for may have happened. */
void death_advance(struct process *p);
void death_init(struct process *p);

/* ---- child.c */

/* A child is gone, all but its slot: tells the core of its parent. */
void child_tell(struct process *p);
/* A parent is gone: its children are nobody's. Its home core. */
void children_orphan(struct process *parent);

/* ---- boot.c */

/* A process is gone. Home core. */
void boot_exited(int32_t wait_status);

/* ---- fd.c */

must_use int fds_init(struct process *p);
void fds_close_all(struct process *p);
void fds_free(struct process *p);

#endif
