/*
 * priority: which of eight an entry has, by its ioprio or else by its ring, and the order in which
 * a core's rings are looked at. 0 is the most urgent. Ring's core only.
 *
 * The encoding is Linux' class << 13 | level (uapi/sluice.h): real time gives 0 and 1, best effort
 * 2 to 5, idle 6 and 7. What an entry asks for is taken out of the private copy before its row
 * checks it, so that no row but those that have bits of their own in ioprio ever finds it filled.
 */
#include "ring/internal.h"

#include "uapi/errno.h"

/* Accept, send and receive have flags in the lower bits; there the level lies above them. */
#define OWN_BITS ((1u << SLUICE_IOPRIO_HIGH_SHIFT) - 1)
#define LEVEL_MASK 7u

static int priority_of(uint32_t class, uint32_t level)
{
	if (level > LEVEL_MASK)
		return -EINVAL; /* Linux' hints */
	switch (class) {
	case IOPRIO_CLASS_RT:
		return (int)(level / 4);
	case IOPRIO_CLASS_BE:
		return (int)(2 + level / 2);
	case IOPRIO_CLASS_IDLE:
		return (int)(6 + level / 4);
	default:
		return -EINVAL;
	}
}

int ring_take_priority(const struct ring *r, const struct op_row *row, struct io_uring_sqe *sqe)
{
	uint32_t asked = sqe->ioprio, class = asked >> IOPRIO_CLASS_SHIFT;
	int own = (int)ring_priority(r);

	if (likely(!asked) || !row)
		return own;
	if (!row->ioprio_bits) {
		sqe->ioprio = 0;
		return priority_of(class, asked & ((1u << IOPRIO_CLASS_SHIFT) - 1));
	}
	sqe->ioprio = (uint16_t)(asked & OWN_BITS);
	asked >>= SLUICE_IOPRIO_HIGH_SHIFT;
	return asked ? priority_of(class, asked & LEVEL_MASK) : own;
}

static void list_by_priority(struct core *c, struct ring *r)
{
	struct list *rings = &c->rings->rings, *at = rings->prev;

	/* behind the last one that is as urgent */
	while (at != rings && ring_priority(list_item(at, struct ring, link)) > ring_priority(r))
		at = at->prev;
	list_push_front(at, &r->link);
}

void ring_list(struct core *c, struct ring *r)
{
	rings_lock(c->rings);
	list_by_priority(c, r);
	rings_unlock(c->rings);
}

void rings_sort(struct core *c)
{
	struct list old, *first;

	list_init(&old);
	rings_lock(c->rings);
	list_append_all(&old, &c->rings->rings);
	while ((first = list_pop_front(&old)))
		list_by_priority(c, list_item(first, struct ring, link));
	rings_unlock(c->rings);
	c->rings->unsorted = 0;
}

int ring_set_priority(struct core *c, struct ring *r, uint32_t ioprio)
{
	int priority = OP_PRIORITY_NORMAL;

	if (ioprio) {
		priority = ioprio > UINT16_MAX ?
				   -EINVAL :
				   priority_of(ioprio >> IOPRIO_CLASS_SHIFT,
					       ioprio & ((1u << IOPRIO_CLASS_SHIFT) - 1));
		if (priority < 0)
			return priority;
	}
	r->op_word = op_word(OP_STEPPING, 0, 0, (uint32_t)priority, c->index, c->index);
	c->rings->unsorted = 1; /* not now: the list may be being walked */
	return 0;
}
