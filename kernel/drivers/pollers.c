/*
 * pollers: the two parts of a core's turn that belong to devices: PART_DEVICES looks what they have
 * done, PART_FLUSH tells them what the turn has queued.
 *
 * A core's list is filled at boot, before that core runs, and read by that core alone afterwards.
 */
#include "drivers/drivers.h"

/* set once at boot; index = core index, in the order of device_poller_add */
static struct device_poller *pollers[CORES_MAX], *flushers[CORES_MAX];

static unsigned devices_run(struct core *c)
{
	unsigned done = 0;

	for (struct device_poller *p = pollers[c->index]; p; p = p->next)
		done += p->poll(p);
	return done;
}

static bool devices_arm(struct core *c)
{
	bool work = false;

	for (struct device_poller *p = pollers[c->index]; p; p = p->next)
		if (p->arm && p->arm(p))
			work = true;
	return work;
}

static void devices_disarm(struct core *c)
{
	for (struct device_poller *p = pollers[c->index]; p; p = p->next)
		if (p->disarm)
			p->disarm(p);
}

static unsigned devices_flush(struct core *c)
{
	for (struct device_poller *p = flushers[c->index]; p; p = p->next_flush)
		p->flush(p);
	return 0;
}

static const struct core_part_ops devices_part = {
	.name = "devices",
	.run = devices_run,
	.arm = devices_arm,
	.disarm = devices_disarm,
};

static const struct core_part_ops flush_part = {
	.name = "flush",
	.run = devices_flush,
};

void device_poller_add(unsigned core, struct device_poller *p)
{
	struct device_poller **end = &pollers[core];

	while (*end)
		end = &(*end)->next;
	*end = p;
	p->next = p->next_flush = NULL;
	core_part_set(cores[core], PART_DEVICES, &devices_part);
	if (!p->flush)
		return;
	for (end = &flushers[core]; *end;)
		end = &(*end)->next_flush;
	*end = p;
	core_part_set(cores[core], PART_FLUSH, &flush_part);
}
