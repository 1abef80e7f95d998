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

#endif
