/*
 * crt: a program of Sluice from its first instruction (crt0.S) to ring_main, and its end: finds the
 * start block in the auxiliary vector and makes the native ring of it. linux/start.c is the same
 * for programs of Linux.
 *
 * Runs on the first thread.
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
	ring_native.watch = (uint32_t *)(uintptr_t)start->watch;
	ring_exit(&ring_native, ring_main(&ring_native, argc, argv));
}

int64_t ring_syscall(struct ring *ring, uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
		     uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);
	uint64_t me = (uint64_t)(uintptr_t)&sqe;
	int64_t result = -EAGAIN;
	bool mine = false;

	if (!sqe)
		return result;
	ring_fill_syscall(sqe, (uint16_t)nr, a0, a1, a2, a3, a4, a5, me);
	ring_publish(ring);
	while (!mine) {
		int err = ring_wait(ring, 1);

		if (err)
			return err;
		mine = ring_cqe(ring)->user_data == me;
		if (mine)
			result = sluice_wide_result(ring_cqe(ring));
		ring_advance(ring, 1);
	}
	return result;
}

static struct io_uring_sqe *crt_sqe(struct ring *ring)
{
	struct io_uring_sqe *sqe;

	while ((sqe = ring_sqe(ring)) == NULL)
		ring_submit(ring);
	return sqe;
}

/* Ends a chain that the program left open: what follows waits for nothing, fails with nothing. */
static void crt_end_chain(struct ring *ring)
{
	ring_fill(crt_sqe(ring), IORING_OP_NOP, -1, 0, 0, 0, 0, 0);
}

static _Noreturn void crt_exit(struct ring *ring, int status)
{
	ring_fill_syscall(crt_sqe(ring), SYS_exit_group, (uint64_t)(int64_t)status, 0, 0, 0, 0, 0,
			  0);
	ring_publish(ring);
	for (;;) {
		/* no CQE will come of it: the process is gone first */
		ring_wait(ring, ring_ready(ring) + 1);
	}
}

_Noreturn void ring_exit(struct ring *ring, int status)
{
	crt_end_chain(ring);
	crt_exit(ring, status);
}

_Noreturn void ring_die(struct ring *ring, const char *text)
{
	struct io_uring_sqe *sqe;
	uint32_t len = 0;

	while (text[len])
		len++;
	crt_end_chain(ring);
	sqe = crt_sqe(ring);
	ring_fill(sqe, IORING_OP_WRITE, 2, ~0ull, (uint64_t)(uintptr_t)text, len, 0, 0);
	sqe->flags = IOSQE_IO_HARDLINK; /* the exit comes after the text */
	crt_exit(ring, 127);
}
