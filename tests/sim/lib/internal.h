/*
 * internal: what the files of the simulator know of each other.
 */
#ifndef TESTS_SIM_INTERNAL_H
#define TESTS_SIM_INTERNAL_H

#include "arch/hosted/hosted.h"
#include "lib/sim.h"

#define SIM_STACK_BYTES (512 * 1024ul)

struct sim_core {
	struct arch_fiber fiber;    /* the core's kernel context */
	/* what the stepper resumes: the kernel, or the program it runs */
	struct arch_fiber *current;
	bool started, idle, bell;
	nsec_t deadline;
	nsec_t tick; /* as given to arch_user_deadline */
	/* of a machine with clocks per core, picoseconds: its own, and when the bell rings */
	uint64_t clock, bell_at;
};
extern struct sim_core sim_cores[];
extern unsigned sim_here; /* index of the core that runs */
extern struct arch_fiber sim_stepper;

/* sim.c */
void *sim_stack_alloc(void);
void sim_stack_free(void *stack);
extern nsec_t sim_now; /* of a machine with clocks per core: the earliest one */
/* Out of the core, into the stepper; back when the core goes on. */
void sim_switch(void);
bool sim_is_stepping(void);

/* timed.c: used when sim_timed is set */
void sim_timed_settle(void); /* the core's clock stands where its counters say */
void sim_timed_sync(void);   /* the same, and nobody is earlier any more */
nsec_t sim_timed_time(void);
void sim_timed_bell(struct sim_core *to, bool from_core);
bool sim_timed_heard(const struct sim_core *sc);
/* The core whose turn it is, its clock set; -1: a device has something to do before, at `device`,
 * or none will ever run. */
int sim_timed_next(nsec_t device);

/* lines.c: this core loads, stores or exchanges what is at `at`, for code at `pc`. */
void sim_line_touch(const void *at, bool write, bool reads, uintptr_t pc);

/* device.c: the disk and the console. */
void sim_drivers(void);
void sim_console(const char *text, size_t len);
void sim_disk_make(unsigned sectors);
/* Does what is due; the time of the next thing, NSEC_NEVER if none. */
nsec_t sim_devices_step(nsec_t now);
extern bool sim_verbose;

/* watch.c: the trace in global order, and cancellations counted over all runs. */
extern uint64_t sim_trace_hash;
extern bool sim_trace_all; /* print every record as it comes */
void sim_trace_print(void);
void sim_cover_begin(void);
void sim_cover_print(void);

/* prog.c: arch_user_run and arch_user_fini; the archive of programs. */
enum arch_exit_kind sim_user_run(struct arch_user *u, struct aspace *as, struct arch_exit *exit);
void sim_user_fini(struct arch_user *u);
void sim_archive_make(void);

#endif
