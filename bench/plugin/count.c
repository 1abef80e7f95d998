/*
 * count: a TCG plugin for QEMU 7.2 that counts the guest instructions each hart executes.
 *
 * Counted per hart, by where the code lies: user (lower half), kernel (top bit set, or physical
 * memory from 0x80200000 on, where the kernel runs before it has mapped itself) and firmware (reset
 * code and OpenSBI, below that). A hart in wfi executes nothing and counts nothing.
 *
 * A guest names places by a hint instruction that does nothing, slti x0, x0, 0x700 + n:
 *
 *	0x10 BEGIN	kernel: from here on this hart polls, until IDLE; a BEGIN that no IDLE
 *	0x11 IDLE	follows before the next BEGIN was work. From IDLE to BEGIN it goes on
 *			polling, unless it executes wfi: getting there and back is work.
 *	0x20 SPIN	program: what it executes until SPUN is waiting. User instructions only: an
 *	0x21 SPUN	interrupt taken meanwhile is somebody's work.
 *	from 0x30	the totals at this moment go to the log, for measuring windows
 *
 * Polling is counted in the totals and, besides, in buckets of its own, for whoever wants to
 * subtract it.
 *
 * Traps are counted per hart: into S (or HS) mode as executions of the first instruction of the
 * kernel's vector (strap=ADDRESS), into M mode as executions of mret, since every trap into
 * firmware ends with one. (A hart's start ends with one, too.) Whatever the kernel, "leaves" counts
 * how often a hart went from user code to something else.
 *
 * Counting is per run of straight-line code, when it is entered. A run left early by a fault counts
 * whole.
 *
 *	-plugin count.so,ctl=SOCKET[,log=FILE][,strap=ADDRESS][,profile=on|marks|windows]
 *
 * ctl is a Unix socket; a line "totals" is answered by one line of JSON, "profile" by lines
 * `address instructions kind hart runs idle_runs` and a line "end". profile=marks profiles from
 * mark 0x30 to mark 0x31 only; profile=windows writes with each 0x31 to the log what the hart that
 * executes it ran since its 0x30: [address, bytes, instructions, kind, runs, idle runs]. Numbers
 * are read while harts run: each is exact, but they are not of the very same instant.
 *
 * The declarations of QEMU's plugin interface below are those of version 1
 * (docs/devel/tcg-plugins.rst); no header is packaged. vCPU threads write the counters of their own
 * hart only; the control thread reads.
 */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "serve.h"

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info; /* not looked at */

typedef void (*trans_fn)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*exec_fn)(unsigned int cpu, void *data);
enum { CALLBACK_NO_REGS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, trans_fn fn);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, exec_fn fn, int flags,
					  void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_fn fn, int flags,
					    void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc,
			       char **argv);

#define HARTS_MAX     8
#define IDLE_RUNS_MAX 4096 /* runs of one idle turn that the profile can take back */
#define HASH_SIZE     65536u

#define MARK_POLL_BEGIN 0x10
#define MARK_POLL_IDLE	0x11
#define MARK_SPIN	0x20
#define MARK_SPUN	0x21
#define MARK_LOG_FIRST	0x30
#define MARK_BEGIN	0x30
#define MARK_END	0x31

#define INSN_MARK      0x70002013u /* slti x0, x0, 0x700 */
#define INSN_MARK_MASK 0xf00fffffu
#define INSN_MRET      0x30200073u
#define INSN_WFI 0x10500073u

enum kind { USER, KERNEL, FIRMWARE, KINDS };
static const char *const kind_names[KINDS] = { "user", "kernel", "firmware" };

/* A run of straight-line code that begins at most one mark or trap. */
struct run {
	uint64_t address;
	uint32_t count, bytes;
	uint8_t kind;
	uint8_t mark; /* of its first instruction; 0: none */
	bool trap;    /* its first instruction is the trap vector */
	struct run *next;
	struct {
		uint64_t runs, idle;
	} of[HARTS_MAX]; /* profile only; owner: the hart */
};

/* Owner: the hart's thread. The control thread reads. */
struct hart {
	uint64_t count[KINDS];
	uint64_t idle[KINDS];
	uint64_t idle_turns, spins;
	uint64_t traps_s, traps_m, parks, leaves;
	bool polling, spinning, user;
	bool idled;   /* polling for nothing since poll_from, and did not sleep */
	bool trapped; /* and has done nothing else yet than kernel work */
	uint64_t poll_from[KINDS];
	uint64_t spin_from;
	uint32_t recent_count;
	struct run *recent[IDLE_RUNS_MAX];
} __attribute__((aligned(128)));

static struct hart harts[HARTS_MAX];
static struct run *hash[HASH_SIZE];
static pthread_mutex_t hash_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *log_file;
static uint64_t trap_vector;
static uint64_t first_user; /* instructions of all harts until one of them first ran user code */
static bool profile; /* any hart; one changes it, the others follow soon */
static bool profile_by_marks, profile_by_windows;
static int listener = -1;

static void write_totals(FILE *out)
{
	fputs("{\"harts\": [", out);
	for (unsigned i = 0; i < HARTS_MAX; i++) {
		const struct hart *h = &harts[i];

		fprintf(out, "%s{", i ? ", " : "");
		for (unsigned k = 0; k < KINDS; k++) {
			uint64_t idle = h->idle[k];

			if (k == USER && h->spinning) /* and has not done so to its end */
				idle += h->count[USER] - h->spin_from;
			fprintf(out, "\"%s\": %" PRIu64 ", \"idle_%s\": %" PRIu64 ", ",
				kind_names[k], h->count[k], kind_names[k], idle);
		}
		fprintf(out,
			"\"idle_turns\": %" PRIu64 ", \"spins\": %" PRIu64 ", \"traps_s\": %" PRIu64
			", \"traps_m\": %" PRIu64 ", \"parks\": %" PRIu64 ", \"leaves\": %" PRIu64
			"}",
			h->idle_turns, h->spins, h->traps_s, h->traps_m, h->parks, h->leaves);
	}
	fprintf(out, "], \"first_user\": %" PRIu64, first_user);
}

/* The calling hart's runs: forgets them, or writes them. */
static void window_begin(unsigned cpu)
{
	harts[cpu].recent_count = 0;
	pthread_mutex_lock(&hash_lock);
	for (unsigned slot = 0; slot < HASH_SIZE; slot++)
		for (struct run *run = hash[slot]; run; run = run->next)
			run->of[cpu].runs = run->of[cpu].idle = 0;
	pthread_mutex_unlock(&hash_lock);
}

static void window_write(FILE *out, unsigned cpu)
{
	const char *comma = "";

	fputs(", \"runs\": [", out);
	pthread_mutex_lock(&hash_lock);
	for (unsigned slot = 0; slot < HASH_SIZE; slot++)
		for (const struct run *run = hash[slot]; run; run = run->next) {
			if (!run->of[cpu].runs)
				continue;
			fprintf(out, "%s[%" PRIu64 ", %u, %u, \"%s\", %" PRIu64 ", %" PRIu64 "]",
				comma, run->address, run->bytes, run->count, kind_names[run->kind],
				run->of[cpu].runs, run->of[cpu].idle);
			comma = ", ";
		}
	pthread_mutex_unlock(&hash_lock);
	fputs("]", out);
}

static void log_mark(unsigned cpu, uint8_t mark)
{
	if (!log_file)
		return;
	if (profile_by_windows && mark == MARK_BEGIN)
		window_begin(cpu);
	pthread_mutex_lock(&log_lock);
	fprintf(log_file, "{\"mark\": %u, \"hart\": %u, \"totals\": ", mark, cpu);
	write_totals(log_file);
	fputs("}", log_file);
	if (profile_by_windows && mark == MARK_END)
		window_write(log_file, cpu);
	fputs("}\n", log_file);
	fflush(log_file);
	pthread_mutex_unlock(&log_lock);
}

static void hart_park(struct hart *h)
{
	h->parks += h->trapped;
	h->trapped = false;
}

static void hart_idle(struct hart *h, unsigned cpu)
{
	hart_park(h);
	if (!h->polling)
		return;
	for (unsigned k = KERNEL; k < KINDS; k++) {
		h->idle[k] += h->count[k] - h->poll_from[k];
		h->poll_from[k] = h->count[k];
	}
	h->idled = true;
	h->idle_turns++;
	for (uint32_t i = 0; i < h->recent_count; i++)
		h->recent[i]->of[cpu].idle++;
	h->recent_count = 0;
}

static void hart_mark(struct hart *h, unsigned cpu, uint8_t mark)
{
	switch (mark) {
	case MARK_POLL_BEGIN:
		h->polling = true;
		if (h->idled) {
			h->idled = false;
			break;
		}
		memcpy(h->poll_from, h->count, sizeof(h->count));
		h->recent_count = 0;
		break;
	case MARK_POLL_IDLE:
		hart_idle(h, cpu);
		break;
	case MARK_SPIN:
		h->spinning = true;
		h->spin_from = h->count[USER];
		break;
	case MARK_SPUN:
		if (h->spinning)
			h->idle[USER] += h->count[USER] - h->spin_from;
		h->spins += h->spinning;
		h->spinning = false;
		break;
	default:
		if (mark >= MARK_LOG_FIRST)
			log_mark(cpu, mark);
		if (profile_by_marks && (mark == MARK_BEGIN || mark == MARK_END))
			profile = mark == MARK_BEGIN;
	}
}

static void hart_user(struct hart *h, bool user)
{
	h->leaves += h->user;
	h->user = user;
	if (!user || first_user)
		return;
	for (unsigned i = 0; i < HARTS_MAX; i++)
		for (unsigned k = 0; k < KINDS; k++)
			first_user += harts[i].count[k];
}

static void on_run(unsigned int cpu, void *data)
{
	struct run *run = data;
	struct hart *h = &harts[cpu % HARTS_MAX];

	if (run->mark)
		hart_mark(h, cpu % HARTS_MAX, run->mark);
	if (h->user != (run->kind == USER))
		hart_user(h, run->kind == USER);
	h->traps_s += run->trap;
	h->trapped = run->kind != USER && (h->trapped || run->trap);
	h->count[run->kind] += run->count;
	if (!profile)
		return;
	run->of[cpu % HARTS_MAX].runs++;
	if (run->kind == USER)
		run->of[cpu % HARTS_MAX].idle += h->spinning;
	else if (h->recent_count < IDLE_RUNS_MAX)
		h->recent[h->recent_count++] = run;
}

static void on_mret(unsigned int cpu, void *data)
{
	(void)data;
	harts[cpu % HARTS_MAX].traps_m++;
}

static void on_wfi(unsigned int cpu, void *data)
{
	struct hart *h = &harts[cpu % HARTS_MAX];

	(void)data;
	hart_park(h);
	h->idled = false;
}

static enum kind kind_of(uint64_t address)
{
	if (address >> 63)
		return KERNEL;
	if (address >= 0x80200000u && address < 0x100000000u)
		return KERNEL;
	return address >= 0x80000000u && address < 0x80200000u ? FIRMWARE
	       : address < 0x10000			       ? FIRMWARE
							       : USER;
}

/* The one run of this shape: code is translated again and again, and the profile should not notice.
 */
static struct run *run_find(uint64_t address, uint32_t count, uint32_t bytes, uint8_t mark)
{
	uint32_t slot = (uint32_t)((address >> 1) * 2654435761u ^ count * 40503u) % HASH_SIZE;
	struct run *run;

	pthread_mutex_lock(&hash_lock);
	for (run = hash[slot]; run; run = run->next)
		if (run->address == address && run->count == count && run->mark == mark)
			break;
	if (!run) {
		run = calloc(1, sizeof(*run));
		if (!run)
			abort();
		run->address = address;
		run->count = count;
		run->bytes = bytes;
		run->mark = mark;
		run->kind = (uint8_t)kind_of(address);
		run->trap = address == trap_vector;
		run->next = hash[slot];
		hash[slot] = run;
	}
	pthread_mutex_unlock(&hash_lock);
	return run;
}

static uint32_t insn_word(const struct qemu_plugin_insn *insn)
{
	uint32_t word = 0;

	if (qemu_plugin_insn_size(insn) == 4)
		memcpy(&word, qemu_plugin_insn_data(insn), 4);
	return word;
}

static uint8_t insn_mark(uint32_t word)
{
	return (word & INSN_MARK_MASK) == INSN_MARK ? (uint8_t)(word >> 20) : 0;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb), end;

	(void)id;
	for (size_t begin = 0; begin < count; begin = end) {
		struct qemu_plugin_insn *first = qemu_plugin_tb_get_insn(tb, begin);
		uint32_t bytes = 0;
		struct run *run;

		for (end = begin + 1; end < count; end++) {
			struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, end);

			if (insn_mark(insn_word(insn)) ||
			    qemu_plugin_insn_vaddr(insn) == trap_vector)
				break;
		}
		for (size_t i = begin; i < end; i++)
			bytes += (uint32_t)qemu_plugin_insn_size(qemu_plugin_tb_get_insn(tb, i));
		run = run_find(qemu_plugin_insn_vaddr(first), (uint32_t)(end - begin), bytes,
			       insn_mark(insn_word(first)));
		if (begin)
			qemu_plugin_register_vcpu_insn_exec_cb(first, on_run, CALLBACK_NO_REGS,
							       run);
		else
			qemu_plugin_register_vcpu_tb_exec_cb(tb, on_run, CALLBACK_NO_REGS, run);
	}
	for (size_t i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint32_t word = insn_word(insn);

		if (word == INSN_MRET || word == INSN_WFI)
			qemu_plugin_register_vcpu_insn_exec_cb(
				insn, word == INSN_MRET ? on_mret : on_wfi, CALLBACK_NO_REGS, NULL);
	}
}

static void write_profile(FILE *out)
{
	for (unsigned slot = 0; slot < HASH_SIZE; slot++) {
		pthread_mutex_lock(&hash_lock);
		for (const struct run *run = hash[slot]; run; run = run->next)
			for (unsigned cpu = 0; cpu < HARTS_MAX; cpu++)
				if (run->of[cpu].runs)
					fprintf(out,
						"%" PRIx64 " %u %s %u %" PRIu64 " %" PRIu64 "\n",
						run->address, run->count, kind_names[run->kind],
						cpu, run->of[cpu].runs, run->of[cpu].idle);
		pthread_mutex_unlock(&hash_lock);
	}
	fputs("end\n", out);
}

static void *serve(void *unused)
{
	char line[64];

	(void)unused;
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		FILE *in = fd < 0 ? NULL : fdopen(fd, "r"),
		     *out = fd < 0 ? NULL : fdopen(dup(fd), "w");

		if (!in || !out)
			return NULL;
		while (fgets(line, sizeof(line), in)) {
			if (!strcmp(line, "totals\n")) {
				write_totals(out);
				fputs("}\n", out);
			} else if (!strcmp(line, "profile\n")) {
				write_profile(out);
			} else {
				fputs("what?\n", out);
			}
			fflush(out);
		}
		fclose(in);
		fclose(out);
	}
}

static const char *argument(const char *word, const char *key)
{
	size_t length = strlen(key);

	return !strncmp(word, key, length) && word[length] == '=' ? word + length + 1 : NULL;
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
	const char *ctl = NULL, *value;

	(void)info;
	for (int i = 0; i < argc; i++) {
		if ((value = argument(argv[i], "ctl"))) {
			ctl = value;
		} else if ((value = argument(argv[i], "log"))) {
			log_file = fopen(value, "w");
			if (!log_file)
				return -1;
		} else if ((value = argument(argv[i], "strap"))) {
			trap_vector = strtoull(value, NULL, 0);
		} else if ((value = argument(argv[i], "profile"))) {
			profile_by_windows = !strcmp(value, "windows");
			profile = !strcmp(value, "on") || profile_by_windows;
			profile_by_marks = !strcmp(value, "marks");
		} else {
			fprintf(stderr, "count: argument %s is unknown\n", argv[i]);
			return -1;
		}
	}
	if (ctl && serve_start(ctl, &listener, serve)) {
		fprintf(stderr, "count: the control socket %s could not be made\n", ctl);
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	return 0;
}
