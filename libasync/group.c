/*
 * group: birth and end of coroutines: spawn, join, groups, waiting for several.
 *
 * A coroutine is released by exactly one of: async_join, its own end after async_detach, its own
 * end as a member of a group.
 */
#include "internal.h"

void async_co_begin(void);

/* ---- birth ---- */

static struct async_co *co_make(async_fn fn, void *arg)
{
	struct async_co *co = async_stack_get();

	if (!co)
		return NULL;
	co->fn = fn;
	co->arg = arg;
	async_exec.stats.spawned++;
	async_ready(co);
	return co;
}

struct async_co *async_spawn(async_fn fn, void *arg)
{
	return async_stopped() ? NULL : co_make(fn, arg);
}

/* ---- end ---- */

static void group_remove(struct async_group *group, struct async_co *co)
{
	co->member.prev->next = co->member.next;
	co->member.next->prev = co->member.prev;
	if (co->result < 0 && group->first_error == 0)
		group->first_error = co->result;
	if (--group->count == 0)
		waitq_wake_all(&group->empty);
}

/* First function of every coroutine; runs on its own stack, and leaves it for good. */
__attribute__((noreturn)) void async_co_begin(void)
{
	struct async_exec *x = &async_exec;
	struct async_co *me = x->self, *next;

	me->held = 0;
	if (ring_unlikely(x->late))
		async_preempt_late();
	me->result = me->fn(me->arg);
	me->held = 1;
	if (me->scope)
		ring_die(&x->ring, "async: a coroutine ended inside a scope\n");
	me->state = ASYNC_ENDED;
	waitq_wake_all(&me->joiners);
	if (me->group)
		group_remove(me->group, me);
	if (me->group || me->detached)
		async_stack_put(me);
	next = async_pick();
	x->self = next;
	async_switch(&me->context, &next->context);
	__builtin_unreachable();
}

int async_join(struct async_co *co, int64_t *result)
{
	while (co->state != ASYNC_ENDED) {
		int err = waitq_wait(&co->joiners);

		if (err)
			return err;
	}
	if (result)
		*result = co->result;
	async_stack_put(co);
	return 0;
}

void async_detach(struct async_co *co)
{
	if (co->state == ASYNC_ENDED)
		async_stack_put(co);
	else
		co->detached = true;
}

/* ---- waiting for several ---- */

static int co_find_ended(struct async_co *const *cos, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (cos[i]->state == ASYNC_ENDED)
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
	for (unsigned i = 0; i < count; i++)
		while (cos[i]->state != ASYNC_ENDED) {
			int err = waitq_wait(&cos[i]->joiners);

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
	co = co_make(fn, arg);
	if (!co)
		return async_stopped() ? async_stopped() : -ENOMEM;
	co->group = group;
	co->member.prev = group->members.prev;
	co->member.next = &group->members;
	co->member.prev->next = &co->member;
	group->members.prev = &co->member;
	group->count++;
	if (group->cancelled)
		async_cancel(co);
	return 0;
}

void async_group_cancel(struct async_group *group)
{
	struct async_list *link;

	group->cancelled = true;
	for (link = group->members.next; link != &group->members; link = link->next)
		async_cancel((struct async_co *)((char *)link -
						 offsetof(struct async_co, member)));
}

int async_group_wait(struct async_group *group)
{
	struct async_waiter w = { .co = NULL };

	while (group->count) {
		if (async_stopped() && !group->cancelled)
			async_group_cancel(group);
		/* woken at the end of the last member: and again if there is another one since */
		if (!w.link.next)
			waitq_add(&group->empty, &w);
		waitq_suspend();
	}
	waitq_remove(&w);
	if (async_stopped())
		return async_stopped();
	return group->first_error < 0 ? (int)group->first_error : 0;
}
