/*
 * nic: a network interface whose other end is libslirp, the user-mode network that QEMU has too:
 * gateway 10.0.2.2, name server 10.0.2.3, this machine 10.0.2.15 by DHCP; fec0::/64 by router
 * advertisement. Host ports forwarded with -hostfwd listen on 127.0.0.1.
 *
 *   owner core: tx_reserve, tx_commit, tx_kick --> tx ring --> the network's thread: slirp_input
 *   owner core: poll, rx --------------------- <-- rx ring <-- send_packet
 *                    rx_return, or at once --> free ring --> (next send_packet)
 *
 * Each ring has one producer and one consumer; indices only grow. The thread sleeps in poll(2) and
 * is woken by an eventfd; the core by its doorbell.
 */
#include "drivers/nic.h"

#include <errno.h>
#include <fcntl.h>
#include <libslirp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "arch/hosted/hosted.h"
#include "base/panic.h"
#include "base/print.h"
#include "drivers/hosted/hosted_drivers.h"

#define NIC_SLOTS 1024u /* power of two, each direction */
#define NIC_MTU 1500u
#define FRAME_BYTES 2048u
#define POLL_MAX 4096u /* above all connections the guest can have, lwIP's pools: 1,300 and 128 */

struct frame {
	uint32_t len;
	uint8_t unused[6]; /* as drivers/nic.h wants frames to lie */
	uint8_t bytes[FRAME_BYTES - 10];
};
_Static_assert(sizeof(struct frame) == FRAME_BYTES, "frame slots are 2 KiB");

static struct {
	struct nic nic;
	struct device_poller poller;
	Slirp *slirp;
	int wake_fd;

	/* owner core stores */
	_Atomic uint32_t tx_tail __attribute__((aligned(CACHE_LINE))); /* published by tx_kick */
	_Atomic uint32_t rx_head;
	_Atomic uint32_t free_tail;
	uint32_t tx_next; /* committed, not yet published */
	bool tx_was_full;
	uint32_t drops_seen;

	/* the network's thread stores */
	_Atomic uint32_t tx_head __attribute__((aligned(CACHE_LINE)));
	_Atomic uint32_t rx_tail;
	_Atomic uint32_t free_head;
	_Atomic uint32_t drops;
	_Atomic uint32_t asleep; /* in poll(2), or about to be: pairs with tx_kick */
	bool ring_bell;		 /* something was received since the last doorbell */

	/* the thread's own */
	struct pollfd fds[POLL_MAX];
	unsigned fd_count;
	int64_t ra_expire_ms; /* INT64_MAX: the router-advertisement timer is off */
	SlirpTimerId ra_id;
	void *ra_opaque;

	uint16_t rx_ring[NIC_SLOTS], free_ring[NIC_SLOTS];
	struct frame tx[NIC_SLOTS], rx[NIC_SLOTS];
} net;

#define slot(i) ((i) & (NIC_SLOTS - 1))

/* ---- owner core ------------------------------------------------------------------------------ */

static void *nic_tx_reserve(struct nic *n)
{
	(void)n;
	if (net.tx_next - atomic_load_explicit(&net.tx_head, memory_order_acquire) == NIC_SLOTS) {
		net.tx_was_full = true;
		return NULL;
	}
	return net.tx[slot(net.tx_next)].bytes;
}

static void nic_tx_commit(struct nic *n, uint32_t len)
{
	(void)n;
	kassert(len <= sizeof(net.tx[0].bytes));
	net.tx[slot(net.tx_next)].len = len;
	net.tx_next++;
	this_core()->count->nic_tx++;
}

static void net_wake(void)
{
	uint64_t one = 1;

	if (atomic_exchange(&net.asleep, 0) && write(net.wake_fd, &one, sizeof(one)) < 0)
		panic("nic: eventfd: errno %d", errno);
}

static void nic_tx_kick(struct nic *n)
{
	(void)n;
	if (net.tx_next == atomic_load_explicit(&net.tx_tail, memory_order_relaxed))
		return;
	/* pairs with net_send_all */
	atomic_store_explicit(&net.tx_tail, net.tx_next, memory_order_release);
	/* our tail, then its `asleep` */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&net.asleep, memory_order_relaxed)) {
		this_core()->count->nic_kicks++;
		net_wake();
	}
}

static void rx_free_push(uint16_t index)
{
	uint32_t tail = atomic_load_explicit(&net.free_tail, memory_order_relaxed);

	net.free_ring[slot(tail)] = index;
	/* pairs with net_send_packet */
	atomic_store_explicit(&net.free_tail, tail + 1, memory_order_release);
}

static void nic_rx_return(struct nic *n, void *buf)
{
	(void)n;
	rx_free_push((uint16_t)((struct frame *)buf - net.rx));
}

static uint32_t nic_rx_free(struct nic *n)
{
	(void)n;
	return atomic_load_explicit(&net.free_tail, memory_order_relaxed) -
	       atomic_load_explicit(&net.free_head, memory_order_relaxed);
}

static unsigned nic_poll(struct nic *n, unsigned budget)
{
	/* pairs with net_send_packet */
	uint32_t tail = atomic_load_explicit(&net.rx_tail, memory_order_acquire);
	uint32_t head = atomic_load_explicit(&net.rx_head, memory_order_relaxed);
	uint32_t drops = atomic_load_explicit(&net.drops, memory_order_relaxed);
	struct counters *count = this_core()->count;
	unsigned done = 0;

	for (; head != tail && done < budget; done++) {
		uint16_t index = net.rx_ring[slot(head)];
		struct frame *f = &net.rx[index];

		atomic_store_explicit(&net.rx_head, ++head, memory_order_relaxed);
		if (!n->rx || !n->rx(n, f, f->bytes, f->len))
			rx_free_push(index);
	}
	count->nic_rx += done;
	count->nic_drops += drops - net.drops_seen;
	net.drops_seen = drops;
	if (unlikely(net.tx_was_full) &&
	    net.tx_next - atomic_load_explicit(&net.tx_head, memory_order_acquire) < NIC_SLOTS) {
		net.tx_was_full = false;
		if (n->tx_room)
			n->tx_room(n);
		done++;
	}
	return done;
}

static bool nic_arm(struct nic *n)
{
	(void)n;
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(&net.rx_tail, memory_order_relaxed) !=
		       atomic_load_explicit(&net.rx_head, memory_order_relaxed) ||
	       (net.tx_was_full &&
		net.tx_next - atomic_load_explicit(&net.tx_head, memory_order_relaxed) < NIC_SLOTS);
}

static void nic_disarm(struct nic *n)
{
	/* doorbells are remembered and cost nothing while the core is awake */
	(void)n;
}

static const struct nic_ops nic_ops = {
	.tx_reserve = nic_tx_reserve,
	.tx_commit = nic_tx_commit,
	.tx_kick = nic_tx_kick,
	.rx_return = nic_rx_return,
	.rx_free = nic_rx_free,
	.poll = nic_poll,
	.arm = nic_arm,
	.disarm = nic_disarm,
};

#define POLL_BUDGET 64u

static unsigned nic_poller_poll(struct device_poller *p)
{
	(void)p;
	return nic_poll(&net.nic, POLL_BUDGET);
}

static void nic_poller_flush(struct device_poller *p)
{
	(void)p;
	nic_tx_kick(&net.nic);
}

static bool nic_poller_arm(struct device_poller *p)
{
	(void)p;
	return nic_arm(&net.nic);
}

/* ---- what libslirp calls, on the network's thread -------------------------------------------- */

static ssize_t net_send_packet(const void *buf, size_t len, void *opaque)
{
	uint32_t head = atomic_load_explicit(&net.free_head, memory_order_relaxed);
	uint32_t tail = atomic_load_explicit(&net.rx_tail, memory_order_relaxed);
	uint16_t index;

	(void)opaque;
	if (len > sizeof(net.rx[0].bytes) ||
	    head == atomic_load_explicit(&net.free_tail, memory_order_acquire)) {
		atomic_fetch_add_explicit(&net.drops, 1, memory_order_relaxed);
		return (ssize_t)len; /* as a wire would: TCP sends it again */
	}
	index = net.free_ring[slot(head)];
	atomic_store_explicit(&net.free_head, head + 1, memory_order_relaxed);
	memcpy(net.rx[index].bytes, buf, len);
	net.rx[index].len = (uint32_t)len;
	net.rx_ring[slot(tail)] = index;
	atomic_store_explicit(&net.rx_tail, tail + 1, memory_order_release);
	net.ring_bell = true;
	return (ssize_t)len;
}

static void net_guest_error(const char *msg, void *opaque)
{
	(void)msg; /* about frames of ours that it refused; net/ sees the loss by itself */
	(void)opaque;
}

static int64_t net_clock_ns(void *opaque)
{
	struct timespec t;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *net_timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
	(void)opaque;
	net.ra_id = id;
	net.ra_opaque = cb_opaque;
	net.ra_expire_ms = INT64_MAX;
	return &net.ra_expire_ms;
}

static void net_timer_free(void *timer, void *opaque)
{
	(void)opaque;
	*(int64_t *)timer = INT64_MAX;
}

static void net_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
	(void)opaque;
	*(int64_t *)timer = expire_ms;
}

static void net_poll_fd(int fd, void *opaque)
{
	(void)fd; /* the list is made anew before every poll(2) */
	(void)opaque;
}

static void net_notify(void *opaque)
{
	/* only ever called on this thread, which looks at everything before it sleeps */
	(void)opaque;
}

static const SlirpCb net_callbacks = {
	.send_packet = net_send_packet,
	.guest_error = net_guest_error,
	.clock_get_ns = net_clock_ns,
	.timer_free = net_timer_free,
	.timer_mod = net_timer_mod,
	.register_poll_fd = net_poll_fd,
	.unregister_poll_fd = net_poll_fd,
	.notify = net_notify,
	.timer_new_opaque = net_timer_new,
};

/* ---- the network's thread -------------------------------------------------------------------- */

static const struct {
	int slirp;
	short host;
} poll_bits[] = {
	{ SLIRP_POLL_IN, POLLIN },   { SLIRP_POLL_OUT, POLLOUT }, { SLIRP_POLL_PRI, POLLPRI },
	{ SLIRP_POLL_ERR, POLLERR }, { SLIRP_POLL_HUP, POLLHUP },
};

static int net_add_poll(int fd, int events, void *opaque)
{
	struct pollfd *p = &net.fds[net.fd_count];

	(void)opaque;
	if (net.fd_count == POLL_MAX)
		return -1;
	*p = (struct pollfd){ .fd = fd };
	for (unsigned i = 0; i < array_count(poll_bits); i++)
		if (events & poll_bits[i].slirp)
			p->events |= poll_bits[i].host;
	return (int)net.fd_count++;
}

static int net_get_revents(int index, void *opaque)
{
	int events = 0;

	(void)opaque;
	for (unsigned i = 0; index >= 0 && i < array_count(poll_bits); i++)
		if (net.fds[index].revents & poll_bits[i].host)
			events |= poll_bits[i].slirp;
	return events;
}

/* Pairs with nic_tx_kick. Returns whether there was anything. */
static bool net_send_all(void)
{
	uint32_t tail = atomic_load_explicit(&net.tx_tail, memory_order_acquire);
	uint32_t head = atomic_load_explicit(&net.tx_head, memory_order_relaxed);
	bool was_full = tail - head == NIC_SLOTS, any = head != tail;

	for (; head != tail; head++) {
		struct frame *f = &net.tx[slot(head)];

		slirp_input(net.slirp, f->bytes, (int)f->len);
		atomic_store_explicit(&net.tx_head, head + 1, memory_order_release);
	}
	net.ring_bell |= was_full;
	return any;
}

static void net_ring_bell(void)
{
	if (!net.ring_bell)
		return;
	net.ring_bell = false;
	arch_doorbell(net.nic.core);
}

static void net_wait(void)
{
	int64_t now_ms = net_clock_ns(NULL) / 1000000;
	uint32_t wait_ms = 60000;
	uint64_t count;
	int n;

	if (net.ra_expire_ms != INT64_MAX)
		wait_ms = net.ra_expire_ms > now_ms
				  ? (uint32_t)min_of(net.ra_expire_ms - now_ms, 60000)
				  : 0;
	net.fds[0] = (struct pollfd){ .fd = net.wake_fd, .events = POLLIN };
	net.fd_count = 1;
	slirp_pollfds_fill(net.slirp, &wait_ms, net_add_poll, NULL);

	atomic_store(&net.asleep, 1); /* pairs with nic_tx_kick: our `asleep`, then its tail */
	if (atomic_load(&net.tx_tail) != atomic_load_explicit(&net.tx_head, memory_order_relaxed))
		wait_ms = 0;
	n = poll(net.fds, net.fd_count, (int)wait_ms);
	atomic_store(&net.asleep, 0);
	if (n > 0 && net.fds[0].revents && read(net.wake_fd, &count, sizeof(count)) < 0 &&
	    errno != EAGAIN)
		panic("nic: eventfd: errno %d", errno);
	slirp_pollfds_poll(net.slirp, n < 0, net_get_revents, NULL);
	if (net.ra_expire_ms <= net_clock_ns(NULL) / 1000000) {
		net.ra_expire_ms = INT64_MAX;
		slirp_handle_timer(net.slirp, net.ra_id, net.ra_opaque);
	}
}

static void *net_thread(void *arg)
{
	(void)arg;
	for (;;) {
		net_wait();
		net_ring_bell();
		while (net_send_all())
			net_ring_bell();
	}
	return NULL;
}

/* ---- start ----------------------------------------------------------------------------------- */

static void net_forward(const struct hosted_forward *f)
{
	struct in_addr host, guest;

	inet_pton(AF_INET, "127.0.0.1", &host);
	inet_pton(AF_INET, "10.0.2.15", &guest);
	if (!slirp_add_hostfwd(net.slirp, 0, host, f->host_port, guest, f->guest_port))
		return;
	fprintf(stderr, "sluice: port %u of 127.0.0.1 cannot be used: %s\n", f->host_port,
		strerror(errno));
	arch_poweroff(2);
}

void hosted_nic_init(unsigned core)
{
	/* the addresses of QEMU's user network, so that nothing else need know which machine this
	 * is */
	SlirpConfig c = { .version = 4,
			  .in_enabled = true,
			  .in6_enabled = true,
			  .vprefix_len = 64,
			  .vhostname = "sluice" };

	inet_pton(AF_INET, "10.0.2.0", &c.vnetwork);
	inet_pton(AF_INET, "255.255.255.0", &c.vnetmask);
	inet_pton(AF_INET, "10.0.2.2", &c.vhost);
	inet_pton(AF_INET, "10.0.2.15", &c.vdhcp_start);
	inet_pton(AF_INET, "10.0.2.3", &c.vnameserver);
	inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
	inet_pton(AF_INET6, "fec0::2", &c.vhost6);
	inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
	net.ra_expire_ms = INT64_MAX;
	net.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	net.slirp = slirp_new(&c, &net_callbacks, NULL);
	if (!net.slirp || net.wake_fd < 0) {
		fprintf(stderr, "sluice: the user-mode network does not start\n");
		arch_poweroff(2);
	}
	for (unsigned i = 0; i < hosted_options.forward_count; i++)
		net_forward(&hosted_options.forward[i]);
	for (unsigned i = 0; i < NIC_SLOTS; i++)
		rx_free_push((uint16_t)i);
	net.nic = (struct nic){
		.ops = &nic_ops,
		.mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 },
		.mtu = NIC_MTU,
		.core = core,
		/* frames come through memory, from a sender that computes them */
		.rx_csum_done = true,
		.driver = &net,
	};
	net.poller = (struct device_poller){ .poll = nic_poller_poll,
					     .flush = nic_poller_flush,
					     .arm = nic_poller_arm };
	nic_add(&net.nic);
	device_poller_add(core, &net.poller);
	hosted_thread_start("network", net_thread, NULL);
	kprint("nic0: user-mode network (libslirp %s), %u forwarded port%s, core %u\n",
	       slirp_version_string(), hosted_options.forward_count,
	       hosted_options.forward_count == 1 ? "" : "s", core);
}
