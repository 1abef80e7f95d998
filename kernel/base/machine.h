/*
 * machine: what the lowest floor needs from the floors above it, handed down as pointers, so that
 * print, panic and trace work on every machine, in unit tests, and before anything else does.
 *
 * Set once at boot, by kernel_main (and before that, as far as it can, by the machine itself); a
 * pointer that is NULL means "nobody is there yet", which every user below survives.
 */
#ifndef BASE_MACHINE_H
#define BASE_MACHINE_H

#include "base/types.h"

struct base_machine {
	/* Console of last resort: what kprint writes to until it has a sink, and what panic
	 * always uses. */
	void (*write)(const char *text, size_t len);
	nsec_t (*time_ns)(void);
	/* Index of the calling core, below CORES_MAX. */
	unsigned (*core_index)(void);
	void (*stop_others)(void);
	/* Ends the machine; must not return. */
	void (*end)(int status);
	/* One or more lines on what the calling core is doing, for the epitaph. Returns their
	 * length. */
	size_t (*describe)(char *buf, size_t size);
};

extern struct base_machine base_machine;

static inline nsec_t base_time_ns(void)
{
	return base_machine.time_ns ? base_machine.time_ns() : 0;
}

static inline unsigned base_core_index(void)
{
	return base_machine.core_index ? base_machine.core_index() : 0;
}

#endif
