/*
 * give: runnable operations go from a crowded core to one that has less to do. What a core could
 * give away is one unit for the balancer, all of it together: a move gives half.
 *
 * Only what is worth the way leaves: an op whose rest computes for GIVE_WORTH_NS, ten times and
 * more what two mails and cold lines cost. Everything light, a NOP or a small read, never sees any
 * of this. Order is kept as it is without: what a chain runs next begins when this one's completion
 * is back on the ring's core, and operations without a chain have none. Runs in its core's turn.
 */
#include "sched/op.h"

#include "cores/balance.h"
#include "uapi/errno.h"

#define GIVE_LOOKS 64u	    /* ops of the run queue that are looked at, at most */
#define GIVE_WORTH_NS 10000u
#define GIVE_UNIT 1u	    /* a core has one */

void (*op_given_hook)(struct op *op, unsigned to);

/* What its rest is worth; 0: it stays. */
static uint32_t op_worth(const struct op *op)
{
	uint32_t work;

	if (!op->row->work || (op->flags & (OP_ON_FIBER | OP_GIVEN)) ||
	    op->row->placed(op) != OP_PLACE_ANY)
		return 0;
	work = op->row->work(op);
	return work >= GIVE_WORTH_NS ? work : 0;
}

/* Calls take(op, worth, arg) for those that may leave, the last to run first, until it is false. */
static void op_each(struct core *c, bool (*take)(struct op *op, uint32_t worth, void *arg),
		    void *arg)
{
	unsigned looks = 0;

	for (unsigned prio = OP_PRIORITIES; prio-- > 0;) {
		struct list *queue = executor_queue_at(c, prio), *before;

		for (struct list *pos = queue->prev; pos != queue; pos = before) {
			struct op *op = list_item(pos, struct op, link);
			uint32_t worth = op_worth(op);

			before = pos->prev;
			if (looks++ == GIVE_LOOKS || (worth && !take(op, worth, arg)))
				return;
		}
	}
}

struct giving {
	struct core *core;
	unsigned to, count;
	uint64_t left_ns;
};

static bool give_one(struct op *op, uint32_t worth, void *arg)
{
	struct giving *g = arg;

	op_unqueue(op);
	op->flags |= OP_GIVEN;
	g->core->count->ops_given++;
	op_given_hook(op, g->to);
	op_send(op, g->to);
	g->count++;
	g->left_ns -= min_of(g->left_ns, (uint64_t)worth);
	return g->left_ns;
}

unsigned op_give(struct core *c, unsigned to, uint64_t work_ns)
{
	struct giving g = { .core = c, .to = to, .left_ns = work_ns };

	if (work_ns)
		op_each(c, give_one, &g);
	return g.count;
}

/* ---- for the balancer ------------------------------------------------------------------------ */

static bool give_count(struct op *op, uint32_t worth, void *arg)
{
	struct balance_unit *u = arg;

	(void)op;
	u->load++;
	u->work_ns += min_of(worth, UINT32_MAX - u->work_ns);
	return true;
}

static unsigned ops_list(struct core *c, struct balance_unit *out, unsigned max)
{
	struct balance_unit all = { .id = GIVE_UNIT };

	if (!max || !c->exec || !executor_has_work(c))
		return 0;
	op_each(c, give_count, &all);
	*out = all;
	return all.load != 0;
}

static int ops_move(struct core *c, uint64_t id, unsigned to)
{
	struct balance_unit all = { 0 };

	if (id != GIVE_UNIT)
		return -ENOENT;
	if (!core_takes(cores[to], ROLE_SERVES))
		return -EINVAL;
	op_each(c, give_count, &all);
	return op_give(c, to, ((uint64_t)all.work_ns + 1) / 2) ? 0 : -ENOENT;
}

static const struct balance_mover ops_mover = { "operations", ops_list, ops_move };

void op_give_init(void)
{
	balance_mover_set(BALANCE_OP, &ops_mover);
}
