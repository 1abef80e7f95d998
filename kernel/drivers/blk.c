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
	waitlist_init(&d->room);
	blk_devs[blk_count++] = d;
}

struct blk_dev *blk_find(const char *name)
{
	for (unsigned i = 0; i < blk_count; i++)
		if (!strcmp(blk_devs[i]->name, name))
			return blk_devs[i];
	return NULL;
}
