/*
 * notice: see notice.h. Runs on the thread that receives; notice_taken and upcall_taken inside the
 * interrupt.
 */
#include "notice.h"

notice_fn notice_handlers[SLUICE_NOTICE_IDS];
uint64_t notice_counts[SLUICE_NOTICE_IDS];
void (*notice_after)(void);
bool (*notice_hold)(void);
bool notice_direct, notice_interrupts;
struct notice_self notice_first;
/* riscv64 only */
ASYNC_PER_THREAD struct notice_self *notice_mine;

static uint64_t unmasked; /* where the kernel keeps the mask */

/* A mailbox has more identities than we do; they cannot be unmasked. */
static inline void notice_serve(uint32_t id)
{
	id %= SLUICE_NOTICE_IDS;
	notice_count(id);
	notice_handlers[id](id);
}

static void notice_nobody(uint32_t id)
{
	(void)id;
}

void notice_keep(uint32_t id)
{
	__atomic_fetch_sub(&notice_counts[id], 1, __ATOMIC_RELAXED);
	__atomic_fetch_or(&notice_here()->kept, 1ull << id, __ATOMIC_RELAXED);
}

void notice_taken(void); /* called by notice_entry */
void notice_taken(void)
{
	uint32_t id;

	if (ring_unlikely(notice_hold != NULL) && notice_hold()) {
		direct_return_off();
		return;
	}
	if (ring_unlikely(direct_cause() == NOTICE_CAUSE_TIMER)) {
		direct_timer(UINT64_MAX);
		notice_serve(0);
	}
	while ((id = direct_claim()) != 0)
		notice_serve(id);
	if (notice_after)
		notice_after();
}

/* ---- upcalls ---- */

static uint64_t upcall_news(void)
{
	const struct sluice_upcall *area = &notice_here()->area;

	return __atomic_load_n(&area->pending, __ATOMIC_RELAXED) &
	       __atomic_load_n(&area->enabled, __ATOMIC_RELAXED);
}

static void alarm_arm(struct notice_self *self)
{
	uint64_t hz = ring_start_info->time_hz, now = async_ticks_read();
	uint64_t left = self->alarm_wanted > now ? self->alarm_wanted - now : 0;

	self->alarm_set = self->alarm_wanted;
	async_door(ring_start_info->enter_fn, SLUICE_CALL_ALARM,
		   left / hz * 1000000000u + left % hz * 1000000000u / hz, 0, 0, 0, 0, 0);
}

void upcall_timer(uint64_t ticks)
{
	struct notice_self *self = notice_here();

	self->alarm_wanted = ticks;
	if (ticks < self->alarm_set)
		alarm_arm(self);
}

/* It rang: true if that was wanted by now. */
static bool alarm_taken(void)
{
	struct notice_self *self = notice_here();

	self->alarm_set = UINT64_MAX;
	if (self->alarm_wanted == UINT64_MAX)
		return false;
	if (async_ticks_read() < self->alarm_wanted) {
		alarm_arm(self);
		return false;
	}
	self->alarm_wanted = UINT64_MAX;
	return true;
}

/* Serves all of `got`. */
static void upcall_serve(uint64_t got)
{
	if ((got & 1) && alarm_taken())
		notice_serve(0);
	for (got &= ~1ull; got; got &= got - 1)
		notice_serve((uint32_t)__builtin_ctzll(got));
}

void upcall_taken(void); /* called by upcall_entry */
void upcall_taken(void)
{
	struct sluice_upcall *area = &notice_here()->area;
	uint64_t got;

	if (ring_unlikely(notice_hold != NULL) && notice_hold()) {
		area->was = SLUICE_UPCALL_OFF;
		return;
	}
	while ((got = upcall_news()) != 0) {
		__atomic_fetch_and(&area->pending, ~got, __ATOMIC_ACQUIRE);
		upcall_serve(got);
	}
	if (notice_after)
		notice_after();
}

/* Where the handler goes on by itself: notices are what they were, unless something came. */
bool upcall_again(void); /* called by upcall_entry */
bool upcall_again(void)
{
	struct sluice_upcall *area = &notice_here()->area;

	__atomic_store_n(&area->on, area->was, __ATOMIC_RELAXED);
	async_fence_full();
	if (ring_likely(!upcall_news()) || area->was != SLUICE_UPCALL_ON)
		return false;
	upcall_off();
	return true;
}

/* What became pending while they were off is served here and now; pairs with the kernel, which sets
 * the bit and then looks at `on`. */
void upcall_on(void)
{
	struct sluice_upcall *area = &notice_here()->area;

	for (;;) {
		__atomic_store_n(&area->on, SLUICE_UPCALL_ON, __ATOMIC_RELAXED);
		async_fence_full();
		if (ring_likely(!upcall_news()))
			return;
		upcall_off();
		area->was = SLUICE_UPCALL_ON;
		upcall_taken();
		if (area->was == SLUICE_UPCALL_OFF)
			return;
	}
}

int64_t upcall_enter(struct ring *ring, uint32_t to_submit, uint32_t min_complete, uint32_t flags,
		     const void *arg, size_t argsz)
{
	int64_t n;

	__atomic_store_n(&notice_here()->area.on, SLUICE_UPCALL_WAKE, __ATOMIC_RELAXED);
	n = ring_enter(ring, to_submit, min_complete, flags, arg, argsz);
	upcall_off();
	return n;
}

uint32_t upcall_claim(void)
{
	uint64_t news;
	uint32_t id;

	while ((news = upcall_news()) != 0) {
		id = 63 - (uint32_t)__builtin_clzll(news & -news);
		__atomic_fetch_and(&notice_here()->area.pending, ~(1ull << id), __ATOMIC_ACQUIRE);
		if (id)
			return id;
		upcall_serve(1);
	}
	return 0;
}

/* ---- asking the kernel ---- */

int notice_call(struct ring *ring, uint32_t command, int fd, uint64_t off, const void *addr)
{
	int32_t res;

	ring_fill(ring_sqe(ring), IORING_OP_NOTICE, fd, off, (uint64_t)(uintptr_t)addr, command, 0,
		  0);
	if (ring_submit(ring))
		ring_die(ring, "notice: the doorbell failed\n");
	while (!ring_ready(ring)) {
		int64_t n = ring_enter(ring, ring_unsubmitted(ring), 1,
				       IORING_ENTER_GETEVENTS | ring_wake_flags(ring), NULL, 0);

		if (n < 0 && n != -EINTR) /* a notice ended the wait */
			ring_die(ring, "notice: the doorbell answers an error\n");
	}
	res = ring_cqe(ring)->res;
	ring_advance(ring, 1);
	return res;
}

static int notice_register(struct ring *ring, notice_fn masked, void (*entry)(void),
			   const void *area)
{
	if (!notice_handlers[0])
		notice_handlers[0] = notice_nobody;
	for (uint32_t i = 1; i < SLUICE_NOTICE_IDS; i++)
		if (!notice_handlers[i]) /* else another thread's, too */
			notice_handlers[i] = masked;
	return notice_call(ring, SLUICE_NOTICE_REGISTER, -1, (uint64_t)(uintptr_t)area,
			   (const void *)(uintptr_t)entry);
}

int notice_start_more(struct ring *ring, struct notice_self *self)
{
	bool direct = ring_start_info->flags & SLUICE_START_UINTR;
	int res;

	self->alarm_set = self->alarm_wanted = UINT64_MAX;
	self->area.enabled = 1; /* the alarm */
	notice_here_set(self);
	res = direct ? notice_register(ring, notice_keep, notice_entry, &self->area)
		     : notice_register(ring, notice_nobody, upcall_entry, &self->area);
	if (res == SLUICE_NOTICE_DIRECT)
		direct_begin();
	return res;
}

int notice_start(struct ring *ring)
{
	int res = notice_start_more(ring, &notice_first);

	if (res < 0)
		return res;
	notice_interrupts = res;
	notice_direct = res == SLUICE_NOTICE_DIRECT;
	return res;
}

int notice_start_waiting(struct ring *ring)
{
	return notice_register(ring, notice_nobody, NULL, NULL);
}

/* An interrupt in between finds the old handler or the new one; what was kept becomes pending
 * again. */
static void direct_handle(uint32_t id, notice_fn fn)
{
	uint64_t bit = 1ull << id;

	__atomic_store_n(&notice_handlers[id], fn ? fn : notice_keep, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (fn && (__atomic_fetch_and(&notice_here()->kept, ~bit, __ATOMIC_RELAXED) & bit))
		direct_pend(bit);
}

void notice_handle(struct ring *ring, uint32_t id, notice_fn fn)
{
	if (id && notice_direct) {
		direct_handle(id, fn);
		return;
	}
	if (fn)
		notice_handlers[id] = fn;
	if (!id)
		return;
	if (notice_interrupts) {
		struct sluice_upcall *area = &notice_here()->area;

		if (fn)
			__atomic_fetch_or(&area->enabled, 1ull << id, __ATOMIC_RELAXED);
		else
			__atomic_fetch_and(&area->enabled, ~(1ull << id), __ATOMIC_RELAXED);
		if (area->on == SLUICE_UPCALL_ON)
			upcall_on(); /* it may be pending */
		return;
	}
	unmasked = fn ? unmasked | 1ull << id : unmasked & ~(1ull << id);
	if (notice_call(ring, SLUICE_NOTICE_ENABLE, -1, unmasked, NULL))
		ring_die(ring, "notice: a mask was refused\n");
}

void notice_wait(struct ring *ring)
{
	uint64_t got = 0;
	uint32_t id;

	if (notice_direct) {
		while (!(id = notice_claim())) {
			notice_doze();
			if (direct_timer_due()) {
				direct_timer(UINT64_MAX);
				notice_serve(0);
				return;
			}
		}
		do
			notice_serve(id);
		while ((id = notice_claim()) != 0);
		return;
	}
	if (notice_call(ring, SLUICE_NOTICE_WAIT, -1, ~0ull, &got))
		ring_die(ring, "notice: a wait failed\n");
	upcall_serve(got);
}

int notice_endpoint(struct ring *ring, uint32_t id)
{
	return notice_call(ring, SLUICE_NOTICE_CREATE, -1, id, NULL);
}

int notice_revoke(struct ring *ring, int fd)
{
	return notice_call(ring, SLUICE_NOTICE_REVOKE, fd, 0, NULL);
}

int notice_connect(struct ring *ring, int fd, struct notice_sender *sender)
{
	struct sluice_doorbell bell = { 0 };
	int res = notice_call(ring, SLUICE_NOTICE_CONNECT, fd, 0, &bell);

	*sender = (struct notice_sender){ .fd = fd };
	if (res < 0)
		return res;
	sender->page = (volatile uint32_t *)(uintptr_t)bell.page;
	sender->id = bell.id;
	return 0;
}
