/*
 * serial: a serial port that programs use as a stream of bytes: what its driver and its file
 * (fs/serialfile.c) share.
 *
 *   device --driver's poll--> input ring --serial_take--> reader
 *   writer --serial_give--> output ring --driver's poll--> device
 *
 * One owner core per port: it alone touches rings and device. A port is the console's, a file's, or
 * a program's that drives the device itself (claimed); never two of them at a time.
 */
#ifndef DRIVERS_SERIAL_H
#define DRIVERS_SERIAL_H

#include "drivers/drivers.h"

#define SERIAL_PORTS_MAX 4u
#define SERIAL_RING_BYTES 4096u /* power of two */

struct serial_ring {
	char *bytes;
	uint32_t head, tail; /* bytes ever taken out, ever put in */
};

struct serial_port {
	/* set once at boot */
	const char *name;   /* as a stream, below /dev: "ttyS0" */
	const char *device; /* as a device to be claimed: "uart0" */
	uint32_t core;	  /* index of the owner */
	paddr_t base;	  /* page of its registers */
	uint32_t irq;	  /* interrupt source; 0: none */
	/* Starts or stops taking input; output moves as long as there is any. Owner core. */
	void (*listen)(struct serial_port *p, bool on);
	/* A program drove the device and has let go of it: quiet, its interrupt ours again. Owner
	 * core. */
	void (*reclaim)(struct serial_port *p);
	/* Is it the console now? Any core. */
	bool (*is_console)(struct serial_port *p);

	/* any core, atomic: open files, or SERIAL_CLAIMED; changed by compare-and-swap */
	_Atomic uint32_t use;

	/* owner core only */
	struct serial_ring in, out;
	/* bytes that found no room in `in`, or that the device reported as overrun */
	uint64_t lost;
};

#define SERIAL_CLAIMED UINT32_MAX /* a program drives the device itself */

/* Makes the port known under its name; its rings are allocated here. Boot core. */
void serial_attach(struct serial_port *p);
/* NULL if there is no such port. Any core. */
struct serial_port *serial_find(const char *name);
/* Port `i`, NULL past the last. Any core. */
struct serial_port *serial_port(unsigned i);

static inline uint32_t serial_count(const struct serial_ring *r)
{
	return r->tail - r->head;
}
static inline uint32_t serial_room(const struct serial_ring *r)
{
	return SERIAL_RING_BYTES - serial_count(r);
}
/* The longest run of bytes (of room) that lies in one piece; its length through *len. Owner
 * core. */
const char *serial_bytes(const struct serial_ring *r, uint32_t *len);
char *serial_space(const struct serial_ring *r, uint32_t *len);

/* Set once at boot by fs/: bytes came or went; readers and writers are to look again. Owner
 * core. */
extern void (*serial_changed)(struct serial_port *p);

#endif
