/*
 * panic: the epitaph and the end.
 *
 * Any core, any state, even without a console: the first core to panic writes the epitaph, the
 * others stop here. A panic inside a panic ends the machine at once. Uses no memory but its stack
 * and panic_epitaph.
 */
#include "base/panic.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/machine.h"
#include "base/print.h"
#include "base/trace.h"

#define TAIL_RECORDS 16
#define STATUS_PANIC 101

char panic_epitaph[1024];
struct base_machine base_machine;

/* any core, atomic: 1 + index of the core that is dying */
static _Atomic unsigned panic_core;

static noreturn_fn void panic_end(void)
{
	if (base_machine.end)
		base_machine.end(STATUS_PANIC);
	__builtin_trap();
}

static void panic_line(const char *text)
{
	kprint("  %s\n", text);
}

static size_t panic_advance(size_t used, int wrote)
{
	if (wrote < 0)
		return used;
	return min_of(used + (size_t)wrote, sizeof(panic_epitaph) - 1);
}

noreturn_fn void panic_stop(const char *file, int line, const char *fmt, ...)
{
	unsigned me = base_core_index(), nobody = 0;
	char *text = panic_epitaph;
	size_t size = sizeof(panic_epitaph), used = 0;
	nsec_t now;
	va_list ap;

	if (!atomic_compare_exchange_strong(&panic_core, &nobody, me + 1)) {
		if (nobody == me + 1)
			panic_end();
		for (;;)
			atomic_load(
				&panic_core); /* another core is writing the epitaph and stops us */
	}
	now = base_time_ns();
	used = panic_advance(0, snprintf(text, size, "PANIC core %u at %llu.%06llu s, %s:%d\n  ",
					 me, (unsigned long long)(now / 1000000000),
					 (unsigned long long)(now / 1000 % 1000000), file, line));
	va_start(ap, fmt);
	used = panic_advance(used, vsnprintf(text + used, size - used, fmt, ap));
	va_end(ap);
	used = panic_advance(used, snprintf(text + used, size - used, "\n"));
	if (base_machine.describe)
		used = panic_advance(used, (int)base_machine.describe(text + used, size - used));
	if (base_machine.stop_others)
		base_machine.stop_others();
	kprint_set_sink(NULL);
	/* in pieces: a printed line has a bound of its own */
	for (size_t at = 0; at < used; at += 256)
		kprint("%.256s", text + at);
	kprint("  trace tail:\n");
	trace_dump(TAIL_RECORDS, panic_line);
	panic_end();
}
