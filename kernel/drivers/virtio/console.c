/*
 * console (virtio): a console behind two virtqueues (VIRTIO 1.1, section 5.3), without the
 * multiport extension: port 0 only.
 *
 * Output runs under the console's lock, on any core: text is copied into the one send buffer as
 * soon as the device has given it back. Input belongs to the owner core. A device that gives back
 * what it does not have is given up as a console; the serial port, if there is one, stays what the
 * panic path uses anyway.
 */
#include "drivers/console.h"

#include "base/print.h"
#include "drivers/virtio/mmio.h"
#include "mm/frames.h"
#include "uapi/errno.h"

#define QUEUE_RX 0
#define QUEUE_TX 1
#define QUEUE_SIZE 8u
#define BUFFER_BYTES 512u

struct vcon {
	struct console_dev console;
	struct device_poller poller;
	struct vdev *vdev;

	/* owner core only */
	struct vq rx;
	char *rx_buffers;

	/* under the console's lock */
	struct vq tx;
	char *tx_buffer;

	/* any core; set once, when the device lied */
	_Atomic bool dead;
};

static size_t vcon_output(struct console_dev *d, const char *text, size_t len)
{
	struct vcon *c = container_of(d, struct vcon, console);

	if (c->dead)
		return len; /* nobody will ever take it */
	if (vq_pending(&c->tx)) {
		arch_after_dma();
		if (vq_take(&c->tx).id != 0 || vq_pending(&c->tx)) {
			c->dead = true;
			return len;
		}
	}
	if (vq_outstanding(&c->tx))
		return 0;
	len = min_of(len, (size_t)BUFFER_BYTES);
	memcpy(c->tx_buffer, text, len);
	c->tx.desc[0].addr = arch_direct_paddr(c->tx_buffer);
	c->tx.desc[0].rest = vq_rest(len, 0, 0);
	vq_push(&c->tx, 0);
	vq_flush(&c->tx);
	return len;
}

static void vcon_give(struct vcon *c, uint32_t i)
{
	c->rx.desc[i].addr = arch_direct_paddr(c->rx_buffers + i * BUFFER_BYTES);
	c->rx.desc[i].rest = vq_rest(BUFFER_BYTES, VQ_WRITE, 0);
	vq_push(&c->rx, (uint16_t)i);
}

static unsigned vcon_input(struct vcon *c)
{
	uint16_t n = vq_pending(&c->rx);
	bool lie = n > vq_outstanding(&c->rx);

	arch_after_dma();
	for (uint16_t i = 0; i < n && !lie; i++) {
		struct vq_used_elem e = vq_take(&c->rx);

		lie = e.id >= c->rx.size || e.len > BUFFER_BYTES;
		if (lie)
			break;
		console_take(c->rx_buffers + e.id * BUFFER_BYTES, e.len);
		vcon_give(c, e.id);
	}
	if (lie) {
		c->dead = true;
		kprint("virtio: the console at %#llx lies about its input; given up\n",
		       (unsigned long long)c->vdev->base);
		return 1;
	}
	vq_flush(&c->rx);
	if (c->vdev->irq_stays) {
		vdev_interrupts(c->vdev);
		(void)vq_irq_on(&c->rx);
	}
	return n;
}

static unsigned vcon_poll(struct device_poller *p)
{
	struct vcon *c = container_of(p, struct vcon, poller);
	unsigned done = 0;

	if (unlikely(console_has_output()) && console_device() == &c->console)
		done = console_drain();
	if (unlikely(vq_pending(&c->rx)) && !c->dead)
		done += vcon_input(c);
	return done;
}

static bool vcon_arm(struct device_poller *p)
{
	struct vcon *c = container_of(p, struct vcon, poller);

	if (c->dead)
		return false;
	vdev_interrupts(c->vdev);
	return vq_irq_on(&c->rx) || console_has_output();
}

static void vcon_disarm(struct device_poller *p)
{
	struct vcon *c = container_of(p, struct vcon, poller);

	if (c->dead)
		return;
	if (!c->vdev->irq_stays)
		vq_irq_off(&c->rx);
	vdev_interrupts(c->vdev);
}

static int vcon_start(struct vcon *c)
{
	uint16_t size = vdev_queue_size(c->vdev, QUEUE_RX, QUEUE_SIZE);

	if (!size || !vdev_queue_max(c->vdev, QUEUE_TX))
		return -ENODEV;
	c->rx_buffers = frames_boot_alloc(size * BUFFER_BYTES);
	c->tx_buffer = frames_boot_alloc(BUFFER_BYTES);
	vq_init(&c->rx, frames_boot_alloc(vq_bytes(size)), size);
	vq_init(&c->tx, frames_boot_alloc(vq_bytes(1)), 1);
	if (vdev_queue_start(c->vdev, QUEUE_RX, &c->rx) ||
	    vdev_queue_start(c->vdev, QUEUE_TX, &c->tx))
		return -EIO;
	vdev_go(c->vdev);
	for (uint32_t i = 0; i < size; i++)
		vcon_give(c, i);
	vq_flush(&c->rx);
	if (c->vdev->irq_stays)
		(void)vq_irq_on(&c->rx);
	return 0;
}

int vcon_probe(struct vdev *v, uint32_t core)
{
	struct vcon *c = frames_boot_alloc(sizeof(*c));

	c->vdev = v;
	if (vdev_negotiate(v, VIRTIO_F_EVENT_IDX | VIRTIO_F_ORDER_PLATFORM, 0))
		return -ENODEV;
	if (vdev_route(v, core) || vcon_start(c)) {
		kprint("virtio: console at %#llx refused: no queue or no interrupt\n",
		       (unsigned long long)v->base);
		vdev_fail(v);
		return -ENODEV;
	}
	c->poller =
		(struct device_poller){ .poll = vcon_poll, .arm = vcon_arm, .disarm = vcon_disarm };
	c->console = (struct console_dev){.name = "virtio", .core = core, .write = vcon_output};
	device_poller_add(core, &c->poller);
	kprint("console: virtio, core %u\n", core);
	console_attach(&c->console);
	return 0;
}
