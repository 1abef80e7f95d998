/*
 * blkdev (virtio): a disk as a whole: what it is, who has which of its queues, its one interrupt
 * line, starting over. Requests: blk.c.
 *
 * The line. virtio-mmio has one interrupt for all queues, which goes to the core of queue 0. A core
 * that stops looking (asleep, or in user mode) arms its queue's bit and then its queue. While the
 * device's core is awake its watcher looks at armed queues in every turn; asleep, the interrupt
 * wakes it. Whoever lowers the line may take away another queue's interrupt that has not been seen,
 * so it looks at the armed queues afterwards, too:
 *
 *   queue's core:  arm bit; ask the device; look              (blk.c, vblk_ask)
 *   the device:    answer; raise the line
 *   who lowers it: lower; look at every armed queue; ring its core
 *
 * Starting over. A device cannot be reset queue by queue, so all their cores stop first:
 *
 *   RUNNING --a queue's core reports--> STOPPING --all have stopped--> reset, started --go on--> RUNNING
 *                                                                      \ or given up
 *
 * While a queue is stopped it is the device's core's. A device that lies LIES_MAX times without one
 * good answer in between is given up.
 */
#include <stdio.h>

#include "base/print.h"
#include "base/trace.h"
#include "drivers/virtio/vblk.h"
#include "mm/frames.h"
#include "uapi/errno.h"

#define FEATURES                                                                                   \
	(VBLK_F_SEG_MAX | VBLK_F_RO | VBLK_F_BLK_SIZE | VBLK_F_FLUSH | VBLK_F_DISCARD |            \
	 VBLK_F_WRITE_ZEROES | VBLK_F_MQ | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX |           \
	 VIRTIO_F_ORDER_PLATFORM)

/* 5.2.4: where the fields of the configuration space are */
#define CONFIG_CAPACITY 0
#define CONFIG_SEG_MAX 12
#define CONFIG_BLK_SIZE 20
#define CONFIG_NUM_QUEUES 34
#define CONFIG_DISCARD_SECTORS 36
#define CONFIG_ZEROES_SECTORS 48
#define CONFIG_ZEROES_MAY_UNMAP 56

#define LIES_MAX 8

/* ---- the line -------------------------------------------------------------------------------- */

/* Rings the cores of armed queues that have answers. */
static void vblk_wake_armed(struct vblk *b)
{
	uint32_t armed = atomic_load(&b->armed), me = this_core()->index;

	for (unsigned i = 0; i < b->queue_count; i++) {
		struct vblk_queue *q = b->queue[i];

		/* `taken` may be changing: then its core is awake, and one ring too many no harm */
		if (!(armed & 1u << i) || q->core == me || !vq_pending(&q->q))
			continue;
		if (!(atomic_fetch_and(&b->armed, ~(1u << i)) & 1u << i))
			continue; /* somebody else rings it */
		this_core()->count->doorbells++;
		arch_doorbell(q->core);
	}
}

uint32_t vblk_interrupts(struct vblk *b)
{
	uint32_t why = vdev_interrupts(b->vdev);

	if (why && b->queue_count > 1)
		vblk_wake_armed(b);
	return why;
}

void vblk_await(struct vblk_queue *q)
{
	/* before the device is asked: pairs with the look of vblk_wake_armed after the line */
	atomic_fetch_or(&q->b->armed, 1u << q->lane);
}

static unsigned vblk_watch(struct device_poller *p)
{
	struct vblk *b = container_of(p, struct vblk, watcher);

	if (!(atomic_load_explicit(&b->armed, memory_order_relaxed) & ~1u))
		return 0;
	if (b->queue[0]->irq_stays)
		(void)vblk_interrupts(b); /* low again before user mode: only its rise is seen */
	vblk_wake_armed(b);
	return 0;
}

/* ---- starting and starting over -------------------------------------------------------------- */

/* The device has been negotiated with; the queues' memory is there, their cores leave it alone. */
static int vblk_start(struct vblk *b)
{
	for (unsigned i = 0; i < b->queue_count; i++) {
		struct vblk_queue *q = b->queue[i];

		vq_reset(&q->q);
		vblk_lay_out(q);
		if (vdev_queue_start(b->vdev, (uint16_t)i, &q->q))
			return -EIO;
	}
	vdev_go(b->vdev);
	return 0;
}

/* On the queue's core, when the device runs, again or for the first time; or was given up. */
static void vblk_go_on(struct vblk_queue *q)
{
	struct list *l;

	q->dead = q->stopped = q->b->dead;
	q->answered = false;
	if (!q->stopped && q->irq_stays) {
		if (q->b->queue_count > 1)
			vblk_await(q);
		(void)vq_irq_on(&q->q);
	}
	while ((l = list_pop_front(&q->failed)) != NULL) {
		struct blk_req *r = list_item(l, struct blk_req, link);

		this_core()->count->blk_errors++;
		r->status = -EIO;
		r->done(r);
	}
	waitlist_wake_all(&q->b->dev.room[q->lane]);
}

static void vblk_go_delivered(struct mail *m)
{
	vblk_go_on(container_of(m, struct vblk_queue, go_mail));
}

/* All queues have stopped. After the reset inside vdev_negotiate no memory is under DMA any more:
 * the requests may go back. */
static void vblk_start_over(struct vblk *b)
{
	for (unsigned i = 0; i < b->queue_count; i++) {
		struct vblk_queue *q = b->queue[i];

		for (unsigned s = 0; s < q->slot_count; s++) {
			if (q->slots[s].req)
				list_push_back(&q->failed, &q->slots[s].req->link);
			q->slots[s].req = NULL;
		}
		if (q->answered)
			b->lies = 0;
	}
	if (++b->lies >= LIES_MAX ||
	    vdev_negotiate(b->vdev, b->vdev->features, b->vdev->features) || vblk_start(b)) {
		kprint("%s: given up\n", b->dev.name);
		vdev_fail(b->vdev);
		for (unsigned i = 0; i < b->queue_count; i++) {
			vq_reset(&b->queue[i]->q);
			b->queue[i]->free_count = 0;
		}
		b->dead = true;
	}
	b->stopping = false;
	for (unsigned i = 1; i < b->queue_count; i++) {
		b->queue[i]->go_mail.deliver = vblk_go_delivered;
		mailbox_post(b->queue[i]->core, &b->queue[i]->go_mail);
	}
	vblk_go_on(b->queue[0]);
}

/* On the queue's core: from here to vblk_go_on the device's core has it. */
static void vblk_stop(struct vblk_queue *q)
{
	q->stopped = true;
	q->free_count = 0; /* who submits waits for room */
}

static void vblk_stopped(struct mail *m)
{
	struct vblk *b = container_of(m, struct vblk_queue, stop_mail)->b;

	if (!--b->awaited)
		vblk_start_over(b);
}

static void vblk_stop_delivered(struct mail *m)
{
	struct vblk_queue *q = container_of(m, struct vblk_queue, stop_mail);

	vblk_stop(q);
	m->deliver = vblk_stopped;
	mailbox_post(q->b->queue[0]->core, m);
}

/* On the device's core. */
static void vblk_stop_all(struct vblk *b)
{
	if (b->stopping || b->dead)
		return; /* what the other queue's core has seen will be mended with it */
	b->stopping = true;
	vblk_stop(b->queue[0]);
	b->awaited = b->queue_count - 1;
	for (unsigned i = 1; i < b->queue_count; i++) {
		b->queue[i]->stop_mail.deliver = vblk_stop_delivered;
		mailbox_post(b->queue[i]->core, &b->queue[i]->stop_mail);
	}
	if (!b->awaited)
		vblk_start_over(b);
}

static void vblk_reported(struct mail *m)
{
	vblk_stop_all(container_of(m, struct vblk_queue, report_mail)->b);
}

void vblk_distrust(struct vblk_queue *q, const char *why, uint64_t what)
{
	kprint("%s: %s (%#llx); requests in flight fail, the device starts over\n", q->b->dev.name,
	       why, (unsigned long long)what);
	trace_event(TRACE_DEVICE, VIRTIO_ID_BLK, vq_outstanding(&q->q), what);
	if (!q->lane) {
		vblk_stop_all(q->b);
		return;
	}
	/* Once: the queue is stopped until the report has been answered. Reports come before the
	 * stops that they cause, from one core to one core. */
	vblk_stop(q);
	q->report_mail.deliver = vblk_reported;
	mailbox_post(q->b->queue[0]->core, &q->report_mail);
}

/* ---- finding out what the device is ---------------------------------------------------------- */

static uint32_t config_u32(struct vblk *b, uint32_t off, uint64_t feature, uint32_t absent)
{
	uint32_t value = absent;

	if (!feature || (b->vdev->features & feature))
		vdev_config(b->vdev, off, &value, sizeof(value));
	return value;
}

static uint32_t vblk_load(const struct blk_dev *d, unsigned lane)
{
	const struct vq *q = &container_of(d, const struct vblk, dev)->queue[lane]->q;

	return (uint16_t)(__atomic_load_n(&q->pushed, __ATOMIC_RELAXED) -
			  __atomic_load_n(&q->taken, __ATOMIC_RELAXED));
}

static void vblk_describe(struct vblk *b)
{
	struct blk_dev *d = &b->dev;
	uint8_t may_unmap = 0;

	vdev_config(b->vdev, CONFIG_CAPACITY, &d->sectors, sizeof(d->sectors));
	d->block_size = config_u32(b, CONFIG_BLK_SIZE, VBLK_F_BLK_SIZE, 512);
	if (d->block_size < 512 || d->block_size > PAGE_SIZE ||
	    (d->block_size & (d->block_size - 1)))
		d->block_size = 512;
	d->segments_max = min_of(config_u32(b, CONFIG_SEG_MAX, VBLK_F_SEG_MAX, 1), VBLK_DATA_MAX);
	d->segments_max = max_of(d->segments_max, 1u);
	d->discard_sectors_max = config_u32(b, CONFIG_DISCARD_SECTORS, VBLK_F_DISCARD, 0);
	d->zeroes_sectors_max = config_u32(b, CONFIG_ZEROES_SECTORS, VBLK_F_WRITE_ZEROES, 0);
	if (b->vdev->features & VBLK_F_WRITE_ZEROES)
		vdev_config(b->vdev, CONFIG_ZEROES_MAY_UNMAP, &may_unmap, 1);
	d->zeroes_may_unmap = may_unmap != 0;
	d->read_only = (b->vdev->features & VBLK_F_RO) != 0;
	d->has_flush = (b->vdev->features & VBLK_F_FLUSH) != 0;
	d->submit = vblk_submit;
	d->load = vblk_load;
	d->driver = b;
}

/* How many slots, and how many data pieces each: without indirect descriptors they share the ring
 * out. */
static void vblk_share_out(struct vblk *b, struct vblk_queue *q)
{
	uint32_t entries;

	if (b->vdev->features & VIRTIO_F_INDIRECT_DESC) {
		q->slot_count = q->q.size;
		if (b->dev.segments_max + VBLK_ENTRY_DATA > q->q.size) /* 2.6.5.3.1 */
			b->dev.segments_max = q->q.size - VBLK_ENTRY_DATA;
		return;
	}
	for (q->slot_shift = 5; q->slot_shift > 2 && q->q.size >> q->slot_shift < 8;)
		q->slot_shift--;
	entries = 1u << q->slot_shift;
	q->slot_count = (uint16_t)(q->q.size >> q->slot_shift);
	if (b->dev.segments_max > entries - VBLK_ENTRY_DATA)
		b->dev.segments_max = entries - VBLK_ENTRY_DATA;
}

/* One more queue, for `core`. False: the device has none, or too short a one. */
static bool vblk_queue_add(struct vblk *b, uint32_t core)
{
	uint16_t lane = (uint16_t)b->queue_count;
	uint16_t size = vdev_queue_size(b->vdev, lane, VBLK_QUEUE_SIZE);
	struct vblk_queue *q;
	struct vblk_mem *mem;

	if (size < 4)
		return false;
	q = frames_boot_alloc(sizeof(*q));
	q->b = b;
	q->core = core;
	q->lane = lane;
	q->irq_stays = (cores[core]->roles & ROLE_USER) != 0;
	list_init(&q->failed);
	vq_init(&q->q, frames_boot_alloc(vq_bytes(size)), size);
	vblk_share_out(b, q);
	q->slots = frames_boot_alloc(sizeof(*q->slots) * q->slot_count);
	mem = frames_boot_alloc(sizeof(*mem) * q->slot_count);
	for (unsigned i = 0; i < q->slot_count; i++)
		q->slots[i].mem = &mem[i];
	b->queue[b->queue_count++] = q;
	return true;
}

/* A queue for each further io core, as far as the device has them. */
static void vblk_queues_more(struct vblk *b)
{
	uint16_t max = 1;

	if (b->vdev->features & VBLK_F_MQ)
		vdev_config(b->vdev, CONFIG_NUM_QUEUES, &max, sizeof(max));
	max = (uint16_t)min_of((uint32_t)max, BLK_LANES_MAX);
	for (uint32_t i = 0; i < cores_count && b->queue_count < max; i++)
		if (cores[i] && (cores[i]->roles & ROLE_IO) && i != b->vdev->core &&
		    !vblk_queue_add(b, i))
			return;
}

static void vblk_publish(struct vblk *b)
{
	char where[4 * BLK_LANES_MAX];
	size_t len = 0;

	snprintf(b->dev.name, sizeof(b->dev.name), "vd%c", 'a' + (char)blk_count);
	blk_add(&b->dev);
	for (unsigned i = 0; i < b->queue_count; i++) {
		struct vblk_queue *q = b->queue[i];

		if (i)
			blk_add_lane(&b->dev, q->core);
		q->poller = vblk_queue_poller;
		device_poller_add(q->core, &q->poller);
		vblk_go_on(q);
		len += (size_t)snprintf(where + len, sizeof(where) - len, "%s%u", i ? "+" : "",
					q->core);
	}
	if (b->queue_count > 1) {
		b->watcher.poll = vblk_watch;
		device_poller_add(b->vdev->core, &b->watcher);
	}
	kprint("%s: virtio disk, %llu MiB, blocks of %u%s%s%s%s, %u requests in flight, core %s\n",
	       b->dev.name, (unsigned long long)(b->dev.sectors >> 11), b->dev.block_size,
	       b->dev.read_only ? ", read-only" : "", b->dev.has_flush ? ", flush" : "",
	       b->dev.discard_sectors_max ? ", discard" : "",
	       b->dev.zeroes_sectors_max ? ", zeroes" : "",
	       b->queue[0]->slot_count * b->queue_count, where);
}

int vblk_probe(struct vdev *v, uint32_t core)
{
	struct vblk *b = frames_boot_alloc(sizeof(*b));

	b->vdev = v;
	if (vdev_negotiate(v, FEATURES, 0))
		return -ENODEV;
	vblk_describe(b);
	if (!vblk_queue_add(b, core) || vdev_route(v, core)) {
		kprint("virtio: disk at %#llx refused: %s\n", (unsigned long long)v->base,
		       b->queue_count ? "its interrupt leads nowhere"
				      : "its queue is too short");
		vdev_fail(v);
		return -ENODEV;
	}
	b->dev.core = core;
	vblk_queues_more(b);
	if (vblk_start(b)) {
		vdev_fail(v);
		return -EIO;
	}
	vblk_publish(b);
	return 0;
}
