/*
 * scope: what stops a coroutine: cancellation and deadlines, and the shields against both.
 *
 * Scopes form a chain from the innermost outwards. `stop` is what it amounts to at the moment:
 * -ETIME when a deadline fired that no shield keeps out, else -ECANCELED when the coroutine was
 * cancelled and no shield is there, else 0. It is recomputed at every change, so that calls only
 * load it.
 */
#include "crew.h"

static int32_t scope_stop(const struct async_co *co)
{
	for (const struct async_scope *s = co->scope; s; s = s->outer) {
		if (s->fired)
			return -ETIME;
		if (s->shield)
			return 0;
	}
	return co->cancelled ? -ECANCELED : 0;
}

void async_stop_update(struct async_co *co)
{
	co->stop = scope_stop(co);
	if (!co->stop)
		return;
	switch ((enum async_state)co->state) {
	case ASYNC_IN_IO:
		async_io_cancel(co->io);
		return;
	case ASYNC_IN_QUEUE:
		async_ready(co);
		return;
	case ASYNC_READY:
	case ASYNC_ENDED:
		return;
	}
}

void async_cancel(struct async_co *co)
{
	if (__atomic_load_n(&co->state, __ATOMIC_RELAXED) == ASYNC_ENDED ||
	    __atomic_load_n(&co->cancelled, __ATOMIC_RELAXED))
		return;
	__atomic_store_n(&co->cancelled, true, __ATOMIC_RELAXED); /* seen with the news of it */
	if (crew_is_several() && co != async_self())
		crew_tell(co, ASYNC_NEWS_STOP);
	else
		async_stop_update(co);
}

static void scope_begin(struct async_scope *scope)
{
	struct async_co *me = async_self();

	*scope = (struct async_scope){ .outer = me->scope };
	scope->timer.co = me;
	scope->timer.scope = scope;
	me->scope = scope;
}

/* Scopes nest: only the innermost can end. */
static void scope_end(struct async_scope *scope)
{
	struct async_co *me = async_self();

	if (me->scope != scope)
		ring_die(&async_here()->ring, "async: scopes ended out of order\n");
	async_timer_clear(&scope->timer);
	me->scope = scope->outer;
	me->stop = scope_stop(me);
}

void async_deadline_begin(struct async_scope *scope, uint64_t ns)
{
	scope_begin(scope);
	crew_pin();
	async_timer_set(&scope->timer, ns);
}

bool async_deadline_end(struct async_scope *scope)
{
	scope_end(scope);
	crew_unpin();
	return scope->fired;
}

void async_shield_begin(struct async_scope *scope)
{
	scope_begin(scope);
	scope->shield = true;
	async_self()->stop = scope_stop(async_self());
}

void async_shield_end(struct async_scope *scope)
{
	scope_end(scope);
}
