/*
 * balance: the programs. All are born where the kernel puts them: their rings on the first core
 * that serves for good (`steady`, and where the policy is `static` and the load `phase`: on each in
 * turn, which is the best that standing still can do), their threads on the cores that run
 * programs, in turn.
 *
 *   hot:    NOPs, as many as there is room for
 *   enter:  the same by rings that nobody polls: each trap submits ENTER_DEPTH and waits for them
 *   heavy:  random bytes, HEAVY_BYTES at a time, HEAVY_DEPTH under way
 *   reads:  READ_BYTES at a time of a file in memory, as many under way
 *   light:  LIGHT_BYTES, likewise: long steps, too, but none is worth the way
 *   skew:   every fourth is hot, the others ask for one thing and think for 2 us
 *   crowd:  each asks for one thing and thinks for 5 us; all threads begin on one core
 *   compute: likewise, and nobody asks for anything: kernel cores sleep
 *   steady: each asks for 16 and thinks for 3 us
 *   disk, net, parts: parts.h
 *   phase:  PHASE_NS long each computes 5 us for every entry, then as long each asks for 64 at a
 *           time, and so on
 *
 * Who waits looks for its answers for SPIN_NS, then parks, as libasync does. A policy that is
 * watched is the real one: what it decides is noted, and handed on.
 */
#include "cores_parts/balance.h"

#include <stdio.h>
#include <string.h>

#include "cores/balance.h"
#include "cores_parts/parts.h"
#include "cores_parts/view.h"
#include "lib/internal.h"
#include "uapi/mman.h"
#include "uapi/syscall.h"

#define SPIN_NS 20000u
#define PHASE_NS 20000000u
#define ENTER_DEPTH 128u
#define HEAVY_BYTES (24u << 10) /* less than a budget of computing */
#define READ_BYTES (1u << 20)
#define LIGHT_BYTES (64u << 10)
#define HEAVY_DEPTH 16u
#define PIECE_PS 250000u /* between two moments in which a computing program can be interrupted */

static struct balance_run *run;
static unsigned ready;
static nsec_t began, until;
static uint64_t requests;

/* ---- programs -------------------------------------------------------------------------------- */

static void answer(struct view *v, struct io_uring_cqe *cqe)
{
	(void)v;
	sim_check(cqe->res == 0);
}

static bool over(void)
{
	return until && sim_clock() >= until;
}

static void think(struct sim_prog *p, nsec_t ns)
{
	for (uint64_t left = ns * 1000; left; left -= min_of(left, PIECE_PS)) {
		sim_work(min_of(left, PIECE_PS));
		prog_pause(p);
	}
}

static void nops(struct view *v, unsigned n)
{
	static uint32_t next[64];
	uint32_t *at = &next[v->number % 64];

	for (unsigned i = 0; i < n; i++) {
		struct io_uring_sqe sqe = { .opcode = IORING_OP_NOP };

		while (v->out[*at % VIEW_ENTRIES])
			++*at;
		sqe.user_data = (*at)++ % VIEW_ENTRIES;
		view_put(v, &sqe);
	}
	view_show(v);
}

/* So many at once, until all are back. */
static void ask(struct view *v, unsigned n)
{
	nops(v, n);
	while (v->under_way)
		view_await(v, SPIN_NS, answer);
}

static void hot(struct view *v)
{
	if (v->under_way + 32 <= VIEW_ENTRIES && view_space(v) >= 32)
		nops(v, 32);
	view_look(v, answer);
}

/* What a program with heavy operations has. */
struct heavy {
	uint32_t bytes; /* of each operation */
	int32_t fd;     /* of a file, or 0 */
	uaddr_t to;
};

static struct heavy heavy_begin(struct sim_prog *p)
{
	struct heavy h = { .bytes = !strcmp(run->load, "heavy") ? HEAVY_BYTES :
				    !strcmp(run->load, "light") ? LIGHT_BYTES :
								  READ_BYTES };

	h.to = prog_map(p, (uint64_t)h.bytes * HEAVY_DEPTH);
	if (h.bytes == HEAVY_BYTES)
		return h;
	prog_write(p, h.to, "reads", 6);
	h.fd = (int32_t)prog_call(p, SYS_memfd_create, h.to, 0, 0, 0, 0, 0);
	sim_check(h.fd > 0);
	for (uint32_t i = 0; i < h.bytes * HEAVY_DEPTH; i += PAGE_SIZE)
		sim_check(prog_call(p, SYS_pwrite64, (uint64_t)h.fd, h.to, PAGE_SIZE, i, 0, 0) ==
			  (int64_t)PAGE_SIZE);
	return h;
}

static void heavy_answer(struct view *v, struct io_uring_cqe *cqe)
{
	(void)v;
	sim_check(cqe->res == HEAVY_BYTES || cqe->res == READ_BYTES || cqe->res == LIGHT_BYTES);
}

static void heavy(struct view *v, const struct heavy *h)
{
	for (unsigned i = 0; i < HEAVY_DEPTH; i++) {
		struct io_uring_sqe read = { .opcode = IORING_OP_READ, .fd = h->fd,
					     .addr = h->to + i * h->bytes,
					     .len = h->bytes, .off = i * h->bytes,
					     .user_data = i };
		struct sluice_syscall_sqe draw = { .opcode = IORING_OP_SYSCALL,
						   .nr = SYS_getrandom, .a0 = read.addr,
						   .a1 = h->bytes, .user_data = i };

		if (!v->out[i])
			view_put(v, h->fd ? &read : (struct io_uring_sqe *)&draw);
	}
	view_show(v);
	view_look(v, heavy_answer);
}

/* A ring that nobody polls, in place of the one it was born with. */
static void enter_begin(struct sim_prog *p)
{
	struct io_uring_params params = { .flags = IORING_SETUP_NO_SQARRAY };
	uaddr_t at = prog_map(p, PAGE_SIZE);
	uint64_t rings, sqes;
	int64_t fd;

	prog_write(p, at, &params, sizeof(params));
	fd = prog_enter(p, SYS_io_uring_setup, VIEW_ENTRIES, at, 0, 0, 0, 0);
	sim_check(fd > 0);
	prog_read(p, at, &params, sizeof(params));
	rings = align_up(params.cq_off.cqes + params.cq_entries * 16ull, PAGE_SIZE);
	sqes = params.sq_entries * sizeof(struct io_uring_sqe);
	p->start.ring_fd = (int32_t)fd;
	p->start.params = params;
	p->start.sq_ring = p->start.cq_ring = (uaddr_t)prog_enter(
		p, SYS_mmap, 0, rings, 3, MAP_SHARED, (uint64_t)fd, IORING_OFF_SQ_RING);
	p->start.sqes = (uaddr_t)prog_enter(p, SYS_mmap, 0, sqes, 3, MAP_SHARED, (uint64_t)fd,
					    IORING_OFF_SQES);
	p->sq_tail = p->cq_head = 0;
}

static void enter_ask(struct view *v, unsigned n)
{
	nops(v, n);
	prog_enter(v->p, SYS_io_uring_enter, (uint64_t)v->p->start.ring_fd, n, n,
		   IORING_ENTER_GETEVENTS, 0, 0);
	view_look(v, answer);
}

static bool computes_now(void)
{
	return began && (sim_clock() - began) / PHASE_NS % 2 == 0;
}

static void phase(struct view *v)
{
	if (!computes_now()) {
		ask(v, 64);
		return;
	}
	think(v->p, 5000);
	ask(v, 1);
	if (sim_clock() < until)
		requests++;
}

static void prog_main(struct sim_prog *p)
{
	unsigned number = (unsigned)(uintptr_t)p->arg;
	bool is_heavy = !strcmp(run->load, "heavy") || !strcmp(run->load, "reads") ||
			!strcmp(run->load, "light");
	struct part *part = part_begin(p, run->load, number);
	struct heavy h = { 0 };
	struct view v;

	if (is_heavy)
		h = heavy_begin(p);
	if (!strcmp(run->load, "enter"))
		enter_begin(p);
	v = view_begin(p);
	v.number = number;
	ready++;
	while (!began) {
		think(p, 1000);
		sim_switch(); /* where nobody else is awake, nobody else is earlier: the test is */
	}
	while (!over() || v.under_way) {
		if (part) {
			requests += part_turn(&v, part, over());
			continue;
		}
		if (is_heavy) {
			if (over())
				view_await(&v, SPIN_NS, heavy_answer);
			else
				heavy(&v, &h);
		} else if (!strcmp(run->load, "enter")) {
			enter_ask(&v, ENTER_DEPTH);
		} else if (!strcmp(run->load, "hot") ||
			   (!strcmp(run->load, "skew") && number % 4 == 0)) {
			if (over())
				view_await(&v, SPIN_NS, answer);
			else
				hot(&v);
		} else if (!strcmp(run->load, "skew")) {
			ask(&v, 1);
			think(p, 2000);
		} else if (!strcmp(run->load, "crowd")) {
			ask(&v, 1);
			think(p, 5000);
		} else if (!strcmp(run->load, "compute")) {
			think(p, 5000);
			view_cqes += sim_clock() < until; /* what is done, here */
			view_sqes += sim_clock() < until;
		} else if (!strcmp(run->load, "steady")) {
			ask(&v, 16);
			think(p, 3000);
		} else {
			phase(&v);
		}
	}
}

bool balance_load_is(const char *name)
{
	static const char *const known[] = { "hot",   "enter", "heavy",	  "reads",  "light",
					     "skew",  "crowd", "compute", "steady", "phase",
					     "disk",  "net",   "parts" };

	for (unsigned i = 0; i < array_count(known); i++)
		if (!strcmp(name, known[i]))
			return true;
	return false;
}

/* ---- the policy, watched --------------------------------------------------------------------- */

static const struct policy *watched;

static void note(const struct balance_view *in, const struct balance_move *m)
{
	nsec_t at = in->now - began;

	for (unsigned i = 0; i < in->core_count && m->kind == BALANCE_THREAD; i++)
		if (in->cores[i].index == m->from)
			run->thread_waited_ns =
				max_of(run->thread_waited_ns, (nsec_t)in->cores[i].delay_ns);
	if (!began || at >= run->ns)
		return;
	run->last_at_ns = at;
	for (unsigned i = 0; i < in->core_count && !run->first_at_ns; i++)
		if (m->kind == BALANCE_RING && in->cores[i].index == m->from) {
			run->first_at_ns = at;
			run->first_behind_ns = in->cores[i].behind_ns;
		}
}

static unsigned watch_pass(struct policy_state *s, const struct balance_view *in,
			   struct balance_move *out, unsigned max)
{
	unsigned n = watched->pass(s, in, out, max);

	for (unsigned i = 0; i < n; i++)
		note(in, &out[i]);
	return n;
}

/* ---- the measurement ------------------------------------------------------------------------- */

static bool all_ready(void *arg)
{
	(void)arg;
	return ready == run->programs;
}

/* The n-th core that does so, round and round; of those that serve, maybe the first few only. */
static unsigned core_that(bool serves, unsigned n)
{
	unsigned found[CORES_MAX], count = 0;

	for (unsigned i = 0; i < cores_count; i++)
		if (cores[i] && (serves ? core_is_home(cores[i]) :
					  core_has_role(cores[i], ROLE_USER)))
			found[count++] = i;
	if (serves && run->homes)
		count = min_of(count, run->homes);
	return found[n % count];
}

static void spawn(void)
{
	bool spread = !strcmp(run->load, "steady") || part_is(run->load) ||
		      (!strcmp(run->load, "phase") && !strcmp(run->policy, "static"));

	bool crowd = !strcmp(run->load, "crowd") || !strcmp(run->load, "compute");

	for (unsigned i = 0; i < run->programs; i++)
		sim_spawn(prog_main, (void *)(uintptr_t)i, core_that(false, crowd ? 0 : i),
			  core_that(true, spread ? i : 0));
}

static uint32_t age_now(void)
{
	uint32_t most = 0;

	for (unsigned i = 0; i < cores_count; i++)
		if (cores[i])
			most = max_of(most, balance_age(cores[i]->signals.behind_since, sim_now));
	return most;
}

static uint64_t idle_ns(const struct core *c)
{
	return c->count->spin_ns + c->count->sleep_ns;
}

static void slice_run(struct balance_slice *s)
{
	uint64_t done = view_cqes, asked = requests, ops[BALANCE_CORES] = { 0 };
	uint64_t idle[BALANCE_CORES] = { 0 };

	for (unsigned i = 0; i < cores_count; i++) {
		ops[i] = cores[i] ? cores[i]->count->sqes : 0;
		idle[i] = cores[i] ? idle_ns(cores[i]) : 0;
	}
	for (unsigned i = 0; i < 10; i++) {
		sim_for(run->slice_ns / 10);
		s->age_ns = max_of(s->age_ns, age_now());
	}
	s->done = view_cqes - done;
	s->requests = requests - asked;
	for (unsigned i = 0; i < BALANCE_KINDS; i++)
		s->moves[i] = (uint32_t)balance_moves((enum balance_kind)i);
	for (unsigned i = 0; i < cores_count; i++) {
		if (!cores[i])
			continue;
		s->ops[i] = (uint32_t)(cores[i]->count->sqes - ops[i]);
		s->busy[i] = (uint16_t)(1000 - min_of((idle_ns(cores[i]) - idle[i]) * 1000 /
							      run->slice_ns,
						      (uint64_t)1000));
		s->serves[i] = core_has_role(cores[i], ROLE_SERVES);
	}
}

void balance_run(struct balance_run *r)
{
	static struct policy watching;

	run = r;
	watched = balance_policy();
	watching = *watched;
	watching.pass = watch_pass;
	balance_policy_set(&watching);
	spawn();
	sim_until(all_ready, NULL);
	r->slices = (unsigned)(r->ns / r->slice_ns);
	sim_check(r->slices <= BALANCE_SLICES && cores_count <= BALANCE_CORES);
	until = sim_now + r->ns;
	began = sim_now;
	for (unsigned i = 0; i < r->slices; i++) {
		slice_run(&r->slice[i]);
		r->done += r->slice[i].done;
		r->requests += r->slice[i].requests;
	}
	for (unsigned i = 0; i < cores_count; i++) {
		r->passes += cores[i] ? cores[i]->count->balance_passes : 0;
		r->refused += cores[i] ? cores[i]->count->balance_refused : 0;
		r->given += cores[i] ? cores[i]->count->ops_given : 0;
	}
	sim_finish();
	sim_check(!sim_failed_programs() && view_sqes == view_cqes);
}
