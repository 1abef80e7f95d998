/*
 * crew (Linux): the threads of more executors: the C library's, each with a ring of its own.
 * native.c is the same for Sluice.
 *
 * A sleeping executor is woken by the futex operations of io_uring, which Linux has since 6.7; an
 * older one keeps the one executor there is.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#include "libasync/crew.h"
#include "start.h"

/* Waking nobody answers 0; an entry that the kernel does not know, -EINVAL. */
static int crew_has_futex(void)
{
	static uint32_t word;
	struct async_io io;
	struct io_uring_sqe *sqe = async_io_begin(&io);

	if (sqe)
		ring_fill_futex_wake(sqe, &word, 1, (uint64_t)(uintptr_t)&io);
	return async_io_wait(&io);
}

static void *crew_thread_run(void *arg)
{
	struct ring ring;

	/* bound to the thread that makes it */
	async_linux_ring(&ring);
	crew_work(&async_exec_own, (uint32_t)(uintptr_t)arg, &ring, NULL);
	return NULL;
}

int crew_start(uint32_t index)
{
	pthread_t thread;
	int err = index == 1 ? crew_has_futex() : 0;

	if (err == -EINVAL)
		return -EOPNOTSUPP;
	if (err < 0)
		return err;
	err = pthread_create(&thread, NULL, crew_thread_run, (void *)(uintptr_t)index);
	if (!err)
		pthread_detach(thread);
	return -err;
}

unsigned crew_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned)CPU_COUNT(&set);
}
