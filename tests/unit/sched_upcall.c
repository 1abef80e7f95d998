/*
 * Does a notice enter its program's handler once, wherever its thread is when it comes, and does
 * the program go on where it was? (kernel/sched/upcall.c, and inbox.c for threads without
 * mailboxes)
 */
#include "lib/unit.h"

#include "cores/core.h"
#include "mm/aspace.h"
#include "sched/inbox.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "uapi/errno.h"
#include "uapi/notice.h"

#define ID 5u
#define BIT (1ull << ID)
#define HANDLER 0x2000ull
#define PLACE 0x1234ull

static struct inbox ib;
static struct thread thread;
static struct aspace *as;
static struct sluice_upcall area;
static unsigned told;

static void hear(struct inbox *which)
{
	assert_ptr_equal(which, &ib);
	told++;
}

static unsigned mails(void)
{
	struct core *c = cores[0];

	told = 0;
	while (c->part[PART_MAILBOX]->run(c))
		;
	return told;
}

static void be(uint8_t state)
{
	thread.state = state;
	if (state == THREAD_PARKED)
		inbox_rest(&ib);
	else if (state == THREAD_RUNNING)
		inbox_run(cores[0], &ib, false);
}

static int setup(void **state)
{
	(void)state;
	memset(&thread, 0, sizeof(thread));
	memset(&area, 0, sizeof(area));
	as = aspace_create();
	thread.as = as;
	thread.user.pc = PLACE;
	thread.state = THREAD_READY;
	inbox_init(&ib, &thread, 0, hear);
	area.enabled = 1 | BIT;
	area.on = SLUICE_UPCALL_ON;
	inbox_attach(&ib, &area);
	ib.upcall.handler = HANDLER;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	inbox_close(&ib);
	assert_null(thread.inbox);
	assert_false(inbox_post(&ib, ID)); /* nobody is there any more */
	aspace_put(as);
	return 0;
}

/* Twice posted is once entered; what comes inside the handler, behind its return. */
static void enters(void **state)
{
	(void)state;
	assert_true(inbox_post(&ib, ID));
	assert_true(inbox_post(&ib, ID));
	assert_int_equal(thread.user.pc, PLACE);
	be(THREAD_RUNNING);
	assert_int_equal(thread.user.pc, HANDLER);
	assert_int_equal(area.pc, PLACE);
	assert_int_equal(area.on, SLUICE_UPCALL_OFF);
	assert_int_equal(area.pending, BIT);
	area.pending = 0; /* the handler's claim */
	assert_true(inbox_post(&ib, ID));
	be(THREAD_RUNNING);
	assert_int_equal(thread.user.pc, HANDLER); /* and not again inside it */
	assert_int_equal(area.pc, PLACE);
	thread.user.pc = HANDLER + 40;
	assert_true(inbox_return(&ib));
	assert_int_equal(thread.user.pc, HANDLER);
	assert_int_equal(area.pc, PLACE);
	area.pending = 0;
	assert_true(inbox_return(&ib));
	assert_int_equal(thread.user.pc, PLACE);
	assert_int_equal(area.on, SLUICE_UPCALL_ON);
	assert_int_equal(mails(), 0);
}

/* Off or masked: it stays pending, and nobody is told. */
static void stays(void **state)
{
	(void)state;
	area.on = SLUICE_UPCALL_OFF;
	assert_true(inbox_post(&ib, ID));
	be(THREAD_RUNNING);
	assert_int_equal(thread.user.pc, PLACE);
	be(THREAD_PARKED);
	assert_int_equal(mails(), 0);
	area.on = SLUICE_UPCALL_ON;
	area.enabled = 1;
	be(THREAD_RUNNING);
	assert_int_equal(thread.user.pc, PLACE);
	assert_int_equal(area.pending, BIT);
}

/* Parked: its home core is told, before it parked or after; for WAKE, without an upcall. */
static void wakes(void **state)
{
	(void)state;
	area.on = SLUICE_UPCALL_WAKE;
	be(THREAD_PARKED);
	assert_int_equal(mails(), 0);
	assert_true(inbox_post(&ib, ID));
	assert_int_equal(mails(), 1);
	assert_true(upcall_wakes(&ib));
	be(THREAD_RUNNING);
	assert_int_equal(thread.user.pc, PLACE);
	be(THREAD_PARKED); /* it parks again, and never looked */
	assert_int_equal(mails(), 1);
	area.on = SLUICE_UPCALL_OFF;
	assert_false(upcall_wakes(&ib));
}

/* Somebody waits for it (WAIT): told also while notices are off; taken once. */
static void waits(void **state)
{
	(void)state;
	area.on = SLUICE_UPCALL_OFF;
	assert_int_equal(inbox_take(&ib, ~0ull), 0);
	assert_true(inbox_post(&ib, ID));
	assert_int_equal(mails(), 1);
	assert_int_equal(inbox_take(&ib, 1), 0);
	assert_int_equal(inbox_take(&ib, ~0ull), BIT);
	assert_int_equal(inbox_take(&ib, ~0ull), 0);
}

static void alarms(void **state)
{
	struct core *c = cores[0];

	(void)state;
	c->now = 1000;
	inbox_alarm_set(&ib, 2000);
	inbox_alarm_set(&ib, 3000); /* only the last one */
	c->now = 2500;
	c->part[PART_TIMERS]->run(c);
	assert_int_equal(area.pending, 0);
	c->now = 3500;
	c->part[PART_TIMERS]->run(c);
	assert_int_equal(area.pending, 1);
	be(THREAD_RUNNING);
	assert_int_equal(thread.user.pc, HANDLER);
	inbox_alarm_set(&ib, 4000);
	inbox_alarm_set(&ib, NSEC_NEVER);
	area.pending = 0;
	c->now = 5000;
	c->part[PART_TIMERS]->run(c);
	assert_int_equal(area.pending, 0);
}

/* What came before there was an area is there when there is one; without it nobody returns. */
static void begins(void **state)
{
	(void)state;
	inbox_close(&ib);
	inbox_init(&ib, &thread, 0, hear);
	assert_false(inbox_return(&ib));
	assert_true(inbox_post(&ib, ID));
	assert_int_equal(area.pending, 0);
	inbox_attach(&ib, &area);
	ib.upcall.handler = HANDLER;
	assert_int_equal(area.pending, BIT);
	be(THREAD_RUNNING);
	assert_int_equal(thread.user.pc, HANDLER);
}

/* A thread that moves takes its alarm and what is pending along. */
static void moves(void **state)
{
	struct core *c = cores[0];

	(void)state;
	c->now = 1000;
	inbox_alarm_set(&ib, 2000);
	inbox_leave(&ib, false);
	assert_false(timer_is_armed(&ib.alarm));
	assert_true(inbox_post(&ib, ID));
	inbox_arrive(c, &ib, false);
	assert_true(timer_is_armed(&ib.alarm));
	be(THREAD_RUNNING);
	assert_int_equal(thread.user.pc, HANDLER);
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { test(enters), test(stays),	test(wakes), test(waits),
					    test(alarms), test(begins), test(moves) };

	unit_kernel(64, 1, "");
	timers_init(cores[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
