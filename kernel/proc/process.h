/*
 * process: an isolated program: address space, descriptor table, threads, rings; how it is born,
 * how it dies.
 *
 * A process belongs to its home core (a serving core; its rings live there too unless moved to
 * where their socket or disk lives): birth, death, the descriptor table and the region list are
 * changed there only. Descriptor look-ups may come from any serving core: they read the slot, take
 * a reference if the file is alive, and re-read the slot.
 *
 *   LOADING -> ALIVE -> DYING (threads stopped, ops cancelled, devices done, descriptors closed: death.c) -> gone
 */
#ifndef PROC_PROCESS_H
#define PROC_PROCESS_H

#include "proc/signal.h"
#include "sched/file.h"
#include "sched/op.h"
#include "sched/thread.h"

#define PROCESS_FDS_MAX 4096
#define PROCESSES_MAX 64
#define PROCESS_ANY_CORE UINT32_MAX
#define PROCESS_RINGS_MAX 64
#define PROCESS_THREADS_MAX 64u
#define STACK_BYTES (8ull << 20) /* of the first thread */
#define PROCESS_FUTEXES 16u /* wait lists, by address */

struct process;
struct ring;
struct sluice_start;
struct receiver;

enum process_state { PROCESS_LOADING, PROCESS_ALIVE, PROCESS_DYING };

struct process {
	/* set once at birth */
	uint32_t pid;
	uint32_t home; /* core index */
	char name[32];
	struct aspace *as;

	/* home core only */
	uint8_t state;
	int32_t exit_status; /* as wait4 encodes it: code << 8, or signal number */
	uint32_t thread_count;
	struct list threads;  /* of struct user_thread.sibling */
	struct user_thread *first; /* the thread it was born with; NULL once that was told to end */
	int32_t first_status;	   /* what that gave, as exit_status */
	uint32_t threads_live;	   /* threads that nobody has told to end */
	uint32_t threads_ending;   /* told to end while the process goes on, and not yet gone */
	struct waitlist futexes[PROCESS_FUTEXES]; /* FUTEX_WAIT ops, owned by ring/ */
	struct list rings;    /* of struct ring.sibling */
	struct list link;     /* all processes */
	uint8_t stage;	      /* of dying: death.c */
	bool poked;	      /* poke_mail is under way */
	uint32_t threads_running; /* threads that are not dead yet */
	uint32_t mails_out;   /* messages to threads' cores that have not come back */
	/* any core asks for death by posting this, once: dying; then the home core's, to itself */
	struct mail die_mail;
	uaddr_t shed_at; /* how far its pages are gone; home core */
	struct mail poke_mail;
	void (*exited)(struct process *p, void *arg); /* told at the very end, on the home core */
	void *exited_arg;

	/* any core, atomic */
	_Atomic uint32_t dying; /* set first by whoever asks for death */
	_Atomic int32_t dying_status;
	struct file *_Atomic *fds; /* PROCESS_FDS_MAX slots */
	_Atomic uint64_t fd_cloexec[PROCESS_FDS_MAX / 64];
	_Atomic uint32_t used; /* the slot in the table of processes is taken */
	_Atomic uint32_t fd_hint; /* lowest slot that may be free */
	/* made by the home core when signals are asked for first; any core may ask whether there
	 * is one */
	struct signals *_Atomic signals;
	_Atomic uint64_t unserved[8]; /* bit per system call it trapped for in vain, told once */
	/* why it was killed; written by the asker who came first, before die_mail */
	char reason[96];
	uaddr_t brk_base, brk; /* home core: the heap that brk moves */

	/* home core only: those it started, and WAITID ops */
	struct list children;
	struct waitlist child_waiters;

	/* as a child: parent_home is set at birth (PROCESS_ANY_CORE: nobody's child), the rest
	 * belongs to that core */
	uint32_t parent_home;
	bool ended;
	struct process *parent; /* NULL: it died first */
	struct list child_link;
	struct mail exit_mail;

	/* set before the first SQE; consulted at dequeue: a cleared bit refuses with -EACCES */
	uint64_t allow_opcode[4];
	uint64_t allow_syscall[8];
	uint8_t restricted; /* 0: the two maps are all ones and need no look */
};

struct user_thread {
	struct thread thread; /* what the core sees */
	struct process *proc;
	struct list sibling; /* home core only */
	struct mail mail;    /* its death, on the way home; afterwards thread_poke's */
	struct mail kill_mail; /* from home and back: the order to die, later the barrier */
	uint32_t tid;
	_Atomic uint32_t used; /* the slot in the table of threads is taken */

	/* home core only */
	uint8_t stage;	   /* how far its end has come while its process goes on: threads.c */
	bool dead;	   /* its core has said that it will never run again */
	bool order_back;   /* kill_mail is at home again */
	bool poked;	   /* `mail` is under way as a poke */
	uaddr_t tid_at;	   /* word that is 0 when it has ended, and woken; 0: none */
	uaddr_t robust_at; /* head of its robust list; 0: none */

	/* the thread's kernel-private one-deep submission slot (the ecall door), owned by ring/ */
	struct ring *slot;
	/* waiting in enter: owned by ring/ */
	void *enter;
	struct receiver *receiver; /* of notices, owned by ring/; home core */
	struct signal_thread sig;
	uint64_t door[8]; /* number and arguments of the trap being served, owned by ring/ */
};

/* ---- what ring/ hands down (calls upwards go through pointers) ------------------------------- */

struct process_hooks {
	/* Gives a loading process its native ring: maps it, installs its descriptor, fills `start`.
	 * Home core. 0 or -errno. */
	int (*ring_create)(struct process *p, struct sluice_start *start);
	/* A thread trapped by the door. On the thread's core. Returns true if it may go on at
	 * once. */
	bool (*door)(struct user_thread *t);
	/* Dying: refuse new entries, cancel everything in flight on all rings and slots of `p`.
	 * Home core, idempotent; called again whenever something finished. Returns ops still in
	 * flight (devices), 0 when the rings are empty. */
	unsigned (*quiesce)(struct process *p);
	/* After quiesce returned 0 and all threads are dead: unmap and free all rings and slots. */
	void (*rings_free)(struct process *p);
	/* Gives a new thread its slot; and takes it back. */
	int (*thread_init)(struct user_thread *t);
	void (*thread_fini)(struct user_thread *t);
	/* It has come to this core. */
	void (*thread_moved)(struct user_thread *t);
	/* A dead thread of a process that goes on: ends what its slot has in flight and its wait in
	 * enter. 0: nothing is left; else called again after thread_poke. Home core. */
	unsigned (*thread_quiesce)(struct user_thread *t);
	/* A signal came for a thread that is in a call: the call ends, if it can. Home core. */
	void (*thread_interrupt)(struct user_thread *t);
	/* It has ended for good: whoever waits for its word is told. Home core. */
	void (*thread_ended)(struct user_thread *t);
};
extern struct process_hooks process_hooks;

/* ---- birth and death ------------------------------------------------------------------------- */

/* Boot: pools, the hooks are set by ring_init later. */
void processes_init(void);

struct process_spec {
	const char *path;	    /* in the initrd */
	const char *const *argv;    /* NULL-terminated, argv[0] included; copied */
	const char *const *envp;
	uint32_t home;		    /* serving core index */
	uint32_t user_core;	    /* runs the first thread; PROCESS_ANY_CORE: the least loaded */
	void (*exited)(struct process *p, void *arg);
	void *exited_arg;
	/* what it begins with: its descriptor i is files[i], NULL closed; none: the console */
	struct file *const *files;
	uint32_t file_count;
	struct process *parent; /* it must be alive until process_adopt; NULL: nobody's child */
};
/* Loads a static ELF file (ET_EXEC or static-pie ET_DYN) into a new process with one thread and its
 * native ring, descriptors 0, 1, 2 on /dev/console, and starts it. Home core; never parks; in a
 * long step it opens windows. 0, or -errno with a printed sentence naming the place (-ENOENT,
 * -ENOEXEC truncated or foreign, -ENOMEM). */
must_use int process_spawn(const struct process_spec *spec, struct process **out);

/* The child that process_spawn made for spec->parent is its: on the parent's home core, before any
 * message that the child's home core sends later. */
void process_adopt(struct process *parent, struct process *child);
/* Takes an ended child (child->ended) away. The parent's home core. */
void process_reap(struct process *child);
/* Checks where a process is to be: 0 or -EINVAL. Of *home it also chooses what is PROCESS_ANY_CORE:
 * this core. */
must_use int process_place(uint32_t user_core, uint32_t *home);

/* Any core, any number of times: the first caller's status counts. The process is gone some time
 * later (exited hook). */
void process_kill(struct process *p, int32_t wait_status);
/* The same by signal `signo` (uapi numbers), with the reason that its last line gives. */
void process_kill_because(struct process *p, unsigned signo, const char *fmt, ...)
	printf_like(3, 4);

/* Home core: something a dying process waits for has finished. Only posts a message: callable from
 * inside ring code. */
void process_poke(struct process *p);

/* NULL if there is none. Only its home core may use what comes back. */
struct process *process_find(uint32_t pid);
unsigned processes_count(void);
/*
 * Parses the boot argument `run`: programs separated by `;`, each `[@U[:H]] PATH [ARG...]` (U: core
 * that runs it, H: its home; left out: the least loaded user core, the first that serves), before
 * the path perhaps NAME=VALUE of its environment, and spawns each on its home core, in their order.
 * With `exit=power` the machine is switched off after the last exit, with status 0 only if every
 * program exited 0. A senseless list is refused with a sentence. Boot core, before the cores start
 * or after.
 */
void processes_run_boot_list(void);
/* Orderly end of the machine: kills every process, waits, prints counters and the leak report
 * (frames and ops free now against before the first process), powers off. Any core. */
void processes_shutdown(void);

/* ---- where threads run: move.c --------------------------------------------------------------- */

/* thread_send (sched/thread.h says who may ask, and what it answers). */
must_use int thread_move(struct user_thread *t, unsigned to);
/* Boot: the argument shuffle_us=N makes every thread move to the next user core it may be on each N
 * microseconds. */
void moves_init(void);
/* ---- threads --------------------------------------------------------------------------------- */

struct thread_spec {
	uint32_t core; /* that runs it */
	uaddr_t pc, sp, tp;
	uint64_t arg;
	uaddr_t tid_at; /* see struct user_thread; not written here */
	/* all other registers, mask of signals and affinity as this one's, which is parked in its
	 * trap and settled, and 0 for its result (`pc` and `arg` are not looked at); NULL: fresh */
	const struct user_thread *like;
};
/* One more thread of an ALIVE process, not yet started: the caller does what must be done before
 * its first instruction and calls process_thread_start. 0, -EAGAIN
 * (PROCESS_THREADS_MAX, or the machine's table is full). Home core. */
must_use int process_thread_make(struct process *p, const struct thread_spec *spec,
				 struct user_thread **out);
void process_thread_start(struct user_thread *t);
/* The thread of that number; NULL: there is none, or it is ending. Home core. */
struct user_thread *process_thread_find(struct process *p, uint32_t tid);
/* `t` ends; or its process, if there is no other thread: with the status of its first one. Who is
 * the last may be NULL. `wait_status` as in process_kill. Home core; returns before it has
 * happened. */
void process_thread_end(struct process *p, struct user_thread *t, int32_t wait_status);
/* Something that an ending thread waits for has happened. Only posts a message. Home core. */
void thread_poke(struct user_thread *t);
/* What a program is told about the thread that `user_core` runs, but for its ring. */
void process_announce(struct sluice_start *start, uint32_t user_core, uint32_t home);

/* ---- descriptors ----------------------------------------------------------------------------- */

/* A referenced file, or NULL (-EBADF). Any serving core. */
struct file *fd_get(struct process *p, int fd);
/* Installs at the lowest free slot >= from, taking a handle (and its reference) of its own: the
 * caller keeps its reference. Any serving core. The descriptor, or -EMFILE. */
must_use int fd_install(struct process *p, struct file *f, int from, bool cloexec);
/* Closes; 0 or -EBADF. Home core. */
int fd_close(struct process *p, int fd);
must_use int fd_dup(struct process *p, int fd, int from);
/* Installs at exactly `fd`, closing what was there. `fd`, or -EBADF (out of range). Home core. */
must_use int fd_replace(struct process *p, struct file *f, int fd, bool cloexec);
/* The close-on-exec mark. 0/1 or -EBADF; 0 or -EBADF. Home core. */
int fd_cloexec_get(struct process *p, int fd);
int fd_cloexec_set(struct process *p, int fd, bool on);

#endif
