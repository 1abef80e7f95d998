/*
 * What does the virtio network driver do with a device that works, and with one that lies?
 *
 * The driver and its queues are the kernel's own sources; the transport is played by this file: an
 * interface that delivers what it is told to, keeps what it is sent, and lies on demand.
 */
#include "lib/unit.h"

#include "drivers/virtio/queue.c"

#include "drivers/virtio/net.c"

/* ---- the device ------------------------------------------------------------------------------ */

static struct {
	struct vq *q[2];
	uint16_t seen[2], used[2];
	uint32_t doorbell;
	unsigned starts;
	bool failed;
	uint16_t held[2][256]; /* buffers the device has */
	unsigned held_count[2];
	char sent[256][1600]; /* frames it was given, by order */
	uint32_t sent_len[256];
	unsigned sent_count;
} dev;

int vdev_route(struct vdev *v, uint32_t core)
{
	v->core = core;
	return 0;
}

int vdev_negotiate(struct vdev *v, uint64_t wanted, uint64_t needed)
{
	(void)needed;
	v->features = (F_MAC | VIRTIO_F_EVENT_IDX) & wanted;
	memset(dev.held_count, 0, sizeof(dev.held_count));
	memset(dev.seen, 0, sizeof(dev.seen));
	memset(dev.used, 0, sizeof(dev.used));
	return 0;
}

uint32_t vdev_queue_max(struct vdev *v, uint16_t index)
{
	(void)v;
	return index < 2 ? 256 : 0;
}

int vdev_queue_start(struct vdev *v, uint16_t index, struct vq *q)
{
	(void)v;
	q->index = index;
	q->doorbell = &dev.doorbell;
	q->event_idx = true;
	vq_irq_off(q);
	dev.q[index] = q;
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
	return 0;
}

uint32_t vdev_interrupts(struct vdev *v)
{
	(void)v;
	return 0;
}

void vdev_config(struct vdev *v, uint32_t off, void *dst, uint32_t len)
{
	(void)v;
	assert_int_equal(off, CONFIG_MAC);
	memcpy(dst, "\x52\x54\0\0\0\1", len);
}

/* Takes what was published on queue `i`. */
static void dev_take(unsigned i)
{
	struct vq *q = dev.q[i];

	while (dev.seen[i] != q->avail->idx)
		dev.held[i][dev.held_count[i]++] = q->avail->ring[dev.seen[i]++ & q->mask];
	*avail_event(q) = dev.seen[i];
}

static void dev_put_used(unsigned i, uint32_t id, uint32_t len)
{
	dev.q[i]->used->ring[dev.used[i]++ & dev.q[i]->mask] = (struct vq_used_elem){ id, len };
	dev.q[i]->used->idx = dev.used[i];
}

static uint16_t dev_pick(unsigned i)
{
	unsigned k = (unsigned)(unit_random() % dev.held_count[i]);
	uint16_t id = dev.held[i][k];

	dev.held[i][k] = dev.held[i][--dev.held_count[i]];
	return id;
}

/* A frame arrives; false when the driver has given no buffer for it. */
static bool dev_deliver(const char *frame, uint32_t len)
{
	uint16_t id;
	char *at;

	dev_take(QUEUE_RX);
	if (!dev.held_count[QUEUE_RX])
		return false;
	id = dev_pick(QUEUE_RX);
	assert_true(dev.q[0]->desc[id].rest >> 32 & VQ_WRITE);
	assert_true((uint32_t)dev.q[0]->desc[id].rest >= 12 + len);
	at = arch_direct(dev.q[0]->desc[id].addr);
	memset(at, 0, 12);
	memcpy(at + 12, frame, len);
	dev_put_used(QUEUE_RX, id, 12 + len);
	return true;
}

/* Sends everything it was given, in order, and gives the buffers back in any order. */
static void dev_send(void)
{
	dev_take(QUEUE_TX);
	for (unsigned k = 0; k < dev.held_count[QUEUE_TX]; k++) {
		uint16_t id = dev.held[QUEUE_TX][k];
		uint32_t len = (uint32_t)dev.q[1]->desc[id].rest - 12;
		const char *at = arch_direct(dev.q[1]->desc[id].addr), zero[12] = { 0 };

		assert_memory_equal(at, zero, 12);
		assert_true(len <= 1600);
		memcpy(dev.sent[dev.sent_count % 256], at + 12, len);
		dev.sent_len[dev.sent_count++ % 256] = len;
	}
	while (dev.held_count[QUEUE_TX])
		dev_put_used(QUEUE_TX, dev_pick(QUEUE_TX), 0);
}

/* ---- the stack ------------------------------------------------------------------------------- */

static struct nic *nic;
static struct vnet *driver;
static unsigned received, rooms;
static char last[2048];
static uint32_t last_len;
static bool keep;
static void *kept[512];
static unsigned kept_count;

static bool stack_rx(struct nic *n, void *buf, uint8_t *frame, uint32_t len)
{
	(void)n;
	received++;
	memcpy(last, frame, len);
	last_len = len;
	assert_int_equal((uintptr_t)(frame + 14) % 8, 0);
	if (keep)
		kept[kept_count++] = buf;
	return keep;
}

static void stack_room(struct nic *n)
{
	(void)n;
	rooms++;
}

static void stack_send(const char *frame, uint32_t len)
{
	void *to = nic->ops->tx_reserve(nic);

	assert_non_null(to);
	assert_ptr_equal(nic->ops->tx_reserve(nic), to);
	memcpy(to, frame, len);
	nic->ops->tx_commit(nic, len);
}

static int probe(void **state)
{
	struct vdev *slot = frames_boot_alloc(sizeof(*slot));

	(void)state;
	memset(&dev, 0, sizeof(dev));
	nic_count = 0;
	received = rooms = kept_count = 0;
	keep = false;
	if (vnet_probe(slot, 0))
		return -1;
	nic = nics[0];
	driver = container_of(nic, struct vnet, nic);
	nic->rx = stack_rx;
	nic->tx_room = stack_room;
	return 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* Do frames of all lengths go through unchanged, both ways, past the wrap of the indices? */
static void frames_pass(void **state)
{
	char frame[1514];

	(void)state;
	for (unsigned i = 0; i < 70000; i++) {
		uint32_t len = 14 + (uint32_t)(unit_random() % 1501);

		memset(frame, (int)i, len);
		if (i % 2) {
			stack_send(frame, len);
			nic->ops->tx_kick(nic);
			dev_send();
			assert_int_equal(dev.sent_len[(dev.sent_count - 1) % 256], len);
			assert_memory_equal(dev.sent[(dev.sent_count - 1) % 256], frame, len);
		} else {
			assert_true(dev_deliver(frame, len));
			nic->ops->poll(nic, 64);
			assert_int_equal(last_len, len);
			assert_memory_equal(last, frame, len);
			nic->ops->tx_kick(nic);
		}
	}
	assert_int_equal(received, 35000);
	assert_int_equal(dev.sent_count, 35000);
	assert_int_equal(dev.starts, 1);
}

/* Do frames leave in the order they were committed? */
static void order_is_kept(void **state)
{
	char frame[60] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		frame[20] = (char)i;
		stack_send(frame, sizeof(frame));
	}
	nic->ops->tx_kick(nic);
	dev_send();
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal((uint8_t)dev.sent[i][20], i);
}

/* When every send buffer is out, is that said, and is there a call when one is back? */
static void sending_runs_out(void **state)
{
	char frame[60] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 256; i++)
		stack_send(frame, sizeof(frame));
	assert_null(nic->ops->tx_reserve(nic));
	nic->ops->tx_kick(nic);
	assert_false(nic->ops->arm(nic));
	assert_int_equal(*used_event(&driver->tx.q), driver->tx.q.taken);
	nic->ops->disarm(nic);
	dev_send();
	assert_true(nic->ops->arm(nic));
	nic->ops->disarm(nic);
	assert_int_equal(rooms, 0);
	nic->ops->poll(nic, 64);
	assert_int_equal(rooms, 1);
	stack_send(frame, sizeof(frame));
	assert_int_equal(driver->tx_free_count, 255);
}

/* Are kept buffers not the device's until they are returned? */
static void receiving_runs_out(void **state)
{
	char frame[60] = { 0 };

	(void)state;
	keep = true;
	for (unsigned i = 0; i < 256; i++) {
		assert_true(dev_deliver(frame, sizeof(frame)));
		nic->ops->poll(nic, 64);
		nic->ops->tx_kick(nic);
	}
	assert_int_equal(kept_count, 256);
	assert_int_equal(nic->ops->rx_free(nic), 0);
	assert_false(dev_deliver(frame, sizeof(frame)));
	while (kept_count)
		nic->ops->rx_return(nic, kept[--kept_count]);
	nic->ops->tx_kick(nic);
	assert_int_equal(nic->ops->rx_free(nic), 256);
	assert_true(dev_deliver(frame, sizeof(frame)));
}

/* Is a runt dropped without anybody seeing it? */
static void runts_are_dropped(void **state)
{
	(void)state;
	assert_true(dev_deliver("short", 5));
	nic->ops->poll(nic, 64);
	assert_int_equal(received, 0);
	assert_int_equal(nic->ops->rx_free(nic), 256);
	assert_int_equal(dev.starts, 1);
}

enum lie {
	RX_ID,
	RX_ID_FAR,
	RX_TWICE,
	RX_LONG,
	RX_SHORT,
	RX_COUNT,
	TX_ID,
	TX_ID_FAR,
	TX_TWICE,
	TX_COUNT,
	LIES
};

static void dev_lie(enum lie lie)
{
	uint16_t id;

	dev_take(QUEUE_RX);
	dev_take(QUEUE_TX);
	switch (lie) {
	case RX_ID:
		/* a buffer that the stack keeps */
		dev_put_used(QUEUE_RX,
			     (uint32_t)(((char *)kept[0] - driver->rx.buffers) >> BUFFER_SHIFT),
			     100);
		return;
	case RX_ID_FAR:
		dev_put_used(QUEUE_RX, 0x80000000u, 100);
		return;
	case RX_TWICE:
		keep = true;
		id = dev_pick(QUEUE_RX);
		dev_put_used(QUEUE_RX, id, 100);
		dev_put_used(QUEUE_RX, id, 100);
		return;
	case RX_LONG:
		dev_put_used(QUEUE_RX, dev_pick(QUEUE_RX), 4000);
		return;
	case RX_SHORT:
		dev_put_used(QUEUE_RX, dev_pick(QUEUE_RX), 3);
		return;
	case RX_COUNT:
		dev.q[QUEUE_RX]->used->idx = (uint16_t)(dev.used[QUEUE_RX] + 1000);
		return;
	case TX_ID:
		dev_put_used(QUEUE_TX, driver->tx_free[0], 0);
		return;
	case TX_ID_FAR:
		dev_put_used(QUEUE_TX, 99999, 0);
		return;
	case TX_TWICE:
		id = dev_pick(QUEUE_TX);
		dev_put_used(QUEUE_TX, id, 0);
		dev_put_used(QUEUE_TX, id, 0);
		return;
	case TX_COUNT:
		dev.q[QUEUE_TX]->used->idx = (uint16_t)(dev.used[QUEUE_TX] + 1000);
		return;
	case LIES:
		return;
	}
}

/* Does each lie start the device over, with every buffer accounted for and the interface usable? */
static void lies_start_it_over(void **state)
{
	char frame[60] = { 0 };

	for (enum lie lie = 0; lie < LIES; lie++) {
		unsigned mine;

		probe(state);
		keep = true;
		for (unsigned i = 0; i < 10; i++)
			assert_true(dev_deliver(frame, sizeof(frame)));
		nic->ops->poll(nic, 64);
		keep = false;
		for (unsigned i = 0; i < 10; i++)
			stack_send(frame, sizeof(frame));
		nic->ops->tx_kick(nic);
		dev_lie(lie);
		nic->ops->poll(nic, 64);
		assert_int_equal(dev.starts, 2);
		mine = kept_count;
		assert_in_range(mine, 10, 11);
		assert_int_equal(nic->ops->rx_free(nic), 256 - mine);
		assert_int_equal(driver->tx_free_count, 256);
		keep = false;
		while (kept_count)
			nic->ops->rx_return(nic, kept[--kept_count]);
		nic->ops->tx_kick(nic);
		received = 0;
		assert_true(dev_deliver(frame, sizeof(frame)));
		stack_send(frame, sizeof(frame));
		nic->ops->tx_kick(nic);
		dev_send();
		nic->ops->poll(nic, 64);
		assert_int_equal(received, 1);
		assert_int_equal(dev.starts, 2);
		assert_int_equal(nic->ops->rx_free(nic), 256);
	}
}

/* Is a device that does nothing but lie given up, and its silence survived? */
static void liar_is_given_up(void **state)
{
	char frame[60] = { 0 };
	void *to;

	(void)state;
	for (unsigned i = 0; i < LIES_MAX; i++) {
		assert_false(driver->dead);
		dev_lie(RX_LONG);
		nic->ops->poll(nic, 64);
	}
	assert_true(driver->dead && dev.failed);
	assert_int_equal(nic->ops->poll(nic, 64), 0);
	assert_false(nic->ops->arm(nic));
	to = nic->ops->tx_reserve(nic);
	assert_null(to);
	nic->ops->tx_commit(nic, sizeof(frame));
	nic->ops->tx_kick(nic);
}

static int setup(void **state)
{
	(void)state;
	unit_kernel(64, 2, "map=0:kernel+io+net,1:user");
	return 0;
}

#define nic_test(f) cmocka_unit_test_setup(f, probe)

int main(void)
{
	const struct CMUnitTest tests[] = {
		nic_test(frames_pass),       nic_test(order_is_kept),
		nic_test(sending_runs_out),  nic_test(receiving_runs_out),
		nic_test(runts_are_dropped), cmocka_unit_test(lies_start_it_over),
		nic_test(liar_is_given_up),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
