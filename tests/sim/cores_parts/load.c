/*
 * load: the programs. Each has a core and the ring it was born with, which a kernel core polls;
 * every entry must come back as one completion.
 *
 *   nop:   fill a batch --> show the tail --> look for answers --> ...
 *   echo:  for each conversation: a read that will wait, a write that wakes it --> both answered:
 *          again
 *   open:  a pipe --> its two ends closed --> again
 *
 * How the ring is used, view.h says; before each batch of NOPs the SQ's head is read, as
 * bench/guest/nop.c does.
 */
#include "cores_parts/load.h"

#include <string.h>

#include "cores_parts/parts.h"
#include "cores_parts/view.h"
#include "lib/internal.h"
#include "uapi/syscall.h"

#define TALKS 8u
#define MESSAGE 64u
#define THINK_PS 50000u /* a request costs its program up to so much more */
#define WARM_NS 100000u

static struct load *load;
/* the stepper writes, programs read: one thread */
static unsigned ready;

static struct view begin(struct sim_prog *p)
{
	ready++;
	sim_work(sim_below(1000000));
	return view_begin(p);
}

static bool over(void)
{
	return view_until && sim_clock() >= view_until;
}

/* ---- nop ------------------------------------------------------------------------------------- */

static void nop_answer(struct view *v, struct io_uring_cqe *cqe)
{
	(void)v;
	sim_check(cqe->res == 0);
}

static void nop_main(struct sim_prog *p)
{
	struct view v = begin(p);
	uint32_t next = 0;

	while (!over() || v.under_way) {
		if (!over() && v.under_way + load->batch <= VIEW_ENTRIES &&
		    view_space(&v) >= load->batch) {
			for (unsigned i = 0; i < load->batch; i++) {
				struct io_uring_sqe sqe = { .opcode = IORING_OP_NOP,
							    .user_data = next++ % VIEW_ENTRIES };

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
	uint64_t number = 2 * (uint64_t)(t - talks[v->number]);
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
	struct talk *t = &talks[v->number][cqe->user_data / 2];

	sim_check(cqe->res == MESSAGE && t->open);
	if (!--t->open && view_measured())
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
	v = begin(p);
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

/* ---- tcp ------------------------------------------------------------------------------------- */

static void tcp_main(struct sim_prog *p)
{
	struct part *part = part_begin(p, "net", 0);
	struct view v = begin(p);

	while (!over() || v.under_way)
		load->requests += part_turn(&v, part, over());
}

/* ---- open ------------------------------------------------------------------------------------ */

static void open_answer(struct view *v, struct io_uring_cqe *cqe)
{
	sim_check(cqe->res == 0);
	if (!v->under_way && view_measured())
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
	struct view v = begin(p);

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
	static void (*const mains[])(struct sim_prog *) = { nop_main, echo_main, tcp_main,
							     open_main };
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
	view_measure(sim_now, sim_now + l->ns);
	sim_for(l->ns);
	sim_lines_freeze();
	for (unsigned i = 0; i < l->cores; i++) {
		nsec_t lost = i < l->kernel ? idle_ns(i) - idle[i] : view_looked[i];

		if (i >= l->kernel + programs())
			lost = l->ns;

		l->busy[i] = 1 - min_of(1.0, (double)lost / (double)(sim_now - began));
	}
	sim_finish();
	l->sqes = view_sqes;
	l->cqes = view_cqes;
	l->done = view_done;
	sim_check(!sim_failed_programs() && l->sqes == l->cqes);
}
