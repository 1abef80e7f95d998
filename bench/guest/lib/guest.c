/*
 * guest: see guest.h.
 */
#include "lib/guest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void guest_say(struct ring *ring, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	ring_fill(ring_sqe(ring), IORING_OP_WRITE, 1, ~0ull, (uint64_t)(uintptr_t)text,
		  (uint32_t)strlen(text), 0, 0);
	if (ring_submit(ring) || ring_wait(ring, 1))
		ring_die(ring, "bench: the console cannot be written\n");
	ring_advance(ring, 1);
}

uint64_t guest_number(struct ring *ring, const char *text)
{
	uint64_t n = 0;

	if (!*text)
		ring_die(ring, "bench: a number is empty\n");
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			ring_die(ring, "bench: an argument is no number\n");
		n = n * 10 + (uint64_t)(*text - '0');
	}
	return n;
}

struct guest_amount guest_amount(struct ring *ring, const char *text)
{
	size_t length = strlen(text);
	char digits[24];

	if (length < 3 || length >= sizeof(digits) || strcmp(text + length - 2, "ms"))
		return (struct guest_amount){ .ops = guest_number(ring, text) };
	memcpy(digits, text, length - 2);
	digits[length - 2] = 0;
	return (struct guest_amount){ .ns = guest_number(ring, digits) * 1000000 };
}
