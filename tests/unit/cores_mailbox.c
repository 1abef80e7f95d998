/*
 * Does every mail arrive once and in its sender's order, and can a core sleep through one?
 * (kernel/cores/mailbox.c, core.c)
 */
#include "lib/unit.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "arch/hosted/hosted.h"
#include "cores/core.h"

#define SENDERS 3u
#define MAILS 200000u

struct letter {
	struct mail mail;
	unsigned from, number;
};

static unsigned expected[CORES_MAX];
static unsigned out_of_order;

static void letter_deliver(struct mail *m)
{
	struct letter *l = container_of(m, struct letter, mail);

	if (l->number != expected[l->from])
		out_of_order++;
	expected[l->from] = l->number + 1;
}

/* Is a mail to the own core delivered in the next turn, oldest first? */
static void to_self(void **state)
{
	struct letter letters[3];

	(void)state;
	memset(expected, 0, sizeof(expected));
	out_of_order = 0;
	for (unsigned i = 0; i < 3; i++) {
		letters[i] = (struct letter){ .mail.deliver = letter_deliver, .number = i };
		mailbox_post(0, &letters[i].mail);
	}
	assert_int_equal(expected[0], 0);
	assert_int_equal(core_turn(cores[0]), 3);
	assert_int_equal(expected[0], 3);
	assert_int_equal(out_of_order, 0);
	assert_int_equal(core_turn(cores[0]), 0);
}

static unsigned reposts;

static void repost(struct mail *m)
{
	if (++reposts < 10)
		mailbox_post(0, m);
}

/* May a mail be posted again from inside its delivery, and does it wait for the next turn then? */
static void posts_itself(void **state)
{
	struct mail m = { .deliver = repost };

	(void)state;
	reposts = 0;
	mailbox_post(0, &m);
	for (unsigned i = 1; i <= 10; i++) {
		assert_int_equal(core_turn(cores[0]), 1);
		assert_int_equal(reposts, i);
	}
	assert_true(mailbox_is_empty(cores[0]));
}

static void *sender(void *arg)
{
	unsigned index = (unsigned)(uintptr_t)arg;
	struct letter *letters = calloc(MAILS, sizeof(*letters));

	unit_be_core(index);
	for (unsigned i = 0; i < MAILS; i++) {
		letters[i] = (struct letter){ .mail.deliver = letter_deliver,
					      .from = index,
					      .number = i };
		mailbox_post(0, &letters[i].mail);
	}
	return letters;
}

/* Do three cores that post at once lose nothing and keep their order, while the receiver sleeps
 * whenever it can? */
static void from_many(void **state)
{
	pthread_t t[SENDERS];
	void *letters;
	bool all = false;

	(void)state;
	memset(expected, 0, sizeof(expected));
	out_of_order = 0;
	for (unsigned i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, sender, (void *)(uintptr_t)(i + 1)),
				 0);
	while (!all) {
		if (!core_turn(cores[0]))
			core_sleep(cores[0]);
		all = true;
		for (unsigned i = 1; i <= SENDERS; i++)
			all &= expected[i] == MAILS;
	}
	for (unsigned i = 0; i < SENDERS; i++) {
		pthread_join(t[i], &letters);
		free(letters);
	}
	assert_int_equal(out_of_order, 0);
	assert_true(cores[0]->count->sleeps > 0);
}

/* ---- ping-pong: each side sleeps at once, so a single lost doorbell stops both for ever ------ */

#define ROUNDS 100000u

static struct letter ball;
static _Atomic unsigned hits;

static void hit(struct mail *m)
{
	unsigned n = atomic_fetch_add(&hits, 1) + 1;

	/* the other side is on its way to sleep: meet it at every point of that way */
	for (uint64_t spin = n * 2654435761u % 97; spin; spin--)
		arch_relax();
	if (n < 2 * ROUNDS)
		mailbox_post(this_core()->index ^ 1, m);
	else
		arch_doorbell(this_core()->index ^ 1);
}

static void play(unsigned index)
{
	struct core *c = cores[index];

	while (hits < 2 * ROUNDS)
		if (!core_turn(c))
			core_sleep(c);
}

static void *player(void *arg)
{
	(void)arg;
	hosted_cpu_enter(1);
	arch_core_set(cores[1]);
	play(1);
	return NULL;
}

/* The lost wake-up: mail posted between the receiver's last look and its sleep. */
static void never_sleeps_through(void **state)
{
	pthread_t t;

	(void)state;
	hits = 0;
	alarm(40); /* a lost one would stop us for ever */
	assert_int_equal(pthread_create(&t, NULL, player, NULL), 0);
	ball.mail.deliver = hit;
	mailbox_post(0, &ball.mail);
	play(0);
	pthread_join(t, NULL);
	assert_int_equal(hits, 2 * ROUNDS);
	alarm(0);
}

/* Does a sleep end at its deadline, and does a doorbell rung beforehand make it none at all? */
static void sleep_ends(void **state)
{
	nsec_t before = arch_time_ns();
	unsigned returns;

	(void)state;
	/* It may return early, for a doorbell of the test before this one, say; but it does not
	 * spin. */
	for (returns = 0; arch_time_ns() < before + 3000000; returns++)
		arch_idle_wait(before + 3000000);
	assert_in_range(returns, 1, 10);
	arch_doorbell(0);
	before = arch_time_ns();
	arch_idle_wait(NSEC_NEVER);
	assert_true(arch_time_ns() - before < 1000000000);
	arch_idle_wait(before); /* a deadline in the past */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(to_self),    cmocka_unit_test(posts_itself),
		cmocka_unit_test(from_many),  cmocka_unit_test(never_sleeps_through),
		cmocka_unit_test(sleep_ends),
	};

	unit_kernel(32, 4, "map=0:kernel,1:user,2:user,3:user");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
