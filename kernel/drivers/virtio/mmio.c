/*
 * mmio: the registers of virtio-mmio version 2 (VIRTIO 1.1, section 4.2.2) and the start sequence
 * (3.1.1).
 *
 * Boot core at boot, the device's owner core afterwards. No state but the device's own.
 */
#include "drivers/virtio/mmio.h"

#include "base/print.h"
#include "uapi/errno.h"

enum vdev_reg {
	REG_MAGIC = 0x000,
	REG_VERSION = 0x004,
	REG_DEVICE_ID = 0x008,
	REG_DEVICE_FEATURES = 0x010,
	REG_DEVICE_FEATURES_SEL = 0x014,
	REG_DRIVER_FEATURES = 0x020,
	REG_DRIVER_FEATURES_SEL = 0x024,
	REG_QUEUE_SEL = 0x030,
	REG_QUEUE_NUM_MAX = 0x034,
	REG_QUEUE_NUM = 0x038,
	REG_QUEUE_READY = 0x044,
	REG_QUEUE_NOTIFY = 0x050,
	REG_INTERRUPT_STATUS = 0x060,
	REG_INTERRUPT_ACK = 0x064,
	REG_STATUS = 0x070,
	REG_QUEUE_DESC = 0x080,
	REG_QUEUE_DRIVER = 0x090,
	REG_QUEUE_DEVICE = 0x0a0,
	REG_CONFIG_GENERATION = 0x0fc,
	REG_CONFIG = 0x100,
};

#define MAGIC 0x74726976u /* "virt" */
#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER 2u
#define STATUS_DRIVER_OK 4u
#define STATUS_FEATURES_OK 8u
#define STATUS_FAILED 128u
#define RESET_NS_MAX 1000000000ull
#define CONFIG_TRIES_MAX 100

static uint32_t reg_read(struct vdev *v, uint32_t reg)
{
	return v->regs[reg / 4];
}

static void reg_write(struct vdev *v, uint32_t reg, uint32_t value)
{
	arch_before_doorbell();
	v->regs[reg / 4] = value;
}

static void reg_write_address(struct vdev *v, uint32_t reg, const void *what)
{
	paddr_t pa = arch_direct_paddr(what);

	reg_write(v, reg, (uint32_t)pa);
	reg_write(v, reg + 4, (uint32_t)(pa >> 32));
}

int vdev_open(struct vdev *v, paddr_t base, uint32_t irq)
{
	uint32_t version;

	v->base = base;
	v->irq = irq;
	v->regs = arch_direct(base);
	if (reg_read(v, REG_MAGIC) != MAGIC) {
		kprint("virtio: %#llx in the device tree is not a virtio slot; left alone\n",
		       (unsigned long long)base);
		return -ENODEV;
	}
	version = reg_read(v, REG_VERSION);
	v->id = reg_read(v, REG_DEVICE_ID);
	if (v->id && version != 2) {
		kprint("virtio: device %u at %#llx refused: it speaks virtio-mmio version %u, only "
		       "version 2 is supported; start QEMU with -global "
		       "virtio-mmio.force-legacy=false\n",
		       v->id, (unsigned long long)base, version);
		return -ENODEV;
	}
	return 0;
}

int vdev_route(struct vdev *v, uint32_t core)
{
	v->core = core;
	v->irq_stays = (cores[core]->roles & ROLE_USER) != 0;
	return arch_irq_route(v->irq, core);
}

static bool vdev_reset(struct vdev *v)
{
	nsec_t begin = arch_time_ns();

	reg_write(v, REG_STATUS, 0);
	while (reg_read(v, REG_STATUS)) {
		if (arch_time_ns() - begin > RESET_NS_MAX)
			return false;
		arch_relax();
	}
	return true;
}

static uint64_t vdev_offered(struct vdev *v)
{
	uint64_t low;

	reg_write(v, REG_DEVICE_FEATURES_SEL, 0);
	low = reg_read(v, REG_DEVICE_FEATURES);
	reg_write(v, REG_DEVICE_FEATURES_SEL, 1);
	return low | (uint64_t)reg_read(v, REG_DEVICE_FEATURES) << 32;
}

static int vdev_refuse(struct vdev *v, const char *why, uint64_t bits)
{
	kprint("virtio: device %u at %#llx refused: %s (features %#llx)\n", v->id,
	       (unsigned long long)v->base, why, (unsigned long long)bits);
	vdev_fail(v);
	return -ENODEV;
}

int vdev_negotiate(struct vdev *v, uint64_t wanted, uint64_t needed)
{
	uint32_t status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;
	uint64_t offered;

	if (!vdev_reset(v))
		return vdev_refuse(v, "it does not finish its reset", 0);
	reg_write(v, REG_STATUS, STATUS_ACKNOWLEDGE);
	reg_write(v, REG_STATUS, status);
	offered = vdev_offered(v);
	needed |= VIRTIO_F_VERSION_1;
	if ((offered & needed) != needed)
		return vdev_refuse(v, "it does not offer what is needed", needed & ~offered);
	v->features = offered & (wanted | needed);
	reg_write(v, REG_DRIVER_FEATURES_SEL, 0);
	reg_write(v, REG_DRIVER_FEATURES, (uint32_t)v->features);
	reg_write(v, REG_DRIVER_FEATURES_SEL, 1);
	reg_write(v, REG_DRIVER_FEATURES, (uint32_t)(v->features >> 32));
	reg_write(v, REG_STATUS, status | STATUS_FEATURES_OK);
	if (!(reg_read(v, REG_STATUS) & STATUS_FEATURES_OK))
		return vdev_refuse(v, "it does not accept a subset of its features", v->features);
	return 0;
}

uint32_t vdev_queue_max(struct vdev *v, uint16_t index)
{
	reg_write(v, REG_QUEUE_SEL, index);
	return reg_read(v, REG_QUEUE_NUM_MAX);
}

int vdev_queue_start(struct vdev *v, uint16_t index, struct vq *q)
{
	reg_write(v, REG_QUEUE_SEL, index);
	if (reg_read(v, REG_QUEUE_READY) || reg_read(v, REG_QUEUE_NUM_MAX) < q->size) {
		kprint("virtio: device %u at %#llx does not take its queue %u\n", v->id,
		       (unsigned long long)v->base, index);
		return -EIO;
	}
	q->index = index;
	q->doorbell = &v->regs[REG_QUEUE_NOTIFY / 4];
	q->event_idx = (v->features & VIRTIO_F_EVENT_IDX) != 0;
	vq_irq_off(q);
	reg_write(v, REG_QUEUE_NUM, q->size);
	reg_write_address(v, REG_QUEUE_DESC, q->desc);
	reg_write_address(v, REG_QUEUE_DRIVER, q->avail);
	reg_write_address(v, REG_QUEUE_DEVICE, q->used);
	arch_before_dma();
	reg_write(v, REG_QUEUE_READY, 1);
	return 0;
}

void vdev_go(struct vdev *v)
{
	reg_write(v, REG_STATUS, reg_read(v, REG_STATUS) | STATUS_DRIVER_OK);
}

void vdev_fail(struct vdev *v)
{
	if (vdev_reset(v))
		reg_write(v, REG_STATUS, STATUS_FAILED);
}

uint32_t vdev_status(struct vdev *v)
{
	return reg_read(v, REG_STATUS);
}

uint32_t vdev_interrupts(struct vdev *v)
{
	uint32_t why = reg_read(v, REG_INTERRUPT_STATUS);

	if (why)
		reg_write(v, REG_INTERRUPT_ACK, why);
	return why;
}

/* Fields are read in their own width (4.2.2.2), as far as their alignment allows. */
static void config_copy(struct vdev *v, uint32_t off, char *to, uint32_t len)
{
	volatile char *from = (volatile char *)v->regs + REG_CONFIG + off;

	while (len) {
		if (!((off | len) & 3)) {
			uint32_t word = *(volatile uint32_t *)(volatile void *)from;

			memcpy(to, &word, 4);
			from += 4, to += 4, off += 4, len -= 4;
		} else {
			*to++ = *from++;
			off++, len--;
		}
	}
}

void vdev_config(struct vdev *v, uint32_t off, void *dst, uint32_t len)
{
	for (int i = 0; i < CONFIG_TRIES_MAX; i++) {
		uint32_t generation = reg_read(v, REG_CONFIG_GENERATION);

		config_copy(v, off, dst, len);
		if (reg_read(v, REG_CONFIG_GENERATION) == generation)
			return;
	}
}
