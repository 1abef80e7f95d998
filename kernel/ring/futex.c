/*
 * futex: FUTEX_WAIT and FUTEX_WAKE on private words of 32 bits, as on Linux 6.7; the older call
 * that can more; and what is done to words when a thread ends.
 *
 *   WAIT: LOOK --another value--> -EAGAIN;  --the value--> parked on the address's list --> WOKEN
 *   WOKEN --by FUTEX_WAKE--> 0;  --cancelled--> -ECANCELED;  --its time is over--> -ETIMEDOUT
 *         --else--> parked again, perhaps on the list of the word that it was requeued to
 *
 * The lists belong to the process and so to its home core, where all of this runs: between the look
 * at the word and the place on the list no wake can come. They are bounded by the operations there
 * can be. FUTEX_WAITV is not served (-EINVAL), nor are words that processes share.
 */
#include "ring/internal.h"

#include "mm/pin.h"
#include "ring/sys.h"
#include "sched/timer.h"
#include "uapi/errno.h"

/* Linux, linux/futex.h */
#define FUTEX2_SIZE_U32 2u
#define FUTEX2_PRIVATE 128u

#define WAKES_AT_ONCE 256u /* in one step */

/* ---- body */

struct futex_op {
	uaddr_t at;
	uint32_t value; /* WAIT: what the word must hold; WAKE: how many at most */
	uint32_t mask;
	uint32_t count; /* WAKE: so far */
	bool woken;

	/* of the older call only */
	bool timed;
	bool requeues;		/* WAKE: and moves `more` of the rest to `to` */
	bool compares;		/* ... if the word holds `expected` */
	uint32_t more, expected;
	uint32_t timeout_flags; /* IORING_TIMEOUT_ABS, _REALTIME */
	uaddr_t to;
	uaddr_t time; /* the program's timespec */
	struct timer timer;
};

/* ---- states, check */

enum futex_state { FUTEX_LOOK, FUTEX_WOKEN };
static const char *const futex_state_names[] = { "look", "woken" };

static void futex_fire(struct timer *t)
{
	struct futex_op *fu = container_of(t, struct futex_op, timer);

	op_wake(container_of((char *)fu, struct op, body[0]));
}

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
	timer_init(&fu->timer, futex_fire);
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

/* Wakes, and moves others to another word: how many both. */
static int32_t futex_requeue(struct process *p, const struct futex_op *fu)
{
	int32_t count = futex_wake(p, fu->at, fu->value, fu->mask);
	struct waitlist *to = futex_list(p, fu->to);
	uint32_t moved = 0;

	if (fu->to == fu->at)
		return count;
	list_for_each_safe(pos, &futex_list(p, fu->at)->ops) {
		struct op *op = list_item(pos, struct op, link);
		struct futex_op *waits = op_body(op, struct futex_op);

		if (moved == fu->more)
			break;
		if (waits->at != fu->at)
			continue;
		waits->at = fu->to;
		moved++;
		if (to == futex_list(p, fu->at))
			continue;
		list_remove(&op->link);
		list_push_back(&to->ops, &op->link);
	}
	return count + (int32_t)moved;
}

/* ---- step and cancel */

static enum step futex_look_step(struct op *op, struct futex_op *fu)
{
	uint32_t value = 0;
	nsec_t ns = 0;
	int err = fu->timed ? timespec_read(op_aspace(op), fu->time, &ns) : 0;

	if (!err)
		err = futex_look(op_aspace(op), fu->at, &value);
	if (!err && value != fu->value)
		err = -EAGAIN;
	if (err)
		return op_finish(op, err);
	if (fu->timed)
		timer_arm(&fu->timer, timeout_deadline(ns, fu->timeout_flags));
	op->state = FUTEX_WOKEN;
	return op_park(op, futex_list(op_process(op), fu->at));
}

static enum step futex_wait_step(struct op *op)
{
	struct futex_op *fu = op_body(op, struct futex_op);
	int32_t res;

	switch ((enum futex_state)op->state) {
	case FUTEX_LOOK:
		return futex_look_step(op, fu);
	case FUTEX_WOKEN:
		if (fu->woken)
			res = 0;
		else if (op->flags & OP_CANCELLED)
			res = -ECANCELED;
		else if (fu->timed && !timer_is_armed(&fu->timer))
			res = -ETIMEDOUT;
		else
			return op_park(op, futex_list(op_process(op), fu->at));
		timer_disarm(&fu->timer);
		return op_finish(op, res);
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
	struct futex_op *fu = op_body(op, struct futex_op);
	uint32_t most = min_of(fu->value - fu->count, WAKES_AT_ONCE);
	uint32_t n = (uint32_t)futex_wake(op_process(op), fu->at, most, fu->mask);

	fu->count += n;
	if (n < WAKES_AT_ONCE || fu->count == fu->value || (op->flags & OP_CANCELLED))
		return op_finish(op, (int32_t)fu->count);
	return op_pause(op);
}

/* ---- the older call -------------------------------------------------------------------------- */

/* Linux, linux/futex.h */
#define FUTEX_WAIT 0u
#define FUTEX_WAKE 1u
#define FUTEX_REQUEUE 3u
#define FUTEX_CMP_REQUEUE 4u
#define FUTEX_WAIT_BITSET 9u
#define FUTEX_WAKE_BITSET 10u
#define FUTEX_PRIVATE_FLAG 128u
#define FUTEX_CLOCK_REALTIME 256u

enum { CALL_WAIT = FUTEX_LOOK, CALL_WOKEN = FUTEX_WOKEN, CALL_WAKE };

/* A time is how long for WAIT, and a moment for WAIT_BITSET. */
static void futex_call_times(struct futex_op *fu, uint32_t command, uint64_t at)
{
	bool moment = (command & ~FUTEX_CLOCK_REALTIME) == FUTEX_WAIT_BITSET;

	fu->timed = at;
	fu->time = at;
	if (moment)
		fu->timeout_flags = IORING_TIMEOUT_ABS |
				    (command & FUTEX_CLOCK_REALTIME ? IORING_TIMEOUT_REALTIME : 0);
}

/* Every other command is not served. Words are the program's own, whether it says so or not. */
static int futex_call_check(struct op *op, const struct io_uring_sqe *sqe)
{
	const struct sluice_syscall_sqe *call = (const struct sluice_syscall_sqe *)sqe;
	struct futex_op *fu = op_body(op, struct futex_op);
	uint32_t command = (uint32_t)call->a1 & ~FUTEX_PRIVATE_FLAG;

	if (call->ioprio || call->personality)
		return -EINVAL;
	*fu = (struct futex_op){ .at = call->a0, .value = (uint32_t)call->a2, .mask = UINT32_MAX };
	timer_init(&fu->timer, futex_fire);
	op->state = CALL_WAKE;
	switch (command) {
	case FUTEX_WAIT_BITSET:
	case FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME:
		fu->mask = (uint32_t)call->a5;
		/* fall through */
	case FUTEX_WAIT:
		futex_call_times(fu, command, call->a3);
		op->state = CALL_WAIT;
		break;
	case FUTEX_WAKE_BITSET:
		fu->mask = (uint32_t)call->a5;
		break;
	case FUTEX_WAKE:
		break;
	case FUTEX_CMP_REQUEUE:
		fu->compares = true;
		fu->expected = (uint32_t)call->a5;
		/* fall through */
	case FUTEX_REQUEUE:
		fu->requeues = true;
		fu->to = call->a4;
		fu->more = (uint32_t)call->a3;
		if ((int32_t)fu->value < 0 || (int32_t)fu->more < 0)
			return -EINVAL;
		break;
	default:
		return -ENOSYS;
	}
	return !fu->mask || ((fu->at | fu->to) & 3) ? -EINVAL : 0;
}

static enum step futex_call_step(struct op *op)
{
	const struct futex_op *fu = op_body(op, struct futex_op);
	uint32_t value = fu->expected;
	int err = 0;

	if (op->state != CALL_WAKE)
		return futex_wait_step(op);
	if (!fu->requeues)
		return futex_wake_step(op);
	if (fu->compares)
		err = futex_look(op_aspace(op), fu->at, &value);
	if (!err && value != fu->expected)
		err = -EAGAIN;
	return op_finish(op, err ? err : futex_requeue(op_process(op), fu));
}

static const struct op_row row_futex_call = {
	.name = "futex",
	.body_size = sizeof(struct futex_op),
	.place = OP_PLACE_HOME,
	.raw = 1,
	.preemptible = 1,
	.state_count = 3,
	.state_names = (const char *const[]){ "look", "woken", "wake" },
	.check = futex_call_check,
	.step = futex_call_step,
	.cancel = futex_wait_cancel,
};

const struct sys_row sys_futex = { .name = "futex", .row = &row_futex_call };

/* ---- when a thread ends ---------------------------------------------------------------------- */

/* The word, until the pin is released; NULL: it is not aligned, or not the program's to write (any
 * more): nobody can wait on it. */
static _Atomic uint32_t *futex_word(struct process *p, uaddr_t at, struct pin *pin)
{
	uint32_t run;

	if ((at & 3) || pin_user(p->as, at, sizeof(uint32_t), ACCESS_WRITE, pin) < 0)
		return NULL;
	return pin_view(pin, 0, &run);
}

void futex_clear(struct process *p, uaddr_t at)
{
	struct pin pin;
	_Atomic uint32_t *word = futex_word(p, at, &pin);

	if (!word)
		return;
	atomic_store(word, 0);
	pin_release(&pin);
	futex_wake(p, at, UINT64_MAX, UINT32_MAX);
}

/* Linux, linux/futex.h: struct robust_list_head is the first entry's address, the distance from an
 * entry to its word, and an entry that is being taken or left; bit 0 of an entry's address says
 * that the word inherits priority. */
#define FUTEX_WAITERS 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK 0x3fffffffu
#define ROBUST_ENTRIES_MAX 256u

static void futex_abandon(struct process *p, uaddr_t at, uint32_t tid)
{
	struct pin pin;
	_Atomic uint32_t *word = futex_word(p, at, &pin);
	uint32_t was;

	if (!word)
		return;
	was = atomic_load(word);
	while ((was & FUTEX_TID_MASK) == tid &&
	       !atomic_compare_exchange_weak(word, &was, (was & FUTEX_WAITERS) | FUTEX_OWNER_DIED))
		;
	pin_release(&pin);
	if ((was & FUTEX_TID_MASK) == tid && (was & FUTEX_WAITERS))
		futex_wake(p, at, 1, UINT32_MAX);
}

void futex_abandon_all(struct process *p, uaddr_t head, uint32_t tid)
{
	uint64_t list[3], entry;

	if (!head || user_read(p->as, head, list, sizeof(list)))
		return;
	entry = list[0];
	for (unsigned i = 0; i < ROBUST_ENTRIES_MAX && (entry & ~1ull) != head; i++) {
		uaddr_t at = (entry & ~1ull) + list[1];

		if (user_read(p->as, entry & ~1ull, &entry, sizeof(entry)))
			break;
		if (at != (list[2] & ~1ull) + list[1])
			futex_abandon(p, at, tid);
	}
	if (list[2] & ~1ull)
		futex_abandon(p, (list[2] & ~1ull) + list[1], tid);
}

/* ---- rows ------------------------------------------------------------------------------------ */

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
	.preemptible = 1,
	.place = OP_PLACE_HOME,
	.state_count = 1,
	.state_names = (const char *const[]){ "wake" },
	.check = futex_check,
	.step = futex_wake_step,
};
