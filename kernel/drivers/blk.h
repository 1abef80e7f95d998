/*
 * blk: what a disk is to the rest of the kernel. Fulfilled by drivers/virtio/blk.c,
 * drivers/hosted/blk.c and the simulator's disk.
 *
 * A disk is owned by one core. A device with several queues has a lane for each of several io
 * cores, the owner's being lane 0: such a core submits into its own queue, and gets its answers
 * there. Every function here is called on a core that has a lane. What a flush covers is the
 * device's: all that was answered before it was submitted, through whichever lane. A driver that
 * finds its device lying fails the ops of all lanes with -EIO, logs, resets the device.
 */
#ifndef DRIVERS_BLK_H
#define DRIVERS_BLK_H

#include "base/list.h"
#include "mm/pin.h"
#include "sched/op.h"

#define BLK_LANES_MAX 8u
#define BLK_NO_LANE 0xffu

enum blk_kind { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_ZEROES };

struct blk_req {
	/* filled by the caller, untouched until done */
	uint8_t kind;
	/* WRITE: on stable storage before done (the driver flushes if the device has no FUA) */
	uint8_t fua;
	uint8_t unmap;	      /* ZEROES: may deallocate */
	uint8_t lane;	      /* the calling core's */
	int32_t status;	      /* set by the driver before done(): 0 or -EIO, -ENOSPC, -EOPNOTSUPP */
	uint64_t sector;      /* 512-byte sectors */
	const struct pin *pin; /* READ, WRITE: the memory; pin_off and len multiples of 512 */
	uint32_t pin_off;
	uint32_t len;	      /* bytes; DISCARD, ZEROES too */
	/* the lane's core, in its turn; the request is the caller's again */
	void (*done)(struct blk_req *r);

	/* driver's own while submitted */
	struct list link;
	uint64_t driver[2];
};

struct blk_dev {
	/* set once */
	char name[16];		   /* "vda" */
	uint64_t sectors;	   /* capacity in 512-byte sectors */
	uint32_t core;		   /* owner: lane 0 */
	uint32_t lanes;		   /* at least 1: blk_add */
	uint8_t lane_of[CORES_MAX]; /* by core; BLK_NO_LANE: it has none */
	uint32_t lane_core[BLK_LANES_MAX];
	uint32_t block_size;	   /* logical block size, bytes */
	uint32_t discard_sectors_max; /* 0: no discard */
	uint32_t zeroes_sectors_max;
	/* pieces of memory one request may consist of; a piece never crosses more frames than are
	 * contiguous */
	uint32_t segments_max;
	bool read_only;
	bool has_flush;	       /* false: nothing is ever only in a cache */
	bool zeroes_may_unmap; /* ZEROES with `unmap` may free space */
	/* Takes the request (0), or -EAGAIN when the lane's queue is full: wait on `room` and try
	 * again. Other errors: -EINVAL, -EOPNOTSUPP, -EIO. */
	int (*submit)(struct blk_dev *d, struct blk_req *r);
	/* Requests the device has of this lane, as of a moment ago; any core. NULL with one
	 * lane. */
	uint32_t (*load)(const struct blk_dev *d, unsigned lane);
	void *driver;

	/* each lane's core only */
	struct waitlist room[BLK_LANES_MAX]; /* woken when a full queue has room again */
};

/* Disks found, in device order; set at boot. */
extern struct blk_dev *blk_devs[8];
extern unsigned blk_count;
/* By drivers, at boot: gives it lane 0, on d->core. */
void blk_add(struct blk_dev *d);
/* One more lane, on `core`. Boot, behind blk_add. */
void blk_add_lane(struct blk_dev *d, uint32_t core);
/* The core to which an operation goes that is on `core` and wants this disk: itself if it has a
 * lane, else one whose lane has least to do, in turn among equals. Any serving core. */
uint32_t blk_place(const struct blk_dev *d, uint32_t core);
struct blk_dev *blk_find(const char *name); /* "vda"; NULL if there is none */

#endif
