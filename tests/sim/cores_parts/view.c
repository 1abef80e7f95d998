/*
 * view: a program's end of its ring. See view.h.
 */
#include "cores_parts/view.h"

#include "lib/internal.h"
#include "uapi/syscall.h"

uint64_t view_sqes, view_cqes, view_done;
nsec_t view_from, view_until;
uint64_t view_looked[CORES_MAX];

void view_measure(nsec_t from, nsec_t until)
{
	view_until = until;
	view_from = from;
}

struct view view_begin(struct sim_prog *p)
{
	/* set-up went through the program's own counts */
	return (struct view){ .p = p, .number = sim_here, .sq_head = p->sq_tail,
			      .sq_tail = p->sq_tail, .cq_head = p->cq_head };
}

uint32_t view_space(struct view *v)
{
	const struct sluice_start *s = &v->p->start;

	v->sq_head = prog_load(v->p, s->sq_ring + s->params.sq_off.head);
	return s->params.sq_entries - (v->sq_tail - v->sq_head);
}

void view_put(struct view *v, const struct io_uring_sqe *sqe)
{
	const struct sluice_start *s = &v->p->start;

	while (v->sq_tail - v->sq_head == s->params.sq_entries && !view_space(v))
		;
	sim_work(sim_costs.user);
	prog_write(v->p, s->sqes + (v->sq_tail & (s->params.sq_entries - 1)) * sizeof(*sqe), sqe,
		   sizeof(*sqe));
	v->sq_tail++;
	sim_check(sqe->user_data < VIEW_ENTRIES && !v->out[sqe->user_data]);
	v->out[sqe->user_data] = 1;
	v->under_way++;
	view_sqes++;
}

void view_show(struct view *v)
{
	const struct sluice_start *s = &v->p->start;

	prog_store(v->p, s->sq_ring + s->params.sq_off.tail, v->sq_tail);
	sim_fence();
	if (prog_load(v->p, s->sq_ring + s->params.sq_off.flags) & IORING_SQ_NEED_WAKEUP)
		prog_enter(v->p, SYS_io_uring_enter, (uint64_t)s->ring_fd, 0, 0,
			   IORING_ENTER_SQ_WAKEUP, 0, 0);
}

/* Everything that is there: each through `answer`. 0: nothing is. */
uint32_t view_look(struct view *v, void (*answer)(struct view *, struct io_uring_cqe *))
{
	const struct sluice_start *s = &v->p->start;
	nsec_t began = sim_clock();
	uint32_t n = prog_load(v->p, s->cq_ring + s->params.cq_off.tail) - v->cq_head;

	if (!n) {
		sim_work(sim_costs.relax);
		if (began >= view_from && began < view_until)
			view_looked[sim_here] += sim_clock() - began;
		return 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct io_uring_cqe cqe;

		prog_read(v->p, s->cq_ring + s->params.cq_off.cqes +
				  (v->cq_head++ & (s->params.cq_entries - 1)) * sizeof(cqe),
			  &cqe, sizeof(cqe));
		sim_check(cqe.user_data < VIEW_ENTRIES && v->out[cqe.user_data] == 1 &&
			  v->under_way);
		v->out[cqe.user_data] = 0;
		v->under_way--;
		view_cqes++;
		answer(v, &cqe);
	}
	prog_store(v->p, s->cq_ring + s->params.cq_off.head, v->cq_head);
	if (view_measured())
		view_done += n;
	return n;
}

void view_await(struct view *v, nsec_t spin, void (*answer)(struct view *, struct io_uring_cqe *))
{
	nsec_t until = sim_clock() + spin;

	while (!view_look(v, answer)) {
		if (sim_clock() < until)
			continue;
		prog_wait(v->p, 1);
		until = sim_clock() + spin;
	}
}
