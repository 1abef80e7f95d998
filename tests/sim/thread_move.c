/*
 * What if somebody asks for a move that makes no sense, or for two at once? What if a thread is
 * told to die, or woken, or forbidden its new core, after it has left one core and before it has
 * come to the other? And what if a wake that was meant for something earlier finds it waiting for
 * an answer?
 */
#include <string.h>

#include "lib/prog.h"
#include "uapi/errno.h"
#include "uapi/time.h"

#define LONG_NS 50000000u
#define HOME 0u /* map: 0 kernel, 1, 2 and 3 user */

static struct thread *thread;
static bool waiting, over;

/* Waits in enter for a timeout, and says so. */
static void sleeper(struct sim_prog *p)
{
	struct __kernel_timespec ts = { .tv_nsec = LONG_NS };
	uaddr_t at = prog_map(p, PAGE_SIZE);
	struct io_uring_sqe sqe = { .opcode = IORING_OP_TIMEOUT, .fd = -1, .addr = at, .len = 1,
				    .user_data = 1 };
	struct io_uring_cqe cqe;

	prog_write(p, at, &ts, sizeof(ts));
	sim_check(prog_sqe(p, &sqe));
	prog_submit(p);
	waiting = true;
	prog_wait(p, 1);
	sim_check(prog_cqe(p, &cqe) && cqe.res == -ETIME);
	over = true;
}

static bool is_parked(void *arg)
{
	(void)arg;
	return waiting && thread->state == THREAD_PARKED && thread_is_served(thread);
}

/* No move and no wake is under way. */
static bool is_quiet(void *arg)
{
	(void)arg;
	return !atomic_load(&thread->move_to) && !atomic_load(&thread->wakes);
}

static struct process *begin(void)
{
	struct process *p = sim_spawn(sleeper, NULL, 1, HOME);

	thread = &list_item(p->threads.next, struct user_thread, sibling)->thread;
	sim_until(is_parked, NULL);
	return p;
}

static int answer;

static void send(void *to)
{
	answer = thread_send(thread, (unsigned)(uintptr_t)to);
}

static int ask(unsigned from, unsigned to)
{
	sim_on_core(from, send, (void *)(uintptr_t)to);
	return answer;
}

static void wake_it(void *arg)
{
	(void)arg;
	thread_wake(thread);
}

static void kill_it(void *arg)
{
	(void)arg;
	thread_kill(thread);
}

static void refused(void)
{
	begin();
	sim_check(ask(1, HOME) == -EINVAL);
	sim_check(ask(1, CORES_MAX) == -EINVAL);
	sim_check(ask(1, 1) == 0 && thread->state == THREAD_PARKED);
	atomic_store(&thread->allowed[0], 1u << 1 | 1u << 2);
	sim_check(ask(1, 3) == -EINVAL);
	sim_check(ask(HOME, 2) == 0);
	sim_check(ask(HOME, 1) == 0 && thread_core(thread) == 1); /* not gone yet: there already */
	sim_check(ask(3, 2) == -EBUSY);
	sim_until(is_quiet, NULL);
	sim_check(thread_core(thread) == 2 && thread->state == THREAD_PARKED && !over);
	sim_check(placement_count(cores[1]) == 0 && placement_count(cores[2]) == 1);
	sim_check(ask(2, 1) == 0 && ask(1, 2) == -EBUSY && thread->state == THREAD_MOVING);
	sim_finish();
	sim_check(over && !sim_failed_programs());
}

static void killed_on_the_way(void)
{
	struct process *p = begin();

	sim_check(ask(1, 2) == 0 && thread->state == THREAD_MOVING);
	sim_on_core(2, kill_it, NULL);
	sim_check(thread->state == THREAD_MOVING);
	sim_until(is_quiet, NULL);
	sim_check(thread->state == THREAD_DEAD);
	sim_kill(p);
	sim_finish();
	sim_check(!over);
}

static void allow_first(void *arg)
{
	uint64_t mask[CORE_WORDS] = { 1u << 1 };

	(void)arg;
	thread_allow(thread, mask);
}

/* It may be where it was, and not where it goes to. */
static void forbidden_on_the_way(void)
{
	begin();
	sim_check(ask(1, 2) == 0 && thread->state == THREAD_MOVING);
	sim_on_core(HOME, allow_first, NULL);
	sim_check(thread_core(thread) == 2);
	sim_until(is_quiet, NULL);
	sim_check(thread_core(thread) == 1 && is_parked(NULL));
	sim_finish();
	sim_check(over && !sim_failed_programs());
}

static void woken_too_early(void)
{
	begin();
	sim_on_core(3, wake_it, NULL);
	sim_until(is_quiet, NULL);
	sim_check(is_parked(NULL));
	sim_check(ask(1, 2) == 0);
	sim_on_core(2, wake_it, NULL);
	sim_until(is_quiet, NULL);
	sim_check(is_parked(NULL) && thread_core(thread) == 2);
	sim_finish();
	sim_check(over && !sim_failed_programs());
}

int main(void)
{
	static const char map[] = "map=0:kernel+io+net,1:user,2:user,3:user";
	static const struct sim_test tests[] = {
		{ .name = "thread_move refused", .run = refused, .cores = 4, .cmdline = map },
		{ .name = "thread_move killed on the way",
		  .run = killed_on_the_way,
		  .cores = 4,
		  .cmdline = map },
		{ .name = "thread_move forbidden on the way",
		  .run = forbidden_on_the_way,
		  .cores = 4,
		  .cmdline = map },
		{ .name = "thread_move woken too early",
		  .run = woken_too_early,
		  .cores = 4,
		  .cmdline = map },
	};

	return sim_main(tests, array_count(tests));
}
