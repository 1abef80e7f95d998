/*
 * check: what the programs of this folder share: an expectation that is not met ends the program,
 * with its line.
 */
#ifndef LINUX_CHECK_H
#define LINUX_CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static inline void expect_at(int line, const char *what, int holds)
{
	if (holds)
		return;
	printf("FAIL line %d: %s (errno %d)\n", line, what, errno);
	exit(1);
}
#define expect(what) expect_at(__LINE__, #what, what)
#define expect_errno(call, wanted)                                                                 \
	do {                                                                                       \
		errno = 0;                                                                         \
		expect((call) == -1 && errno == (wanted));                                         \
	} while (0)

#endif
