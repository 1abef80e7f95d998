/*
 * main: boot, as a table of contents. Boot core, once; what follows cores_start runs on every
 * core.
 *
 * Whatever is refused on the way (a senseless map, a senseless argument) ends the machine after
 * the sentence that named the place: there is nobody to go on for.
 */
#include <stdio.h>
#include <string.h>

#include "arch/arch.h"
#include "base/cmdline.h"
#include "base/machine.h"
#include "base/meter.h"
#include "base/panic.h"
#include "base/print.h"
#include "base/trace.h"
#include "cores/core.h"
#include "drivers/drivers.h"
#include "fs/fs.h"
#include "mm/frames.h"
#include "net/net.h"
#include "proc/process.h"
#include "ring/ring.h"
#include "sched/fiber.h"
#include "sched/inbox.h"
#include "sched/op.h"
#include "sched/thread.h"
#include "sched/timer.h"

#define OPS_PER_CORE 4096
#define OPS_PER_CORE_MAX (1u << 20)
#define STATUS_REFUSED 102

static uint64_t trace_slots; /* per core */

static noreturn_fn void main_refuse(const char *what)
{
	kprint("Sluice: not started: %s\n", what);
	arch_poweroff(STATUS_REFUSED);
}

/* ---- the epitaph's lines on what this core was doing
 * ------------------------------------------- */

static size_t main_describe(char *buf, size_t size)
{
	const struct core *c = arch_core();
	const struct op *op = c && c->exec ? executor_running(c) : NULL;
	int len = 0;

	if (c)
		len = snprintf(buf, size, "  core %u, roles 0x%x, turn %llu\n", (unsigned)c->index,
			       (unsigned)c->roles, (unsigned long long)c->turn);
	if (op && op->row && len >= 0 && (size_t)len < size)
		len += snprintf(buf + len, size - (size_t)len,
				"  op %p %s, state %u %s, life %u, flags 0x%x, user_data 0x%llx\n",
				(const void *)op, op->row->name, op->state,
				op->row->state_names && op->state < op->row->state_count ?
					op->row->state_names[op->state] :
					"",
				op->life, op->flags, (unsigned long long)op->user_data);
	return len < 0 ? 0 : min_of((size_t)len, size);
}

/* panic=halt: stay, so that a debugger finds everything where it was */
static void main_end(int status)
{
	const char *wish = cmdline_find("panic");

	if (wish && !strcmp(wish, "halt"))
		for (;;)
			arch_idle_wait(NSEC_NEVER);
	arch_poweroff(status);
}

/* ---- the trace's names: cores with their roles, operations with their states ----------------- */

static void main_name_op(unsigned opcode, const struct op_row *row, void (*line)(const char *text))
{
	char text[256];
	int len = snprintf(text, sizeof(text), "trace: op %u %s", opcode, row->name);

	for (unsigned i = 0; i < row->state_count && len > 0 && (size_t)len < sizeof(text); i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, " %s", row->state_names[i]);
	line(text);
}

static void main_names(void (*line)(const char *text))
{
	char roles[CORE_ROLES_TEXT], text[64];

	for (unsigned i = 0; i < CORES_MAX; i++) {
		if (!cores[i])
			continue;
		core_roles_text(cores[i], roles);
		snprintf(text, sizeof(text), "trace: core %u %s", i, roles);
		line(text);
	}
	for (unsigned i = 0; i < 256; i++)
		if (op_table[i])
			main_name_op(i, op_table[i], line);
}

/* ---- steps of the boot
 * ---------------------------------------------------------------------------- */

static void main_arguments(void)
{
	const char *trace;

	if (cmdline_init(arch_boot.cmdline))
		main_refuse("the boot arguments make no sense");
	trace = cmdline_find("trace");
	meter_on = trace && !strcmp(trace, "steps");
	trace_detail = meter_on || (trace && !strcmp(trace, "on"));
	trace_at_end = (trace_detail && !meter_on) || (trace && !strcmp(trace, "end"));
	trace_slots = cmdline_find_u64("trace_slots", TRACE_SLOTS);
	if (trace_slots < TRACE_SLOTS_MIN || trace_slots > TRACE_SLOTS_MAX ||
	    (trace_slots & (trace_slots - 1)))
		main_refuse("trace_slots= must be a power of two from 64 to 65536");
	trace_names = main_names;
	base_machine.describe = main_describe;
	base_machine.end = main_end;
}

/* What every core has: a trace ring, timers; what serves has an executor and fibers; what runs
 * programs, a queue of threads. */
static void main_core(struct core *c, uint32_t ops)
{
	trace_init_core(c->index, frames_boot_alloc(trace_ring_size(trace_slots)), trace_slots);
	if (meter_on)
		meter_init_core(c->index, frames_boot_alloc(METER_BYTES));
	timers_init(c);
	inboxes_init(c);
	if (c->roles & ROLE_MAY_SERVE) {
		executor_init(c, ops);
		fibers_init(c);
	}
	if (c->roles & ROLE_MAY_RUN)
		placement_init(c);
}

static void main_cores(void)
{
	uint64_t ops = cmdline_find_u64("ops", OPS_PER_CORE);

	if (cores_init())
		main_refuse("the core map makes no sense");
	if (ops < 64 || ops > OPS_PER_CORE_MAX)
		main_refuse("ops= must be from 64 to 1048576");
	for (unsigned i = 0; i < cores_count; i++)
		if (cores[i])
			main_core(cores[i], (uint32_t)ops);
}

static void main_net(void)
{
	if (net_init())
		main_refuse("the network settings make no sense");
}

noreturn_fn void kernel_main(void)
{
	kprint("Sluice %s, %u harts\n", SLUICE_VERSION, arch_boot.cores);

	main_arguments(); /* what the user wants */
	frames_init();	  /* memory */
	main_cores();	  /* roles, executors, timers, threads */
	drivers_init();	  /* disks, interfaces, console, random bytes */
	fs_init();	  /* names: devices, and the initrd's files */
	main_net();	  /* TCP/IP on the net core */
	processes_init(); /* processes, threads, descriptors */
	rings_init();	  /* submission, operations, completion */
	processes_run_boot_list();
	cores_start();	  /* the other harts, and this one's loop */
}
