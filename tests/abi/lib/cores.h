/*
 * cores: /dev/cores, as tests read it that ask where something was done. Included once.
 */
#ifndef TESTS_ABI_CORES_H
#define TESTS_ABI_CORES_H

#include "tests/abi/lib/text.h"

#define CORES_MAX 16u
#define TURNS_WORD 7
#define SQES_WORD 8 /* of a line of /dev/cores: docs/abi.md */
#define STEPS_WORD 10

struct core {
	bool io, net, user;
	uint64_t turns, sqes, steps;
};

static char cores_text[8192];

static inline int64_t open_file(const char *path)
{
	ring_fill(ring_sqe(&ring_native), IORING_OP_OPENAT, AT_FDCWD, 0, (uint64_t)(uintptr_t)path,
		  0, O_RDONLY, 0);
	return say_wait();
}

static inline bool has_word(const char *at, const char *word)
{
	for (; *at && *at != ' '; at++) {
		const char *a = at, *w = word;

		while (*w && *a == *w)
			a++, w++;
		if (!*w)
			return true;
	}
	return false;
}

static inline const char *word_at(const char *line, unsigned index)
{
	for (; index; line++)
		index -= *line == ' ';
	return line;
}

/* The cores' lines behind the heading; how many there are. */
static inline unsigned look(struct core *cores)
{
	int64_t fd = open_file("/dev/cores"), got;
	unsigned n = 0;

	ring_fill(ring_sqe(&ring_native), IORING_OP_READ, (int32_t)fd, 0,
		  (uint64_t)(uintptr_t)cores_text, sizeof(cores_text) - 1, 0, 0);
	got = say_wait();
	cores_text[got > 0 ? got : 0] = 0;
	for (char *at = cores_text; *at && n < CORES_MAX; at++) {
		if (*at != '\n' || !at[1])
			continue;
		cores[n++] = (struct core){
			.io = has_word(word_at(at + 1, 1), "io"),
			.net = has_word(word_at(at + 1, 1), "net"),
			.user = has_word(word_at(at + 1, 1), "user"),
			.turns = text_number(word_at(at + 1, TURNS_WORD)),
			.sqes = text_number(word_at(at + 1, SQES_WORD)),
			.steps = text_number(word_at(at + 1, STEPS_WORD)),
		};
	}
	ring_fill(ring_sqe(&ring_native), IORING_OP_CLOSE, (int32_t)fd, 0, 0, 0, 0, 0);
	(void)say_wait();
	return n;
}

#endif
