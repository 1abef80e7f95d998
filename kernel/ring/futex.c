/*
 * futex: FUTEX_WAIT and FUTEX_WAKE on private words of 32 bits, as on Linux 6.7.
 *
 *   WAIT: LOOK --another value--> -EAGAIN;  --the value--> parked on the address's list --> WOKEN
 *   WOKEN --by FUTEX_WAKE--> 0;  --cancelled--> -ECANCELED;  --else--> parked again
 *
 * The lists belong to the process and so to its home core, where all of this runs: between the look
 * at the word and the place on the list no wake can come. They are bounded by the operations there
 * can be. FUTEX_WAITV is not served (-EINVAL), nor are words that processes share.
 */
#include "ring/internal.h"

#include "mm/pin.h"
#include "ring/sys.h"
#include "uapi/errno.h"

/* Linux, linux/futex.h */
#define FUTEX2_SIZE_U32 2u
#define FUTEX2_PRIVATE 128u

/* ---- body */

struct futex_op {
	uaddr_t at;
	uint32_t value; /* WAIT: what the word must hold; WAKE: how many at most */
	uint32_t mask;
	bool woken;
};

/* ---- states, check */

enum futex_state { FUTEX_LOOK, FUTEX_WOKEN };
static const char *const futex_state_names[] = { "look", "woken" };

static int futex_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct futex_op *fu = op_body(op, struct futex_op);

	if (sqe->ioprio || sqe->len || sqe->rw_flags || sqe->buf_index || sqe->file_index ||
	    (op->sqe_flags & IOSQE_FIXED_FILE))
		return -EINVAL;
	if ((uint32_t)sqe->fd != (FUTEX2_SIZE_U32 | FUTEX2_PRIVATE))
		return -EINVAL;
	if (!sqe->addr3 || sqe->addr3 > UINT32_MAX || sqe->off > UINT32_MAX || (sqe->addr & 3))
		return -EINVAL;
	*fu = (struct futex_op){ .at = sqe->addr,
				 .value = (uint32_t)sqe->off,
				 .mask = (uint32_t)sqe->addr3 };
	return 0;
}

/* ---- helpers */

static struct waitlist *futex_list(struct process *p, uaddr_t at)
{
	return &p->futexes[(at >> 2 ^ at >> 6 ^ at >> 12) % PROCESS_FUTEXES];
}

/* The word: by one load, as the program's own. 0 or -errno. */
static int futex_look(struct aspace *as, uaddr_t at, uint32_t *value)
{
	struct pin pin;
	int64_t got = pin_user(as, at, sizeof(*value), ACCESS_READ, &pin);
	uint32_t run;

	if (got < 0)
		return (int)got;
	*value = atomic_load((_Atomic uint32_t *)pin_view(&pin, 0, &run));
	pin_release(&pin);
	return 0;
}

static int32_t futex_wake(struct process *p, uaddr_t at, uint64_t max, uint32_t mask)
{
	int32_t count = 0;

	list_for_each_safe(pos, &futex_list(p, at)->ops) {
		struct op *op = list_item(pos, struct op, link);
		struct futex_op *fu = op_body(op, struct futex_op);

		if ((uint64_t)count == max)
			break;
		if (fu->at != at || !(fu->mask & mask))
			continue;
		fu->woken = true;
		op_wake(op);
		count++;
	}
	return count;
}

void futex_clear(struct process *p, uaddr_t at)
{
	struct pin pin;
	uint32_t run;

	if (pin_user(p->as, at, sizeof(uint32_t), ACCESS_WRITE, &pin) < 0)
		return; /* the program has unmapped it: nobody can ask */
	atomic_store((_Atomic uint32_t *)pin_view(&pin, 0, &run), 0);
	pin_release(&pin);
	futex_wake(p, at, UINT64_MAX, UINT32_MAX);
}

/* ---- step and cancel */

static enum step futex_wait_step(struct op *op)
{
	struct futex_op *fu = op_body(op, struct futex_op);
	uint32_t value = 0;
	int err;

	switch ((enum futex_state)op->state) {
	case FUTEX_LOOK:
		err = futex_look(op_aspace(op), fu->at, &value);
		if (!err && value != fu->value)
			err = -EAGAIN;
		if (err)
			return op_finish(op, err);
		op->state = FUTEX_WOKEN;
		return op_park(op, futex_list(op_process(op), fu->at));
	case FUTEX_WOKEN:
		if (fu->woken)
			return op_finish(op, 0);
		if (op->flags & OP_CANCELLED)
			return op_finish(op, -ECANCELED);
		return op_park(op, futex_list(op_process(op), fu->at));
	}
	op_corrupt(op);
}

static int futex_wait_cancel(struct op *op)
{
	if (op_body(op, struct futex_op)->woken)
		return -EALREADY;
	op_wake(op);
	return 0;
}

static enum step futex_wake_step(struct op *op)
{
	const struct futex_op *fu = op_body(op, struct futex_op);

	return op_finish(op, futex_wake(op_process(op), fu->at, fu->value, fu->mask));
}

/* ---- the older call: as far as it asks for the same ------------------------------------------ */

#define FUTEX_WAIT 0u
#define FUTEX_WAKE 1u
#define FUTEX_WAIT_BITSET 9u
#define FUTEX_WAKE_BITSET 10u
#define FUTEX_PRIVATE_FLAG 128u

/* Waits with a timeout are not served, nor is any other command. Words are the program's own,
 * whether it says so or not. */
static int futex_translate(const struct sys_args *args, struct io_uring_sqe *sqe)
{
	uint32_t command = (uint32_t)args->a[1] & ~FUTEX_PRIVATE_FLAG;
	bool wait = command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET;
	bool bits = command == FUTEX_WAIT_BITSET || command == FUTEX_WAKE_BITSET;

	if ((!wait && command != FUTEX_WAKE && command != FUTEX_WAKE_BITSET) ||
	    (wait && args->a[3]))
		return -ENOSYS;
	sqe->opcode = wait ? IORING_OP_FUTEX_WAIT : IORING_OP_FUTEX_WAKE;
	sqe->fd = FUTEX2_SIZE_U32 | FUTEX2_PRIVATE;
	sqe->addr = args->a[0];
	sqe->off = (uint32_t)args->a[2];
	sqe->addr3 = bits ? (uint32_t)args->a[5] : UINT32_MAX;
	return 0;
}

SYS_AS(futex);

const struct op_row row_futex_wait = {
	.name = "futex_wait",
	.body_size = sizeof(struct futex_op),
	.place = OP_PLACE_HOME,
	.state_count = 2,
	.state_names = futex_state_names,
	.check = futex_check,
	.step = futex_wait_step,
	.cancel = futex_wait_cancel,
};

const struct op_row row_futex_wake = {
	.name = "futex_wake",
	.body_size = sizeof(struct futex_op),
	.place = OP_PLACE_HOME,
	.state_count = 1,
	.state_names = (const char *const[]){ "wake" },
	.check = futex_check,
	.step = futex_wake_step,
};
