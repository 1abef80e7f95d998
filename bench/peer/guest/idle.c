/*
 * idle HOW COUNT: what bench/guest/idle.c does, on Linux: COUNT threads or processes that wait. A
 * process is this program, executed anew.
 */
#include <pthread.h>
#include <unistd.h>

#include "peer.h"

#define STACK_BYTES 32768u /* as libasync's coroutines have */

static void *wait_here(void *arg)
{
	(void)arg;
	pause();
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_attr_t attr;
	uint64_t count;

	if (argc == 2)
		pause(); /* a child */
	if (argc != 3)
		die("usage: idle threads|processes COUNT");
	count = number(argv[2], 1, 4096);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (uint64_t i = 0; i < count; i++) {
		pthread_t thread;

		if (strcmp(argv[1], "processes")) {
			if (pthread_create(&thread, &attr, wait_here, NULL))
				die("thread %llu could not be made", (unsigned long long)i);
		} else if (!vfork()) {
			execl("/proc/self/exe", argv[0], "child", (char *)NULL);
			_exit(1);
		}
	}
	printf("idle: ready\n");
	fflush(stdout);
	pause();
	return 0;
}
