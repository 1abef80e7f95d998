/*
 * Is a senseless run list refused with one sentence that names the place, before anything of it is
 * started? (kernel/proc/boot.c)
 */
#include "lib/unit.h"

#include "base/print.h"
#include "cores/core.h"
#include "proc/process.h"

struct question {
	const char *list;
	const char *sentence; /* "" for a list that is taken */
};

static char said[1024];
static unsigned sentences;

static void hear(const char *text, size_t len)
{
	sentences++;
	snprintf(said, sizeof(said), "%.*s", (int)len, text);
}

/* 0: as wanted. Parsing leaves its traces, so each list has a process of its own. */
static int ask(const void *arg)
{
	const struct question *q = arg;
	char cmdline[600];

	snprintf(cmdline, sizeof(cmdline), "map=0:kernel,1:user,2:mixed%s%s%s",
		 q->list ? " run=\"" : "", q->list ? q->list : "", q->list ? "\"" : "");
	unit_kernel(32, 3, cmdline);
	processes_init();
	kprint_set_sink(hear);
	processes_run_boot_list();
	if (!*q->sentence)
		return sentences ? 1 : mailbox_is_empty(cores[0]) ? 2 : 0;
	if (sentences != 1 || !strstr(said, q->sentence))
		return 3;
	return mailbox_is_empty(cores[0]) ? 0 : 4;
}

static void check(const struct question *q, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int status = unit_in_child(ask, &q[i]);

		if (status)
			fail_msg("list \"%s\": case %d, wanted \"%s\"", q[i].list, status,
				 q[i].sentence);
	}
}

static void taken(void **state)
{
	static const struct question q[] = {
		{ "/bin/echod 7", "" },
		{ "@1 /bin/echod 7;@2 /bin/nbdd 10809 /dev/vda ram:16M", "" },
		{ "@1:0 /bin/a;@2:2 /bin/b", "" },
		{ "  /bin/a   b  ; /bin/c  ", "" },
		{ "/bin/a;", "" },
	};

	(void)state;
	check(q, sizeof(q) / sizeof(q[0]));
}

static void refused(void **state)
{
	static const struct question q[] = {
		{ NULL, "`run` is missing" },
		{ "", "at character 1: it is empty" },
		{ "   ", "it is empty" },
		{ ";", "at character 1: a program is missing" },
		{ "/bin/a;;/bin/b", "at character 8: a program is missing" },
		{ "bin/a", "at character 1: a path begins with /" },
		{ "/bin/a;b", "at character 8: a path begins with /" },
		{ "@0 /bin/a", "at character 2: behind @ stands a core that runs users" },
		{ "@3 /bin/a", "at character 2: behind @" },
		{ "@99999999999999999999 /bin/a", "at character 2: behind @" },
		{ "@x /bin/a", "at character 2: behind @" },
		{ "@-1 /bin/a", "at character 2: behind @" },
		{ "/bin/a;@ /bin/a", "at character 9: behind @" },
		{ "@1:1 /bin/a", "at character 4: behind : stands a core that serves" },
		{ "@1: /bin/a", "at character 4: behind :" },
		{ "@1/bin/a", "at character 3: a blank and a path" },
		{ "@1:0/bin/a", "at character 5: a blank and a path" },
		{ "@1", "at character 3: a blank and a path" },
		{ "@1 ", "a program is missing" },
		{ "/bin/a 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4",
		  "one argument too many" },
		{ "/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/a;/"
		  "a;/a;/a;/a;/a;/a;/a",
		  "at character 97: one program too many" },
	};

	(void)state;
	check(q, sizeof(q) / sizeof(q[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(taken), cmocka_unit_test(refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
