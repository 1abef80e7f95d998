/*
 * What does the virtio disk driver do with a device that works, and with one that lies?
 *
 * The driver and its queue are the kernel's own sources; the transport below them is played by this
 * file: a disk in memory that walks the rings as a device does, answers in any order, and lies when
 * told to.
 */
#include "lib/unit.h"

#include "drivers/virtio/queue.c"

#include "drivers/virtio/blk.c"
#include "drivers/virtio/blkdev.c"

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

/* ---- tests ----------------------------------------------------------------------------------- */

/* Do the bytes of odd, scattered memory arrive, in both directions, with either kind of
 * descriptor? */
static void round_trip(void)
{
	paddr_t out_block[9], in_block[9];

	for (unsigned i = 0; i < 200; i++) {
		uint32_t sectors = 1 + (uint32_t)(unit_random() % 127),
			 first = (uint32_t)(unit_random() % 4096);
		uint64_t sector = unit_random() % (DISK_BYTES / 512 - sectors);
		struct request *out, *in;

		if (first + sectors * 512 > PIN_BYTES_MAX)
			first = 0;
		out = request_make(0, BLK_WRITE, sector, first, sectors * 512);
		in = request_make(1, BLK_READ, sector, 0, sectors * 512);
		if (out->pin.pages > disk->segments_max)
			continue;
		frames_give(out, out_block);
		frames_give(in, in_block);
		for (uint32_t at = 0; at < out->pin.len; at++) {
			uint8_t byte = (uint8_t)(at * 7 + i);

			pin_copy_out(&out->pin, at, &byte, 1);
		}
		assert_int_equal(request_submit(out), 0);
		turn();
		assert_int_equal(out->done, 1);
		assert_int_equal(out->r.status, 0);
		assert_int_equal(request_submit(in), 0);
		turn();
		assert_int_equal(in->r.status, 0);
		for (uint32_t at = 0; at < in->pin.len; at++) {
			uint8_t byte;

			pin_copy_in(&in->pin, at, &byte, 1);
			assert_int_equal(byte, (uint8_t)(at * 7 + i));
		}
		frames_take(out, out_block);
		frames_take(in, in_block);
	}
}

static void bytes_arrive_indirect(void **state)
{
	probe_usual(state);
	round_trip();
}

static void bytes_arrive_direct(void **state)
{
	(void)state;
	probe(VIRTIO_F_EVENT_IDX, 256, 254);
	assert_int_equal(queue->slot_count, 8);
	assert_int_equal(disk->segments_max, 17);
	round_trip();
	probe(0, 16, 254);
	assert_int_equal(disk->segments_max, 2);
	round_trip();
}

/* Do 32 requests cost one doorbell, and does a full queue say so and then have room again? */
static void queue_fills_and_empties(void **state)
{
	(void)state;
	done_count = 0;
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(request_submit(small(i, BLK_READ, i * 8)), 0);
	turn();
	assert_int_equal(done_count, 32);
	assert_int_equal(dev.doorbells, 1);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(request_submit(small(i, BLK_READ, 0)), 0);
	assert_int_equal(request_submit(small(256, BLK_READ, 0)), -EAGAIN);
	assert_int_equal(requests[256].done, 0);
	turn();
	assert_int_equal(done_count, 32 + 256);
	assert_int_equal(request_submit(small(256, BLK_READ, 0)), 0);
	turn();
	assert_int_equal(requests[256].done, 1);
}

/* Do the 16-bit indices wrap? */
static void indices_wrap(void **state)
{
	(void)state;
	done_count = 0;
	for (unsigned round = 0; round < 1200; round++) {
		for (unsigned i = 0; i < 61; i++)
			assert_int_equal(request_submit(small(i, BLK_READ, 0)), 0);
		turn();
	}
	assert_int_equal(done_count, 1200 * 61);
	assert_int_equal(dev.starts, 1);
}

/* Does a device error reach the caller, and does the device go on? */
static void errors_are_answers(void **state)
{
	(void)state;
	dev.answer = S_IOERR;
	assert_int_equal(request_submit(small(0, BLK_READ, 0)), 0);
	assert_int_equal(request_submit(small(1, BLK_WRITE, 0)), 0);
	turn();
	assert_int_equal(requests[0].r.status, -EIO);
	assert_int_equal(requests[1].r.status, -EIO);
	dev.answer = S_UNSUPP;
	assert_int_equal(request_submit(request_make(2, BLK_DISCARD, 0, 0, 4096)), 0);
	turn();
	assert_int_equal(requests[2].r.status, -EOPNOTSUPP);
	dev.answer = -1;
	assert_int_equal(request_submit(small(3, BLK_READ, 0)), 0);
	turn();
	assert_int_equal(requests[3].r.status, 0);
	assert_int_equal(dev.starts, 1);
}

/* Is a FUA write a write and then a flush, answered once, and are requests after it whole again? */
static void fua_is_write_then_flush(void **state)
{
	(void)state;
	done_count = 0;
	small(0, BLK_WRITE, 0)->r.fua = 1;
	assert_int_equal(request_submit(&requests[0]), 0);
	turn();
	assert_int_equal(done_count, 0);
	turn();
	assert_int_equal(requests[0].done, 1);
	assert_int_equal(dev.order, T_OUT << 4 | T_FLUSH);
	assert_int_equal(request_submit(request_make(1, BLK_FLUSH, 0, 0, 0)), 0);
	turn();
	assert_int_equal(requests[1].r.status, 0);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(request_submit(small(i, BLK_READ, 8)), 0);
	turn();
	assert_int_equal(done_count, 2 + 256);
}

/* Are ranges zeroed, and senseless ones refused? */
static void ranges(void **state)
{
	(void)state;
	memset(dev.disk, 0xaa, sizeof(dev.disk));
	assert_int_equal(request_submit(request_make(0, BLK_ZEROES, 3, 0, 512 * 5)), 0);
	turn();
	assert_int_equal(requests[0].r.status, 0);
	assert_int_equal((uint8_t)dev.disk[3 * 512 - 1], 0xaa);
	for (unsigned i = 0; i < 5 * 512; i++)
		assert_int_equal(dev.disk[3 * 512 + i], 0);
	assert_int_equal((uint8_t)dev.disk[8 * 512], 0xaa);
	assert_int_equal(request_submit(request_make(1, BLK_ZEROES, 0, 0, 512 * 129)), -EINVAL);
	assert_int_equal(request_submit(request_make(1, BLK_ZEROES, 0, 0, 0)), -EINVAL);
	assert_int_equal(request_submit(request_make(1, 77, 0, 0, 512)), -EINVAL);
	assert_int_equal(request_submit(request_make(1, BLK_READ, 0, 0, 0)), -EINVAL);
	assert_int_equal(queue->free_count, 256);
}

/* Does every lie fail what is in flight exactly once, start the device over, and leave it
 * usable? */
static void lies(void **state)
{
	for (enum lie lie = LIE_ID; lie <= LIE_COUNT; lie++) {
		unsigned failed = 0;

		probe_usual(state);
		done_count = 0;
		for (unsigned i = 0; i < 20; i++)
			assert_int_equal(request_submit(small(i, BLK_READ, i)), 0);
		queue->poller.flush(&queue->poller);
		dev_take();
		dev_answer(3);
		dev.lie = lie;
		dev_answer(5);
		queue->poller.poll(&queue->poller);
		for (unsigned i = 0; i < 20; i++) {
			assert_int_equal(requests[i].done, 1);
			failed += requests[i].r.status == -EIO;
		}
		assert_in_range(failed, 18, 20);
		assert_int_equal(dev.starts, 2);
		assert_int_equal(queue->free_count, 256);
		assert_int_equal(request_submit(small(0, BLK_READ, 0)), 0);
		turn();
		assert_int_equal(requests[0].r.status, 0);
		assert_int_equal(dev.starts, 2);
	}
}

/* Is a device that does nothing but lie given up, with an answer for every request? */
static void liar_is_given_up(void **state)
{
	unsigned tries;

	(void)state;
	for (tries = 0; tries < 100; tries++) {
		if (request_submit(small(0, BLK_READ, 0)))
			break;
		queue->poller.flush(&queue->poller);
		dev_take();
		dev.lie = LIE_ID_FAR;
		dev_answer(0);
		queue->poller.poll(&queue->poller);
		assert_int_equal(requests[0].r.status, -EIO);
	}
	assert_int_equal(tries, LIES_MAX);
	assert_true(dev.failed);
	assert_int_equal(request_submit(small(0, BLK_READ, 0)), -EIO);
	assert_false(queue->poller.arm(&queue->poller));
}

/* Does a device that asks for a reset get one before the core sleeps? */
static void reset_on_request(void **state)
{
	(void)state;
	assert_int_equal(request_submit(small(0, BLK_READ, 0)), 0);
	queue->poller.flush(&queue->poller);
	dev.status = VDEV_NEEDS_RESET;
	queue->poller.arm(&queue->poller);
	assert_int_equal(requests[0].r.status, -EIO);
	assert_int_equal(dev.starts, 2);
}

/* Is an answer that came before the interrupt was armed seen by arm itself, and is there no wish
 * for interrupts while awake? */
static void arming_looks_again(void **state)
{
	(void)state;
	assert_int_equal(request_submit(small(0, BLK_READ, 0)), 0);
	queue->poller.flush(&queue->poller);
	assert_false(queue->poller.arm(&queue->poller));
	assert_int_equal(*used_event(&queue->q), queue->q.taken);
	queue->poller.disarm(&queue->poller);
	assert_int_not_equal(*used_event(&queue->q), queue->q.taken);
	dev_answer_all();
	assert_true(queue->poller.arm(&queue->poller));
	queue->poller.disarm(&queue->poller);
	assert_int_equal(queue->poller.poll(&queue->poller), 1);
	assert_false(queue->poller.arm(&queue->poller));
}

/* What if the used ring is filled by a die? Every request is answered exactly once all the same. */
static void random_lies(void **state)
{
	unsigned submitted = 0;

	(void)state;
	done_count = 0;
	for (unsigned round = 0; round < 3000; round++) {
		unsigned n = (unsigned)(unit_random() % 40);

		if (queue->dead) {
			probe_usual(NULL);
			assert_int_equal(done_count, submitted);
		}
		for (unsigned i = 0; i < n && queue->free_count; i++)
			submitted += request_submit(small(i, i % 3 ? BLK_READ : BLK_WRITE, i)) == 0;
		queue->poller.flush(&queue->poller);
		dev_take();
		while (at->held_count) {
			if (unit_random() % 64 == 0)
				dev.lie = (enum lie)(unit_random() % (LIE_COUNT + 1));
			dev_answer((unsigned)(unit_random() % at->held_count));
		}
		if (unit_random() % 32 == 0)
			dev_put_used((uint32_t)unit_random(), (uint32_t)unit_random());
		queue->poller.poll(&queue->poller);
		assert_int_equal(done_count, submitted);
		if (!queue->dead)
			assert_int_equal(queue->free_count, 256);
	}
}

/* ---- several queues: cores 0 and 1 have the role io ------------------------------------------ */

static struct vblk_queue *queue_at(unsigned lane)
{
	arch_core_set(cores[lane]);
	at = &dev_queues[lane];
	return driver->queue[lane];
}

static int probe_two(void **state)
{
	(void)state;
	probe_queues(VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX, 256, 254, 3);
	done_count = 0;
	return 0;
}

static int back_to_one(void **state)
{
	(void)state;
	arch_core_set(cores[0]);
	at = dev_queues;
	return 0;
}

static struct request *on_lane(unsigned i, unsigned lane)
{
	struct request *r = small(i, BLK_READ, i);

	r->r.lane = (uint8_t)lane;
	return r;
}

/* Mails between the two cores, until there are none. */
static void deliver_all(void)
{
	unsigned n;

	do {
		n = 0;
		for (unsigned i = 0; i < 2; i++) {
			(void)queue_at(i);
			n += mailbox_deliver(cores[i]);
		}
	} while (n);
}

static void lane_turn(unsigned lane)
{
	struct vblk_queue *q = queue_at(lane);

	q->poller.flush(&q->poller);
	dev_answer_all();
	q->poller.poll(&q->poller);
}

/* Has every io core its queue, and do requests and answers of one never touch the other's? */
static void lanes_are_apart(void **state)
{
	(void)state;
	assert_int_equal(disk->lanes, 2); /* the third queue has no core */
	assert_int_equal(disk->lane_of[1], 1);
	assert_int_equal(disk->lane_of[2], BLK_NO_LANE);
	for (unsigned i = 0; i < 40; i++) {
		(void)queue_at(i % 2);
		assert_int_equal(request_submit(on_lane(i, i % 2)), 0);
	}
	assert_int_equal(vq_outstanding(&driver->queue[0]->q), 20);
	lane_turn(1);
	assert_int_equal(done_count, 20);
	assert_int_equal(vq_outstanding(&driver->queue[0]->q), 20);
	assert_int_equal(disk->load(disk, 0), 20);
	assert_int_equal(disk->load(disk, 1), 0);
	assert_int_equal(blk_place(disk, 2), 1); /* it has less to do */
	lane_turn(0);
	assert_int_equal(done_count, 40);
	assert_int_equal(blk_place(disk, 1), 1);
	assert_int_equal(blk_place(disk, 0), 0);
	assert_int_not_equal(blk_place(disk, 2), blk_place(disk, 2)); /* in turn among equals */
}

/* Does one queue's lie end what the others have in flight, each once and on its own core, and is
 * the whole disk usable afterwards? */
static void lie_stops_all_lanes(void **state)
{
	for (unsigned liar = 0; liar < 2; liar++) {
		struct vblk_queue *q;

		probe_two(state);
		for (unsigned i = 0; i < 20; i++) {
			(void)queue_at(i % 2);
			assert_int_equal(request_submit(on_lane(i, i % 2)), 0);
		}
		for (unsigned lane = 0; lane < 2; lane++) {
			q = queue_at(lane);
			q->poller.flush(&q->poller);
			dev_take();
		}
		q = queue_at(liar);
		dev.lie = LIE_ID_FAR;
		dev_answer(3);
		q->poller.poll(&q->poller);
		/* until the other core has stopped, nothing is taken and nothing reset */
		assert_int_equal(request_submit(on_lane(30, liar)), -EAGAIN);
		assert_int_equal(dev.starts, 1);
		assert_int_equal(done_count, 0);
		(void)queue_at(!liar);
		assert_int_equal(request_submit(on_lane(31, !liar)), 0);
		deliver_all();
		assert_int_equal(dev.starts, 2);
		assert_int_equal(done_count, 21);
		for (unsigned i = 0; i < 20; i++)
			assert_int_equal(requests[i].r.status, -EIO);
		assert_int_equal(requests[31].r.status, -EIO);
		for (unsigned lane = 0; lane < 2; lane++) {
			(void)queue_at(lane);
			assert_int_equal(driver->queue[lane]->free_count, 256);
			assert_int_equal(request_submit(on_lane(lane, lane)), 0);
			lane_turn(lane);
			assert_int_equal(requests[lane].r.status, 0);
		}
		assert_int_equal(dev.starts, 2);
	}
}

/* Both lie at once, again and again, until the device is given up: does every lane say so? */
static void liars_are_given_up(void **state)
{
	(void)state;
	for (unsigned tries = 0; !driver->dead && tries < 100; tries++) {
		for (unsigned lane = 0; lane < 2; lane++) {
			struct vblk_queue *q = queue_at(lane);

			assert_int_equal(request_submit(on_lane(lane, lane)), 0);
			q->poller.flush(&q->poller);
			dev_take();
			dev.lie = LIE_ID_FAR;
			dev_answer(0);
			q->poller.poll(&q->poller);
		}
		deliver_all();
	}
	assert_true(driver->dead && dev.failed);
	assert_int_equal(dev.starts, LIES_MAX);
	for (unsigned lane = 0; lane < 2; lane++) {
		struct vblk_queue *q = queue_at(lane);

		assert_int_equal(request_submit(on_lane(lane, lane)), -EIO);
		assert_false(q->poller.arm(&q->poller));
	}
}

/* The line leads to core 0: is core 1 woken although only core 0 hears of it, and although somebody
 * else has lowered the line? */
static void sleepers_are_woken(void **state)
{
	struct vblk_queue *q;
	uint64_t rung;

	(void)state;
	q = queue_at(1);
	assert_int_equal(request_submit(on_lane(1, 1)), 0);
	q->poller.flush(&q->poller);
	assert_false(q->poller.arm(&q->poller));
	assert_int_equal(driver->armed, 2);
	q = queue_at(0);
	rung = this_core()->count->doorbells;
	driver->watcher.poll(&driver->watcher);
	assert_int_equal(this_core()->count->doorbells, rung); /* nothing has come */
	at = &dev_queues[1];
	dev_answer_all();
	assert_true(dev.line);
	driver->watcher.poll(&driver->watcher);
	assert_int_equal(this_core()->count->doorbells, rung + 1);
	driver->watcher.poll(&driver->watcher);
	assert_int_equal(this_core()->count->doorbells, rung + 1); /* once */
	lane_turn(1);
	assert_int_equal(requests[1].done, 1);

	/* core 0 is about to sleep, and its lowering of the line hides what came for core 1 */
	q = queue_at(1);
	assert_int_equal(request_submit(on_lane(1, 1)), 0);
	q->poller.flush(&q->poller);
	assert_false(q->poller.arm(&q->poller));
	dev_answer_all();
	q = queue_at(0);
	rung = this_core()->count->doorbells;
	assert_false(q->poller.arm(&q->poller));
	assert_false(dev.line);
	assert_int_equal(this_core()->count->doorbells, rung + 1);
	q->poller.disarm(&q->poller);
	q = queue_at(1);
	q->poller.disarm(&q->poller);
	assert_int_equal(driver->armed, 0);
	q->poller.poll(&q->poller);
	assert_int_equal(requests[1].done, 1);
}

static int setup(void **state)
{
	(void)state;
	unit_kernel(64, 3, "map=0:kernel+io+net,1:io,2:user");
	one_frame = frame_alloc_zeroed();
	return one_frame ? 0 : -1;
}

#define blk_test(f) cmocka_unit_test_setup(f, probe_usual)
#define lane_test(f) cmocka_unit_test_setup_teardown(f, probe_two, back_to_one)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_arrive_indirect),
		cmocka_unit_test(bytes_arrive_direct),
		blk_test(queue_fills_and_empties),
		blk_test(indices_wrap),
		blk_test(errors_are_answers),
		blk_test(fua_is_write_then_flush),
		blk_test(ranges),
		cmocka_unit_test(lies),
		blk_test(liar_is_given_up),
		blk_test(reset_on_request),
		blk_test(arming_looks_again),
		blk_test(random_lies),
		lane_test(lanes_are_apart),
		lane_test(lie_stops_all_lanes),
		lane_test(liars_are_given_up),
		lane_test(sleepers_are_woken),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
