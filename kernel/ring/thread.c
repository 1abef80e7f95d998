/*
 * thread: THREAD: one more thread of the program that asks (uapi/sluice.h). What a thread is, and
 * how it ends, is in proc/.
 *
 *   MAKE: ask read, ring made, thread made, told, started --> done with its number
 *
 * The process's home core, at once: it never parks.
 */
#include "ring/internal.h"

#include "mm/pin.h"
#include "uapi/errno.h"

/* ---- body */

struct thread_op {
	uaddr_t at;
};

/* ---- states, check */

static const char *const thread_state_names[] = { "make" };

static int thread_check(struct op *op, const struct io_uring_sqe *sqe)
{
	if (sqe->ioprio || sqe->fd || sqe->off || sqe->rw_flags || sqe->buf_index ||
	    sqe->file_index || sqe->addr3 || sqe->__pad2[0] ||
	    (op->sqe_flags & IOSQE_FIXED_FILE) || sqe->len != sizeof(struct sluice_thread))
		return -EINVAL;
	op_body(op, struct thread_op)->at = sqe->addr;
	return 0;
}

/* ---- helpers */

/* The words the program gave can be written: better known before anything is made. */
static int thread_words(struct process *p, const struct sluice_thread *ask)
{
	static const struct sluice_start empty;
	uint32_t zero = 0;
	int err = 0;

	if (ask->tid & 3)
		return -EINVAL;
	if (ask->start)
		err = user_write(p->as, ask->start, &empty, sizeof(empty));
	if (!err && ask->tid)
		err = user_write(p->as, ask->tid, &zero, sizeof(zero));
	return err;
}

static int thread_ring(struct process *p, const struct sluice_thread *ask, struct ring **ring,
		       struct sluice_start *start)
{
	int err = 0;

	*ring = NULL;
	if (!ask->start)
		return 0;
	process_announce(start, ask->core, p->home);
	err = ring_create_native(p, start, ring);
	if (err)
		return err;
	err = user_write(p->as, ask->start, start, sizeof(*start));
	if (err)
		ring_drop_native(p, start, *ring);
	return err;
}

static int thread_make(struct process *p, const struct user_thread *caller,
		       struct sluice_thread *ask)
{
	uint32_t home = p->home;
	struct thread_spec spec;
	struct sluice_start start;
	struct user_thread *t;
	struct ring *ring;
	int err;

	if (ask->size != sizeof(*ask) || ask->flags || ask->reserved ||
	    process_place(ask->core, &home))
		return -EINVAL;
	if (ask->core == SLUICE_ANY_CORE)
		ask->core = placement_least_loaded();
	err = thread_words(p, ask);
	if (!err)
		err = thread_ring(p, ask, &ring, &start);
	if (err)
		return err;
	spec = (struct thread_spec){ .core = ask->core, .pc = ask->entry, .sp = ask->sp,
				     .tp = ask->tp, .arg = ask->arg, .tid_at = ask->tid };
	err = process_thread_make(p, &spec, &t);
	if (err) {
		if (ring)
			ring_drop_native(p, &start, ring);
		return err;
	}
	if (ask->tid) /* as a moment ago: nobody changes mappings while this core is here */
		(void)!user_write(p->as, ask->tid, &t->tid, sizeof(t->tid));
	if (ring)
		ring->owner = t;
	for (unsigned i = 0; caller && i < CORE_WORDS; i++)
		t->thread.allowed[i] = caller->thread.allowed[i];
	process_thread_start(t);
	return (int)t->tid;
}

/* ---- step */

static enum step thread_step(struct op *op)
{
	uaddr_t at = op_body(op, struct thread_op)->at;
	struct sluice_thread ask;
	int err = user_read(op_aspace(op), at, &ask, sizeof(ask));

	return op_finish(op, err ? err : thread_make(op_process(op), ring_caller(op->ring), &ask));
}

const struct op_row row_thread = {
	.name = "thread",
	.body_size = sizeof(struct thread_op),
	.place = OP_PLACE_HOME,
	.state_count = 1,
	.state_names = thread_state_names,
	.check = thread_check,
	.step = thread_step,
};
