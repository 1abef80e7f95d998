/*
 * load: the programs. Each has a core and the ring it was born with, which a kernel core polls;
 * every entry must come back as one completion.
 *
 *   nop:   fill a batch --> show the tail --> look for answers --> ...
 *   echo:  for each conversation: a read that will wait, a write that wakes it --> both answered:
 *          again
 *   open:  a pipe --> its two ends closed --> again
 *
 * The ring is used as libasync uses it: the SQ's head is read only when the ring looks full
 * (before each batch of NOPs, as bench/guest/nop.c does), the CQ's tail once per look.
 */
#include "cores_parts/load.h"

#include <string.h>

#include "lib/internal.h"
#include "lib/prog.h"
#include "uapi/syscall.h"

#define NOPS_MAX 256u
#define TALKS 8u
#define MESSAGE 64u
#define THINK_PS 50000u /* a request costs its program up to so much more */
#define WARM_NS 100000u

static struct load *load;
/* the stepper writes, programs read: one thread */
static unsigned ready;
static nsec_t from, until;
static uint64_t looked[CORES_MAX]; /* ns that a program's core looked in vain, while measured */

struct view {
	struct sim_prog *p;
	uint32_t sq_head, sq_tail, cq_head;
	uint32_t under_way;
	unsigned core;
	uint8_t out[NOPS_MAX]; /* by user_data: is it under way? */
};

/* ---- the ring -------------------------------------------------------------------------------- */

static uint32_t view_space(struct view *v)
{
	const struct sluice_start *s = &v->p->start;

	v->sq_head = prog_load(v->p, s->sq_ring + s->params.sq_off.head);
	return s->params.sq_entries - (v->sq_tail - v->sq_head);
}

static void view_put(struct view *v, const struct io_uring_sqe *sqe)
{
	const struct sluice_start *s = &v->p->start;

	while (v->sq_tail - v->sq_head == s->params.sq_entries && !view_space(v))
		;
	sim_work(sim_costs.user);
	prog_write(v->p, s->sqes + (v->sq_tail & (s->params.sq_entries - 1)) * sizeof(*sqe), sqe,
		   sizeof(*sqe));
	v->sq_tail++;
	sim_check(sqe->user_data < NOPS_MAX && !v->out[sqe->user_data]);
	v->out[sqe->user_data] = 1;
	v->under_way++;
	load->sqes++;
}

static void view_show(struct view *v)
{
	const struct sluice_start *s = &v->p->start;

	prog_store(v->p, s->sq_ring + s->params.sq_off.tail, v->sq_tail);
	sim_fence();
	if (prog_load(v->p, s->sq_ring + s->params.sq_off.flags) & IORING_SQ_NEED_WAKEUP)
		prog_enter(v->p, SYS_io_uring_enter, (uint64_t)s->ring_fd, 0, 0,
			   IORING_ENTER_SQ_WAKEUP, 0, 0);
}

/* Everything that is there: each through `answer`. 0: nothing is. */
static uint32_t view_look(struct view *v, void (*answer)(struct view *, struct io_uring_cqe *))
{
	const struct sluice_start *s = &v->p->start;
	nsec_t began = sim_clock();
	uint32_t n = prog_load(v->p, s->cq_ring + s->params.cq_off.tail) - v->cq_head;

	if (!n) {
		sim_work(sim_costs.relax);
		if (began >= from && began < until)
			looked[v->core] += sim_clock() - began;
		return 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct io_uring_cqe cqe;

		prog_read(v->p, s->cq_ring + s->params.cq_off.cqes +
				  (v->cq_head++ & (s->params.cq_entries - 1)) * sizeof(cqe),
			  &cqe, sizeof(cqe));
		sim_check(cqe.user_data < NOPS_MAX && v->out[cqe.user_data] == 1 && v->under_way);
		v->out[cqe.user_data] = 0;
		v->under_way--;
		load->cqes++;
		answer(v, &cqe);
	}
	prog_store(v->p, s->cq_ring + s->params.cq_off.head, v->cq_head);
	if (sim_clock() >= from && sim_clock() < until)
		load->done += n;
	return n;
}

static struct view view_begin(struct sim_prog *p)
{
	ready++;
	sim_work(sim_below(1000000));
	/* set-up went through the program's own counts */
	return (struct view){ .p = p, .core = sim_here, .sq_head = p->sq_tail,
			      .sq_tail = p->sq_tail, .cq_head = p->cq_head };
}

static bool over(void)
{
	return until && sim_clock() >= until;
}

/* ---- nop ------------------------------------------------------------------------------------- */

static void nop_answer(struct view *v, struct io_uring_cqe *cqe)
{
	(void)v;
	sim_check(cqe->res == 0);
}

static void nop_main(struct sim_prog *p)
{
	struct view v = view_begin(p);
	uint32_t next = 0;

	while (!over() || v.under_way) {
		if (!over() && v.under_way + load->batch <= NOPS_MAX &&
		    view_space(&v) >= load->batch) {
			for (unsigned i = 0; i < load->batch; i++) {
				struct io_uring_sqe sqe = { .opcode = IORING_OP_NOP,
							    .user_data = next++ % NOPS_MAX };

				view_put(&v, &sqe);
			}
			view_show(&v);
		}
		view_look(&v, nop_answer);
	}
}

/* ---- echo ------------------------------------------------------------------------------------ */

static struct talk {
	uint32_t fd[2];
	uaddr_t to, back;
	unsigned open; /* answers missing */
} talks[CORES_MAX][TALKS];

static void talk_ask(struct view *v, struct talk *t)
{
	uint64_t number = 2 * (uint64_t)(t - talks[v->core]);
	struct io_uring_sqe read = { .opcode = IORING_OP_READ, .fd = (int32_t)t->fd[0],
				     .addr = t->back, .len = MESSAGE, .off = UINT64_MAX,
				     .user_data = number };
	struct io_uring_sqe write = { .opcode = IORING_OP_WRITE, .fd = (int32_t)t->fd[1],
				      .addr = t->to, .len = MESSAGE, .off = UINT64_MAX,
				      .user_data = number + 1 };

	sim_work(sim_below(THINK_PS));
	view_put(v, &read);
	view_put(v, &write);
	t->open = 2;
}

static void talk_answer(struct view *v, struct io_uring_cqe *cqe)
{
	struct talk *t = &talks[v->core][cqe->user_data / 2];

	sim_check(cqe->res == MESSAGE && t->open);
	if (!--t->open && sim_clock() >= from && sim_clock() < until)
		load->requests++;
}

static void echo_main(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE);
	struct talk *mine = talks[sim_here];
	struct view v;

	for (unsigned i = 0; i < TALKS; i++) {
		sim_check(!prog_call(p, SYS_pipe2, at, 0, 0, 0, 0, 0));
		prog_read(p, at, mine[i].fd, sizeof(mine[i].fd));
		mine[i].to = at + 64 + i * 2 * MESSAGE;
		mine[i].back = mine[i].to + MESSAGE;
	}
	v = view_begin(p);
	while (!over() || v.under_way) {
		bool asked = false;

		for (unsigned i = 0; i < TALKS && !over(); i++) {
			if (mine[i].open)
				continue;
			talk_ask(&v, &mine[i]);
			asked = true;
		}
		if (asked)
			view_show(&v);
		view_look(&v, talk_answer);
	}
}

/* ---- open ------------------------------------------------------------------------------------ */

static void open_answer(struct view *v, struct io_uring_cqe *cqe)
{
	sim_check(cqe->res == 0);
	if (!v->under_way && sim_clock() >= from && sim_clock() < until)
		load->requests++;
}

static void open_do(struct view *v)
{
	view_show(v);
	while (v->under_way)
		view_look(v, open_answer);
}

static void open_main(struct sim_prog *p)
{
	uaddr_t at = prog_map(p, PAGE_SIZE);
	struct view v = view_begin(p);

	while (!over()) {
		struct io_uring_sqe pipe = { .opcode = IORING_OP_PIPE, .addr = at };
		uint32_t fd[2];

		sim_work(sim_below(THINK_PS));
		view_put(&v, &pipe);
		open_do(&v);
		prog_read(p, at, fd, sizeof(fd));
		for (unsigned end = 0; end < 2; end++) {
			struct io_uring_sqe close = { .opcode = IORING_OP_CLOSE,
						      .fd = (int32_t)fd[end],
						      .user_data = end };

			view_put(&v, &close);
		}
		open_do(&v);
	}
}

/* ---- the measurement ------------------------------------------------------------------------- */

static unsigned programs(void)
{
	return min_of(load->cores - load->kernel, LOAD_PROGRAMS_MAX);
}

static bool all_ready(void *arg)
{
	(void)arg;
	return ready == programs();
}

/* Time in which this kernel core found nothing. */
static nsec_t idle_ns(unsigned core)
{
	const struct core *c = cores[core];

	return c->count->spin_ns + c->count->sleep_ns +
	       (c->signals.asleep_since ? sim_now - min_of(sim_now, c->signals.asleep_since) : 0);
}

unsigned load_batch(void)
{
	return load->batch;
}

void load_run(struct load *l)
{
	static void (*const mains[])(struct sim_prog *) = { nop_main, echo_main, open_main };
	static nsec_t idle[CORES_MAX];
	nsec_t began;

	load = l;
	for (unsigned i = l->kernel; i < l->kernel + programs(); i++)
		sim_spawn(mains[l->kind], NULL, i,
			  (i - l->kernel) % l->kernel);
	sim_until(all_ready, NULL);
	sim_for(WARM_NS);
	sim_lines_count();
	began = sim_now;
	for (unsigned i = 0; i < l->kernel; i++)
		idle[i] = idle_ns(i);
	until = sim_now + l->ns;
	from = sim_now;
	sim_for(l->ns);
	sim_lines_freeze();
	for (unsigned i = 0; i < l->cores; i++) {
		nsec_t lost = i < l->kernel ? idle_ns(i) - idle[i] : looked[i];

		if (i >= l->kernel + programs())
			lost = l->ns;

		l->busy[i] = 1 - min_of(1.0, (double)lost / (double)(sim_now - began));
	}
	sim_finish();
	sim_check(!sim_failed_programs() && l->sqes == l->cqes);
}
