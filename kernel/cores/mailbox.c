/*
 * mailbox: see mailbox.h. Pushes form a stack; the owner takes the whole stack in one exchange and
 * turns it round, so delivery is in posting order per poster.
 */
#include "cores/core.h"

#include "base/meter.h"
#include "base/panic.h"
#include "base/trace.h"

void mailbox_post(unsigned index, struct mail *m)
{
	struct core *to = cores[index];
	/* model: mail-newest */
	struct mail *newest = atomic_load_explicit(&to->mailbox.newest, memory_order_relaxed);

	audit(!arch_window_is_open());
	do
		m->next = newest;
	/* model: mail-push */
	while (!atomic_compare_exchange_weak_explicit(&to->mailbox.newest, &newest, m,
						      memory_order_release, memory_order_relaxed));
	if (to == this_core()) {
		to->calls |= CORE_CALL_MAIL;
		return;
	}
	/* Store the mail, then load `away`; core_sleep and core_leave store `away`, then load the
	 * mailbox. */
	/* model: mail-fence */
	atomic_thread_fence(memory_order_seq_cst);
	/* model: mail-look */
	if (atomic_load_explicit(&to->away, memory_order_relaxed)) {
		trace_hot(TRACE_DOORBELL, index, 0, 0);
		this_core()->count->doorbells++;
		arch_doorbell(index);
	} else if (unlikely(to->watch)) {
		atomic_fetch_add_explicit(to->watch, 1, memory_order_release);
	}
}

static noinline_fn void deliver_measured(struct mail *m)
{
	meter_begin((struct meter_key){ METER_MAIL, (const void *)(uintptr_t)m->deliver }, m);
	m->deliver(m);
	meter_end();
}

unsigned mailbox_deliver(struct core *c)
{
	struct mail *m, *oldest = NULL, *next;
	unsigned n = 0;

	if (likely(mailbox_is_empty(c)))
		return 0;
	c->calls &= ~CORE_CALL_MAIL;
	/* model: mail-take */
	m = atomic_exchange_explicit(&c->mailbox.newest, NULL, memory_order_acquire);
	for (; m; m = next) {
		next = m->next;
		m->next = oldest;
		oldest = m;
	}
	for (m = oldest; m; m = next, n++) {
		next = m->next;
		if (unlikely(meter_on))
			deliver_measured(m);
		else
			m->deliver(m);
	}
	c->count->mails += n;
	core_peak(&c->mails_peak, n);
	c->mails_deep = max_of(c->mails_deep, n);
	return n;
}
