/*
 * queue: the cold half of split virtqueues; layout, doorbells and interrupt suppression. See
 * queue.h.
 *
 * Owner core only.
 */
#include "drivers/virtio/queue.h"

/* 2.6.6 and 2.6.8, without VIRTIO_F_EVENT_IDX */
#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY 1

static size_t avail_offset(uint16_t size)
{
	return sizeof(struct vq_desc) * size;
}

/* A line of its own: the device writes behind it. */
static size_t used_offset(uint16_t size)
{
	return align_up(avail_offset(size) + sizeof(struct vq_avail) + 2ul * (size + 1u),
			(size_t)CACHE_LINE);
}

size_t vq_bytes(uint16_t size)
{
	return used_offset(size) + sizeof(struct vq_used) + sizeof(struct vq_used_elem) * size + 2;
}

void vq_init(struct vq *q, void *mem, uint16_t size)
{
	char *base = mem;

	q->size = size;
	q->mask = (uint16_t)(size - 1);
	q->desc = (struct vq_desc *)mem;
	q->avail = (struct vq_avail *)(base + avail_offset(size));
	q->used = (struct vq_used *)(base + used_offset(size));
	vq_reset(q);
}

void vq_reset(struct vq *q)
{
	memset(q->desc, 0, vq_bytes(q->size));
	q->pushed = q->published = q->taken = 0;
}

static uint16_t *used_event(struct vq *q)
{
	return &q->avail->ring[q->size];
}

static uint16_t *avail_event(struct vq *q)
{
	return (uint16_t *)(void *)&q->used->ring[q->size];
}

/* 2.6.13.4: does the device want to hear of the entries [was, now)? */
static bool wants_doorbell(struct vq *q, uint16_t was, uint16_t now)
{
	uint16_t event;

	if (!q->event_idx)
		return !(__atomic_load_n(&q->used->flags, __ATOMIC_RELAXED) & USED_NO_NOTIFY);
	event = __atomic_load_n(avail_event(q), __ATOMIC_RELAXED);
	return (uint16_t)(now - event - 1) < (uint16_t)(now - was);
}

bool vq_publish(struct vq *q)
{
	uint16_t was = q->published;

	arch_before_dma(); /* descriptors and ring entries, then the index (2.6.13.3) */
	__atomic_store_n(&q->avail->idx, q->pushed, __ATOMIC_RELAXED);
	q->published = q->pushed;
	arch_before_dma(); /* the index, then what the device wants to hear of (2.6.13.4) */
	if (!wants_doorbell(q, was, q->pushed))
		return false;
	arch_before_doorbell();
	*q->doorbell = q->index;
	return true;
}

bool vq_irq_on(struct vq *q)
{
	if (q->event_idx)
		__atomic_store_n(used_event(q), q->taken, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&q->avail->flags, 0, __ATOMIC_RELAXED);
	arch_before_dma(); /* our wish, then the look; the device does it the other way round */
	return vq_pending(q) != 0;
}

void vq_irq_off(struct vq *q)
{
	if (q->event_idx)
		__atomic_store_n(used_event(q), (uint16_t)(q->taken - 1), __ATOMIC_RELAXED);
	else
		__atomic_store_n(&q->avail->flags, AVAIL_NO_INTERRUPT, __ATOMIC_RELAXED);
}
