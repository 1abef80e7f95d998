/*
 * source: devices whose interrupts post to inboxes: by themselves where the inbox is in a slot;
 * else through a line, if it has upcalls. See inbox.h.
 *
 *   line: routed to the thread's core --interrupt, held by the machine--> inbox_line_taken: posted
 *         --handler returned, or the thread parks, and the identity was taken--> inbox_lines_release
 *
 * So a device that keeps asking costs its own program an upcall each time, and nobody else
 * anything. A source's memory is its claim's; `inbox` and `lines` change under the inbox's lock.
 */
#include "sched/inbox.h"

#include "uapi/errno.h"
#include "uapi/notice.h"

/* any core: sources that are attached to inboxes in slots; who has which line */
static _Atomic uint32_t source_count;
static struct inbox_source *_Atomic lines[ARCH_LINES];

/* Under the lock. */
static int source_lead(struct inbox *ib, struct inbox_source *s)
{
	if (ib->slot)
		return arch_inbox_irq(s->irq, ib->core, ib->slot, s->id);
	if (s->line)
		return arch_line_route(s->irq, ib->core, s->line - 1);
	arch_irq_mask(s->irq);
	return 0;
}

/* An edge that comes while it is masked is kept by the interrupt controller. */
static void source_mask(struct inbox *ib, struct inbox_source *s)
{
	arch_irq_mask(s->irq);
	if (s->held)
		arch_line_release(s->irq, ib->core);
	s->held = false;
}

void inbox_sources_lead(struct inbox *ib, bool on)
{
	list_for_each(pos, &ib->sources) {
		struct inbox_source *s = list_item(pos, struct inbox_source, link);

		if (on)
			(void)!source_lead(ib, s); /* tried before */
		else
			source_mask(ib, s);
	}
}

/* The source's memory outlives the inbox; who detaches it meanwhile does so under the lock. */
bool inbox_line_taken(unsigned line)
{
	struct inbox_source *s = atomic_load_explicit(&lines[line], memory_order_acquire);
	struct inbox *ib = s ? atomic_load_explicit(&s->inbox, memory_order_acquire) : NULL;
	bool news = false, held = false;

	if (!ib)
		return false;
	inbox_lock(ib);
	if (atomic_load_explicit(&s->inbox, memory_order_relaxed) == ib && ib->upcall.area) {
		held = s->held = true;
		news = upcall_post(ib, s->id);
	}
	inbox_unlock(ib);
	if (news)
		inbox_tell(ib);
	return held;
}

void inbox_lines_release(struct inbox *ib)
{
	const struct sluice_upcall *a = ib->upcall.area;

	if (likely(list_is_empty(&ib->sources))) /* a look without the lock: then it was not held */
		return;
	inbox_lock(ib);
	list_for_each(pos, &ib->sources) {
		struct inbox_source *s = list_item(pos, struct inbox_source, link);

		if (!s->held || (__atomic_load_n(&a->pending, __ATOMIC_RELAXED) >> s->id & 1))
			continue;
		s->held = false;
		arch_line_release(s->irq, ib->core);
	}
	inbox_unlock(ib);
}

/* A line for a source that is to post by upcalls; a place among those in slots. */
static int source_claim(struct inbox_source *s, const struct inbox *ib)
{
	if (ib->direct) {
		/* one slot is left for all who have no device */
		if (atomic_fetch_add(&source_count, 1) < arch_inbox_slots() - 1)
			return 0;
		atomic_fetch_sub(&source_count, 1);
		return -ENOSPC;
	}
	for (uint32_t i = 0; i < ARCH_LINES; i++) {
		struct inbox_source *none = NULL;

		if (atomic_compare_exchange_strong(&lines[i], &none, s)) {
			s->line = i + 1;
			return 0;
		}
	}
	return -ENOSPC;
}

static void source_release(struct inbox_source *s)
{
	if (s->line)
		atomic_store_explicit(&lines[s->line - 1], NULL, memory_order_release);
	else
		atomic_fetch_sub(&source_count, 1);
	s->line = 0;
}

/* Off its inbox's list, whose lock is held. */
static void source_end(struct inbox_source *s)
{
	struct inbox *ib = atomic_load_explicit(&s->inbox, memory_order_relaxed);

	source_mask(ib, s);
	atomic_store_explicit(&s->inbox, NULL, memory_order_release);
	source_release(s);
}

void inbox_sources_end(struct inbox *ib)
{
	struct list *pos;

	while ((pos = list_pop_front(&ib->sources)))
		source_end(list_item(pos, struct inbox_source, link));
}

void inbox_source_detach(struct inbox_source *s)
{
	struct inbox *ib = atomic_load_explicit(&s->inbox, memory_order_acquire);

	if (!ib)
		return;
	inbox_lock(ib);
	if (atomic_load_explicit(&s->inbox, memory_order_relaxed) == ib) { /* else it ended */
		list_remove(&s->link);
		source_end(s);
	}
	inbox_unlock(ib);
}

int inbox_source_attach(struct inbox_source *s, struct inbox *ib, uint32_t irq, uint32_t id)
{
	int err = 0;

	if (!ib->direct && !ib->upcall.area) /* a look: it does not come later */
		return -EOPNOTSUPP;
	inbox_source_detach(s);
	err = source_claim(s, ib);
	if (err)
		return err;
	inbox_lock(ib);
	s->irq = irq;
	s->id = id;
	s->held = false;
	atomic_store_explicit(&s->inbox, ib, memory_order_release);
	err = ib->open ? source_lead(ib, s) : -EPIPE;
	if (err)
		atomic_store_explicit(&s->inbox, NULL, memory_order_release);
	else
		list_push_back(&ib->sources, &s->link);
	inbox_unlock(ib);
	if (err)
		source_release(s);
	return err;
}
