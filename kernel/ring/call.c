/*
 * call: the quick half of the trap door. A call of an unmodified program that its core can serve at
 * once is answered from the trap itself; enter.c has the rest.
 *
 *   trap --the slot is this core's, nothing unusual--> SQE in the slot --> the core's hand --> first step
 *          done, and nothing waits for the core's turn: result in a0, the program goes on
 *          else, with door->begun: arch_user_run returns, and enter.c answers or parks the thread
 *
 * Runs on the thread's core while the machine still counts the thread as running: of its registers
 * only those that a call may change are in memory. A step that wants all of them is not for this
 * half (sys_row.whole).
 */
#include "ring/internal.h"
#include "ring/sys.h"
#include "uapi/syscall.h"

/* The hand's first step is done, without a file to put and without an error: its result. */
static inline int64_t call_result(const struct op *op)
{
	if (op->flags & OP_RESULT64)
		return (int64_t)(op->extra << 32 | (uint32_t)op->res);
	return op->res;
}

/* A call without an opcode of its own: the SQE goes into the hand as hand_accept would put it
 * there; true: answered. A slot is on its process's home core, so the call may run here. */
static inline bool call_step(struct core *c, struct door *d, struct op *op,
			     const struct sys_row *sys)
{
	struct user_thread *t = d->wait.thread;
	struct sys_op *body;
	int64_t result;
	enum step v;

	op->word = d->slot.op_word | (uint64_t)IORING_OP_SYSCALL << OP_WORD_OPCODE;
	op->ring = &d->slot;
	op->row = &row_syscall;
	op->user_data = t->tid;
	body = sys_op_take(op, (const struct sluice_syscall_sqe *)&d->sqe);
	v = sys->step(op, &body->args);
	if (likely(v == STEP_DONE && !op->file)) {
		result = call_result(op);
		if (likely(result >= 0)) {
			arch_user_set_result(&t->thread.user, result);
			return true;
		}
	}
	ring_hand_went(c, &d->slot, op, v);
	return d->served;
}

bool ring_call_quick(struct arch_user *u, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		     uint64_t a5, uint64_t a6, uint64_t nr)
{
	struct user_thread *t = container_of(u, struct user_thread, thread.user);
	struct door *d = container_of(t->slot, struct door, slot);
	const struct sys_row *sys;
	struct core *c = this_core();
	struct op *op = c->hand;

	(void)a6;
	if (unlikely(nr >= array_count(sys_table)))
		return false;
	sys = sys_table[nr];
	if (unlikely(!sys || sys->whole || !op || d->slot.slow || !ring_is_here(c, &d->slot) ||
		     !d->quick_left))
		return false;
	d->quick_left--;
	d->served = false;
	*(struct sluice_syscall_sqe *)&d->sqe = (struct sluice_syscall_sqe){
		.opcode = IORING_OP_SYSCALL,
		.nr = (uint16_t)nr,
		.a0 = arch_user_arg(u, 0),
		.a1 = a1,
		.a2 = a2,
		.a3 = a3,
		.a4 = a4,
		.a5 = a5,
		.user_data = t->tid,
	};
	if (likely(sys->step)) {
		d->served = call_step(c, d, op, sys);
	} else {
		ring_accept(c, &d->slot, &d->sqe);
		ring_begin_ready(c);
	}
	if (likely(d->served && thread_may_go_on(c))) {
		c->count->enters++;
		return true;
	}
	d->begun = true;
	return false;
}
