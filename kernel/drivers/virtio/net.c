/*
 * net (virtio): a network interface behind two virtqueues (VIRTIO 1.1, section 5.1).
 *
 * Descriptor i of a queue describes buffer i of that queue for ever: handing a buffer over is one
 * ring entry. A buffer is 2 KiB: six bytes nobody uses, the 12-byte header, the frame; so that the
 * IP header begins at a multiple of eight, and so does the payload of TCP over IPv4 without
 * options, which makes it cheap to copy.
 *
 *   receive:  with the device --poll--> net's rx() --kept--> rx_return --> with the device
 *                                           +--not kept---------------^
 *   send:     free --tx_reserve, tx_commit--> with the device --poll--> free
 *
 * Owner core only. Doorbells wait for tx_kick. No checksum or segmentation offload is negotiated:
 * the header is always zero. A device that gives back what it does not have, or more bytes than a
 * buffer holds, is logged and started over; frames in its queues are lost.
 */
#include "drivers/nic.h"

#include "base/panic.h"
#include "base/print.h"
#include "base/trace.h"
#include "drivers/virtio/mmio.h"
#include "mm/frames.h"
#include "uapi/errno.h"

/* 5.1.3 */
#define F_MTU (1ull << 3)
#define F_MAC (1ull << 5)
#define FEATURES (F_MTU | F_MAC | VIRTIO_F_EVENT_IDX | VIRTIO_F_ORDER_PLATFORM)

/* 5.1.4: where the fields of the configuration space are */
#define CONFIG_MAC 0
#define CONFIG_MTU 10

#define QUEUE_RX 0
#define QUEUE_TX 1
#define QUEUE_SIZE 256u
#define BUFFER_SHIFT 11
#define BUFFER_BYTES (1u << BUFFER_SHIFT)
#define HEADER_AT 6u
#define HEADER_BYTES 12u /* 5.1.6 with VERSION_1 */
#define FRAME_AT (HEADER_AT + HEADER_BYTES)
#define ETHERNET_HEADER 14u
#define MTU_DEFAULT 1500u
#define MTU_MAX (BUFFER_BYTES - FRAME_AT - ETHERNET_HEADER)
#define LIES_MAX 8
#define QUIET_TURNS 65536

/* One direction. */
struct vnet_queue {
	struct vq q;
	char *buffers;
	uint8_t with_device[QUEUE_SIZE];
};

struct vnet {
	struct nic nic;
	struct device_poller poller;
	struct vdev *vdev;

	/* owner core only */
	struct vnet_queue rx, tx;
	uint16_t tx_free_count;
	bool tx_starved; /* tx_reserve found nothing: tx_room is owed */
	bool dead;
	uint32_t lies;
	uint16_t tx_free[QUEUE_SIZE]; /* stack of buffer numbers; the top one is the reserved one */
};

static inline char *buffer_at(const struct vnet_queue *s, uint32_t i)
{
	return s->buffers + ((size_t)i << BUFFER_SHIFT);
}

/* Offers buffer i to the device. */
static inline void vnet_give(struct vnet_queue *s, uint32_t i)
{
	s->with_device[i] = 1;
	vq_push(&s->q, (uint16_t)i);
}

/* ---- starting and starting over -------------------------------------------------------------- */

static void vnet_lay_out(struct vnet_queue *s, uint64_t flags)
{
	vq_reset(&s->q);
	for (uint32_t i = 0; i < s->q.size; i++) {
		s->q.desc[i].addr = arch_direct_paddr(buffer_at(s, i)) + HEADER_AT;
		s->q.desc[i].rest = vq_rest(BUFFER_BYTES - HEADER_AT, flags, 0);
	}
}

/* Negotiated with. `with_device` says which receive buffers are not net's; all send buffers come
 * back. */
static int vnet_start(struct vnet *v)
{
	vnet_lay_out(&v->rx, VQ_WRITE);
	vnet_lay_out(&v->tx, 0);
	v->tx_free_count = 0;
	for (uint32_t i = v->tx.q.size; i-- > 0;) {
		v->tx.with_device[i] = 0;
		v->tx_free[v->tx_free_count++] = (uint16_t)i;
	}
	if (vdev_queue_start(v->vdev, QUEUE_RX, &v->rx.q) ||
	    vdev_queue_start(v->vdev, QUEUE_TX, &v->tx.q))
		return -EIO;
	for (uint32_t i = 0; i < v->rx.q.size; i++)
		if (v->rx.with_device[i])
			vq_push(&v->rx.q, (uint16_t)i);
	vdev_go(v->vdev);
	vq_flush(&v->rx.q);
	if (v->vdev->irq_stays)
		(void)vq_irq_on(&v->rx.q);
	return 0;
}

static void vnet_start_over(struct vnet *v, const char *why, uint64_t what)
{
	kprint("nic at %#llx: %s (%#llx); it starts over\n", (unsigned long long)v->vdev->base, why,
	       (unsigned long long)what);
	trace_event(TRACE_DEVICE, VIRTIO_ID_NET, 0, what);
	if (++v->lies < LIES_MAX &&
	    !vdev_negotiate(v->vdev, v->vdev->features, v->vdev->features) && !vnet_start(v))
		return;
	kprint("nic at %#llx: given up\n", (unsigned long long)v->vdev->base);
	vdev_fail(v->vdev);
	vq_reset(&v->rx.q);
	vq_reset(&v->tx.q);
	v->tx_free_count = 0;
	v->dead = true;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Takes sent buffers back; returns how many. */
static noinline_fn unsigned vnet_reap(struct vnet *v)
{
	struct vq *q = &v->tx.q;
	uint16_t n = vq_pending(q);

	if (!n)
		return 0;
	if (unlikely(n > vq_outstanding(q))) {
		vnet_start_over(v, "it gives back more send buffers than it has", n);
		return 1;
	}
	arch_after_dma();
	for (uint16_t i = 0; i < n; i++) {
		uint32_t id = vq_take(q).id;

		if (unlikely(id >= q->size || !v->tx.with_device[id])) {
			vnet_start_over(v, "it gives back a send buffer it does not have", id);
			return 1;
		}
		v->tx.with_device[id] = 0;
		v->tx_free[v->tx_free_count++] = (uint16_t)id;
	}
	return n;
}

static void *vnet_tx_reserve(struct nic *n)
{
	struct vnet *v = container_of(n, struct vnet, nic);

	if (unlikely(!v->tx_free_count) && !vnet_reap(v)) {
		v->tx_starved = true;
		return NULL;
	}
	if (unlikely(!v->tx_free_count))
		return NULL;
	return buffer_at(&v->tx, v->tx_free[v->tx_free_count - 1]) + FRAME_AT;
}

static void vnet_tx_commit(struct nic *n, uint32_t len)
{
	struct vnet *v = container_of(n, struct vnet, nic);
	uint32_t i;

	/* A start-over since the reservation has emptied the stack, or the caller is wrong about
	 * the buffer: the frame is lost. */
	if (unlikely(!v->tx_free_count || len > BUFFER_BYTES - FRAME_AT))
		return;
	i = v->tx_free[--v->tx_free_count];
	v->tx.q.desc[i].rest = vq_rest(HEADER_BYTES + len, 0, 0);
	vnet_give(&v->tx, i);
	this_core()->count->nic_tx++;
}

static void vnet_tx_kick(struct nic *n)
{
	struct vnet *v = container_of(n, struct vnet, nic);

	if (vq_flush(&v->tx.q))
		this_core()->count->nic_kicks++;
	if (vq_flush(&v->rx.q))
		this_core()->count->nic_kicks++;
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void vnet_rx_return(struct nic *n, void *buf)
{
	struct vnet *v = container_of(n, struct vnet, nic);
	uint32_t i = (uint32_t)(((char *)buf - v->rx.buffers) >> BUFFER_SHIFT);

	kassert(i < v->rx.q.size && !v->rx.with_device[i]);
	if (likely(!v->dead))
		vnet_give(&v->rx, i);
}

static uint32_t vnet_rx_free(struct nic *n)
{
	struct vnet *v = container_of(n, struct vnet, nic);

	return vq_outstanding(&v->rx.q);
}

/* One used entry. False: a lie, the device has been started over. */
static inline bool vnet_receive(struct vnet *v, struct vq_used_elem e)
{
	char *buf;

	if (unlikely(e.id >= v->rx.q.size || !v->rx.with_device[e.id])) {
		vnet_start_over(v, "it fills a receive buffer it does not have", e.id);
		return false;
	}
	if (unlikely(e.len > BUFFER_BYTES - HEADER_AT || e.len < HEADER_BYTES)) {
		vnet_start_over(v, "it received a frame of an impossible length", e.len);
		return false;
	}
	v->rx.with_device[e.id] = 0;
	v->lies = 0;
	buf = buffer_at(&v->rx, e.id);
	if (unlikely(e.len < HEADER_BYTES + ETHERNET_HEADER || !v->nic.rx)) {
		this_core()->count->nic_drops++;
		vnet_give(&v->rx, e.id);
		return true;
	}
	this_core()->count->nic_rx++;
	if (!v->nic.rx(&v->nic, buf, (uint8_t *)buf + FRAME_AT, e.len - HEADER_BYTES))
		vnet_give(&v->rx, e.id);
	return true;
}

static void vnet_check(struct vnet *v)
{
	if (!v->dead && (vdev_status(v->vdev) & VDEV_NEEDS_RESET))
		vnet_start_over(v, "the device asks for a reset", 0);
}

static noinline_fn unsigned vnet_receive_all(struct vnet *v, unsigned n)
{
	if (unlikely(n > vq_outstanding(&v->rx.q))) {
		vnet_start_over(v, "it fills more receive buffers than it has", n);
		return 1;
	}
	arch_after_dma();
	for (unsigned i = 0; i < n; i++)
		if (unlikely(!vnet_receive(v, vq_take(&v->rx.q))))
			return 1;
	if (v->vdev->irq_stays) {
		vdev_interrupts(v->vdev);
		/* what came meanwhile is seen in the next turn, which our answer makes sure of */
		(void)vq_irq_on(&v->rx.q);
	}
	return n;
}

/* Send buffers are back. */
static noinline_fn unsigned vnet_sent(struct vnet *v)
{
	unsigned n = vnet_reap(v);

	if (v->tx_starved && v->tx_free_count) {
		v->tx_starved = false;
		if (v->nic.tx_room)
			v->nic.tx_room(&v->nic);
	}
	return n;
}

static noinline_fn unsigned vnet_quiet(struct vnet *v)
{
	vnet_check(v);
	return 0;
}

static inline unsigned vnet_look(struct vnet *v, unsigned budget)
{
	unsigned received = vq_pending(&v->rx.q), sent = vq_pending(&v->tx.q);

	if (!(received | sent))
		return unlikely(this_core()->turn % QUIET_TURNS == 0) ? vnet_quiet(v) : 0;
	if (sent)
		sent = vnet_sent(v);
	if (received)
		received = vnet_receive_all(v, min_of(received, budget));
	return received + sent;
}

static unsigned vnet_poll(struct nic *nic, unsigned budget)
{
	return vnet_look(container_of(nic, struct vnet, nic), budget);
}

/* ---- sleep ----------------------------------------------------------------------------------- */

static void vnet_interrupts(struct vnet *v)
{
	if (vdev_interrupts(v->vdev) & VDEV_IRQ_CONFIG)
		vnet_check(v);
}

static bool vnet_arm(struct nic *nic)
{
	struct vnet *v = container_of(nic, struct vnet, nic);
	bool sent;

	if (v->dead)
		return false;
	vnet_interrupts(v);
	sent = v->tx_starved && vq_irq_on(&v->tx.q);
	return vq_irq_on(&v->rx.q) || sent;
}

static void vnet_disarm(struct nic *nic)
{
	struct vnet *v = container_of(nic, struct vnet, nic);

	if (v->dead)
		return;
	vq_irq_off(&v->tx.q);
	if (!v->vdev->irq_stays)
		vq_irq_off(&v->rx.q);
	vnet_interrupts(v);
}

static const struct nic_ops vnet_ops = {
	.tx_reserve = vnet_tx_reserve,
	.tx_commit = vnet_tx_commit,
	.tx_kick = vnet_tx_kick,
	.rx_return = vnet_rx_return,
	.rx_free = vnet_rx_free,
	.poll = vnet_poll,
	.arm = vnet_arm,
	.disarm = vnet_disarm,
};

#define POLL_BUDGET 64

static unsigned poller_poll(struct device_poller *p)
{
	return vnet_look(container_of(p, struct vnet, poller), POLL_BUDGET);
}

static void poller_flush(struct device_poller *p)
{
	vnet_tx_kick(&container_of(p, struct vnet, poller)->nic);
}

static bool poller_arm(struct device_poller *p)
{
	return vnet_arm(&container_of(p, struct vnet, poller)->nic);
}

static void poller_disarm(struct device_poller *p)
{
	vnet_disarm(&container_of(p, struct vnet, poller)->nic);
}

/* ---- finding out what the device is ---------------------------------------------------------- */

static bool vnet_queue_init(struct vnet *v, struct vnet_queue *s, uint16_t index)
{
	uint16_t size = vdev_queue_size(v->vdev, index, QUEUE_SIZE);

	if (size < 4)
		return false;
	vq_init(&s->q, frames_boot_alloc(vq_bytes(size)), size);
	s->buffers = frames_boot_alloc((size_t)size << BUFFER_SHIFT);
	return true;
}

static void vnet_describe(struct vnet *v)
{
	struct nic *n = &v->nic;
	uint16_t mtu = MTU_DEFAULT;

	if (v->vdev->features & F_MTU)
		vdev_config(v->vdev, CONFIG_MTU, &mtu, sizeof(mtu));
	n->mtu = (uint16_t)min_of(max_of(mtu, 576u), MTU_MAX);
	if (v->vdev->features & F_MAC) {
		vdev_config(v->vdev, CONFIG_MAC, n->mac, sizeof(n->mac));
	} else {
		random_bytes(n->mac, sizeof(n->mac));
		/* locally administered, not a group */
		n->mac[0] = (uint8_t)((n->mac[0] & 0xfe) | 2);
	}
	n->ops = &vnet_ops;
	n->core = v->vdev->core;
	n->driver = v;
}

int vnet_probe(struct vdev *vdev, uint32_t core)
{
	struct vnet *v = frames_boot_alloc(sizeof(*v));
	const uint8_t *mac = v->nic.mac;

	v->vdev = vdev;
	if (vdev_negotiate(vdev, FEATURES, 0))
		return -ENODEV;
	if (!vnet_queue_init(v, &v->rx, QUEUE_RX) || !vnet_queue_init(v, &v->tx, QUEUE_TX) ||
	    vdev_route(vdev, core)) {
		kprint("virtio: nic at %#llx refused: a queue is too short or its interrupt leads "
		       "nowhere\n",
		       (unsigned long long)vdev->base);
		vdev_fail(vdev);
		return -ENODEV;
	}
	vnet_describe(v);
	memset(v->rx.with_device, 1, v->rx.q.size);
	if (vnet_start(v)) {
		vdev_fail(vdev);
		return -EIO;
	}
	nic_add(&v->nic);
	v->poller = (struct device_poller){.poll = poller_poll,
					   .flush = poller_flush,
					   .arm = poller_arm,
					   .disarm = poller_disarm};
	device_poller_add(core, &v->poller);
	kprint("nic: virtio, %02x:%02x:%02x:%02x:%02x:%02x, mtu %u, core %u\n", mac[0], mac[1],
	       mac[2], mac[3], mac[4], mac[5], v->nic.mtu, core);
	return 0;
}
