/*
 * say: see say.h. One thread, no heap.
 */
#include "tests/abi/lib/say.h"

static unsigned failures;

static size_t length(const char *text)
{
	size_t n = 0;

	while (text[n])
		n++;
	return n;
}

int64_t say_wait(void)
{
	struct ring *r = &ring_native;
	int64_t result;

	ring_submit(r);
	if (ring_wait(r, 1))
		ring_die(r, "the doorbell failed\n");
	result = ring_cqe(r)->flags ? sluice_wide_result(ring_cqe(r)) : ring_cqe(r)->res;
	ring_advance(r, 1);
	return result;
}

/* Line by line, so that the words of two programs do not mix. */
static struct {
	char text[256];
	size_t len;
} line;

void say(const char *text)
{
	size_t n = length(text);

	for (size_t i = 0; i < n; i++) {
		line.text[line.len++] = text[i];
		if (text[i] != '\n' && line.len < sizeof(line.text))
			continue;
		ring_fill(ring_sqe(&ring_native), IORING_OP_WRITE, 1, ~0ull,
			  (uint64_t)(uintptr_t)line.text, (uint32_t)line.len, 0, 0);
		line.len = 0;
		say_wait();
	}
}

void say_number(int64_t n)
{
	uint64_t rest = n < 0 ? -(uint64_t)n : (uint64_t)n;
	char text[24];
	size_t at = sizeof(text) - 1;

	text[at] = 0;
	do {
		text[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest);
	if (n < 0)
		text[--at] = '-';
	say(text + at);
}

void say_is(const char *name, int64_t got, int64_t want)
{
	if (got == want) {
		say_true(name, true);
		return;
	}
	failures++;
	say("FAIL ");
	say(name);
	say(": got ");
	say_number(got);
	say(", want ");
	say_number(want);
	say("\n");
}

void say_true(const char *name, bool good)
{
	failures += !good;
	say(good ? "ok " : "FAIL ");
	say(name);
	say("\n");
}

int say_verdict(void)
{
	return failures != 0;
}
