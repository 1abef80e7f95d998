/*
 * Is every core map that makes sense taken as written, and every other refused?
 * (kernel/cores/map.c) Boot happens once per process, so each map gets a child of its own.
 */
#include "lib/unit.h"

#include "base/cmdline.h"
#include "cores/balance.h"
#include "mm/frames.h"

struct row {
	const char *cmdline;
	unsigned harts;
	const char *roles; /* expected: per hart u, k, i, n joined; NULL: refused */
};

static void describe(char *out, const struct core *c)
{
	static const struct {
		uint32_t role;
		char letter;
	} letters[] = {
		{ ROLE_USER, 'u' }, { ROLE_KERNEL, 'k' },  { ROLE_IO, 'i' },
		{ ROLE_NET, 'n' },  { ROLE_ELASTIC, 'e' },
	};

	out += strlen(out);
	for (size_t i = 0; c && i < array_count(letters); i++)
		if (c->roles & letters[i].role)
			*out++ = letters[i].letter;
	*out++ = ' ';
	*out = 0;
}

/* 0: as expected, 1: taken but different, 2: refused, 3: the machine did not come up */
static int boot(const void *arg)
{
	const struct row *row = arg;
	char got[256] = "";

	unit_machine(16, row->harts);
	if (cmdline_init(row->cmdline))
		return 3;
	frames_init();
	if (cores_init())
		return row->roles ? 2 : 0;
	if (!row->roles)
		return 1;
	for (unsigned i = 0; i < row->harts; i++)
		describe(got, cores[i]);
	return strcmp(got, row->roles) != 0;
}

static void check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int status = unit_in_child(boot, &rows[i]);

		if (status)
			fail_msg("map \"%s\" on %u harts: %d", rows[i].cmdline, rows[i].harts,
				 status);
	}
}

static void taken(void **state)
{
	static const struct row rows[] = {
		{ "", 1, "ukin " },
		{ "", 3, "kin u u " },
		{ "map=0:mixed", 1, "ukin " },
		{ "map=0:kernel+net+io,1:user,2:user", 3, "kin u u " },
		{ "map=0:kernel,1:io,2:net,3:user", 4, "k ki kn u " },
		{ "map=2:user,0:net+io", 3, "kin  u " },
		{ "map=0:user,1:kernel", 2, "u kin " },
		{ "map=0:mixed spin_us=0", 1, "ukin " },
		{ "map=0:mixed spin=fixed", 1, "ukin " },
		{ "map=0:kernel,1:elastic", 2, "kin ue " },
		{ "map=0:elastic,1:elastic,2:kernel,3:user", 4, "ue ue kin u " },
		{ "map=0:elastic,1:net,2:user", 3, "ue kin u " },
		{ "map=0:mixed spin_us=10000000", 1, "ukin " },
	};

	(void)state;
	check(rows, array_count(rows));
}

static void refused(void **state)
{
	static const struct row rows[] = {
		{ "map=", 1, NULL },
		{ "map=0", 1, NULL },
		{ "map=0:", 1, NULL },
		{ "map=0:boss", 1, NULL },
		{ "map=0:kernel,", 1, NULL },
		{ "map=0:kernel+,1:user", 2, NULL },
		{ "map=0:kernel", 1, NULL },
		{ "map=0:user", 1, NULL },
		{ "map=0:kernel,1:user", 1, NULL },
		{ "map=0:kernel,0:user", 2, NULL },
		{ "map=1:kernel,2:user", 3, NULL },
		{ "map=0:elastic", 1, NULL },
		{ "map=0:elastic,1:elastic", 2, NULL },
		{ "map=0:elastic,1:user", 2, NULL },
		{ "map=0:kernel,1:elastic+user", 2, NULL },
		{ "map=0:kernel,1:net+elastic", 2, NULL },
		{ "map=0:kernel,1:user+rt", 2, NULL },
		{ "map=0:kernel;1:user", 2, NULL },
		{ "map=99999999999:kernel", 2, NULL },
		{ "map=0:mixed spin_us=10000001", 1, NULL },
		{ "map=0:mixed spin=sometimes", 1, NULL },
		{ "policy=fair", 2, NULL },
		{ "policy=", 2, NULL },
	};

	(void)state;
	check(rows, array_count(rows));
}

static int boot_policy(const void *arg)
{
	unit_machine(16, 2);
	if (cmdline_init(arg))
		return 3;
	frames_init();
	if (cores_init())
		return 2;
	return balance_policy() == &policy_default ? 'd' :
	       balance_policy() == &policy_static  ? 's' :
						     'g';
}

/* Is the policy the one that was asked for? */
static void policies(void **state)
{
	(void)state;
	assert_int_equal(unit_in_child(boot_policy, ""), 'd');
	assert_int_equal(unit_in_child(boot_policy, "policy=default"), 'd');
	assert_int_equal(unit_in_child(boot_policy, "policy=static"), 's');
	assert_int_equal(unit_in_child(boot_policy, "policy=greedy"), 'g');
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(taken), cmocka_unit_test(refused),
					    cmocka_unit_test(policies) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
