/*
 * port: the ways to a serial port that uartd compares: one struct per way, opened once.
 *
 * Only coroutines call these; all may wait.
 */
#ifndef UARTD_PORT_H
#define UARTD_PORT_H

#include "libasync/async.h"

#define PORT_READ_MAX 256u

struct port {
	const char *name;
	/* 0, or -errno after a sentence on descriptor 1. */
	int (*open)(void);
	/* At least one byte and at most PORT_READ_MAX; or -errno. */
	int64_t (*read)(uint8_t *buf);
	/* All `len` bytes, on their way when it returns: len, or -errno. */
	int64_t (*write)(const uint8_t *buf, size_t len);
	/* Bytes that the device or the driver had to drop. */
	uint64_t (*lost)(void);
	void (*close)(void);
};

extern const struct port port_kernel; /* kernel.c: the kernel's driver, by reads and writes */
extern const struct port port_poll;   /* poll.c: a driver of our own that looks all the time */
/* uintr.c: one that the device interrupts, no kernel between */
extern const struct port port_uintr;

/* device.c: the port as a device that this program drives: claims it and shows its registers. What
 * both drivers of our own share. 0, or -errno after a sentence. */
int device_open(void);
/* Closes the claim: the kernel takes the device back. */
void device_close(void);
extern int device_fd; /* the claim */
extern uint64_t device_lost;

/* Bytes that the device has received, at most `max`; how many. Counts overruns. */
unsigned device_take(uint8_t *buf, unsigned max);
/* Gives it what its FIFO takes; how many that is, 0 while it is sending. */
unsigned device_give(const uint8_t *buf, size_t len);
/* Which interrupts it raises: DEVICE_INPUT, DEVICE_OUTPUT_EMPTY. */
void device_interrupts(uint8_t wanted);
/* Does it still ask for something? Asking takes back that its FIFO is empty. */
bool device_asks(void);
#define DEVICE_INPUT 1u
#define DEVICE_OUTPUT_EMPTY 2u

#endif
