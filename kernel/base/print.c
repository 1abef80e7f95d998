/*
 * print: formats a line on the caller's stack and hands it to the sink in one piece.
 *
 * Any core. The formatter is the C library's (picolibc's integer-only one in the kernel proper: no
 * floating point, no allocation, no thread-local data).
 */
#include "base/print.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/machine.h"

#define LINE_MAX_BYTES 512

typedef void (*sink_fn)(const char *text, size_t len);

/* any core, atomic; set once at boot, a release so that the sink's own set-up is seen */
static _Atomic(sink_fn) print_sink;

void kprint_set_sink(void (*sink)(const char *text, size_t len))
{
	atomic_store_explicit(&print_sink, sink, memory_order_release);
}

void kprint(const char *fmt, ...)
{
	sink_fn sink = atomic_load_explicit(&print_sink, memory_order_acquire);
	char line[LINE_MAX_BYTES];
	va_list ap;
	int len;

	if (!sink)
		sink = base_machine.write;
	if (!sink)
		return;
	va_start(ap, fmt);
	len = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	if ((size_t)len >= sizeof(line)) {
		len = sizeof(line) - 1;
		line[len - 1] = '\n';
	}
	sink(line, (size_t)len);
}
