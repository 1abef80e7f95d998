/*
 * blk: the register of disks. Filled at boot by the drivers, on the boot core; read by any core
 * afterwards.
 */
#include "drivers/blk.h"

#include <string.h>

struct blk_dev *blk_devs[8];
unsigned blk_count;

void blk_add(struct blk_dev *d)
{
	kassert(blk_count < array_count(blk_devs));
	memset(d->lane_of, BLK_NO_LANE, sizeof(d->lane_of));
	d->lanes = 0;
	blk_add_lane(d, d->core);
	blk_devs[blk_count++] = d;
}

void blk_add_lane(struct blk_dev *d, uint32_t core)
{
	kassert(d->lanes < BLK_LANES_MAX && d->lane_of[core] == BLK_NO_LANE);
	waitlist_init(&d->room[d->lanes]);
	d->lane_core[d->lanes] = core;
	d->lane_of[core] = (uint8_t)d->lanes++;
}

uint32_t blk_place(const struct blk_dev *d, uint32_t core)
{
	/* each core's own, so that operations sent in a row are spread before any has arrived */
	static struct {
		uint32_t next;
	} __attribute__((aligned(CACHE_LINE))) turn[CORES_MAX];
	uint32_t first, best, least = UINT32_MAX;

	if (d->lane_of[core] != BLK_NO_LANE || d->lanes == 1)
		return d->lane_of[core] != BLK_NO_LANE ? core : d->core;
	first = best = turn[core].next++ % d->lanes;
	for (uint32_t i = 0; i < d->lanes; i++) {
		uint32_t lane = (first + i) % d->lanes, load = d->load(d, lane);

		if (load < least) {
			least = load;
			best = lane;
		}
	}
	return d->lane_core[best];
}

struct blk_dev *blk_find(const char *name)
{
	for (unsigned i = 0; i < blk_count; i++)
		if (!strcmp(blk_devs[i]->name, name))
			return blk_devs[i];
	return NULL;
}
