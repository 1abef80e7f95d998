/*
 * What does a program see that does anything at all, in any order, and stops it at any moment, on
 * any map of cores, moved from core to core at any moment, with disks that are late, out of order,
 * wrong and away: always something that the reference model admits?
 *
 * One seed is one campaign: a map, a disk's temper, some programs. Each submits random chains of
 * random entries to its rings (campaign_parts/acts.c, disk.c, streams.c), reaps when it feels like
 * it, and has every answer judged (model.c). In the end it cancels all it has in flight and waits
 * for the last answer; or it leaves, or is killed, in the middle. Then the disk must hold what it
 * may hold, and the kernel must have everything back.
 */
#include <string.h>

#include "campaign_parts/model.h"

#define ROUNDS_MIN 40u
#define ROUNDS_MAX 120u
#define CHAIN_MAX 4u
#define PATIENCE_NS 3000000000ull /* of virtual time, for the end of what was cancelled */
#define SECTORS (PROGRAMS * SHARE / BLOCK)

/* ---- a program ------------------------------------------------------------------------------- */

static unsigned any_ring(const struct side *s)
{
	unsigned ring = (unsigned)sim_below(RINGS);

	return s->rings[ring].open ? ring : 0;
}

/* What may not be a member of a chain, because it may never end by itself and be wanted for long,
 * or answers more than once. */
static bool is_multi(const struct rec *r)
{
	return (r->sqe.opcode == IORING_OP_TIMEOUT &&
		(r->sqe.timeout_flags & IORING_TIMEOUT_MULTISHOT)) ||
	       r->sqe.ioprio || (r->sqe.opcode == IORING_OP_POLL_ADD && r->sqe.len);
}

/* Fills up to `want` records of one chain; the number. */
static unsigned chain_fill(struct side *s, unsigned ring, struct rec **chain, unsigned want)
{
	unsigned n = 0;

	while (n < want) {
		struct rec *r = model_record(s, ring);

		if (!r)
			return n;
		if (!act_any(s, r)) {
			r->id = 0;
			continue;
		}
		chain[n++] = r;
		if (is_multi(r))
			return n;
		if (n < want && (r->endless || sim_chance(4)) && n + 1 < want) {
			struct rec *guard = model_record(s, ring);

			if (!guard)
				return n;
			r->guarded = true;
			act_guard(s, guard);
			chain[n++] = guard;
		}
	}
	return n;
}

static void submit_some(struct side *s)
{
	unsigned ring = any_ring(s);
	unsigned want = sim_chance(2) ? 1 : 2 + (unsigned)sim_below(CHAIN_MAX - 1), n;
	bool drain = sim_chance(8) && !ring_has_endless(s, ring);
	bool only_nops = true;
	struct rec *chain[CHAIN_MAX];

	if (s->out > RECS / 2)
		return;
	if (s->stale_count && (chain[0] = model_record(s, 0))) {
		(void)act_close_stale(s, chain[0]);
		model_submit(s, chain, 1, true);
		return;
	}
	if (world.few_ops)
		want = 1; /* a chain is cut where the pool is empty: not to be told apart */
	n = chain_fill(s, ring, chain, want);
	if (!n)
		return;
	for (unsigned i = 0; i < n; i++) {
		if (i + 1 < n)
			chain[i]->sqe.flags |= sim_chance(3) ? IOSQE_IO_HARDLINK : IOSQE_IO_LINK;
		/* behind what may be torn nobody could tell whether the rest is silent */
		only_nops &= chain[i]->sqe.opcode == IORING_OP_NOP;
		if (i + 1 < n && only_nops && sim_chance(4))
			chain[i]->sqe.flags |= IOSQE_CQE_SKIP_SUCCESS;
		if (sim_chance(8) && chain[i]->sqe.opcode != IORING_OP_LINK_TIMEOUT)
			chain[i]->sqe.flags |= IOSQE_ASYNC;
	}
	if (drain)
		chain[0]->sqe.flags |= IOSQE_IO_DRAIN;
	model_submit(s, chain, n, sim_chance(2));
}

static bool reap_any(struct side *s)
{
	unsigned from = (unsigned)sim_below(RINGS);
	bool any = false;

	for (unsigned i = 0; i < RINGS; i++)
		any |= model_reap(s, (from + i) % RINGS);
	return any;
}

static unsigned out_on(const struct side *s, unsigned ring)
{
	unsigned n = 0;

	for (unsigned i = 0; i < RECS; i++)
		n += s->recs[i].id && s->recs[i].ring == ring && !s->recs[i].retired;
	return n;
}

/* Cancels what the ring has in flight until there is nothing more. */
static void settle(struct side *s, unsigned ring)
{
	nsec_t until = arch_time_ns() + PATIENCE_NS;
	uint64_t asked = 0;

	while (out_on(s, ring)) {
		struct rec *r;

		if (model_reap(s, ring))
			continue;
		for (unsigned i = 0; i < RECS && arch_time_ns() > until; i++)
			if (s->recs[i].id && s->recs[i].ring == ring && !s->recs[i].retired)
				model_fail(s, &s->recs[i], NULL, "ended after it was cancelled");
		prog_submit(&s->rings[ring].view);
		if (!rec_find(s, asked) && (r = model_record(s, ring))) {
			asked = r->id;
			act_cancel_all(s, r);
			model_submit(s, &r, 1, true);
		}
		if (sim_chance(4))
			prog_wait(&s->rings[ring].view, 1);
		else
			prog_pause(s->p);
	}
}

static void program(struct sim_prog *p)
{
	struct side *s = p->arg;
	unsigned rounds = ROUNDS_MIN + (unsigned)sim_below(ROUNDS_MAX - ROUNDS_MIN);

	s->p = p;
	acts_begin(s);
	streams_begin(s);
	s->rings[0].view = *p;
	s->rings[0].open = true;
	for (unsigned i = 0; i < rounds; i++) {
		submit_some(s);
		if (sim_chance(4))
			prog_submit(&s->rings[any_ring(s)].view);
		if (sim_chance(6))
			act_aside(s);
		while (sim_chance(2) && reap_any(s))
			;
		if (sim_chance(10))
			for (uint64_t n = sim_below(60); n; n--)
				prog_pause(p);
	}
	if (s->mortal && sim_chance(2)) {
		s->ended = true;
		return; /* with everything in flight */
	}
	for (unsigned i = 0; i < RINGS; i++)
		if (s->rings[i].open)
			settle(s, i);
	s->ended = true;
}

/* ---- a campaign ------------------------------------------------------------------------------ */

static const struct shape {
	const char *cmdline;
	unsigned cores, users;
	unsigned user[3], homes, home[2];
	bool mixed;
} shapes[] = {
	{ NULL, 3, 2, { 1, 2 }, 1, { 0 }, false },
	{ "map=0:mixed,1:user", 2, 1, { 0 }, 1, { 0 }, true },
	{ "map=0:kernel,1:user,2:io,3:net", 4, 1, { 1 }, 1, { 0 }, false },
	{ "map=0:kernel,1:user,2:net,3:kernel", 4, 1, { 1 }, 2, { 0, 3 }, false },
	{ "map=0:kernel+io+net,1:user,2:user,3:user", 4, 3, { 1, 2, 3 }, 1, { 0 }, false },
	{ "map=0:mixed,1:user,2:kernel", 3, 2, { 0, 1 }, 1, { 0 }, true },
	{ "map=0:kernel+net+io,1:user,2:kernel", 3, 1, { 1 }, 1, { 0 }, false },
	{ "map=0:mixed,1:kernel,2:kernel", 3, 1, { 0 }, 1, { 0 }, true },
	{ "map=0:kernel,1:user,2:kernel,3:net,4:user,5:io", 6, 2, { 1, 4 }, 2, { 0, 2 }, false },
};
static const struct shape *shape;

static void choose(struct sim_test *t)
{
	shape = &shapes[sim_below(array_count(shapes))];
	t->cmdline = shape->cmdline;
	t->cores = shape->cores;
	world.few_ops = sim_chance(4);
	t->ops = world.few_ops ? 0 : 1024;
}

static void disk_temper(void)
{
	sim_disk.depth = sim_chance(3) ? 1 : 8;
	sim_disk.delay_max = sim_chance(3) ? 2000000 : 60000;
	if (sim_chance(3))
		sim_disk.eio_permille = 100;
	if (sim_chance(4))
		sim_disk.reset_one_in = 400;
	world.disk_fails = sim_disk.eio_permille || sim_disk.reset_one_in;
}

/* Every second campaign moves threads, every second one rings: now and then or all the time. Rings
 * for a while only: a core that is told to move one is awake, and a wake-up that was lost shows
 * when no more do. */
static unsigned moves_one_in, rings_one_in;
static nsec_t rings_until;

static void move_any(void)
{
	struct side *s = &sides[sim_below(world.programs)];

	if (moves_one_in && sim_chance(moves_one_in))
		sim_move(s->proc);
	if (rings_one_in && sim_chance(rings_one_in) && arch_time_ns() < rings_until)
		sim_move_ring(s->proc);
}

static void campaign(void)
{
	sim_last_words = model_show;
	disk_temper();
	world.programs = 1 + (unsigned)sim_below(3);
	for (unsigned i = 0; i < world.programs; i++) {
		struct side *s = &sides[i];

		s->index = i;
		s->mixed = shape->mixed;
		s->mortal = sim_chance(4);
		bytes_begin(s);
	}
	for (unsigned i = 0; i < world.programs; i++)
		sides[i].proc = sim_spawn(program, &sides[i], shape->user[i % shape->users],
					  shape->home[i % shape->homes]);
	moves_one_in = sim_chance(2) ? 0 : sim_chance(2) ? 20 : 300;
	rings_one_in = sim_chance(2) ? 0 : sim_chance(2) ? 8 : 150;
	rings_until = sim_below(16000000);
	sim_between = move_any;
	for (unsigned i = 0; i < world.programs; i++) {
		if (!sides[i].mortal || sim_chance(2))
			continue;
		sim_for(sim_below(8000000));
		if (sim_alive() && !sides[i].ended)
			sim_kill(sides[i].proc);
	}
	sim_finish();
	for (unsigned i = 0; i < world.programs; i++)
		bytes_judge_disk(&sides[i], sim_disk.bytes + i * SHARE);
}

int main(void)
{
	static const struct sim_test tests[] = {
		{ .name = "campaign",
		  .run = campaign,
		  .shape = choose,
		  .cores = 3,
		  .disk_sectors = SECTORS,
		  .seeds = 100,
		  .traced = true },
	};

	return sim_main(tests, array_count(tests));
}
