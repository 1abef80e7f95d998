/*
 * boot: the programs the machine was started for, and its orderly end.
 *
 * The run list is parsed once on the boot core; each program is then born on its home core, by a
 * message that carries it from one to the next, so that they start in their order. The end:
 * everything is killed, the devices answer, then counters and the leak report are printed and the
 * machine goes off. That last part runs on the first serving core.
 */
#include <stdio.h>
#include <string.h>

#include "base/cmdline.h"
#include "base/counters.h"
#include "base/print.h"
#include "base/trace.h"
#include "mm/frames.h"
#include "net/net.h"
#include "proc/internal.h"
#include "sched/timer.h"
#include "uapi/errno.h"

#define PROGRAMS_MAX 32u
#define ARGS_MAX 24u
#define ENV_MAX 4u
#define SETTLE_NS 5000000ull /* between two looks at what devices and other cores still hold */
#define SETTLE_LOOKS 200u

struct program {
	const char *envp[ENV_MAX + 1];
	const char *argv[ARGS_MAX + 1];
	uint32_t user_core, home;
};

/* set once on the boot core, before the first message */
static char run_text[CMDLINE_MAX];
static struct program programs[PROGRAMS_MAX];
static unsigned program_count;
static bool off_when_done;

/* whoever holds boot_mail */
static struct mail boot_mail;
static unsigned program_next;

/* any core, atomic */
static _Atomic uint32_t spawning;	/* the list is not through yet */
static _Atomic uint32_t status_worst;
static _Atomic uint32_t end_asked;
static struct mail end_mail;

/* first serving core only */
static uint64_t frames_before, ops_before;
static struct timer settle_timer;
static unsigned settle_looks;
static bool ending, end_on_request;
/* whoever holds settle_mail */
static struct mail settle_mail;
static uint32_t net_left; /* what the network still held at the last look */

static struct core *end_core(void)
{
	return core_with_role(ROLE_SERVES);
}

static uint64_t ops_free_all(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < CORES_MAX; i++)
		if (cores[i])
			sum += ops_free_count(cores[i]);
	return sum;
}

/* ---- the run list ---------------------------------------------------------------------------- */

static int run_refuse(const char *at, const char *why)
{
	kprint("run list: at character %u: %s\n", (unsigned)(at - run_text) + 1, why);
	return -EINVAL;
}

static int run_core(char **at, uint32_t role, const char *why, uint32_t *out)
{
	const char *begin = *at;
	uint32_t n = 0;

	while (**at >= '0' && **at <= '9' && n < CORES_MAX)
		n = n * 10 + (uint32_t)(*(*at)++ - '0');
	if (*at == begin || n >= CORES_MAX || !cores[n] || !(cores[n]->roles & role))
		return run_refuse(begin, why);
	*out = n;
	return 0;
}

/* One program; *at is moved behind its end. */
static int run_program(char **at, struct program *prog)
{
	char *p = *at;
	unsigned argc = 0, envc = 0;
	int err;

	if (*p == '@') {
		p++;
		err = run_core(&p, ROLE_USER, "behind @ stands a core that runs users",
			       &prog->user_core);
		if (!err && *p == ':') {
			p++;
			err = run_core(&p, ROLE_SERVES, "behind : stands a core that serves",
				       &prog->home);
		}
		if (err)
			return err;
		if (*p != ' ')
			return run_refuse(p, "a blank and a path are wanted here");
	}
	while (*p && *p != ';') {
		if (*p == ' ') {
			*p++ = 0;
			continue;
		}
		if (!argc && *p != '/' && p[strcspn(p, "=; ")] == '=') {
			if (envc == ENV_MAX)
				return run_refuse(p, "one variable too many");
			prog->envp[envc++] = p;
		} else if (argc == ARGS_MAX) {
			return run_refuse(p, "one argument too many");
		} else {
			prog->argv[argc++] = p;
		}
		while (*p && *p != ';' && *p != ' ')
			p++;
	}
	if (*p)
		*p++ = 0;
	if (argc && prog->argv[0][0] != '/')
		return run_refuse(prog->argv[0], "a path begins with /");
	if (!argc)
		return run_refuse(*at, "a program is missing");
	*at = p;
	return 0;
}

static int run_parse(const char *text)
{
	char *at = run_text;

	/* cmdline_init bounds every value */
	memcpy(run_text, text, strlen(text) + 1);
	while (*at) {
		struct program *prog = &programs[program_count];
		int err;

		if (*at == ' ') {
			at++;
			continue;
		}
		if (program_count == PROGRAMS_MAX)
			return run_refuse(at, "one program too many");
		prog->user_core = PROCESS_ANY_CORE;
		prog->home = end_core()->index;
		err = run_program(&at, prog);
		if (err)
			return err;
		program_count++;
	}
	return program_count ? 0 : run_refuse(at, "it is empty");
}

static void boot_idle(void);

static void run_spawn(struct mail *m)
{
	struct program *prog = &programs[program_next++];
	struct process_spec spec = {
		.path = prog->argv[0],
		.argv = prog->argv,
		.envp = prog->envp,
		.home = prog->home,
		.user_core = prog->user_core,
	};
	int err = process_spawn(&spec, NULL);

	if (err)
		atomic_store(&status_worst, 1);
	if (program_next < program_count) {
		mailbox_post(programs[program_next].home, m);
		return;
	}
	atomic_store(&spawning, 0);
	boot_idle();
}

/* First message, on the first serving core: what is free now is what must be free in the end. */
static void run_begin(struct mail *m)
{
	for (unsigned i = 0; i < program_count; i++) { /* some harts may not have started */
		struct program *prog = &programs[i];

		if (prog->user_core != PROCESS_ANY_CORE &&
		    !core_has_role(cores[prog->user_core], ROLE_MAY_RUN))
			prog->user_core = PROCESS_ANY_CORE;
		if (!core_is_home(cores[prog->home]))
			prog->home = end_core()->index;
	}
	frames_before = frames_free_count();
	ops_before = ops_free_all();
	m->deliver = run_spawn;
	mailbox_post(programs[0].home, m);
}

void processes_run_boot_list(void)
{
	const char *text = cmdline_find("run"), *off = cmdline_find("exit");

	if (off && strcmp(off, "power")) {
		kprint("boot argument exit=%s: only `power` is known\n", off);
		off = NULL;
	}
	off_when_done = off;
	if (!text) {
		kprint("no program to run: the boot argument `run` is missing\n");
		program_count = 0;
	} else if (run_parse(text)) {
		program_count = 0;
		atomic_store(&status_worst, 1);
	}
	if (!program_count) {
		frames_before = frames_free_count();
		ops_before = ops_free_all();
		boot_idle();
		return;
	}
	atomic_store(&spawning, 1);
	boot_mail.deliver = run_begin;
	mailbox_post(end_core()->index, &boot_mail);
}

/* ---- the end, on the first serving core ------------------------------------------------------ */

static void end_line(const char *text)
{
	kprint("%s\n", text);
}

static void end_report(void)
{
	static char text[2048];
	size_t len = counters_print(text, sizeof(text));
	int64_t frames = (int64_t)frames_before - (int64_t)frames_free_count();
	int64_t ops = (int64_t)ops_before - (int64_t)ops_free_all();
	char *line = text;

	kprint("counters:\n");
	while (len && *line) { /* kprint cuts long texts: line by line */
		char *end = strchr(line, '\n');

		if (end)
			*end = 0;
		kprint("  %s\n", line);
		if (!end)
			break;
		line = end + 1;
	}
	kprint("leaks: frames %lld ops %lld net %u\n", (long long)frames, (long long)ops, net_left);
	if (trace_at_end)
		trace_export(end_line);
	arch_poweroff(end_on_request ? 0 : (int)atomic_load(&status_worst));
}

/* Closing sockets, devices and other cores give back in their own time: look again for a bounded
 * while. */
static void end_look(struct mail *m)
{
	bool back = !net_left && frames_free_count() >= frames_before &&
		    ops_free_all() >= ops_before;

	(void)m;
	if (!back && settle_looks++ < SETTLE_LOOKS)
		timer_arm(&settle_timer, arch_time_ns() + SETTLE_NS);
	else
		end_report();
}

/* On the network's core. */
static void end_net(struct mail *m)
{
	net_left = net_stop();
	m->deliver = end_look;
	mailbox_post(end_core()->index, m);
}

static void end_settle(struct timer *t)
{
	(void)t;
	settle_mail.deliver = end_net;
	mailbox_post(net_core_index(), &settle_mail);
}

static void end_begin(struct mail *m)
{
	(void)m;
	atomic_store(&end_asked, 0); /* the message is free for the next who asks */
	if (processes_count() || atomic_load(&spawning)) {
		for (unsigned i = 0; i < PROCESSES_MAX; i++) {
			struct process *p = process_at(i);

			if (p)
				process_kill_because(p, SIGNAL_KILL, "the machine goes down");
		}
		return; /* every exit, and the end of the run list, brings us back here */
	}
	if (ending)
		return;
	ending = true;
	timer_init(&settle_timer, end_settle);
	end_settle(&settle_timer);
}

static void end_ask(void)
{
	/* One message at a time: whoever comes while it is under way is served by it. */
	if (atomic_exchange(&end_asked, 1))
		return;
	end_mail.deliver = end_begin;
	mailbox_post(end_core()->index, &end_mail);
}

void processes_shutdown(void)
{
	end_on_request = true;
	atomic_store(&processes_refused, 1);
	end_ask();
}

/* Something ended: is it time to go? */
static void boot_idle(void)
{
	bool busy = processes_count() || atomic_load(&spawning);

	if (atomic_load(&processes_refused) || (off_when_done && !busy))
		end_ask();
}

void boot_exited(int32_t wait_status)
{
	if (wait_status)
		atomic_store(&status_worst, 1);
	boot_idle();
}
