/*
 * lanes: what the cores that share a disk say to each other: operations handed to the disk's core,
 * and the pause of all other writers while it changes parts of blocks. See disk.h.
 *
 * Each function's core is named; a disk with one lane has nothing of this but the pool of jobs.
 */
#include "base/panic.h"
#include "fs/disk.h"
#include "mm/frames.h"

#define ALONE_TURNS 256

/* ---- operations that leave ------------------------------------------------------------------- */

enum step lane_leave(struct lane *l, struct op *op)
{
	return op_park(op, &l->leaving);
}

/* The lane's core, when no op is being stepped. */
static void lane_send(struct lane *l)
{
	while (!list_is_empty(&l->leaving.ops)) {
		struct op *op = list_item(l->leaving.ops.next, struct op, link);

		list_remove(&op->link);
		if (op_given_hook)
			op_given_hook(op, l->disk->dev->core);
		op_send(op, l->disk->dev->core);
	}
}

/* ---- who may write --------------------------------------------------------------------------- */

/* The disk's core. */
static void disk_share(struct disk *d)
{
	d->writers = WRITERS_SHARED;
	atomic_store_explicit(&d->alone, 0, memory_order_relaxed);
}

static void quiet_answered(struct mail *m)
{
	struct disk *d = container_of(m, struct lane, quiet_mail)->disk;

	if (--d->quiet_awaited)
		return;
	d->writers = WRITERS_ALONE;
	d->alone_turn = this_core()->turn;
	waitlist_wake_all(&d->lane[0]->overlap);
}

/* The lane's core. */
void lane_quiet(struct lane *l)
{
	for (unsigned i = 0; i < JOBS_MAX; i++)
		if (l->jobs[i].op && l->jobs[i].req.kind == BLK_WRITE)
			return; /* asked again when it is given back */
	l->asked = false;
	l->quiet_mail.deliver = quiet_answered;
	mailbox_post(l->disk->dev->core, &l->quiet_mail);
}

static void quiet_asked(struct mail *m)
{
	struct lane *l = container_of(m, struct lane, quiet_mail);

	l->asked = true;
	lane_quiet(l);
}

bool lanes_quiet(struct disk *d)
{
	d->alone_turn = this_core()->turn;
	if (d->writers == WRITERS_ALONE || d->dev->lanes == 1)
		return true;
	if (d->writers == WRITERS_ASKED)
		return false;
	d->writers = WRITERS_ASKED;
	atomic_store_explicit(&d->alone, 1, memory_order_relaxed); /* the mails carry it */
	d->quiet_awaited = d->dev->lanes - 1;
	for (unsigned i = 1; i < d->dev->lanes; i++) {
		d->lane[i]->quiet_mail.deliver = quiet_asked;
		mailbox_post(d->dev->lane_core[i], &d->lane[i]->quiet_mail);
	}
	return false;
}

/* ---- a lane's part of its core's turn, where there are several ------------------------------- */

static unsigned lane_poll(struct device_poller *p)
{
	struct lane *l = container_of(p, struct lane, poller);
	struct disk *d = l->disk;

	if (!l->index && unlikely(d->writers == WRITERS_ALONE) && !d->exclusive &&
	    this_core()->turn - d->alone_turn > ALONE_TURNS)
		disk_share(d);
	return 0;
}

static void lane_flush(struct device_poller *p)
{
	struct lane *l = container_of(p, struct lane, poller);

	if (unlikely(!list_is_empty(&l->leaving.ops)))
		lane_send(l);
}

/* Nothing runs any more: nobody is about to begin a slow write. */
static bool lane_arm(struct device_poller *p)
{
	struct lane *l = container_of(p, struct lane, poller);
	struct disk *d = l->disk;

	if (!l->index && d->writers == WRITERS_ALONE && !d->exclusive)
		disk_share(d);
	return false;
}

/* ---- birth ----------------------------------------------------------------------------------- */

static struct lane *lane_make(struct disk *d, uint32_t index)
{
	struct lane *l = frames_boot_alloc(sizeof(*l));

	l->disk = d;
	l->index = index;
	waitlist_init(&l->no_job);
	waitlist_init(&l->overlap);
	waitlist_init(&l->leaving);
	l->jobs = frames_boot_alloc(sizeof(*l->jobs) * JOBS_MAX);
	for (unsigned i = JOBS_MAX; i-- > 0;) {
		l->jobs[i].lane = l;
		l->jobs[i].req.lane = (uint8_t)index;
		l->jobs[i].next = l->free;
		l->free = &l->jobs[i];
	}
	return l;
}

void lanes_init(struct disk *d)
{
	for (uint32_t i = 0; i < d->dev->lanes; i++) {
		struct lane *l = d->lane[i] = lane_make(d, i);

		if (d->dev->lanes == 1)
			return;
		l->poller = (struct device_poller){ .poll = lane_poll,
						    .flush = lane_flush,
						    .arm = lane_arm };
		device_poller_add(d->dev->lane_core[i], &l->poller);
	}
}
