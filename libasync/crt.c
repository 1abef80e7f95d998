/*
 * crt: from the first instruction (crt0.S) to ring_main: finds the start block in the auxiliary
 * vector and makes the native ring of it.
 *
 * Runs once, on the first thread.
 */
#include "ring.h"
#include "uapi/auxv.h"

struct ring ring_native;
const struct sluice_start *ring_start_info;

void async_crt_start(uint64_t *sp);

static const struct sluice_start *crt_find_start(char **envp)
{
	const uint64_t *aux;

	while (*envp)
		envp++;
	for (aux = (const uint64_t *)(envp + 1); aux[0] != AT_NULL; aux += 2)
		if (aux[0] == AT_SLUICE)
			return (const struct sluice_start *)(uintptr_t)aux[1];
	return NULL;
}

void async_crt_start(uint64_t *sp)
{
	int argc = (int)sp[0];
	char **argv = (char **)(sp + 1);
	const struct sluice_start *start = crt_find_start(argv + argc + 1);

	/* Not this kernel, or one that speaks another language: there is no ring to say so on. */
	if (!start || start->size < sizeof(*start) || start->version != SLUICE_START_VERSION)
		__builtin_trap();
	ring_start_info = start;
	ring_init(&ring_native, start->ring_fd, &start->params, (void *)(uintptr_t)start->sq_ring,
		  (void *)(uintptr_t)start->cq_ring, (void *)(uintptr_t)start->sqes,
		  start->enter_fn);
	ring_exit(&ring_native, ring_main(&ring_native, argc, argv));
}
