/*
 * nic: what a network interface is to net/. Fulfilled by drivers/virtio/net.c and
 * drivers/hosted/nic.c.
 *
 * Owned by one core (a net core); every function here is called on it. Frames are whole Ethernet
 * frames without FCS. They lie, in both directions, two bytes behind a multiple of eight: an IPv4
 * header is then aligned to eight bytes, and so is the payload behind it and a TCP header.
 */
#ifndef DRIVERS_NIC_H
#define DRIVERS_NIC_H

#include "cores/core.h"

struct nic;

struct nic_ops {
	/* A transmit buffer of at least mtu + 14 bytes, or NULL when the device has none free
	 * (`tx_room` is called when it has again). Reserving twice without commit gives the same
	 * buffer. */
	void *(*tx_reserve)(struct nic *n);
	/* Sends `len` bytes of the reserved buffer. The doorbell may be delayed to the end of the
	 * turn (tx_kick). */
	void (*tx_commit)(struct nic *n, uint32_t len);
	/* Makes the device look, if anything was committed since the last kick. Called once at the
	 * end of the net part's turn. */
	void (*tx_kick)(struct nic *n);
	/* Returns a receive buffer that rx() kept. */
	void (*rx_return)(struct nic *n, void *buf);
	/* Receive buffers the device has right now; few left: copy instead of keeping. */
	uint32_t (*rx_free)(struct nic *n);
	/* Delivers what arrived through rx(), at most `budget` frames, and reaps sent buffers;
	 * returns how many frames and buffers. */
	unsigned (*poll)(struct nic *n, unsigned budget);
	/* Before sleep: ask for an interrupt on the next frame; returns true if one is already
	 * there. After: stop asking. */
	bool (*arm)(struct nic *n);
	void (*disarm)(struct nic *n);
};

struct nic {
	/* set once by the driver */
	const struct nic_ops *ops;
	uint8_t mac[6];
	uint16_t mtu;
	uint32_t core;
	bool rx_csum_done; /* the device has verified checksums */
	bool tx_csum_offload;
	void *driver;

	/* set once by net/ before the first poll. Returns true if it keeps `buf` (rx_return later);
	 * false: the driver reuses it at once. */
	bool (*rx)(struct nic *n, void *buf, uint8_t *frame, uint32_t len);
	void (*tx_room)(struct nic *n);
	void *net;
};

extern struct nic *nics[4]; /* set at boot */
extern unsigned nic_count;
void nic_add(struct nic *n);

#endif
