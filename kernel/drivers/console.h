/*
 * console: what a console device is to the rest of the drivers, and the buffer that stands before
 * it.
 *
 *   console_write --> ring buffer --> console_drain, by the owner core's poller --> device
 *   kprint -----------^ (drained at once: what the kernel says is out before kprint returns)
 *
 * One console per machine. The buffer and the device are behind one short spinlock, which no
 * interrupt can extend since the kernel runs with interrupts disabled.
 */
#ifndef DRIVERS_CONSOLE_H
#define DRIVERS_CONSOLE_H

#include "drivers/drivers.h"

struct console_dev {
	const char *name;
	uint32_t core; /* owner: polls the device, gets its input */
	/* Takes what fits without waiting and returns how many bytes that was. Any core, under the
	 * console's lock. */
	size_t (*write)(struct console_dev *d, const char *text, size_t len);
};

/* From here on console_write and kprint go to this device. Boot core; a later one replaces an
 * earlier one. */
void console_attach(struct console_dev *d);
/* The device in use, NULL before the first console_attach. */
struct console_dev *console_device(void);

/* Moves buffered bytes to the device as far as it takes them; returns how many. Owner core (its
 * poller). */
unsigned console_drain(void);
/* Bytes ever taken out of the buffer, ever put in; console.c's own. */
extern _Atomic uint32_t console_taken, console_put;

/* Is anything still in the buffer? A hint to other cores; exact on the owner core after a full
 * fence. */
static inline bool console_has_output(void)
{
	return atomic_load_explicit(&console_put, memory_order_relaxed) !=
	       atomic_load_explicit(&console_taken, memory_order_relaxed);
}

/* Input from the device, on the owner core: Ctrl-X goes to console_attention, the rest to
 * console_input. */
void console_take(const char *bytes, size_t len);

#endif
