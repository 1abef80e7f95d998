/*
 * notice: see notice.h. Runs on the program's first thread; notice_taken inside the interrupt.
 */
#include "notice.h"

notice_fn notice_handlers[SLUICE_NOTICE_IDS];
uint64_t notice_counts[SLUICE_NOTICE_IDS];
void (*notice_after)(void);
bool notice_direct;

static uint64_t unmasked; /* where the kernel keeps the mask */

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

void notice_taken(void); /* called by notice_entry */
void notice_taken(void)
{
	uint32_t id;

	if (ring_unlikely(notice_cause() == NOTICE_CAUSE_TIMER)) {
		notice_timer(UINT64_MAX);
		notice_serve(0);
	}
	while ((id = notice_claim()) != 0)
		notice_serve(id);
	if (notice_after)
		notice_after();
}

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

int notice_start(struct ring *ring)
{
	bool direct = ring_start_info->flags & SLUICE_START_UINTR;
	int res;

	for (uint32_t i = 0; i < SLUICE_NOTICE_IDS; i++)
		notice_handlers[i] = notice_nobody;
	res = notice_call(ring, SLUICE_NOTICE_REGISTER, -1, 0,
			  direct ? (const void *)(uintptr_t)notice_entry : NULL);
	if (res < 0)
		return res;
	notice_direct = res == SLUICE_NOTICE_DIRECT;
	if (notice_direct)
		notice_begin();
	return res;
}

void notice_handle(struct ring *ring, uint32_t id, notice_fn fn)
{
	if (fn)
		notice_handlers[id] = fn;
	if (!id)
		return;
	if (notice_direct) {
		if (fn)
			notice_unmask(1ull << id);
		else
			notice_mask(1ull << id);
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
			notice_sleep();
			if (notice_timer_due()) {
				notice_timer(UINT64_MAX);
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
	for (; got; got &= got - 1)
		notice_serve((uint32_t)__builtin_ctzll(got));
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
