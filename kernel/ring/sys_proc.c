/*
 * sys_proc: who am I, what is there, randomness, and the end of a program.
 *
 *   exit: ACT --the process is told to die, parked alone--> WAIT --the dying ring cancels it--> done
 *   getrandom: ACT --a kilobyte at most--> done;  --more--> NEXT, one long step --> done
 *
 * The process's home core.
 */
#include <string.h>

#include "drivers/drivers.h"
#include "fs/fs.h"
#include "mm/frames.h"
#include "ring/internal.h"
#include "ring/sys.h"
#include "sched/preempt.h"
#include "uapi/errno.h"
#include "uapi/mman.h"

/* ---- the end: never answered where nobody is left to read the answer */

enum { EXIT_ACT, EXIT_WAIT };

static enum step exit_group_step(struct op *op, const struct sys_args *args)
{
	if (op->state == EXIT_WAIT)
		return op->flags & OP_CANCELLED ? op_finish(op, -ECANCELED) : op_park_alone(op);
	process_kill(op_process(op), (int32_t)(args->a[0] & 0xff) << 8);
	return op_goto(op, EXIT_WAIT);
}

/* A thread's ring outlives it, so there its exit is answered; its slot is quiesced once it is
 * dead. */
static enum step exit_step(struct op *op, const struct sys_args *args)
{
	struct user_thread *t = ring_caller(op->ring);
	struct process *p = op_process(op);
	bool last = p->threads_live == 1;

	if (op->state == EXIT_WAIT)
		return exit_group_step(op, args);
	if (!t && !last)
		return op_finish(op, -EINVAL);
	process_thread_end(p, t, (int32_t)(args->a[0] & 0xff) << 8);
	return last || op->ring->kind == RING_SLOT ? op_goto(op, EXIT_WAIT) : op_finish(op, 0);
}

static int exit_cancel(struct op *op)
{
	op_wake(op);
	return 0;
}

const struct sys_row sys_exit = { .name = "exit", .step = exit_step, .cancel = exit_cancel };
const struct sys_row sys_exit_group = { .name = "exit_group",
					.step = exit_group_step,
					.cancel = exit_cancel };

/* ---- names */

static enum step getpid_step(struct op *op, const struct sys_args *args)
{
	(void)args;
	return op_finish(op, (int32_t)op_process(op)->pid);
}

const struct sys_row sys_getpid = { .name = "getpid", .step = getpid_step, .anywhere = true };

static enum step gettid_step(struct op *op, const struct sys_args *args)
{
	const struct user_thread *t = ring_caller(op->ring);

	(void)args;
	return op_finish(op, t ? (int32_t)t->tid : -EINVAL);
}

const struct sys_row sys_gettid = { .name = "gettid", .step = gettid_step };

/* The kernel is everybody's parent and everybody is user 0. */
static enum step zero_step(struct op *op, const struct sys_args *args)
{
	(void)args;
	return op_finish(op, 0);
}

const struct sys_row sys_getppid = { .name = "getppid", .step = zero_step, .anywhere = true };
const struct sys_row sys_getid = { .name = "getid", .step = zero_step, .anywhere = true };
/* The caller's core is another one: there is nothing to give up here. */
const struct sys_row sys_sched_yield = { .name = "sched_yield",
					 .step = zero_step,
					 .anywhere = true };

/* Layout of Linux' struct new_utsname. Static binaries refuse to start on a release they think too
 * old. */
struct uname_out {
	char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
};
_Static_assert(sizeof(struct uname_out) == 390, "utsname is six times 65 bytes");

static enum step uname_step(struct op *op, const struct sys_args *args)
{
	struct uname_out out = {
		.sysname = "Linux",
		.nodename = "sluice",
		.release = "6.12.0-sluice",
		.version = "Sluice",
		.domainname = "(none)",
	};

	strcpy(out.machine, ARCH_ELF_MACHINE == 62 ? "x86_64" : "riscv64");
	return op_finish(op, user_write(op_aspace(op), args->a[0], &out, sizeof(out)));
}

const struct sys_row sys_uname = { .name = "uname", .step = uname_step, .anywhere = true };

/* ---- what there is */

/* Linux, asm-generic/resource.h */
#define RLIMIT_STACK 3u
#define RLIMIT_CORE 4u
#define RLIMIT_NPROC 6u
#define RLIMIT_NOFILE 7u
#define RLIMITS 16u

/* Limits are the machine's: nobody changes one. What has none of its own has no limit here. */
static enum step prlimit64_step(struct op *op, const struct sys_args *args)
{
	uint64_t limit[2] = { UINT64_MAX, UINT64_MAX };
	int res = 0;

	if (args->a[0] && args->a[0] != op_process(op)->pid)
		return op_finish(op, -ESRCH);
	switch (args->a[1]) {
	case RLIMIT_STACK:
		limit[0] = limit[1] = STACK_BYTES;
		break;
	case RLIMIT_CORE:
		limit[0] = limit[1] = 0;
		break;
	case RLIMIT_NPROC:
		limit[0] = limit[1] = PROCESSES_MAX;
		break;
	case RLIMIT_NOFILE:
		limit[0] = limit[1] = PROCESS_FDS_MAX;
		break;
	}
	if (args->a[1] >= RLIMITS)
		res = -EINVAL;
	else if (args->a[2])
		res = -EPERM;
	else if (args->a[3])
		res = user_write(op_aspace(op), args->a[3], limit, sizeof(limit));
	return op_finish(op, res);
}

const struct sys_row sys_prlimit64 = { .name = "prlimit64",
				       .step = prlimit64_step,
				       .anywhere = true };

/* Linux, linux/sysinfo.h */
struct sysinfo_out {
	int64_t uptime;
	uint64_t loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap;
	uint16_t procs, pad;
	uint64_t totalhigh, freehigh;
	uint32_t mem_unit;
};
_Static_assert(sizeof(struct sysinfo_out) == 112, "sysinfo is 112 bytes");

static enum step sysinfo_step(struct op *op, const struct sys_args *args)
{
	struct sysinfo_out out = {
		.uptime = (int64_t)(arch_time_ns() / 1000000000u),
		.totalram = frames_total_count() * PAGE_SIZE,
		.freeram = frames_free_count() * PAGE_SIZE,
		.procs = (uint16_t)processes_count(),
		.mem_unit = 1,
	};

	return op_finish(op, user_write(op_aspace(op), args->a[0], &out, sizeof(out)));
}

const struct sys_row sys_sysinfo = { .name = "sysinfo", .step = sysinfo_step, .anywhere = true };

/* Linux, asm/hwprobe.h: keys that nobody knows here become -1, as there. All harts are alike. */
#define HWPROBE_KEY_BASE 3
#define HWPROBE_BASE_IMA 1u
#define HWPROBE_KEY_IMA_EXT 4
#define HWPROBE_IMA_FD_C 3u
#define HWPROBE_PAIRS_MAX 64u

static enum step riscv_hwprobe_step(struct op *op, const struct sys_args *args)
{
	struct {
		int64_t key;
		uint64_t value;
	} pair;

	if (args->a[1] > HWPROBE_PAIRS_MAX || args->a[4] || ARCH_ELF_MACHINE == 62)
		return op_finish(op, -EINVAL);
	for (uint64_t i = 0; i < args->a[1]; i++) {
		uaddr_t at = args->a[0] + i * sizeof(pair);
		int err = user_read(op_aspace(op), at, &pair, sizeof(pair));

		pair.value = pair.key == HWPROBE_KEY_BASE      ? HWPROBE_BASE_IMA
			     : pair.key == HWPROBE_KEY_IMA_EXT ? HWPROBE_IMA_FD_C
							       : 0;
		if (!pair.value)
			pair.key = -1;
		if (!err)
			err = user_write(op_aspace(op), at, &pair, sizeof(pair));
		if (err)
			return op_finish(op, err);
	}
	return op_finish(op, 0);
}

const struct sys_row sys_riscv_hwprobe = { .name = "riscv_hwprobe",
					   .step = riscv_hwprobe_step,
					   .anywhere = true };

/* ---- getrandom */

#define GRND_INSECURE 4u

enum { RANDOM_ACT, RANDOM_NEXT };

static enum step getrandom_page(struct op *op, struct sys_op *sys, const struct sys_args *args)
{
	uint64_t want = min_of(args->a[1], (uint64_t)INT32_MAX);
	struct pin pin;
	int64_t got;

	if ((op->flags & OP_CANCELLED) && sys->moved)
		return op_finish(op, (int32_t)sys->moved);
	got = pin_user(op_aspace(op), args->a[0] + sys->moved, min_of(want - sys->moved, PAGE_SIZE),
		       ACCESS_WRITE, &pin);
	if (got < 0)
		return op_finish(op, sys->moved ? (int32_t)sys->moved : (int32_t)got);
	for (uint32_t off = 0, run; off < pin.len; off += run) {
		void *view = pin_view(&pin, off, &run);

		random_fill(view, run);
	}
	pin_release(&pin);
	sys->moved += (uint64_t)got;
	if (!got || sys->moved == want)
		return op_finish(op, (int32_t)sys->moved);
	return op_goto(op, RANDOM_NEXT);
}

static enum step getrandom_step(struct op *op, const struct sys_args *args)
{
	struct sys_op *sys = sys_op_of(op);
	enum step v;

	if (op->state == RANDOM_ACT) {
		if (args->a[2] & ~(uint64_t)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE))
			return op_finish(op, -EINVAL);
		sys->moved = 0;
		if (args->a[1] > FILE_CIPHER_BYTES)
			return op_goto_long(op, RANDOM_NEXT);
	}
	do
		v = getrandom_page(op, sys, args);
	while (v == STEP_AGAIN && preempt_may());
	return v == STEP_AGAIN ? op_goto_long(op, RANDOM_NEXT) : v;
}

#define RANDOM_NS_PER_BYTE 4u /* roughly */

static uint32_t getrandom_work(const struct op *op)
{
	const struct sys_op *sys = (const struct sys_op *)(const void *)op->body;

	if (op->state == RANDOM_ACT)
		return 0;
	return (uint32_t)min_of((sys->args.a[1] - sys->moved) * RANDOM_NS_PER_BYTE,
				(uint64_t)UINT32_MAX);
}

const struct sys_row sys_getrandom = { .name = "getrandom",
				       .step = getrandom_step,
				       .anywhere = true,
				       .work = getrandom_work };
