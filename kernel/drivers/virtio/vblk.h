/*
 * vblk: what the two halves of the virtio disk driver share: requests on a queue (blk.c), and the
 * device as a whole: probing, its one interrupt line, starting over (blkdev.c).
 *
 * A device has one queue for each core with the role io, as far as its own queues go
 * (VIRTIO_BLK_F_MQ). A queue belongs to its core. The device belongs to the core of queue 0, which
 * takes its interrupt and starts it over.
 */
#ifndef DRIVERS_VIRTIO_VBLK_H
#define DRIVERS_VIRTIO_VBLK_H

#include "drivers/blk.h"
#include "drivers/virtio/mmio.h"

/* 5.2.3 */
#define VBLK_F_SEG_MAX (1ull << 2)
#define VBLK_F_RO (1ull << 5)
#define VBLK_F_BLK_SIZE (1ull << 6)
#define VBLK_F_FLUSH (1ull << 9)
#define VBLK_F_MQ (1ull << 12)
#define VBLK_F_DISCARD (1ull << 13)
#define VBLK_F_WRITE_ZEROES (1ull << 14)

#define VBLK_QUEUE_SIZE 256u
#define VBLK_DATA_MAX PIN_PAGES_MAX
#define VBLK_ENTRY_DATA 2 /* behind header and status: where data begins in a table */
#define VBLK_TABLE_ENTRIES (VBLK_ENTRY_DATA + VBLK_DATA_MAX)

/* What the device reads and writes. */
struct vblk_mem {
	struct {
		uint32_t type;
		uint32_t reserved;
		uint64_t sector;
	} header;
	struct {
		uint64_t sector;
		uint32_t sectors;
		uint32_t flags;
	} range;
	uint8_t status;
	uint8_t unused[15];
	struct vq_desc table[VBLK_TABLE_ENTRIES];
} __attribute__((aligned(CACHE_LINE)));

struct vblk_slot {
	struct blk_req *req; /* NULL: not with the device */
	struct vblk_mem *mem;
	struct vq_desc *table;
	uint64_t last_rest; /* of a last data piece, but for length and direction */
	uint32_t room;	    /* bytes the device may write */
	uint16_t base;	    /* index of the table's entry 0 in its table */
	uint16_t head;	    /* of the chain */
	uint16_t number;
	uint8_t flushing; /* the flush behind a FUA write */
};

struct vblk_queue {
	/* its core only; while `stopped` the device's core */
	struct vq q;
	uint32_t free_count;
	uint16_t free[VBLK_QUEUE_SIZE]; /* stack of slot numbers */
	struct list failed; /* requests that were in flight when the device started over */

	/* its core only */
	struct device_poller poller;
	bool answered; /* something well, since the device was started last */
	bool stopped;  /* the device is being started over: nothing is taken, nothing looked at */
	bool dead;     /* the device was given up */

	/* set once */
	struct vblk *b;
	uint32_t core;
	uint16_t lane;
	uint16_t slot_count;
	uint8_t slot_shift; /* chain head = slot number << slot_shift */
	/* its core also runs user threads: it asks for interrupts while awake */
	bool irq_stays;
	struct vblk_slot *slots;

	/* to the device's core: it lies; from there and back: stop; from there: go on */
	struct mail report_mail, stop_mail, go_mail;
};

struct vblk {
	struct blk_dev dev;

	/* set once */
	struct vdev *vdev;
	unsigned queue_count;
	struct vblk_queue *queue[BLK_LANES_MAX];

	/* the device's core only */
	struct device_poller watcher; /* with several queues: who must be woken? */
	uint32_t lies;	  /* since the last good answer */
	uint32_t awaited; /* queues that have not stopped yet */
	bool stopping;
	bool dead;

	/* any core, atomic: bit per queue whose core does not look by itself and asked for an
	 * interrupt */
	_Atomic uint32_t armed __attribute__((aligned(CACHE_LINE)));
};

/* ---- blk.c: one queue; its core ---- */

/* blk_dev.submit. */
int vblk_submit(struct blk_dev *d, struct blk_req *r);
/* Points the ring's descriptors and the tables at the slots, and makes every slot free. The queue's
 * memory is as vq_reset left it. */
void vblk_lay_out(struct vblk_queue *q);
extern const struct device_poller vblk_queue_poller;

/* ---- blkdev.c */

/* The device has lied, or asks for a reset: everything in flight fails, and it starts over. The
 * queue's core. */
void vblk_distrust(struct vblk_queue *q, const char *why, uint64_t what);
/* Reads why the device interrupts and lowers its line. Whoever lowers it wakes the cores of all
 * queues that have answers and asked to be told: their interrupt may be the one taken away. */
uint32_t vblk_interrupts(struct vblk *b);
/* The queue's core is about to stop looking by itself: others wake it from now on. Before
 * vq_irq_on. Only with several queues. */
void vblk_await(struct vblk_queue *q);

#endif
