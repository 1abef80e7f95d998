/*
 * upcall: see upcall.h.
 */
#include "sched/upcall.h"

#include "sched/inbox.h"
#include "sched/thread.h"
#include "uapi/notice.h"

static inline uint64_t area_news(const struct sluice_upcall *a)
{
	return __atomic_load_n(&a->pending, __ATOMIC_SEQ_CST) &
	       __atomic_load_n(&a->enabled, __ATOMIC_RELAXED);
}

static inline uint32_t area_on(const struct sluice_upcall *a)
{
	return __atomic_load_n(&a->on, __ATOMIC_SEQ_CST);
}

/* One that was pending before has been told of, or its program looks when it wants it: it sets `on`
 * or the mask, then looks; we set the bit, then look at those. */
bool upcall_post(struct inbox *ib, unsigned id)
{
	struct sluice_upcall *a = ib->upcall.area;
	uint64_t bit = 1ull << id;
	uint64_t before = __atomic_fetch_or(&a->pending, bit, __ATOMIC_SEQ_CST);

	if ((before & bit) || !(__atomic_load_n(&a->enabled, __ATOMIC_SEQ_CST) & bit))
		return false;
	if (ib->upcall.parked || atomic_load_explicit(&ib->upcall.asked, memory_order_relaxed))
		return true;
	/* on its own core only a thread that is in its trap goes on without upcall_run */
	if (area_on(a) == SLUICE_UPCALL_ON &&
	    (ib->core != this_core()->index || ib->thread->state == THREAD_RUNNING))
		arch_doorbell(ib->core);
	return false;
}

uint64_t upcall_take(struct inbox *ib, uint64_t mask)
{
	struct sluice_upcall *a = ib->upcall.area;
	uint64_t got = area_news(a) & mask;

	if (got)
		__atomic_fetch_and(&a->pending, ~got, __ATOMIC_SEQ_CST);
	else
		atomic_store_explicit(&ib->upcall.asked, true, memory_order_relaxed);
	return got;
}

bool upcall_wakes(const struct inbox *ib)
{
	const struct sluice_upcall *a = ib->upcall.area;

	return a && area_on(a) != SLUICE_UPCALL_OFF;
}

static void upcall_enter(struct inbox *ib)
{
	struct sluice_upcall *a = ib->upcall.area;

	if (area_on(a) != SLUICE_UPCALL_ON || !area_news(a) || !ib->upcall.handler)
		return;
	a->was = SLUICE_UPCALL_ON;
	a->pc = arch_user_divert(&ib->thread->user, ib->upcall.handler);
	__atomic_store_n(&a->on, SLUICE_UPCALL_OFF, __ATOMIC_RELAXED);
	this_core()->count->upcalls++;
}

void upcall_run(struct inbox *ib)
{
	if (unlikely(ib->upcall.parked)) {
		inbox_lock(ib);
		ib->upcall.parked = false;
		inbox_unlock(ib);
	}
	upcall_enter(ib);
}

bool upcall_park(struct inbox *ib)
{
	bool news;

	inbox_lock(ib);
	ib->upcall.parked = true;
	news = area_news(ib->upcall.area) &&
	       (upcall_wakes(ib) ||
		atomic_load_explicit(&ib->upcall.asked, memory_order_relaxed));
	inbox_unlock(ib);
	return news;
}

bool upcall_return(struct inbox *ib)
{
	struct sluice_upcall *a = ib->upcall.area;

	if (!a)
		return false;
	(void)arch_user_divert(&ib->thread->user, a->pc);
	__atomic_store_n(&a->on, a->was, __ATOMIC_SEQ_CST);
	upcall_enter(ib); /* what came meanwhile */
	return true;
}
