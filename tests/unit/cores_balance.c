/*
 * Does a core say of itself what is true, does a decision reach the core that has the unit, and is
 * nonsense refused, counted, and harmless? (kernel/cores/balance.c) The movers are made up; time
 * is the test's.
 */
#include "lib/unit.h"

#include "arch/hosted/hosted.h"
#include "cores/balance.h"
#include "uapi/errno.h"

#define CORES 4u /* two that serve, two that run programs */
#define UNITS 6u

static nsec_t now_ns;

/* What there is to move: where it is, and what it does to its core. */
static struct unit {
	uint64_t id;
	unsigned core;
	uint32_t load;
} units[UNITS];
static unsigned moved, asked_from[UNITS];
static int answer; /* of every move */

static unsigned units_list(struct core *c, struct balance_unit *out, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < UNITS && n < max; i++)
		if (units[i].id && units[i].core == c->index)
			out[n++] = (struct balance_unit){ .id = units[i].id,
							  .load = units[i].load,
							  .age_ns = 1 };
	return n;
}

static int units_move(struct core *c, uint64_t id, unsigned to)
{
	assert_ptr_equal(this_core(), c); /* where the unit is */
	if (answer)
		return answer;
	for (unsigned i = 0; i < UNITS; i++)
		if (units[i].id == id && units[i].core == c->index) {
			asked_from[moved++ % UNITS] = c->index;
			units[i].core = to;
			return 0;
		}
	return -ENOENT;
}

static const struct balance_mover mover = { "made up", units_list, units_move };

/* ---- a machine whose time the test makes ----------------------------------------------------- */

static nsec_t machine_time(void)
{
	return now_ns;
}

static void machine_idle(nsec_t deadline)
{
	(void)deadline;
}

static void machine_doorbell(unsigned index)
{
	(void)index;
}

static void machine_console(const char *text, size_t len)
{
	fwrite(text, 1, len, stderr);
}

static noreturn_fn void machine_poweroff(int status)
{
	exit(status ? status : 1);
}

static const struct hosted_sim machine = { .time_ns = machine_time, .idle = machine_idle,
					   .doorbell = machine_doorbell,
					   .console = machine_console,
					   .poweroff = machine_poweroff };

/* 50 us on every core: each has served what its units bring, 1000 being all it can. */
static void window(unsigned idle_permille[CORES])
{
	for (unsigned i = 0; i < CORES; i++) {
		struct core *c = cores[i];

		now_ns += 10;
		unit_be_core(i);
		for (unsigned u = 0; u < UNITS; u++)
			if (units[u].id && units[u].core == i)
				c->count->sqes += units[u].load;
		c->count->spin_ns += BALANCE_EVERY_NS * (uint64_t)idle_permille[i] / 1000;
		core_turn(c);
	}
	for (unsigned i = 0; i < CORES; i++) { /* what was ordered arrives */
		unit_be_core(i);
		core_turn(cores[i]);
	}
	now_ns += BALANCE_EVERY_NS;
}

/* The load of core i's units, and nothing else, is what it does. */
static void windows(unsigned n)
{
	while (n--) {
		unsigned idle[CORES] = { 1000, 1000, 1000, 1000 };

		for (unsigned u = 0; u < UNITS; u++)
			if (units[u].id)
				idle[units[u].core] -= min_of(units[u].load, idle[units[u].core]);
		window(idle);
	}
}

static uint64_t counted(size_t offset)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < CORES; i++)
		sum += *(uint64_t *)((char *)cores[i]->count + offset);
	return sum;
}
#define COUNTED(name) counted(offsetof(struct counters, name))

static int before(void **state)
{
	static const struct unit none;

	unit_frames_before(state);
	for (unsigned i = 0; i < UNITS; i++)
		units[i] = none;
	moved = 0;
	answer = 0;
	for (unsigned i = 0; i < CORES; i++)
		cores[i]->signals.behind_since = 0;
	balance_policy_set(&policy_static);
	windows(3);
	balance_policy_set(&policy_default);
	return 0;
}

static unsigned on_core(unsigned core)
{
	unsigned n = 0;

	for (unsigned i = 0; i < UNITS; i++)
		n += units[i].id && units[i].core == core;
	return n;
}

/* ---- the questions --------------------------------------------------------------------------- */

/* Two that fill their core: does one go, once, by an order on the core that has it? */
static void evens_out(void **state)
{
	(void)state;
	units[0] = (struct unit){ 7, 0, 500 };
	units[1] = (struct unit){ 8, 0, 500 };
	windows(8);
	assert_int_equal(moved, 1);
	assert_int_equal(asked_from[0], 0);
	assert_int_equal(on_core(0), 1);
	assert_int_equal(on_core(1), 1);
	windows(1000);
	assert_int_equal(moved, 1);
}

/* Does a core that is fully loaded by a single unit keep it, and one with little to do everything?
 */
static void leaves_alone(void **state)
{
	(void)state;
	units[0] = (struct unit){ 7, 0, 1000 };
	windows(100);
	units[0].load = 200;
	units[1] = (struct unit){ 8, 0, 200 };
	units[2] = (struct unit){ 9, 0, 100 };
	windows(100);
	assert_int_equal(moved, 0);
}

/* A view made between a core's word on its window and that on its rings: does the default still
 * leave the only one alone that has work, which seems to be less than all there was? */
static void torn_view(void **state)
{
	static struct policy_state s;
	const struct balance_unit units_seen[] = { { .id = 7, .load = 96 }, { .id = 8, .load = 0 },
						   { .id = 9, .load = 96 } };
	struct balance_core c[] = {
		{ .window = { .busy = 995, .ops = 256 }, .index = 0, .roles = BALANCE_SERVES,
		  .units = units_seen, .unit_count = 2 },
		{ .window = { .busy = 1, .ops = 128 }, .index = 1, .roles = BALANCE_SERVES },
	};
	const struct balance_view in = { .now = 1000000, .core_count = 2, .cores = c };
	struct balance_move out[BALANCE_MOVES];

	(void)state;
	assert_int_equal(policy_default.pass(&s, &in, out, BALANCE_MOVES), 0);
	c[0].unit_count = 3; /* another one has work, too */
	assert_int_equal(policy_default.pass(&s, &in, out, BALANCE_MOVES), 1);
}

/* Uneven halves that trade places with every move: how often is a policy fooled? */
static void no_ping_pong(void **state)
{
	unsigned greedy;

	(void)state;
	balance_policy_set(&policy_greedy);
	for (unsigned i = 0; i < 3; i++)
		units[i] = (struct unit){ 7 + i, 0, 300 + i };
	windows(1000);
	greedy = moved;
	before(state);
	for (unsigned i = 0; i < 3; i++)
		units[i] = (struct unit){ 7 + i, 0, 300 + i };
	windows(1000);
	assert_in_range(moved, 1, 1);
	assert_true(greedy >= moved);
}

/* Does a ring that is too far behind bring a decision before the next window is due? */
static void at_once(void **state)
{
	uint64_t passes;

	(void)state;
	units[0] = (struct unit){ 7, 0, 500 };
	units[1] = (struct unit){ 8, 0, 500 };
	windows(1);
	passes = COUNTED(balance_passes);
	moved = 0;
	before(state);
	units[0] = (struct unit){ 7, 0, 50 };
	units[1] = (struct unit){ 8, 0, 50 };
	unit_be_core(0);
	core_turn(cores[0]);
	cores[0]->now = now_ns;
	cores[0]->signals.behind_since = now_ns;
	balance_behind(cores[0]);
	passes = COUNTED(balance_passes);
	cores[0]->count->sqes += 100;
	now_ns += BALANCE_AGE_NS - 1;
	core_turn(cores[0]);
	assert_int_equal(COUNTED(balance_passes), passes);
	now_ns += 1;
	core_turn(cores[0]);
	assert_int_equal(COUNTED(balance_passes), passes + 1);
	core_turn(cores[0]);
	assert_int_equal(moved, 1);
}

static unsigned wants; /* moves that the nonsense policy says it has */
static struct balance_move want[BALANCE_MOVES];

static unsigned nonsense_pass(struct policy_state *s, const struct balance_view *in,
			      struct balance_move *out, unsigned max)
{
	(void)s, (void)in;
	memcpy(out, want, sizeof(*out) * max);
	return wants;
}

static const struct policy nonsense = { "nonsense", 0, NULL, nonsense_pass };

/* A policy that wants what cannot be: is each refused and counted, and is nothing moved? */
static void refuses(void **state)
{
	static const struct balance_move bad[] = {
		{ .id = 7, .kind = BALANCE_RING, .from = 0, .to = 0 },	   /* where it is */
		{ .id = 7, .kind = BALANCE_RING, .from = 0, .to = 2 },	   /* does not serve */
		{ .id = 7, .kind = BALANCE_RING, .from = 0, .to = 200 },   /* no such core */
		{ .id = 7, .kind = BALANCE_RING, .from = 99, .to = 1 },	   /* nor such one */
		{ .id = 0, .kind = BALANCE_RING, .from = 0, .to = 1 },	   /* no unit */
		{ .id = 7, .kind = BALANCE_RING, .from = 1, .to = 0 },	   /* not there */
		{ .id = 555, .kind = BALANCE_RING, .from = 0, .to = 1 },   /* gone */
		{ .id = 7, .kind = BALANCE_THREAD, .from = 2, .to = 0 },   /* runs no programs */
		{ .id = 1, .kind = BALANCE_OP, .from = 0, .to = 1 },	   /* nothing to give */
		{ .id = 1, .kind = BALANCE_OP, .from = 0, .to = 2 },	   /* does not serve */
		{ .id = 7, .kind = BALANCE_KINDS, .from = 0, .to = 1 },	   /* no kind */
		{ .id = 7, .kind = 255, .from = 255, .to = 255 },
		{ .kind = BALANCE_ROLE, .from = 0, .to = BALANCE_RUNS },   /* not elastic */
		{ .kind = BALANCE_ROLE, .from = 0, .to = 77 },
	};

	(void)state;
	units[0] = (struct unit){ 7, 0, 100 };
	for (unsigned i = 0; i < array_count(bad); i++) {
		uint64_t refused = COUNTED(balance_refused), passes = COUNTED(balance_passes);

		balance_policy_set(&nonsense);
		want[0] = bad[i];
		wants = 1;
		windows(2);
		passes = COUNTED(balance_passes) - passes;
		balance_policy_set(&policy_static);
		windows(1);
		if (!passes || COUNTED(balance_refused) - refused != passes)
			fail_msg("move %u: %u passes, %u refused", i, (unsigned)passes,
				 (unsigned)(COUNTED(balance_refused) - refused));
	}
	assert_int_equal(moved, 0);
	assert_int_equal(units[0].core, 0);
}

/* One that says it has written a million moves: are those beyond the room refused? */
static void too_many(void **state)
{
	uint64_t refused = COUNTED(balance_refused), passes = COUNTED(balance_passes);

	(void)state;
	memset(want, 0, sizeof(want));
	wants = 1000000;
	balance_policy_set(&nonsense);
	windows(1);
	passes = COUNTED(balance_passes) - passes;
	assert_true(passes);
	assert_int_equal(COUNTED(balance_refused) - refused, passes * 1000000);
	assert_int_equal(moved, 0);
}

/* A mover that will not: is that counted, and asked again without end, but never more often than
 * passes? */
static void mover_refuses(void **state)
{
	uint64_t refused = COUNTED(balance_refused), moves = COUNTED(balance_moves);

	(void)state;
	answer = -EBUSY;
	units[0] = (struct unit){ 7, 0, 500 };
	units[1] = (struct unit){ 8, 0, 500 };
	windows(100);
	assert_int_equal(COUNTED(balance_moves), moves);
	assert_in_range(COUNTED(balance_refused) - refused, 1, 10);
}

/* A core that never takes its mail: does the rest go on, with one order out to it? */
static void never_yields(void **state)
{
	unsigned idle[CORES] = { 0, 1000, 1000, 1000 };

	(void)state;
	units[0] = (struct unit){ 7, 0, 500 };
	units[1] = (struct unit){ 8, 0, 500 };
	unit_be_core(0);
	cores[0]->count->sqes += 1000;
	core_turn(cores[0]); /* what it says last; then it is gone */
	for (unsigned n = 0; n < 1000; n++) {
		now_ns += BALANCE_EVERY_NS;
		unit_be_core(1);
		cores[1]->count->spin_ns += BALANCE_EVERY_NS;
		core_turn(cores[1]);
	}
	assert_int_equal(moved, 0);
	assert_false(mailbox_is_empty(cores[0]));
	assert_null(cores[0]->mailbox.newest->next); /* one */
	window(idle);
	assert_int_equal(moved, 1);
}

/* A thread waits on a core that is in a program, nobody looks, and another core is about to sleep:
 * does that one see to it? */
static void offered(void **state)
{
	struct core *full = cores[2];

	(void)state;
	balance_mover_set(BALANCE_RING, NULL);
	balance_mover_set(BALANCE_THREAD, &mover);
	units[0] = (struct unit){ 7, 2, 1 };
	unit_be_core(2);
	now_ns += BALANCE_EVERY_NS;
	core_turn(full); /* it says what it has, and is gone */
	full->signals.window.busy = 1000;
	full->signals.ready = 1;
	full->signals.ready_since = now_ns;
	now_ns += 2 * BALANCE_AGE_NS;
	unit_be_core(3);
	cores[3]->now = now_ns;
	core_sleep(cores[3]);
	assert_true(mailbox_is_empty(full)); /* it has not said that it is crowded */
	balance_crowd_begins();
	core_sleep(cores[3]);
	unit_be_core(2);
	core_turn(full);
	assert_int_equal(on_core(3), 1);
	balance_crowd_ends();
	full->signals.ready = 0;
	full->signals.ready_since = 0;
	balance_mover_set(BALANCE_RING, &mover);
	balance_mover_set(BALANCE_THREAD, NULL);
}

/* What the policy was shown of core 2, which runs programs. */
static unsigned shown_busy;

static unsigned look_pass(struct policy_state *s, const struct balance_view *in,
			  struct balance_move *out, unsigned max)
{
	(void)s, (void)out, (void)max;
	shown_busy = in->cores[2].window.busy;
	return 0;
}

static const struct policy looks = { "looks", 1001, NULL, look_pass };

/* Core 0 decides, 50 us later each time, while core 2 is in one program. */
static void passes(unsigned n, int64_t *word, int64_t then)
{
	while (n--) {
		now_ns += BALANCE_EVERY_NS;
		if (!n)
			*word = then;
		unit_be_core(0);
		cores[0]->count->spin_ns += BALANCE_EVERY_NS;
		core_turn(cores[0]);
	}
}

/* A thread that waits in its own mode for long, and says so: is its core idle, to the policy and in
 * the counters, for just as long; and what if it lies? */
static void dozes(void **state)
{
	int64_t word = 0;
	struct core_doze doze = { .word = &word };
	struct core *c = cores[2];

	(void)state;
	balance_policy_set(&looks);
	unit_be_core(2);
	core_turn(c);
	doze.turn = c->turn;
	c->doze = &doze;
	atomic_store(&c->away, 1); /* from here on in user mode */
	passes(10, &word, 0);
	assert_int_equal(shown_busy, 1000);
	assert_false(core_dozes(c));
	word -= (int64_t)now_ns; /* it begins to wait */
	assert_true(core_dozes(c));
	passes(10, &word, word + (int64_t)now_ns + 10 * BALANCE_EVERY_NS);
	assert_int_equal(shown_busy, 0);
	passes(2, &word, word);
	assert_int_equal(shown_busy, 1000);
	assert_int_equal(core_dozed(c, now_ns), 10 * BALANCE_EVERY_NS);
	/* it traps: the same, counted, and once */
	assert_false(core_doze_count(c, &doze));
	c->doze = NULL;
	assert_int_equal(c->count->doze_ns, 10 * BALANCE_EVERY_NS);
	assert_int_equal(core_dozed(c, now_ns), 10 * BALANCE_EVERY_NS);
	/* it was interrupted while it waited; meanwhile others ran */
	word -= (int64_t)now_ns;
	passes(5, &word, word);
	core_doze_skip(&doze);
	assert_true(core_doze_count(c, &doze));
	assert_int_equal(c->count->doze_ns, 10 * BALANCE_EVERY_NS);
	/* a lie is believed for the time it was there */
	core_turn(c);
	passes(3, &word, INT64_MAX);
	(void)core_doze_count(c, &doze);
	word = 0; /* and back */
	(void)core_doze_count(c, &doze);
	assert_in_range(c->count->doze_ns, 10 * BALANCE_EVERY_NS, now_ns);
	assert_in_range(c->count->doze_ns, 0, 17 * BALANCE_EVERY_NS);
	atomic_store(&c->away, 0);
	c->count->doze_ns = 0;
	balance_policy_set(&policy_default);
}

/* Is each stretch counted once, what goes on looked at again, what is read from afar no more than
 * the time there was, and is the word asked only while its thread runs there? */
static void doze_word(void **state)
{
	int64_t word = 0;
	struct core_doze doze = { .word = &word };
	struct core *c = cores[2];

	(void)state;
	unit_be_core(2);
	core_turn(c);
	doze.turn = c->turn;
	c->doze = &doze;
	c->count->doze_ns = 0;
	atomic_store(&c->away, 1);
	now_ns += 5000;
	word = 3000;
	assert_int_equal(core_dozed(c, now_ns), 3000);
	assert_false(core_doze_count(c, &doze));
	assert_int_equal(doze.seen, 3000);
	assert_int_equal(core_dozed(c, now_ns), 3000);
	word = 4000;
	assert_false(core_doze_count(c, &doze));
	assert_int_equal(c->count->doze_ns, 4000);
	word = INT64_MAX; /* a lie */
	assert_int_equal(core_dozed(c, now_ns), 4000 + 5000);
	word = 4000 - (int64_t)now_ns;
	assert_true(core_doze_count(c, &doze));
	assert_int_equal(doze.seen, -1);
	doze.seen = word;
	core_doze_skip(&doze);
	assert_int_equal(doze.seen, -1);
	now_ns += 100;
	assert_true(core_dozes(c));
	assert_int_equal(core_dozed(c, now_ns), 4100);
	c->signals.asleep_since = now_ns;
	assert_false(core_dozes(c));
	c->signals.asleep_since = 0;
	atomic_store(&c->away, 0);
	assert_false(core_dozes(c));
	assert_int_equal(core_dozed(c, now_ns), 4000);
	atomic_store(&c->away, 1);
	doze.turn--;
	assert_false(core_dozes(c));
	atomic_store(&c->away, 0);
	c->doze = NULL;
	c->count->doze_ns = 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, before, unit_frames_after)
	const struct CMUnitTest tests[] = {
		TEST(evens_out), TEST(leaves_alone), TEST(torn_view),	  TEST(no_ping_pong),
		TEST(at_once),	 TEST(refuses),	     TEST(too_many),	  TEST(mover_refuses),
		TEST(never_yields), TEST(offered),  TEST(dozes),
		TEST(doze_word),
	};

	now_ns = 1000000;
	hosted_sim = &machine;
	unit_kernel(32, CORES, "map=0:kernel,1:kernel,2:user,3:user");
	balance_mover_set(BALANCE_RING, &mover);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
