/*
 * vblk: the transport below the virtio disk driver, played in memory: a disk that walks the rings
 * as a device does, answers in any order, and lies when told to; and the driver's caller.
 *
 * One per program: it brings the driver's own sources along.
 */
#ifndef TESTS_UNIT_VBLK_H
#define TESTS_UNIT_VBLK_H

#include "lib/unit.h"

#include "drivers/virtio/queue.c"

#include "drivers/virtio/blk.c"
#include "drivers/virtio/blkdev.c"

/* not every program asks everything */
#pragma GCC diagnostic ignored "-Wunused-function"

#define DISK_BYTES (1u << 20)
#define REQUESTS 600

/* ---- the device ------------------------------------------------------------------------------ */

enum lie { HONEST, LIE_ID, LIE_ID_FAR, LIE_TWICE, LIE_LONG, LIE_SHORT, LIE_COUNT };

static struct {
	uint64_t offers;
	uint32_t queue_max;
	uint32_t seg_max;

	uint16_t queues; /* num_queues */

	char disk[DISK_BYTES];
	uint32_t doorbell; /* what the driver writes to */
	bool line;	   /* the interrupt is up */
	unsigned starts, flushes, writes, doorbells;
	uint64_t order; /* the last requests' types, one nibble each, newest lowest */
	uint32_t status;
	bool failed;

	enum lie lie;
	int answer; /* status byte to answer with, -1: do the work */
} dev;

/* Its queues, and the one that the functions below are about. */
static struct dev_queue {
	struct vq *q;
	uint16_t seen; /* available entries taken */
	uint16_t used; /* used entries given back */
	/* chains taken and not yet given back */
	uint16_t held[256];
	unsigned held_count;
} dev_queues[4], *at = dev_queues;

int vdev_route(struct vdev *v, uint32_t core)
{
	v->core = core;
	return 0;
}

int vdev_negotiate(struct vdev *v, uint64_t wanted, uint64_t needed)
{
	(void)needed;
	v->features = dev.offers & (wanted | VIRTIO_F_VERSION_1);
	memset(dev_queues, 0, sizeof(dev_queues));
	dev.status = 0;
	dev.line = false;
	return 0;
}

uint32_t vdev_queue_max(struct vdev *v, uint16_t index)
{
	(void)v;
	return index < max_of(dev.queues, (uint16_t)1) ? dev.queue_max : 0;
}

int vdev_queue_start(struct vdev *v, uint16_t index, struct vq *q)
{
	q->index = index;
	q->doorbell = &dev.doorbell;
	q->event_idx = (v->features & VIRTIO_F_EVENT_IDX) != 0;
	vq_irq_off(q);
	dev_queues[index].q = q;
	dev.doorbell = UINT32_MAX;
	return 0;
}

void vdev_go(struct vdev *v)
{
	(void)v;
	dev.starts++;
}

void vdev_fail(struct vdev *v)
{
	(void)v;
	dev.failed = true;
}

uint32_t vdev_status(struct vdev *v)
{
	(void)v;
	return dev.status;
}

uint32_t vdev_interrupts(struct vdev *v)
{
	uint32_t why = (dev.status ? VDEV_IRQ_CONFIG : 0) | (dev.line ? VDEV_IRQ_USED : 0);

	(void)v;
	dev.line = false;
	return why;
}

void vdev_config(struct vdev *v, uint32_t off, void *dst, uint32_t len)
{
	uint64_t value = 0;

	(void)v;
	switch (off) {
	case CONFIG_CAPACITY:
		value = DISK_BYTES / 512;
		break;
	case CONFIG_SEG_MAX:
		value = dev.seg_max;
		break;
	case CONFIG_BLK_SIZE:
		value = 512;
		break;
	case CONFIG_NUM_QUEUES:
		value = dev.queues;
		break;
	case CONFIG_DISCARD_SECTORS:
	case CONFIG_ZEROES_SECTORS:
		value = 128;
		break;
	}
	memcpy(dst, &value, len);
}

/* A chain as the device sees it: every piece, in order. */
struct chain {
	struct {
		char *at;
		uint32_t len;
		bool write;
	} piece[32];
	unsigned count;
};

static struct chain chain_walk(uint16_t head)
{
	struct chain c = { .count = 0 };
	const struct vq_desc *table = at->q->desc;
	uint32_t entries = at->q->size, i = head;

	if (table[i].rest >> 32 & VQ_INDIRECT) {
		entries = (uint32_t)table[i].rest / sizeof(struct vq_desc);
		table = arch_direct(table[i].addr);
		i = 0;
	}
	for (;;) {
		uint64_t rest;

		assert_true(i < entries && c.count < array_count(c.piece));
		rest = table[i].rest;
		c.piece[c.count].at = arch_direct(table[i].addr);
		c.piece[c.count].len = (uint32_t)rest;
		c.piece[c.count++].write = rest >> 32 & VQ_WRITE;
		if (!(rest >> 32 & VQ_NEXT))
			return c;
		i = (uint32_t)(rest >> 48);
	}
}

/* Takes what the driver has published; notes whether it rang. */
static void dev_take(void)
{
	if (dev.doorbell != UINT32_MAX) {
		assert_int_equal(dev.doorbell, at - dev_queues);
		dev.doorbells++;
		dev.doorbell = UINT32_MAX;
	}
	while (at->seen != at->q->avail->idx)
		at->held[at->held_count++] = at->q->avail->ring[at->seen++ & at->q->mask];
	*avail_event(at->q) = at->seen;
}

static void dev_put_used(uint32_t id, uint32_t len)
{
	at->q->used->ring[at->used++ & at->q->mask] = (struct vq_used_elem){ id, len };
	at->q->used->idx = at->used;
	if (*used_event(at->q) == (uint16_t)(at->used - 1))
		dev.line = true;
}

/* Does what a chain asks for; returns the bytes written into it. */
static uint32_t dev_serve(const struct chain *c)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} h;
	uint32_t wrote = 1, status = dev.answer < 0 ? S_OK : (uint32_t)dev.answer;
	char *disk;

	assert_true(c->count >= 2 && c->piece[0].len == 16 && !c->piece[0].write);
	assert_true(c->piece[c->count - 1].len == 1 && c->piece[c->count - 1].write);
	memcpy(&h, c->piece[0].at, sizeof(h));
	dev.order = dev.order << 4 | h.type;
	dev.flushes += h.type == T_FLUSH;
	dev.writes += h.type == T_OUT;
	disk = dev.disk + h.sector * 512;
	for (unsigned i = 1; i + 1 < c->count; i++) {
		assert_int_equal(c->piece[i].write, h.type == T_IN);
		if (h.type == T_IN) {
			wrote += c->piece[i].len;
			if (status == S_OK)
				memcpy(c->piece[i].at, disk, c->piece[i].len);
		} else if (h.type == T_OUT && status == S_OK) {
			memcpy(disk, c->piece[i].at, c->piece[i].len);
		} else if (h.type == T_WRITE_ZEROES && status == S_OK) {
			struct {
				uint64_t sector;
				uint32_t sectors, flags;
			} r;

			memcpy(&r, c->piece[i].at, sizeof(r));
			memset(dev.disk + r.sector * 512, 0, r.sectors * 512);
		}
		disk += c->piece[i].len;
	}
	*c->piece[c->count - 1].at = (char)status;
	return wrote;
}

/* Gives the held chain at place `k` back, honestly or not. */
static void dev_answer(unsigned k)
{
	uint16_t head = at->held[k];
	struct chain c = chain_walk(head);
	uint32_t wrote = dev_serve(&c);
	enum lie lie = dev.lie;

	at->held[k] = at->held[--at->held_count];
	dev.lie = HONEST;
	switch (lie) {
	case HONEST:
		dev_put_used(head, wrote);
		break;
	case LIE_ID:
		dev_put_used(head ^ 1u << 5, wrote);
		break;
	case LIE_ID_FAR:
		dev_put_used(0xfffffff0u, wrote);
		break;
	case LIE_TWICE:
		dev_put_used(head, wrote);
		dev_put_used(head, wrote);
		break;
	case LIE_LONG:
		dev_put_used(head, wrote + 1);
		break;
	case LIE_SHORT:
		dev_put_used(head, wrote - 1);
		break;
	case LIE_COUNT:
		at->used = (uint16_t)(at->used + 999);
		at->q->used->idx = at->used;
		break;
	}
}

static void dev_answer_all(void)
{
	dev_take();
	while (at->held_count)
		dev_answer((unsigned)(unit_random() % at->held_count));
}

/* ---- the driver's caller --------------------------------------------------------------------- */

static struct vdev *slot;
static struct blk_dev *disk;
static struct vblk *driver;
static struct vblk_queue *queue; /* its first */
static struct request {
	struct blk_req r;
	struct pin pin;
	unsigned done;
} requests[REQUESTS];
static unsigned done_count;

static void request_done(struct blk_req *r)
{
	assert_int_equal(disk->lane_of[this_core()->index], r->lane);
	container_of(r, struct request, r)->done++;
	done_count++;
}

static void probe_queues(uint64_t features, uint32_t queue_max, uint32_t seg_max, uint16_t queues)
{
	memset(&dev, 0, sizeof(dev));
	at = dev_queues;
	dev.queues = queues;
	dev.offers = features | VIRTIO_F_VERSION_1 | VBLK_F_SEG_MAX | VBLK_F_BLK_SIZE |
		     VBLK_F_FLUSH | VBLK_F_DISCARD | VBLK_F_WRITE_ZEROES |
		     (queues ? VBLK_F_MQ : 0);
	dev.queue_max = queue_max;
	dev.seg_max = seg_max;
	dev.answer = -1;
	blk_count = 0;
	slot = frames_boot_alloc(sizeof(*slot));
	assert_int_equal(vblk_probe(slot, 0), 0);
	disk = blk_devs[0];
	driver = container_of(disk, struct vblk, dev);
	queue = driver->queue[0];
}

static void probe(uint64_t features, uint32_t queue_max, uint32_t seg_max)
{
	probe_queues(features, queue_max, seg_max, 0);
}

static int probe_usual(void **state)
{
	(void)state;
	probe(VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX, 256, 254);
	return 0;
}

/* A request over frames of which `scattered` are not neighbours. */
static struct request *request_make(unsigned i, uint8_t kind, uint64_t sector, uint32_t first,
				    uint32_t len)
{
	struct request *q = &requests[i];

	memset(q, 0, sizeof(*q));
	q->pin.first = (uint16_t)first;
	q->pin.len = len;
	q->pin.pages = (uint8_t)((first + len + PAGE_SIZE - 1) >> PAGE_SHIFT);
	q->r = (struct blk_req){
		.kind = kind, .sector = sector, .pin = &q->pin, .len = len, .done = request_done
	};
	return q;
}

static int request_submit(struct request *q)
{
	return disk->submit(disk, &q->r);
}

static void turn(void)
{
	queue->poller.flush(&queue->poller);
	dev_answer_all();
	queue->poller.poll(&queue->poller);
}

/* Frames for a request, every second one next to its predecessor. */
static void frames_give(struct request *q, paddr_t *block)
{
	for (unsigned i = 0; i < q->pin.pages; i++) {
		if (i % 2 == 0)
			block[i / 2] = frame_alloc(1);
		q->pin.frame[i] = (uint32_t)(block[i / 2] >> PAGE_SHIFT) + i % 2;
	}
}

static void frames_take(struct request *q, const paddr_t *block)
{
	for (unsigned i = 0; i < q->pin.pages; i += 2)
		frame_put(block[i / 2]);
}

static paddr_t one_frame;

static struct request *small(unsigned i, uint8_t kind, uint64_t sector)
{
	struct request *q = request_make(i, kind, sector, 0, 4096);

	q->pin.frame[0] = (uint32_t)(one_frame >> PAGE_SHIFT);
	return q;
}

static int setup(void **state)
{
	(void)state;
	unit_kernel(64, 3, "map=0:kernel+io+net,1:io,2:user");
	one_frame = frame_alloc_zeroed();
	return one_frame ? 0 : -1;
}

#endif
