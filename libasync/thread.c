/*
 * thread: one more thread of the program, with a ring of its own (ring.h). Sluice only: on Linux
 * threads are the C library's.
 *
 * ring_thread_init and what asks for the thread run on any thread; the rest on the new one.
 */
#include "ring.h"

#ifndef ASYNC_LINUX

/* arch/ crt0.S: the first instructions of a thread. */
void ring_thread_entry(void);
_Noreturn void ring_thread_begin(struct ring_thread *thread);

void ring_thread_init(struct ring_thread *thread, void (*fn)(struct ring_thread *), void *arg,
		      void *stack, size_t bytes, uint64_t tp, uint32_t core)
{
	*thread = (struct ring_thread){ .fn = fn, .arg = arg };
	thread->ask = (struct sluice_thread){
		.size = sizeof(thread->ask),
		.entry = (uint64_t)(uintptr_t)ring_thread_entry,
		.sp = ((uint64_t)(uintptr_t)stack + bytes) & ~15ull,
		.arg = (uint64_t)(uintptr_t)thread,
		.tp = tp,
		.tid = (uint64_t)(uintptr_t)&thread->tid,
		.start = (uint64_t)(uintptr_t)&thread->start,
		.core = core,
	};
}

_Noreturn void ring_thread_begin(struct ring_thread *thread)
{
	const struct sluice_start *start = &thread->start;

	ring_init(&thread->ring, start->ring_fd, &start->params, (void *)(uintptr_t)start->sq_ring,
		  (void *)(uintptr_t)start->cq_ring, (void *)(uintptr_t)start->sqes,
		  start->enter_fn);
	thread->ring.watch = (uint32_t *)(uintptr_t)start->watch;
	thread->fn(thread);
	ring_thread_exit(&thread->ring, 0);
}

/* Through the door: it says nothing on the ring, and never comes back. */
_Noreturn void ring_thread_exit(struct ring *ring, int status)
{
	for (;;) /* a full door answers -EAGAIN */
		async_door(ring->door, SYS_exit, (uint64_t)(int64_t)status, 0, 0, 0, 0, 0);
}

#endif
