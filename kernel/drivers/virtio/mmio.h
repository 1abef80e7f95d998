/*
 * mmio: virtio devices behind memory-mapped registers (VIRTIO 1.1, section 4.2), version 2 only.
 *
 * A device belongs to one core, which makes every call below once the system runs; at boot the boot
 * core does.
 */
#ifndef DRIVERS_VIRTIO_MMIO_H
#define DRIVERS_VIRTIO_MMIO_H

#include "drivers/drivers.h"
#include "drivers/virtio/queue.h"

/* Section 5 */
#define VIRTIO_ID_NET 1u
#define VIRTIO_ID_BLK 2u
#define VIRTIO_ID_CONSOLE 3u
#define VIRTIO_ID_RNG 4u

/* Section 6 */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)
#define VIRTIO_F_ORDER_PLATFORM (1ull << 36)

/* 2.1 */
#define VDEV_NEEDS_RESET 64u

/* 4.2.2, InterruptStatus */
#define VDEV_IRQ_USED 1u
#define VDEV_IRQ_CONFIG 2u

struct vdev {
	/* set once */
	volatile uint32_t *regs;
	paddr_t base;	/* names the device in messages */
	uint32_t irq;	/* source number */
	uint32_t id;	/* VIRTIO_ID_*, 0: an empty slot */
	uint32_t core;	/* owner */
	bool irq_stays; /* the owner also runs user threads: interrupts stay on while it is awake */

	/* owner core only */
	uint64_t features; /* negotiated */
};

/* Looks at the slot: fills v->id (0: nothing there). A slot that is not virtio, or a version-1
 * ("legacy") device, is refused with a printed sentence and -ENODEV. */
must_use int vdev_open(struct vdev *v, paddr_t base, uint32_t irq);

/* Gives the device to `core` and routes its interrupt there. 0, or the machine's refusal. */
must_use int vdev_route(struct vdev *v, uint32_t core);

/* Resets the device and negotiates (3.1.1, steps 1 to 6): takes of `wanted` what it offers;
 * VERSION_1 and `needed` it must offer. 0, or -ENODEV after a printed sentence. After the reset the
 * device touches no memory of ours. */
must_use int vdev_negotiate(struct vdev *v, uint64_t wanted, uint64_t needed);

/* Largest size of queue `index`, 0 if the device has no such queue. */
uint32_t vdev_queue_max(struct vdev *v, uint16_t index);
/* Shows the device a queue (4.2.3.2); sets its doorbell, and event_idx as negotiated. 0 or -EIO. */
must_use int vdev_queue_start(struct vdev *v, uint16_t index, struct vq *q);
/* DRIVER_OK (3.1.1, step 8). */
void vdev_go(struct vdev *v);
/* Gives the device up: reset and FAILED. */
void vdev_fail(struct vdev *v);

/* The status register (VDEV_NEEDS_RESET). */
uint32_t vdev_status(struct vdev *v);
/* Why the device interrupts (VDEV_IRQ_*), acknowledged. */
uint32_t vdev_interrupts(struct vdev *v);
/* Copies `len` bytes of the configuration space as one consistent state (2.4.1). `off` and `len` as
 * the fields are aligned. */
void vdev_config(struct vdev *v, uint32_t off, void *dst, uint32_t len);

/* `size` limited to what the device can, rounded down to a power of two; 0: no such queue. */
static inline uint16_t vdev_queue_size(struct vdev *v, uint16_t index, uint32_t size)
{
	uint32_t max = vdev_queue_max(v, index);

	while (size > max)
		size /= 2;
	return (uint16_t)size;
}

/* Drivers: take a routed-to-be device, or refuse it with a sentence. Boot core. 0 or -errno
 * (already printed). */
int vblk_probe(struct vdev *v, uint32_t core);
int vnet_probe(struct vdev *v, uint32_t core);
int vrng_probe(struct vdev *v, uint32_t core);
int vcon_probe(struct vdev *v, uint32_t core);

#endif
