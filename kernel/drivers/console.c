/*
 * console: output of all cores, buffered before one device; input on its way to whoever reads. See
 * console.h.
 *
 * Any core writes; the device's owner core empties the buffer in its turn. A full buffer makes the
 * writer push bytes into the device itself, and a device that takes nothing for WRITE_NS_MAX loses
 * them: output never stops the kernel.
 */
#include "drivers/console.h"

#include <string.h>

#include "base/print.h"

#define BUFFER_BYTES 16384u /* power of two */
#define WRITE_NS_MAX 2000000000ull
#define LOCK_SPINS_MAX 50000000u
#define ATTENTION 0x18 /* Ctrl-X */

void (*console_input)(const char *bytes, size_t len);
void (*console_attention)(void);

/* any core, atomic */
static _Atomic uint32_t console_locked;
static _Atomic uint32_t console_waking; /* wake_mail is under way */

/* set once at boot */
static struct console_dev *console_dev;

/* under console_locked; the counts are also read without it, by console_has_output */
static char buffer[BUFFER_BYTES];
_Atomic uint32_t console_taken, console_put;

static void wake_delivered(struct mail *m)
{
	(void)m;
	atomic_store_explicit(&console_waking, 0, memory_order_release);
}

static struct mail wake_mail = {.deliver = wake_delivered};

/* A core that stopped while it held the lock must not silence the others: past the bound the lock
 * is taken from it. */
static void console_lock(void)
{
	for (unsigned i = 0; atomic_exchange_explicit(&console_locked, 1, memory_order_acquire);
	     i++) {
		if (i == LOCK_SPINS_MAX)
			return;
		arch_relax();
	}
}

static void console_unlock(void)
{
	atomic_store_explicit(&console_locked, 0, memory_order_release);
}

static uint32_t buffer_count(void)
{
	return atomic_load_explicit(&console_put, memory_order_relaxed) -
	       atomic_load_explicit(&console_taken, memory_order_relaxed);
}

/* Under the lock. One push of the longest contiguous piece; returns what the device took. */
static unsigned buffer_push(void)
{
	uint32_t head = atomic_load_explicit(&console_taken, memory_order_relaxed);
	uint32_t at = head & (BUFFER_BYTES - 1), len = min_of(buffer_count(), BUFFER_BYTES - at);
	size_t took = len ? console_dev->write(console_dev, buffer + at, len) : 0;

	atomic_store_explicit(&console_taken, head + (uint32_t)took, memory_order_relaxed);
	return (unsigned)took;
}

/* Under the lock. Waits for the device until at most `left` bytes are in the buffer, or gives them
 * up. */
static void buffer_empty(uint32_t left)
{
	nsec_t last = arch_time_ns();

	while (buffer_count() > left) {
		if (buffer_push())
			last = arch_time_ns();
		else if (arch_time_ns() - last > WRITE_NS_MAX)
			atomic_store_explicit(&console_taken, console_put, memory_order_relaxed);
		else
			arch_relax();
	}
}

/* Under the lock. */
static void buffer_put(const char *text, size_t len)
{
	while (len) {
		uint32_t tail = atomic_load_explicit(&console_put, memory_order_relaxed);
		uint32_t at = tail & (BUFFER_BYTES - 1);
		uint32_t piece = min_of(BUFFER_BYTES - buffer_count(), BUFFER_BYTES - at);

		if (piece > len)
			piece = (uint32_t)len;
		memcpy(buffer + at, text, piece);
		atomic_store_explicit(&console_put, tail + piece, memory_order_relaxed);
		text += piece;
		len -= piece;
		if (len)
			buffer_empty(BUFFER_BYTES / 2);
	}
}

static void console_print(const char *text, size_t len)
{
	console_lock();
	buffer_put(text, len);
	buffer_empty(0);
	console_unlock();
}

void console_write(const char *text, size_t len)
{
	if (!console_dev) {
		arch_console_write(text, len);
		return;
	}
	console_lock();
	buffer_put(text, len);
	console_unlock();
	if (!atomic_exchange_explicit(&console_waking, 1, memory_order_acq_rel))
		mailbox_post(console_dev->core, &wake_mail);
}

unsigned console_drain(void)
{
	unsigned took = 0;

	if (likely(!console_has_output()))
		return 0;
	console_lock();
	took = buffer_push();
	console_unlock();
	return took;
}

void console_take(const char *bytes, size_t len)
{
	const char *from = bytes, *end = bytes + len;

	for (const char *p = bytes; p <= end; p++) {
		if (p < end && *p != ATTENTION)
			continue;
		if (p > from && console_input)
			console_input(from, (size_t)(p - from));
		if (p < end && console_attention)
			console_attention();
		from = p + 1;
	}
}

void console_attach(struct console_dev *d)
{
	console_dev = d;
	kprint_set_sink(console_print);
}

struct console_dev *console_device(void)
{
	return console_dev;
}
