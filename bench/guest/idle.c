/*
 * b_idle HOW COUNT: COUNT of something that wait, for ever, so that their memory can be looked at.
 *
 *	coroutines	each waits for an event
 *	processes	children of this program, each with its ring; each says that it is there,
 *			and waits for a pipe
 */
#include "libasync/async.h"

#include <stdlib.h>
#include <string.h>

#define COUNT_MAX 4096u

static struct async_event never;

static int64_t wait_here(void *arg)
{
	(void)arg;
	return async_event_wait(&never);
}

static bool coroutines(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!async_spawn(wait_here, NULL))
			return false;
	async_yield(); /* each has run as far as it will */
	return true;
}

static bool processes(unsigned count, const char *self)
{
	const char *words[] = { self, "child", "1", NULL };
	int pipe[2], back[2];
	int32_t fds[3];
	char here;

	if (async_pipe(pipe, 0) || async_pipe(back, 0))
		return false;
	fds[0] = pipe[0];
	fds[1] = fds[2] = back[1];
	for (unsigned i = 0; i < count; i++)
		if (async_program_start(self, words, NULL, fds, 3) < 0)
			return false;
	for (unsigned i = 0; i < count; i++)
		if (async_read(back[0], &here, 1) != 1)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	char none[] = "x", *end = none;
	unsigned long count = argc == 3 ? strtoul(argv[2], &end, 10) : 0;
	char byte;
	bool there;

	if (!count || count > COUNT_MAX || *end) {
		async_printf("usage: b_idle coroutines|processes COUNT\n");
		return 2;
	}
	if (!strcmp(argv[1], "child"))
		return async_write(1, "x", 1) == 1 ? (int)async_read(0, &byte, 1) : 1;
	there = !strcmp(argv[1], "processes") ? processes((unsigned)count, argv[0])
					      : coroutines((unsigned)count);
	async_printf("idle: %s\n", there ? "ready" : "not all of them could be made");
	return (int)async_read(0, &byte, 1);
}
