/*
 * text: words and numbers that abi tests hand each other as arguments, and what the kernel counts.
 */
#ifndef TESTS_ABI_TEXT_H
#define TESTS_ABI_TEXT_H

#include "tests/abi/lib/say.h"
#include "uapi/fs.h"

static inline bool text_same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* The digits that `text` begins with. */
static inline uint64_t text_number(const char *text)
{
	uint64_t n = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		n = n * 10 + (uint64_t)(*text - '0');
	return n;
}

/* In decimal; good until the fourth call after this one. */
static inline const char *text_digits(uint64_t n)
{
	static char text[4][24];
	static uint32_t which;
	char *at = &text[which++ % 4][23];

	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	return at;
}

/* The value behind NAME in /dev/counters; -1: there is none. */
static inline int64_t text_counter(const char *name)
{
	static char text[8192];
	const char *line = text;
	int64_t fd, n;

	ring_fill(ring_sqe(&ring_native), IORING_OP_OPENAT, AT_FDCWD, 0,
		  (uint64_t)(uintptr_t) "/dev/counters", 0, O_RDONLY, 0);
	fd = say_wait();
	ring_fill(ring_sqe(&ring_native), IORING_OP_READ, (int32_t)fd, 0,
		  (uint64_t)(uintptr_t)text, sizeof(text) - 1, 0, 0);
	n = say_wait();
	ring_fill(ring_sqe(&ring_native), IORING_OP_CLOSE, (int32_t)fd, 0, 0, 0, 0, 0);
	say_wait();
	text[n > 0 ? n : 0] = 0;
	while (*line) {
		const char *want = name;

		while (*want && *line == *want)
			line++, want++;
		if (!*want && *line == ' ')
			return (int64_t)text_number(line + 1);
		while (*line && *line++ != '\n')
			;
	}
	return -1;
}

#endif
