/*
 * view: a program's end of its ring, used as libasync uses it: the SQ's head is read only when the
 * ring looks full, the CQ's tail once per look. It checks that every entry comes back once.
 */
#ifndef TESTS_SIM_CORES_VIEW_H
#define TESTS_SIM_CORES_VIEW_H

#include "lib/prog.h"
#include "lib/timed.h"

#define VIEW_ENTRIES 256u /* at most so many under way; user_data is below it */

struct view {
	struct sim_prog *p;
	uint32_t sq_head, sq_tail, cq_head;
	uint32_t under_way;
	unsigned number; /* the core it began on */
	void *owner;	 /* as whoever answers likes */
	uint8_t out[VIEW_ENTRIES]; /* by user_data: is it under way? */
};

/* Of all programs: entries and answers from first to last, answers while it was measured. */
extern uint64_t view_sqes, view_cqes, view_done;
/* While it is measured; and the ns in which a program of that core looked in vain then. */
extern nsec_t view_from, view_until;
extern uint64_t view_looked[CORES_MAX];
void view_measure(nsec_t from, nsec_t until);
static inline bool view_measured(void)
{
	return sim_clock() >= view_from && sim_clock() < view_until;
}

struct view view_begin(struct sim_prog *p);
/* Slots that are free now. */
uint32_t view_space(struct view *v);
/* One entry; waits for a slot by looking. */
void view_put(struct view *v, const struct io_uring_sqe *sqe);
/* Shows what was put; rings the bell if the poller sleeps. */
void view_show(struct view *v);
/* Everything that is there: each through `answer`. 0: nothing is. */
uint32_t view_look(struct view *v, void (*answer)(struct view *, struct io_uring_cqe *));
/* The same when there is something: looks for `spin` nanoseconds, then parks in the kernel. */
void view_await(struct view *v, nsec_t spin, void (*answer)(struct view *, struct io_uring_cqe *));

#endif
