/*
 * queue: a split virtqueue as its driver sees it (VIRTIO 1.1, section 2.6). Knows no device and no
 * transport.
 *
 *   vq_push* --> vq_flush (index, one doorbell) --> device --> vq_pending --> vq_take*
 *
 * A queue belongs to one core, like its device. The device writes the used ring whenever it likes
 * and may lie: what is read there is a claim, and vq_pending is the only number the driver loops
 * by. Nothing here trusts it with an address.
 */
#ifndef DRIVERS_VIRTIO_QUEUE_H
#define DRIVERS_VIRTIO_QUEUE_H

#include <string.h>

#include "arch/arch.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "virtqueues are little-endian");

/* 2.6.5: address, then length, flags, next; the latter three are one store here */
struct vq_desc {
	uint64_t addr;
	uint64_t rest;
};
#define VQ_NEXT 1ull
#define VQ_WRITE 2ull
#define VQ_INDIRECT 4ull
#define vq_rest(len, flags, next)                                                                  \
	((uint64_t)(len) | (uint64_t)(flags) << 32 | (uint64_t)(next) << 48)

/* 2.6.6; used_event stands behind the ring (2.6.7) */
struct vq_avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[];
};

/* 2.6.8; avail_event stands behind the ring (2.6.10) */
struct vq_used_elem {
	uint32_t id;
	uint32_t len;
};
struct vq_used {
	uint16_t flags;
	uint16_t idx;
	struct vq_used_elem ring[];
};

struct vq {
	/* owner core only */
	uint16_t pushed;    /* entries ever put into the available ring */
	uint16_t published; /* of these, told to the device */
	uint16_t taken;	    /* entries ever taken from the used ring */

	/* set when the device is started */
	uint16_t size, mask;
	bool event_idx;
	uint16_t index; /* of this queue in its device */
	struct vq_desc *desc;
	struct vq_avail *avail;
	struct vq_used *used;
	volatile uint32_t *doorbell; /* QueueNotify of the device */
};

/* Bytes of contiguous memory a queue of `size` entries (a power of two) needs. */
size_t vq_bytes(uint16_t size);
/* Lays a queue out in zeroed, page-aligned memory that lives for ever. */
void vq_init(struct vq *q, void *mem, uint16_t size);
/* Forgets everything; the device must not know the queue at this moment. Descriptors are zeroed
 * too. */
void vq_reset(struct vq *q);

/* Offers the chain that begins at `head`; the device sees it after vq_flush. At most `size` at a
 * time. */
static inline void vq_push(struct vq *q, uint16_t head)
{
	q->avail->ring[q->pushed++ & q->mask] = head;
}

/* The cold half of vq_flush. */
bool vq_publish(struct vq *q);

/* Tells the device what was pushed; returns whether that took a doorbell (2.6.13). */
static inline bool vq_flush(struct vq *q)
{
	return q->pushed != q->published && vq_publish(q);
}

/* Chains the device has and has not given back. */
static inline uint16_t vq_outstanding(const struct vq *q)
{
	return (uint16_t)(q->pushed - q->taken);
}

/* Entries the device says it has given back since the last vq_take. More than vq_outstanding is a
 * lie. Before reading them: arch_after_dma (once per batch). */
static inline uint16_t vq_pending(const struct vq *q)
{
	return (uint16_t)(__atomic_load_n(&q->used->idx, __ATOMIC_RELAXED) - q->taken);
}

static inline struct vq_used_elem vq_take(struct vq *q)
{
	return q->used->ring[q->taken++ & q->mask];
}

/* Asks for an interrupt on the next used entry; then look: returns true if there is one already
 * (2.6.7, 2.6.8). */
bool vq_irq_on(struct vq *q);
/* No interrupts, please. A hint: the device may raise one nevertheless, and does after 65,536
 * entries. */
void vq_irq_off(struct vq *q);

#endif
