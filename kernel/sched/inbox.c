/*
 * inbox: inboxes and the slots of each core, and the wires that lead to them. See inbox.h.
 *
 * Slots are changed by their own core. The slot of an inbox that is not running is taken from the
 * one whose thread ran longest ago. Wires are found by the tag of their range (mm), which is their
 * place in the table.
 */
#include "sched/inbox.h"

#include <string.h>

#include "base/panic.h"
#include "mm/frames.h"
#include "sched/thread.h"
#include "uapi/errno.h"
#include "uapi/notice.h"

#define SLOTS_MAX 64u

struct inbox_slots {
	/* owner core only */
	uint32_t count;
	/* what arch_user_share was last told: that others want this core, at once; that none does,
	 * when one that waits traps for it */
	bool share;
	struct inbox *in[SLOTS_MAX]; /* by slot number, 0 unused */
	struct inbox waker;
};

/* set once at boot; the wires' own words say who may touch them */
static struct wire *wires;
static _Atomic uint32_t wire_count;

static uint16_t wire_tag(const struct wire *w)
{
	return (uint16_t)(w - wires + 1);
}

void inbox_lock(struct inbox *ib)
{
	while (atomic_exchange_explicit(&ib->lock, 1, memory_order_acquire))
		while (atomic_load_explicit(&ib->lock, memory_order_relaxed))
			arch_relax();
}

/* Pairs with inbox_lock. */
void inbox_unlock(struct inbox *ib)
{
	atomic_store_explicit(&ib->lock, 0, memory_order_release);
}

void inboxes_init(struct core *c)
{
	if (!wires)
		wires = frames_boot_alloc(sizeof(*wires) * WIRES_MAX);
	c->inboxes = frames_boot_alloc(sizeof(*c->inboxes));
	c->inboxes->count = min_of(arch_inbox_slots(), SLOTS_MAX - 1);
	arch_line_taken = inbox_line_taken;
}

/* ---- telling the home core ------------------------------------------------------------------- */

static void told_deliver(struct mail *m)
{
	struct inbox *ib = container_of(m, struct inbox, mail);

	/* as thread_wake_deliver: the next one who has something to tell posts again */
	atomic_exchange_explicit(&ib->mails, 0, memory_order_acq_rel);
	if (!ib->open)
		return;
	if (atomic_load_explicit(&ib->waits, memory_order_relaxed))
		thread_wake(ib->thread);
	else if (ib->told)
		ib->told(ib);
}

void inbox_tell(struct inbox *ib)
{
	if (atomic_fetch_add_explicit(&ib->mails, 1, memory_order_acq_rel))
		return;
	ib->mail.deliver = told_deliver;
	mailbox_post(ib->home, &ib->mail);
}

static bool inbox_has_news(const struct inbox *ib)
{
	return ib->state.on && (ib->state.pending & ib->state.enabled) &&
	       !atomic_load_explicit(&ib->deaf, memory_order_relaxed);
}

/* ---- into a slot and out of it, on the thread's core, under the lock ------------------------- */

static void wires_lead(struct inbox *ib, paddr_t page)
{
	list_for_each(pos, &ib->wires) {
		struct wire *w = list_item(pos, struct wire, link);

		/* the program may have unmapped it: then nothing leads here any more */
		(void)aspace_device_set(w->as, w->at, wire_tag(w), page);
	}
}

static void slot_leave(struct inbox_slots *s, struct inbox *ib)
{
	struct arch_inbox left;

	wires_lead(ib, 0);
	inbox_sources_lead(ib, false);
	arch_inbox_save(ib->slot, &left);
	ib->state = left;
	s->in[ib->slot] = NULL;
	ib->slot = 0;
	ib->watched = false;
	this_core()->inboxes_used--;
}

static void slot_enter(struct core *c, struct inbox *ib, uint32_t slot)
{
	inbox_lock(ib);
	arch_inbox_load(slot, &ib->state);
	ib->state.pending = 0;
	ib->core = c->index;
	ib->slot = slot;
	c->inboxes->in[slot] = ib;
	c->inboxes_used++;
	wires_lead(ib, arch_inbox_page(c->index, slot));
	inbox_sources_lead(ib, true);
	inbox_unlock(ib);
}

/* Out of its slot. Was there something that its thread is to be told of? */
static bool slot_empty(struct inbox_slots *s, struct inbox *ib)
{
	bool news;

	inbox_lock(ib);
	slot_leave(s, ib);
	news = inbox_has_news(ib);
	inbox_unlock(ib);
	return news;
}

static uint32_t slot_free(const struct inbox_slots *s)
{
	for (uint32_t slot = 1; slot <= s->count; slot++)
		if (!s->in[slot])
			return slot;
	return 0;
}

/* A slot that nobody is in. The running thread's own inbox is never asked to leave: it is `ib`. */
static uint32_t slot_make_room(struct inbox_slots *s)
{
	struct inbox *old = NULL;
	uint32_t slot = slot_free(s);

	if (slot)
		return slot;
	for (slot = 1; slot <= s->count; slot++) {
		/* a look without the lock: a source that comes now finds it leaving, and waits */
		if (list_is_empty(&s->in[slot]->sources) &&
		    (!old || s->in[slot]->doze.turn < old->doze.turn))
			old = s->in[slot];
	}
	kassert(old); /* inbox_source_attach leaves one slot without sources */
	slot = old->slot;
	if (slot_empty(s, old)) /* what nobody watches any more */
		inbox_tell(old);
	return slot;
}

/* It runs: nothing of its own watches for it, and what it waits from now on is on its core. */
static void inbox_undo(struct inbox *ib)
{
	ib->undo = false;
	if (atomic_load_explicit(&ib->waits, memory_order_relaxed)) {
		atomic_store_explicit(&ib->waits, false, memory_order_relaxed);
		timer_disarm(&ib->alarm);
	}
	if (ib->watched) {
		ib->watched = false;
		arch_inbox_watch(ib->slot, false);
	}
	core_doze_skip(&ib->doze);
}

static void inbox_share(struct inbox_slots *s, bool share)
{
	s->share = share;
	arch_user_share(share);
}

/* Apart, so that a turn in which nothing is as here saves no registers. */
static __attribute__((noinline)) void inbox_run_rare(struct core *c, struct inbox *ib, bool share)
{
	struct inbox_slots *s = c->inboxes;
	uint32_t slot;

	if (share)
		inbox_share(s, true);
	if (ib->undo)
		inbox_undo(ib);
	if (ib->slot)
		return;
	slot = slot_make_room(s);
	slot_enter(c, ib, slot);
	arch_user_inbox(&ib->thread->user, slot);
	c->count->inbox_moves++;
}

void inbox_run(struct core *c, struct inbox *ib, bool share)
{
	ib->doze.turn = c->turn;
	if (!ib->direct) {
		if (ib->upcall.area)
			upcall_run(ib);
		return;
	}
	c->doze = &ib->doze;
	/* its slot: this core alone changes it */
	if (unlikely(ib->undo || !ib->slot || (share && !c->inboxes->share)))
		inbox_run_rare(c, ib, share);
}

void inbox_rest(struct inbox *ib)
{
	bool deaf;

	if (ib->upcall.area) {
		inbox_lines_release(ib);
		if (upcall_park(ib))
			inbox_tell(ib);
	}
	if (!ib->slot)
		return;
	deaf = !arch_user_listens(&ib->thread->user) &&
	       !atomic_load_explicit(&ib->waits, memory_order_relaxed);
	atomic_store_explicit(&ib->deaf, deaf, memory_order_relaxed);
	if (!deaf) {
		ib->watched = ib->undo = true;
		arch_inbox_watch(ib->slot, true);
	}
}

/* Nobody looks at its word as that of what runs here. */
static void doze_leave(struct inbox *ib)
{
	struct core *c = this_core();

	if (c->doze == &ib->doze)
		c->doze = NULL;
}

void inbox_leave(struct inbox *ib, bool parked)
{
	doze_leave(ib);
	ib->alarmed = timer_disarm(&ib->alarm);
	if (ib->upcall.area) {
		inbox_lock(ib);
		inbox_sources_lead(ib, false);
		inbox_unlock(ib);
	}
	/* one that is to run looks for itself */
	if (ib->slot && slot_empty(this_core()->inboxes, ib) && parked)
		inbox_tell(ib);
}

void inbox_arrive(struct core *c, struct inbox *ib, bool parked)
{
	struct inbox_slots *s = c->inboxes;
	bool bound = !list_is_empty(&ib->sources);
	uint32_t slot;

	ib->doze.turn = c->turn;
	if (ib->alarmed)
		timer_arm(&ib->alarm, ib->alarm.deadline);
	if (ib->upcall.area) {
		inbox_lock(ib);
		ib->core = c->index;
		inbox_sources_lead(ib, true);
		inbox_unlock(ib);
	}
	/* one that is to run makes room for itself then */
	if (!ib->direct || !(parked || bound))
		return;
	slot = bound ? slot_make_room(s) : slot_free(s);
	if (!slot)
		return; /* what comes meanwhile is told to its home core */
	slot_enter(c, ib, slot);
	arch_user_inbox(&ib->thread->user, slot);
	ib->watched = parked && !atomic_load_explicit(&ib->deaf, memory_order_relaxed);
	ib->undo |= ib->watched;
	if (ib->watched)
		arch_inbox_watch(slot, true);
}

bool inbox_return(struct inbox *ib)
{
	if (!ib->upcall.area)
		return false;
	inbox_lines_release(ib);
	return upcall_return(ib);
}

static void inbox_alarm(struct timer *timer)
{
	struct inbox *ib = container_of(timer, struct inbox, alarm);

	if (ib->direct)
		thread_wake(ib->thread);
	else
		inbox_post(ib, 0);
}

void inbox_alarm_set(struct inbox *ib, nsec_t when)
{
	if (when == NSEC_NEVER)
		timer_disarm(&ib->alarm);
	else
		timer_arm(&ib->alarm, when);
}

void inbox_wait(struct inbox *ib)
{
	struct core *c = this_core();
	nsec_t alarm = arch_user_alarm(&ib->thread->user);

	if (!placement_ready_count(c)) {
		inbox_share(c->inboxes, false); /* it looks again, and sleeps where it is */
		return;
	}
	if (!thread_park(ib->thread))
		return; /* it looks again, and waits again */
	atomic_store_explicit(&ib->waits, true, memory_order_relaxed);
	ib->undo = true;
	if (alarm != NSEC_NEVER)
		timer_arm(&ib->alarm, alarm);
}

void inboxes_look(struct core *c)
{
	struct inbox_slots *s = c->inboxes;
	uint64_t ready = s->count ? arch_inbox_ready() : 0;

	for (; ready; ready &= ready - 1) {
		struct inbox *ib = s->in[__builtin_ctzll(ready)];

		/* a READY thread sees it when it runs; a waker has done its work */
		if (!ib || !ib->thread || ib->thread->state != THREAD_PARKED)
			continue;
		if (atomic_load_explicit(&ib->waits, memory_order_relaxed))
			thread_wake(ib->thread);
		else
			inbox_tell(ib);
	}
}

/* ---- birth and end --------------------------------------------------------------------------- */

void inbox_init(struct inbox *ib, struct thread *t, uint32_t home, void (*told)(struct inbox *ib))
{
	memset(&ib->slot, 0, sizeof(*ib) - offsetof(struct inbox, slot));
	list_init(&ib->wires);
	list_init(&ib->sources);
	timer_init(&ib->alarm, inbox_alarm);
	ib->thread = t;
	ib->home = home;
	ib->direct = t->as->kind == ARCH_KIND_UINTR;
	ib->state.on = !ib->direct; /* a direct one is turned on by its program */
	ib->told = told;
	ib->doze.word = &core_doze_silent;
	ib->open = true;
}

void inbox_attach(struct inbox *ib, struct sluice_upcall *area)
{
	inbox_lock(ib);
	ib->core = this_core()->index;
	if (area && ib->direct) {
		ib->doze.word = &area->dozed;
		core_doze_skip(&ib->doze);
		ib->undo = true;
	} else if (area && !ib->upcall.area) {
		__atomic_fetch_or(&area->pending, ib->state.pending, __ATOMIC_RELAXED);
		ib->state.pending = 0;
		ib->upcall.area = area;
	}
	inbox_unlock(ib);
	ib->thread->inbox = ib;
}

void inbox_close(struct inbox *ib)
{
	struct list *pos;

	timer_disarm(&ib->alarm);
	inbox_lock(ib);
	if (ib->slot)
		slot_leave(this_core()->inboxes, ib);
	inbox_sources_end(ib);
	while ((pos = list_pop_front(&ib->wires)))
		__atomic_store_n(&list_item(pos, struct wire, link)->inbox, NULL, __ATOMIC_RELEASE);
	ib->thread->inbox = NULL;
	doze_leave(ib);
	ib->doze.word = &core_doze_silent;
	ib->upcall.area = NULL;
	ib->open = false;
	inbox_unlock(ib);
}

/* ---- posting --------------------------------------------------------------------------------- */

/* Under the lock. Does the home core have to be told? */
static bool post_locked(struct inbox *ib, unsigned id)
{
	if (likely(ib->slot)) {
		arch_inbox_post(ib->core, ib->slot, id);
		return false;
	}
	if (ib->upcall.area)
		return upcall_post(ib, id);
	ib->state.pending |= 1ull << id;
	return inbox_has_news(ib);
}

bool inbox_post(struct inbox *ib, unsigned id)
{
	bool news = false, there;

	inbox_lock(ib);
	there = ib->open;
	if (likely(there))
		news = post_locked(ib, id);
	inbox_unlock(ib);
	if (news)
		inbox_tell(ib);
	return there;
}

uint64_t inbox_take(struct inbox *ib, uint64_t mask)
{
	uint64_t got;

	inbox_lock(ib);
	if (ib->upcall.area) {
		got = upcall_take(ib, mask);
	} else {
		got = ib->state.pending & ib->state.enabled & mask;
		ib->state.pending &= ~got;
	}
	inbox_unlock(ib);
	return got;
}

void inbox_enable(struct inbox *ib, uint64_t mask)
{
	bool news;

	inbox_lock(ib);
	ib->state.enabled = mask;
	news = inbox_has_news(ib);
	inbox_unlock(ib);
	if (news)
		inbox_tell(ib);
}

/* ---- wires ----------------------------------------------------------------------------------- */

static struct wire *wire_claim(void)
{
	for (uint32_t i = 0; i < WIRES_MAX; i++) {
		uint32_t none = 0;

		if (atomic_compare_exchange_strong(&wires[i].used, &none, 1)) {
			atomic_fetch_add(&wire_count, 1);
			return &wires[i];
		}
	}
	return NULL;
}

static void wire_release(struct wire *w)
{
	wire_cut(w);
	atomic_store_explicit(&w->used, 0, memory_order_release);
	atomic_fetch_sub(&wire_count, 1);
}

/* How many wires `as` has; those whose page it unmapped go first. */
static unsigned wires_of(struct aspace *as)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < WIRES_MAX; i++) {
		struct wire *w = &wires[i];

		if (atomic_load_explicit(&w->used, memory_order_acquire) != 2 || w->as != as)
			continue;
		if (aspace_device_tag(as, w->at) == wire_tag(w))
			n++;
		else
			wire_release(w);
	}
	return n;
}

static int wire_lead(struct wire *w, struct inbox *ib)
{
	int err = 0;

	inbox_lock(ib);
	if (!ib->open) {
		inbox_unlock(ib);
		return -EPIPE;
	}
	__atomic_store_n(&w->inbox, ib, __ATOMIC_RELEASE);
	list_push_back(&ib->wires, &w->link);
	if (ib->slot)
		err = aspace_device_set(w->as, w->at, wire_tag(w),
					arch_inbox_page(ib->core, ib->slot));
	inbox_unlock(ib);
	return err;
}

int wire_make(struct inbox *ib, struct aspace *as, const void *via, struct wire **out)
{
	struct wire *w = wires_of(as) < WIRES_PER_SPACE ? wire_claim() : NULL;
	int err;

	if (!w)
		return -ENOSPC;
	w->as = as;
	w->via = via;
	w->inbox = NULL;
	err = aspace_map_device(as, PAGE_SIZE, ACCESS_READ | ACCESS_WRITE, wire_tag(w), &w->at);
	if (err) {
		wire_release(w);
		return err;
	}
	err = wire_lead(w, ib);
	if (err) {
		int undone = aspace_unmap(as, w->at, PAGE_SIZE);

		(void)undone; /* the whole range goes: needs no new one */
		wire_release(w);
		return err;
	}
	atomic_store_explicit(&w->used, 2, memory_order_release);
	*out = w;
	return 0;
}

/* Under the lock of its inbox. */
static void wire_end(struct wire *w)
{
	list_remove(&w->link);
	__atomic_store_n(&w->inbox, NULL, __ATOMIC_RELEASE);
	(void)aspace_device_set(w->as, w->at, wire_tag(w), 0); /* or it is unmapped already */
}

void wire_cut(struct wire *w)
{
	struct inbox *ib = __atomic_load_n(&w->inbox, __ATOMIC_ACQUIRE);

	if (!ib)
		return;
	inbox_lock(ib);
	if (w->inbox == ib) /* else it was closed meanwhile */
		wire_end(w);
	inbox_unlock(ib);
}

void wires_cut(struct inbox *ib, const void *via)
{
	inbox_lock(ib);
	list_for_each_safe(pos, &ib->wires) {
		struct wire *w = list_item(pos, struct wire, link);

		if (w->via == via)
			wire_end(w);
	}
	inbox_unlock(ib);
}

void wires_drop(struct aspace *as)
{
	if (!atomic_load_explicit(&wire_count, memory_order_acquire))
		return;
	for (uint32_t i = 0; i < WIRES_MAX; i++)
		if (atomic_load_explicit(&wires[i].used, memory_order_acquire) == 2 &&
		    wires[i].as == as)
			wire_release(&wires[i]);
}

struct wire *wire_find(struct aspace *as, uaddr_t va)
{
	uint16_t tag = aspace_device_tag(as, va);
	struct wire *w = tag && tag <= WIRES_MAX ? &wires[tag - 1] : NULL;

	return w && w->as == as && w->at == align_down(va, PAGE_SIZE) ? w : NULL;
}

void wire_post(struct wire *w, uint32_t id)
{
	struct inbox *ib = __atomic_load_n(&w->inbox, __ATOMIC_ACQUIRE);
	bool news = false;

	/* as a mailbox does with identities it does not have */
	if (!ib || !id || id >= ARCH_INBOX_IDS)
		return;
	inbox_lock(ib);
	if (w->inbox == ib) /* else its memory may be a stranger's */
		news = post_locked(ib, id);
	inbox_unlock(ib);
	if (news)
		inbox_tell(ib);
}

/* ---- the waker of a serving core ------------------------------------------------------------- */

#define WAKER_SLOT 1u

struct inbox *waker_inbox(struct core *c)
{
	struct inbox *ib = &c->inboxes->waker;

	if (!c->inboxes->count || (c->roles & ROLE_MAY_RUN))
		return NULL;
	if (!ib->open) {
		list_init(&ib->wires);
		list_init(&ib->sources);
		ib->home = c->index;
		ib->direct = ib->open = true;
		ib->state = (struct arch_inbox){ .enabled = 1u << WAKER_ID, .on = true };
		slot_enter(c, ib, WAKER_SLOT);
	}
	return ib;
}

/* Nobody else watches a slot on such a core. What came while it was awake is dropped: the core
 * looks at every ring before it sleeps. */
void waker_arm(struct core *c, bool on)
{
	if (likely(!c->inboxes_used) || !c->inboxes->waker.open)
		return;
	if (!on)
		arch_inbox_drop(WAKER_SLOT);
	arch_inbox_watch(WAKER_SLOT, on);
}
