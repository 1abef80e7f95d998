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
};
extern struct sim_core sim_cores[];
extern unsigned sim_here; /* index of the core that runs */
extern struct arch_fiber sim_stepper;

/* sim.c */
void *sim_stack_alloc(void);
void sim_stack_free(void *stack);
extern nsec_t sim_now;

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
