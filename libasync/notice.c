/*
 * notice: see notice.h. Runs on the program's first thread; notice_taken and upcall_taken inside
 * the interrupt.
 */
#include "notice.h"

notice_fn notice_handlers[SLUICE_NOTICE_IDS];
uint64_t notice_counts[SLUICE_NOTICE_IDS];
void (*notice_after)(void);
bool (*notice_hold)(void);
bool notice_direct, notice_interrupts;
_Alignas(64) struct sluice_upcall notice_area;

static uint64_t unmasked; /* where the kernel keeps the mask */
static uint64_t kept;	  /* notice_direct: what came for those that are masked */

/* A mailbox has more identities than we do; they cannot be unmasked. */
static inline void notice_serve(uint32_t id)
{
	id %= SLUICE_NOTICE_IDS;
	notice_counts[id]++;
	notice_handlers[id](id);
}

static void notice_nobody(uint32_t id)
{
	(void)id;
}

void notice_keep(uint32_t id)
{
	notice_counts[id]--;
	__atomic_fetch_or(&kept, 1ull << id, __ATOMIC_RELAXED);
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

/* The alarm rings at the least of all times that were asked for since it was set: setting it is a
 * trap, so a later time only changes `wanted`. */
static uint64_t alarm_set = UINT64_MAX, alarm_wanted = UINT64_MAX;

static uint64_t upcall_news(void)
{
	return __atomic_load_n(&notice_area.pending, __ATOMIC_RELAXED) &
	       __atomic_load_n(&notice_area.enabled, __ATOMIC_RELAXED);
}

static void alarm_arm(void)
{
	uint64_t hz = ring_start_info->time_hz, now = async_ticks_read();
	uint64_t left = alarm_wanted > now ? alarm_wanted - now : 0;

	alarm_set = alarm_wanted;
	async_door(ring_start_info->enter_fn, SLUICE_CALL_ALARM,
		   left / hz * 1000000000u + left % hz * 1000000000u / hz, 0, 0, 0, 0, 0);
}

void upcall_timer(uint64_t ticks)
{
	alarm_wanted = ticks;
	if (ticks < alarm_set)
		alarm_arm();
}

/* It rang: true if that was wanted by now. */
static bool alarm_taken(void)
{
	alarm_set = UINT64_MAX;
	if (alarm_wanted == UINT64_MAX)
		return false;
	if (async_ticks_read() < alarm_wanted) {
		alarm_arm();
		return false;
	}
	alarm_wanted = UINT64_MAX;
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
	uint64_t got;

	if (ring_unlikely(notice_hold != NULL) && notice_hold()) {
		notice_area.was = SLUICE_UPCALL_OFF;
		return;
	}
	while ((got = upcall_news()) != 0) {
		__atomic_fetch_and(&notice_area.pending, ~got, __ATOMIC_ACQUIRE);
		upcall_serve(got);
	}
	if (notice_after)
		notice_after();
}

/* Where the handler goes on by itself: notices are what they were, unless something came. */
bool upcall_again(void); /* called by upcall_entry */
bool upcall_again(void)
{
	__atomic_store_n(&notice_area.on, notice_area.was, __ATOMIC_RELAXED);
	async_fence_full();
	if (ring_likely(!upcall_news()) || notice_area.was != SLUICE_UPCALL_ON)
		return false;
	upcall_off();
	return true;
}

/* What became pending while they were off is served here and now; pairs with the kernel, which sets
 * the bit and then looks at `on`. */
void upcall_on(void)
{
	for (;;) {
		__atomic_store_n(&notice_area.on, SLUICE_UPCALL_ON, __ATOMIC_RELAXED);
		async_fence_full();
		if (ring_likely(!upcall_news()))
			return;
		upcall_off();
		notice_area.was = SLUICE_UPCALL_ON;
		upcall_taken();
		if (notice_area.was == SLUICE_UPCALL_OFF)
			return;
	}
}

int64_t upcall_enter(struct ring *ring, uint32_t to_submit, uint32_t min_complete, uint32_t flags,
		     const void *arg, size_t argsz)
{
	int64_t n;

	__atomic_store_n(&notice_area.on, SLUICE_UPCALL_WAKE, __ATOMIC_RELAXED);
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
		__atomic_fetch_and(&notice_area.pending, ~(1ull << id), __ATOMIC_ACQUIRE);
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
	notice_handlers[0] = notice_nobody;
	for (uint32_t i = 1; i < SLUICE_NOTICE_IDS; i++)
		notice_handlers[i] = masked;
	return notice_call(ring, SLUICE_NOTICE_REGISTER, -1, (uint64_t)(uintptr_t)area,
			   (const void *)(uintptr_t)entry);
}

int notice_start(struct ring *ring)
{
	bool direct = ring_start_info->flags & SLUICE_START_UINTR;
	int res;

	notice_area.enabled = 1; /* the alarm */
	res = direct ? notice_register(ring, notice_keep, notice_entry, NULL)
		     : notice_register(ring, notice_nobody, upcall_entry, &notice_area);
	if (res < 0)
		return res;
	notice_interrupts = res;
	notice_direct = res == SLUICE_NOTICE_DIRECT;
	if (notice_direct)
		direct_begin();
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
	if (fn && (__atomic_fetch_and(&kept, ~bit, __ATOMIC_RELAXED) & bit))
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
		if (fn)
			__atomic_fetch_or(&notice_area.enabled, 1ull << id, __ATOMIC_RELAXED);
		else
			__atomic_fetch_and(&notice_area.enabled, ~(1ull << id), __ATOMIC_RELAXED);
		if (notice_area.on == SLUICE_UPCALL_ON)
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
			direct_sleep();
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
