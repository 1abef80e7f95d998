/*
 * drivers: finding the machine's devices and polling them. drivers/virtio (with
 * drivers/virtio/probe.c) fulfils this on riscv64, drivers/hosted on the hosted machine.
 */
#ifndef DRIVERS_DRIVERS_H
#define DRIVERS_DRIVERS_H

#include "cores/core.h"

/* Finds and starts every device; disks go to the first ROLE_IO core, NICs to the first ROLE_NET
 * core, the console to the first core that serves; their interrupts are routed there. Sets
 * PART_DEVICES of the owners (devices other than NICs are polled by it; NICs too: net's own work
 * follows from rx()). Boot core, before the other cores run. Prints one line per device, and a
 * sentence for each that is refused. */
void drivers_init(void);

/* Console input: bytes arrive on the console's owner core. Set once at boot by fs/. Ctrl-X (0x18)
 * is given to console_attention instead. */
extern void (*console_input)(const char *bytes, size_t len);
extern void (*console_attention)(void); /* ask for shutdown */
/* Any core: writes to the console device; bounded buffering, blocks by spinning on the device only
 * when the buffer is full. */
void console_write(const char *text, size_t len);

/* Random bytes: virtio-rng (or host) when there, mixed into a ChaCha-like pool seeded by
 * arch_entropy. Any core, never parks. */
void random_bytes(void *dst, size_t len);
/* `len` bytes that follow from `key` (of random_bytes, used once) and nothing else: computes only,
 * so it may stand in a window (sched/preempt.h). */
#define RANDOM_KEY_WORDS 8
void random_expand(const uint32_t key[RANDOM_KEY_WORDS], void *dst, size_t len);

/* Parts registered by drivers: polled in their core's PART_DEVICES, flushed in its PART_FLUSH, in
 * the order they were added. */
struct device_poller {
	struct device_poller *next, *next_flush;
	unsigned (*poll)(struct device_poller *p);
	/* tells the device what was queued in this turn; may be NULL */
	void (*flush)(struct device_poller *p);
	bool (*arm)(struct device_poller *p);    /* may be NULL */
	void (*disarm)(struct device_poller *p); /* may be NULL */
};
void device_poller_add(unsigned core, struct device_poller *p); /* boot */

#endif
