/*
 * hosted: what the files of this machine, the hosted drivers, and the simulator know of each other.
 *
 * Set once by main() or by a test's start, before the first core runs; only struct hosted_cpu
 * changes later.
 */
#ifndef ARCH_HOSTED_HOSTED_H
#define ARCH_HOSTED_HOSTED_H

#include <stdatomic.h>
#include <sys/types.h>

#include "arch/arch.h"

#define HOSTED_FORWARDS_MAX 16
#define HOSTED_STACK_BYTES                                                                         \
	(1024 * 1024ul) /* per core; sanitizers make frames several times larger */

struct hosted_forward {
	uint16_t host_port, guest_port;
};

/* What the command line asked for. */
struct hosted_options {
	unsigned cores;
	uint64_t ram_bytes;
	const char *initrd;
	const char *cmdline;
	const char *disk;
	unsigned forward_count;
	struct hosted_forward forward[HOSTED_FORWARDS_MAX];
};
extern struct hosted_options hosted_options;

/*
 * Makes the machine: RAM, direct map, user windows, clock, signal handlers, arch_boot. `initrd` is
 * loaded into the end of RAM and set aside. Once per process. 0, or -errno with a sentence on
 * stderr.
 */
must_use int hosted_machine_init(const struct hosted_options *o);

/* Makes the calling thread core `index`: kernel_main's thread for 0, arch_core_start's own for the
 * others. */
void hosted_cpu_enter(unsigned index);

/* Called by arch_poweroff before the process ends, newest first. At most 4; must not block. */
void hosted_at_poweroff(void (*fn)(void));

/*
 * The one-threaded mode. When hosted_sim is set, cores are fibers of one thread: time, sleep and
 * the end of the machine go to the simulator, and the drivers are its own. Set before
 * hosted_machine_init, for ever.
 */
struct hosted_sim {
	nsec_t (*time_ns)(void);
	void (*idle)(nsec_t deadline);
	void (*doorbell)(unsigned index);
	int (*core_start)(unsigned index, void (*entry)(struct core *), struct core *arg);
	noreturn_fn void (*poweroff)(int status);
	uint64_t (*entropy)(void);
	void (*drivers)(void);
	void (*console)(const char *text, size_t len);
	/* does a long step make way here? NULL: never */
	bool (*preempt)(void);
	/* programs are functions of the simulator: arch_user_run and arch_user_fini */
	enum arch_exit_kind (*user_run)(struct arch_user *u, struct aspace *as,
					struct arch_exit *exit);
	void (*user_fini)(struct arch_user *u);
};
extern const struct hosted_sim *hosted_sim;

/* ---- cores ---------------------------------------------------------------------------------- */

/* The low byte is what the host's system-call dispatch looks at: 1 = this thread's host calls are
 * caught. */
enum hosted_cpu_state { CPU_KERNEL = 0, CPU_USER = 1, CPU_IDLE = 256 };

/* Offsets of the first group are known to enter.S. */
struct hosted_cpu {
	/* this core's thread and its signal handler */
	uint64_t kernel_sp; /* where hosted_user_enter left the kernel stack */
	struct arch_user *user;

	/* any thread, atomic; state = USER or IDLE, fence, look at bell  <->  bell = 1, fence, look
	 * at state */
	_Atomic uint32_t state;
	_Atomic uint32_t bell; /* futex word */

	/* this core's thread only */
	struct aspace *as; /* the one it ran last, and its window */
	struct arch_aspace *aa;
	nsec_t deadline;       /* as given to arch_user_deadline */
	nsec_t deadline_armed; /* as given to the host's timer; NSEC_NEVER: not armed */
	struct arch_exit exit;
	void *alt_stack;
	size_t alt_size;
	void *timer;
	bool has_timer;
	bool dispatch_asked, dispatch_works;

	/* set by the thread when it starts */
	_Atomic int tid;
};
extern struct hosted_cpu hosted_cpus[];
extern __thread struct hosted_cpu *hosted_cpu_self;

/* The clock starts at 0 when this is called (cpu.c). */
void hosted_clock_init(void);

/* ---- signals (user.c) ------------------------------------------------------------------------ */

void hosted_signals_init(void);	/* once per process */
/* once per core's thread: alternate stack, mask */
void hosted_signals_thread(struct hosted_cpu *cpu);

/* Are the programs' own host system calls caught on this core? Known after its first
 * arch_user_run. */
bool hosted_catches_host_calls(void);

/* ---- user windows (window.c) ----------------------------------------------------------------- */

extern int hosted_ram_fd;
extern uint64_t hosted_ram_bytes;

must_use int hosted_windows_init(void);
/* The window of `as`; NULL when it has none. */
struct arch_aspace *hosted_window_find(struct aspace *as);
/* A fault at `va`: if the tables permit the access, makes the host's mapping agree and returns
 * true. */
bool hosted_window_refill(struct arch_aspace *aa, uaddr_t va, uint32_t access);

#endif
