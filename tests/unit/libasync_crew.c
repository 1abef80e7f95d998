/*
 * Do executors that take coroutines from each other, and tell each other's, ever have one coroutine
 * twice or none, lose news, or touch what is another thread's? Real threads: under ThreadSanitizer
 * (make tsan) the last is asked of every access. Without the ring: what sleeps and wakes executors
 * is asked by tests/abi/async_crew.c and tests/model.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libasync/crew.c"
#include "libasync/levels.c"

/* ---- what the crew calls of the rest of the library ---- */

struct token {
	struct async_co co;
	uint32_t asked; /* any thread, atomic: how often it was told to stop */
	/* its executor's thread only */
	uint32_t heard; /* `asked` when it heard of it last */
	uint64_t runs;
};

static struct token *token_of(struct async_co *co)
{
	return (struct token *)co; /* its first member */
}

void async_stop_update(struct async_co *co)
{
	token_of(co)->heard = __atomic_load_n(&token_of(co)->asked, __ATOMIC_RELAXED);
	if (co->state == ASYNC_IN_QUEUE)
		async_ready(co);
}

void async_ready(struct async_co *co)
{
	__atomic_store_n(&co->state, ASYNC_READY, __ATOMIC_RELAXED);
	crew_ready(async_here(), co);
}

struct async_co *async_urgent(void)
{
	return levels_pop(async_here());
}

#define NOT_HERE(what)                                                                            \
	do {                                                                                      \
		fail_msg("%s", what);                                                             \
		abort();                                                                          \
	} while (0)

struct async_config async_config;
struct async_exec async_exec_own;
const struct sluice_start *ring_start_info;
bool notice_direct, notice_interrupts;
struct notice_self notice_first;
void async_reap(void) { NOT_HERE("reap"); }
void async_signal(void) { NOT_HERE("signal"); }
void async_signal_new(void) { NOT_HERE("signal"); }
void async_doze(bool look) { (void)look; NOT_HERE("doze"); }
void async_exec_init(struct async_exec *x, const struct ring *r)
{
	(void)x, (void)r;
	NOT_HERE("init");
}
void async_exec_serve(struct async_exec *x) { (void)x; NOT_HERE("serve"); }
void async_exec_flush(struct async_exec *x) { (void)x; NOT_HERE("flush"); }
void async_exec_park(struct async_exec *x) { (void)x; NOT_HERE("park"); }
bool async_exec_wants_room(struct async_exec *x) { (void)x; NOT_HERE("room"); }
uint64_t async_timer_wait_ns(void) { NOT_HERE("timer"); }
uint64_t async_ns_to_ticks(uint64_t ns) { (void)ns; NOT_HERE("ticks"); }
struct async_co *async_stack_get(void) { NOT_HERE("stack"); }
struct async_co *async_pick(void) { NOT_HERE("pick"); }
bool async_show(struct async_exec *x) { (void)x; NOT_HERE("show"); }
void async_co_bury(struct async_co *co) { (void)co; NOT_HERE("bury"); }
int async_sleep(uint64_t ns) { (void)ns; NOT_HERE("sleep"); }
int crew_start(uint32_t index) { (void)index; NOT_HERE("start"); }
unsigned crew_processors(void) { NOT_HERE("processors"); }
int async_preempt_more(struct async_exec *x, const struct async_exec *first,
		       struct async_levels *more, struct notice_self *self)
{
	(void)x, (void)first, (void)more, (void)self;
	NOT_HERE("preempt");
}

/* ---- a crew without rings ---- */

#define EXECUTORS 3u
#define TOKENS 24u
#define STEPS 20000u

static struct async_exec execs[EXECUTORS];
static struct async_levels levels[EXECUTORS];
static struct token tokens[TOKENS];
static uint32_t steps, thieves; /* all threads */

/* Nobody sleeps: who makes work finds nobody to wake. */
static void exec_begin(uint32_t i, bool by_priority)
{
	struct async_exec *x = &execs[i];

	memset(x, 0, sizeof(*x));
	x->here = x;
	x->crew = true;
	x->index = i;
	x->run_tail = &x->run_head;
	x->share.tail = &x->share.head;
	x->stay_tail = &x->stay_head;
	x->sched = x->self = &x->main;
	async_crew.execs[i] = x;
	if (!by_priority)
		return;
	memset(&levels[i], 0, sizeof(levels[i]));
	levels_init(&levels[i]);
	x->levels = &levels[i];
}

static void crew_begin(bool by_priority)
{
	async_crew.count = EXECUTORS;
	__atomic_store_n(&async_crew_several, 1, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < EXECUTORS; i++)
		exec_begin(i, by_priority);
	async_thread_set(&execs[0]);
	for (uint32_t i = 0; i < TOKENS; i++) {
		memset(&tokens[i], 0, sizeof(tokens[i]));
		tokens[i].co.exec = &execs[0];
		tokens[i].co.priority = (uint8_t)(i % SLUICE_PRIORITIES);
		async_ready(&tokens[i].co);
	}
	steps = thieves = 0;
}

static uint32_t batch(struct async_exec *x)
{
	batch_return(x);
	return x->levels ? batch_of_levels(x) : batch_of_share(x);
}

static void tell(struct token *t, uint32_t news)
{
	__atomic_fetch_add(&t->asked, 1, __ATOMIC_SEQ_CST);
	crew_tell(&t->co, news);
}

/* Everybody's news is heard, everybody is there once. */
static void crew_end(void)
{
	uint32_t there = 0;
	uint64_t runs = 0;

	for (uint32_t round = 0; round < EXECUTORS; round++)
		for (uint32_t i = 0; i < EXECUTORS; i++) {
			async_thread_set(&execs[i]);
			crew_hear(&execs[i]);
		}
	for (uint32_t i = 0; i < EXECUTORS; i++) {
		async_thread_set(&execs[i]);
		assert_null(execs[i].inbox);
		while (batch(&execs[i]))
			while (execs[i].run_head) {
				struct async_co *co = list_take(&execs[i].run_head);

				if (!execs[i].run_head)
					execs[i].run_tail = &execs[i].run_head;
				assert_ptr_equal(co->exec, &execs[i]);
				there++;
			}
	}
	assert_int_equal(there, TOKENS);
	for (uint32_t i = 0; i < TOKENS; i++) {
		assert_int_equal(tokens[i].heard, tokens[i].asked);
		runs += tokens[i].runs;
	}
	assert_int_equal(runs, steps);
}

/* ---- the questions ---- */

static void *work(void *arg)
{
	struct async_exec *x = arg;
	uint32_t seed = x->index + 1;

	async_thread_set(x);
	/* all but the first begin with nothing: each has stolen, however the host runs them */
	while (__atomic_load_n(&steps, __ATOMIC_RELAXED) < STEPS ||
	       __atomic_load_n(&thieves, __ATOMIC_RELAXED) < EXECUTORS - 1) {
		crew_hear(x);
		if (!batch(x)) {
			bool first = !x->stats.steals;

			if (steal_anywhere(x) && first && x->index)
				__atomic_fetch_add(&thieves, 1, __ATOMIC_RELAXED);
			else
				sched_yield();
			continue;
		}
		while (x->run_head) {
			struct token *t = token_of(list_take(&x->run_head));

			if (!x->run_head)
				x->run_tail = &x->run_head;
			t->runs++;
			__atomic_fetch_add(&steps, 1, __ATOMIC_RELAXED);
			seed = seed * 1664525 + 1013904223;
			if (seed >> 30 == 0)
				tell(&tokens[seed % TOKENS], ASYNC_NEWS_STOP);
			async_ready(&t->co);
		}
	}
	batch_return(x);
	return NULL;
}

static void race(bool by_priority)
{
	pthread_t threads[EXECUTORS];

	crew_begin(by_priority);
	for (uint32_t i = 0; i < EXECUTORS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, &execs[i]), 0);
	for (uint32_t i = 0; i < EXECUTORS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	crew_end();
}

static void each_is_somewhere_once(void **state)
{
	(void)state;
	race(false);
}

static void each_is_somewhere_once_by_priority(void **state)
{
	(void)state;
	race(true);
}

/* What if a coroutine is stolen after it was told, and before its executor heard of it? */
static void news_follow(bool by_priority, uint32_t news, enum async_state waits)
{
	struct token *t = &tokens[0];

	crew_begin(by_priority);
	tell(t, news);
	async_thread_set(&execs[1]);
	while (t->co.exec == &execs[0])
		assert_true(steal_from(&execs[1], &execs[0]) > 0);
	assert_ptr_equal(t->co.exec, &execs[1]);
	t->co.state = waits; /* it has run, and waits there: only the news wake it */
	while (batch(&execs[1]))
		execs[1].run_head = NULL, execs[1].run_tail = &execs[1].run_head;
	async_thread_set(&execs[0]);
	crew_hear(&execs[0]);
	assert_int_equal(t->heard, 0); /* not his to touch any more */
	assert_ptr_equal(execs[1].inbox, &t->co);
	async_thread_set(&execs[1]);
	crew_hear(&execs[1]);
	assert_null(execs[1].inbox);
	assert_int_equal(t->co.state, ASYNC_READY);
	assert_int_equal(t->heard, news & ASYNC_NEWS_STOP ? 1 : 0);
	if (waits == ASYNC_IN_QUEUE) {
		assert_int_equal(batch(&execs[1]), 1);
		assert_ptr_equal(execs[1].run_head, &t->co);
	}
}

static void news_find_who_was_stolen(void **state)
{
	(void)state;
	for (int by_priority = 0; by_priority < 2; by_priority++) {
		news_follow(by_priority, ASYNC_NEWS_STOP, ASYNC_READY);
		news_follow(by_priority, ASYNC_NEWS_STOP, ASYNC_IN_QUEUE);
		news_follow(by_priority, ASYNC_NEWS_WAKE, ASYNC_IN_QUEUE);
	}
}

static struct async_co *pop(struct async_exec *x)
{
	return levels_pop(x);
}

/* Who came first of a level goes first, whether others may take it or not; the most urgent level
 * first, but none is passed over for ever; a thief takes of the most urgent. */
static void levels_keep_order(void **state)
{
	struct async_exec *x = &execs[0];
	unsigned low = 0, picks = 0;

	(void)state;
	exec_begin(0, true);
	exec_begin(1, true);
	async_thread_set(x);
	for (uint32_t i = 0; i < TOKENS; i++) {
		memset(&tokens[i], 0, sizeof(tokens[i]));
		tokens[i].co.exec = x;
		tokens[i].co.priority = (uint8_t)(3 - i / 8);
		tokens[i].co.pins = i & 1;
		async_ready(&tokens[i].co);
	}
	/* levels 3, 2, 1 with eight each, four of them pinned */
	async_thread_set(&execs[1]);
	assert_int_equal(levels_steal_from(&execs[1], x), 2);
	assert_ptr_equal(pop(&execs[1]), &tokens[16].co);
	assert_ptr_equal(pop(&execs[1]), &tokens[18].co);
	assert_null(pop(&execs[1]));
	async_thread_set(x);
	for (uint32_t i = 0; i < 8; i++)
		if (i != 0 && i != 2)
			assert_ptr_equal(pop(x), &tokens[16 + i].co);
	for (uint32_t i = 0; i < 8; i++)
		assert_ptr_equal(pop(x), &tokens[8 + i].co);
	for (uint32_t i = 0; i < 8; i++)
		assert_ptr_equal(pop(x), &tokens[i].co);
	assert_null(pop(x));
	assert_int_equal(x->queued, 0);
	assert_int_equal(x->share.count, 0);
	/* one of level 3 beside one of level 1 that always comes back */
	async_ready(&tokens[0].co);
	async_ready(&tokens[16].co);
	for (; !low && picks < 1000; picks++) {
		struct async_co *co = pop(x);

		low = co == &tokens[0].co;
		async_ready(co);
	}
	assert_int_equal(picks, ASYNC_AGE_MAX + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_keep_order),
		cmocka_unit_test(news_find_who_was_stolen),
		cmocka_unit_test(each_is_somewhere_once),
		cmocka_unit_test(each_is_somewhere_once_by_priority),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
