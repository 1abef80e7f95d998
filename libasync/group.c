/*
 * group: birth and end of coroutines: spawn, join, groups, waiting for several.
 *
 * A coroutine is released by exactly one of: async_join, its own end after async_detach, its own
 * end as a member of a group.
 */
#include "crew.h"

void async_co_begin(void);

/* ---- birth ---- */

static void group_add(struct async_group *group, struct async_co *co)
{
	crew_lock();
	co->group = group;
	co->cancelled = group->cancelled;
	co->stop = co->cancelled ? -ECANCELED : 0;
	co->member.prev = group->members.prev;
	co->member.next = &group->members;
	co->member.prev->next = &co->member;
	group->members.prev = &co->member;
	group->count++;
	crew_unlock();
}

/* Of `group`, or of none: known before it can run. */
static struct async_co *co_make(async_fn fn, void *arg, struct async_group *group)
{
	struct async_co *co = async_stack_get();

	if (!co)
		return NULL;
	co->fn = fn;
	co->arg = arg;
	co->exec = async_here();
	co->pinned = async_self()->pinned;
	co->pins = co->pinned;
	if (group)
		group_add(group, co);
	async_here()->stats.spawned++;
	async_ready(co);
	return co;
}

struct async_co *async_spawn(async_fn fn, void *arg)
{
	return async_stopped() ? NULL : co_make(fn, arg, NULL);
}

/* ---- end ---- */

/* crew_lock is held. */
static void group_remove(struct async_group *group, struct async_co *co)
{
	co->member.prev->next = co->member.next;
	co->member.next->prev = co->member.prev;
	if (co->result < 0 && group->first_error == 0)
		group->first_error = co->result;
	if (--group->count == 0)
		waitq_wake_all_locked(&group->empty);
}

/* From here on whoever joins it may use its stack again. */
void async_co_bury(struct async_co *co)
{
	bool mine;

	crew_lock();
	__atomic_store_n(&co->state, ASYNC_ENDED, __ATOMIC_RELAXED);
	waitq_wake_all_locked(&co->joiners);
	mine = co->group || co->detached;
	if (co->group)
		group_remove(co->group, co);
	crew_unlock();
	if (mine)
		async_stack_put(co);
}

/* First function of every coroutine; runs on its own stack, and leaves it for good. */
__attribute__((noreturn)) void async_co_begin(void)
{
	struct async_co *me = async_self(), *next;
	struct async_exec *x;

	me->held--; /* sched stays held */
	if (ring_unlikely(async_here()->late) && !me->held)
		async_preempt_late();
	me->result = me->fn(me->arg);
	me->held = 1;
	x = async_here();
	if (me->scope)
		ring_die(&x->ring, "async: a coroutine ended inside a scope\n");
	if (x->crew)
		crew_leave(x);
	async_co_bury(me);
	next = async_pick();
	x->self = next;
	async_switch(&me->context, &next->context);
	__builtin_unreachable();
}

/* 0 when it has ended. */
static int co_wait_end(struct async_co *co)
{
	int err = 0;

	while (!err) {
		crew_lock();
		if (co->state == ASYNC_ENDED)
			break;
		err = async_stopped();
		if (err)
			break;
		err = waitq_wait_locked(&co->joiners);
		if (err)
			return err;
	}
	crew_unlock();
	return err;
}

int async_join(struct async_co *co, int64_t *result)
{
	int err = co_wait_end(co);

	if (err)
		return err;
	if (result)
		*result = co->result;
	async_stack_put(co);
	return 0;
}

void async_detach(struct async_co *co)
{
	bool ended;

	crew_lock();
	ended = co->state == ASYNC_ENDED;
	co->detached = !ended;
	crew_unlock();
	if (ended)
		async_stack_put(co);
}

/* ---- waiting for several ---- */

static int co_find_ended(struct async_co *const *cos, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (__atomic_load_n(&cos[i]->state, __ATOMIC_ACQUIRE) == ASYNC_ENDED)
			return (int)i;
	return -EAGAIN;
}

int async_wait_any(struct async_co *const *cos, unsigned count)
{
	struct async_waiter waiters[ASYNC_WAIT_MAX];
	int found = async_stopped();

	if (!count || count > ASYNC_WAIT_MAX)
		return -EINVAL;
	if (found || (found = co_find_ended(cos, count)) >= 0)
		return found;
	for (unsigned i = 0; i < count; i++)
		waitq_add(&cos[i]->joiners, &waiters[i]);
	while ((found = co_find_ended(cos, count)) < 0 && !async_stopped())
		waitq_suspend();
	for (unsigned i = 0; i < count; i++)
		waitq_remove(&waiters[i]);
	return found >= 0 ? found : async_stopped();
}

int async_wait_all(struct async_co *const *cos, unsigned count)
{
	if (!count || count > ASYNC_WAIT_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++) {
		int err = co_wait_end(cos[i]);

		if (err)
			return err;
	}
	return async_stopped();
}

/* ---- groups ---- */

void async_group_init(struct async_group *group)
{
	*group = (struct async_group){ .count = 0 };
	group->members.next = group->members.prev = &group->members;
}

int async_group_spawn(struct async_group *group, async_fn fn, void *arg)
{
	struct async_co *co;
	int stop = async_stopped();

	if (stop)
		return stop;
	co = co_make(fn, arg, group);
	if (!co)
		return async_stopped() ? async_stopped() : -ENOMEM;
	return 0;
}

void async_group_cancel(struct async_group *group)
{
	struct async_list *link;

	crew_lock();
	group->cancelled = true;
	for (link = group->members.next; link != &group->members; link = link->next)
		async_cancel((struct async_co *)((char *)link -
						 offsetof(struct async_co, member)));
	crew_unlock();
}

/* Woken at the end of the last member, and again if there is another one since. */
static bool group_is_busy(struct async_group *group, struct async_waiter *w)
{
	bool busy;

	crew_lock();
	busy = group->count != 0;
	if (busy && !w->link.next)
		waitq_put(&group->empty, w);
	if (!busy)
		waitq_drop(w);
	crew_unlock();
	return busy;
}

int async_group_wait(struct async_group *group)
{
	struct async_waiter w = { .co = NULL };

	while (group_is_busy(group, &w)) {
		if (async_stopped() && !group->cancelled)
			async_group_cancel(group);
		waitq_suspend();
	}
	if (async_stopped())
		return async_stopped();
	return group->first_error < 0 ? (int)group->first_error : 0;
}
