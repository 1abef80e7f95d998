/*
 * Does an elastic core change its role only when it has nothing left of the old one, is somebody
 * always left to run programs, and does the machine do without a hart that does not start?
 * (kernel/cores/roles.c, core.c) The movers are made up; time is the test's.
 */
#include "lib/unit.h"

#include "arch/hosted/hosted.h"
#include "base/cmdline.h"
#include "cores/balance.h"
#include "mm/frames.h"
#include "uapi/errno.h"

#define CORES 4u /* one that serves, one that runs programs, two elastic */
#define UNITS 8u

static nsec_t now_ns = 1000000;
static unsigned dead_hart; /* 0: all start */

/* What there is to move. A shy one is busy when asked for the first time. */
static struct unit {
	uint64_t id;
	enum balance_kind kind;
	unsigned core;
	bool shy, stuck;
} units[UNITS];

static unsigned units_list(struct core *c, struct balance_unit *out, unsigned max,
			   enum balance_kind kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < UNITS && n < max; i++)
		if (units[i].id && units[i].core == c->index && units[i].kind == kind)
			out[n++] = (struct balance_unit){ .id = units[i].id };
	return n;
}

static unsigned rings_list(struct core *c, struct balance_unit *out, unsigned max)
{
	return units_list(c, out, max, BALANCE_RING);
}

static unsigned threads_list(struct core *c, struct balance_unit *out, unsigned max)
{
	return units_list(c, out, max, BALANCE_THREAD);
}

static int units_move(struct core *c, uint64_t id, unsigned to)
{
	for (unsigned i = 0; i < UNITS; i++) {
		struct unit *u = &units[i];
		bool ring = u->kind == BALANCE_RING;

		if (u->id != id)
			continue;
		assert_int_equal(u->core, c->index);
		/* only to who takes it, and never to who is about to give it away again */
		assert_true(core_takes(cores[to], ring ? ROLE_SERVES : ROLE_USER));
		if (u->shy || u->stuck) {
			u->shy = false;
			return -EBUSY;
		}
		u->core = to;
		return 0;
	}
	return -ENOENT;
}

static const struct balance_mover rings = { "rings", rings_list, units_move };
static const struct balance_mover threads = { "threads", threads_list, units_move };

/* ---- a machine whose time the test makes ----------------------------------------------------- */

static nsec_t machine_time(void)
{
	return now_ns;
}

/* Core 0 has nothing to do: the machine is up. */
static void machine_idle(nsec_t deadline)
{
	(void)deadline;
	if (core_has_role(cores[dead_hart], UINT32_MAX))
		exit(41);
	exit(0);
}

static void machine_doorbell(unsigned index)
{
	(void)index;
}

static int machine_core_start(unsigned index, void (*entry)(struct core *), struct core *arg)
{
	(void)entry, (void)arg;
	return index == dead_hart ? -EIO : 0;
}

static void machine_console(const char *text, size_t len)
{
	fwrite(text, 1, len, stderr);
}

static noreturn_fn void machine_poweroff(int status)
{
	exit(status ? status : 1);
}

static const struct hosted_sim machine = { .time_ns = machine_time,	.idle = machine_idle,
					   .doorbell = machine_doorbell,
					   .core_start = machine_core_start,
					   .console = machine_console,
					   .poweroff = machine_poweroff };

static void turns(unsigned n)
{
	while (n--) {
		now_ns += BALANCE_EVERY_NS;
		for (unsigned i = 0; i < CORES; i++) {
			unit_be_core(i);
			core_turn(cores[i]);
		}
	}
}

/* A policy that asks for one role, once. */
static struct balance_move want;

static unsigned asks_pass(struct policy_state *s, const struct balance_view *in,
			  struct balance_move *out, unsigned max)
{
	(void)s, (void)in, (void)max;
	if (!want.kind)
		return 0;
	*out = want;
	want.kind = 0;
	return 1;
}

static const struct policy asks = { "asks", 0, NULL, asks_pass };

static void ask(unsigned core, unsigned role)
{
	want = (struct balance_move){ .kind = BALANCE_ROLE, .from = (uint8_t)core,
				      .to = (uint8_t)role };
}

static int before(void **state)
{
	static const struct unit none;

	for (unsigned i = 0; i < UNITS; i++)
		units[i] = none;
	for (unsigned i = 2; i < CORES; i++)
		if (cores[i]->roles & ROLE_KERNEL) {
			ask(i, BALANCE_RUNS);
			turns(5);
			assert_true(cores[i]->roles & ROLE_USER);
		}
	return unit_frames_before(state);
}

/* ---- the questions --------------------------------------------------------------------------- */

/* Do threads leave before it serves, and rings before it runs programs again? */
static void drained_first(void **state)
{
	(void)state;
	units[0] = (struct unit){ 1, BALANCE_THREAD, 2, false, false };
	units[1] = (struct unit){ 2, BALANCE_THREAD, 2, true, false };
	ask(2, BALANCE_SERVES);
	while (!core_is_leaving(cores[2]))
		turns(1);
	while (core_is_leaving(cores[2])) {
		assert_true(core_has_role(cores[2], ROLE_USER));
		assert_false(core_takes(cores[2], ROLE_MAY_SERVE));
		turns(1);
	}
	assert_int_equal(cores[2]->roles, ROLE_ELASTIC | ROLE_KERNEL);
	assert_int_not_equal(units[0].core, 2);
	assert_int_not_equal(units[1].core, 2);
	assert_int_not_equal(units[0].core, units[1].core); /* both who run get one */

	units[2] = (struct unit){ 3, BALANCE_RING, 2, false, false };
	ask(2, BALANCE_RUNS);
	turns(5);
	assert_int_equal(cores[2]->roles, ROLE_ELASTIC | ROLE_USER);
	assert_int_equal(units[2].core, 0);
}

/* Would the last one that runs programs become a server? */
static void one_is_left(void **state)
{
	unsigned serving = 0;

	(void)state;
	/* on this map core 1 always runs programs: say it does not */
	role_lost(cores[1]);
	for (unsigned i = 2; i < CORES; i++) {
		ask(i, BALANCE_SERVES);
		turns(5);
	}
	for (unsigned i = 2; i < CORES; i++)
		serving += core_has_role(cores[i], ROLE_KERNEL);
	assert_int_equal(serving, 1);
	cores[1]->roles = ROLE_USER;
	roles_init(); /* counts anew */
}

/* A thread that cannot be moved: does the core stay what it was, and take new ones again? */
static void gives_up(void **state)
{
	uint64_t refused = cores[2]->count->balance_refused;

	(void)state;
	units[0] = (struct unit){ 1, BALANCE_THREAD, 2, false, true };
	ask(2, BALANCE_SERVES);
	turns(3);
	assert_true(core_is_leaving(cores[2]));
	turns(1000);
	assert_true(core_takes(cores[2], ROLE_USER));
	assert_int_equal(cores[2]->count->balance_refused, refused + 1);
	units[0].stuck = false;
	ask(2, BALANCE_SERVES);
	turns(5);
	assert_int_equal(cores[2]->roles, ROLE_ELASTIC | ROLE_KERNEL);
}

/* One that arrives late, at a core that has turned away from its kind: is it sent on? */
static void sent_on(void **state)
{
	(void)state;
	ask(2, BALANCE_SERVES);
	turns(5);
	units[0] = (struct unit){ 1, BALANCE_THREAD, 2, false, false };
	units[1] = (struct unit){ 2, BALANCE_RING, 3, false, false };
	turns(2);
	assert_true(core_has_role(cores[units[0].core], ROLE_USER));
	assert_true(core_has_role(cores[units[1].core], ROLE_SERVES));
}

/* ---- harts that do not start ----------------------------------------------------------------- */

struct start {
	const char *map;
	unsigned dead;
};

static int start(const void *arg)
{
	const struct start *s = arg;

	unit_machine(16, CORES);
	dead_hart = s->dead;
	if (cmdline_init(s->map))
		return 42;
	frames_init();
	if (cores_init())
		return 43;
	unit_be_core(0);
	cores_start();
}

static void dead_harts(void **state)
{
	static const struct {
		struct start start;
		int status; /* 0: it is up without the hart; 103: it says why not */
	} rows[] = {
		{ { "map=0:kernel,1:user,2:user spin_us=0", 2 }, 0 },
		{ { "map=0:kernel,1:user,2:elastic spin_us=0", 2 }, 0 },
		{ { "map=0:kernel,1:user,2:elastic spin_us=0", 1 }, 0 },
		{ { "map=0:kernel,1:user,2:kernel spin_us=0", 2 }, 0 },
		{ { "map=0:kernel,1:elastic spin_us=0", 1 }, 103 },
		{ { "map=0:kernel,1:user spin_us=0", 1 }, 103 },
		{ { "map=0:kernel,1:net,2:user spin_us=0", 1 }, 103 },
		{ { "map=0:user,1:kernel spin_us=0", 1 }, 103 },
	};

	(void)state;
	for (unsigned i = 0; i < array_count(rows); i++)
		assert_int_equal(unit_in_child(start, &rows[i].start), rows[i].status);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, before, unit_frames_after)
	const struct CMUnitTest tests[] = {
		TEST(drained_first), TEST(one_is_left), TEST(gives_up), TEST(sent_on),
	};
	const struct CMUnitTest starts[] = { cmocka_unit_test(dead_harts) };
	int failed;

	hosted_sim = &machine;
	failed = cmocka_run_group_tests(starts, NULL, NULL);
	unit_kernel(32, CORES, "map=0:kernel,1:user,2:elastic,3:elastic");
	balance_policy_set(&asks);
	balance_mover_set(BALANCE_RING, &rings);
	balance_mover_set(BALANCE_THREAD, &threads);
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
