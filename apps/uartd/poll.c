/*
 * poll: a driver that looks at the device all the time, between the turns of other coroutines: no
 * kernel, no interrupts, and a core that never rests.
 */
#include "port.h"

static int64_t poll_read(uint8_t *buf)
{
	unsigned n;

	while (!(n = device_take(buf, PORT_READ_MAX)))
		async_yield();
	return n;
}

static int64_t poll_write(const uint8_t *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		unsigned n = device_give(buf + done, len - done);

		if (!n)
			async_yield();
		done += n;
	}
	return (int64_t)len;
}

static uint64_t poll_lost(void)
{
	return device_lost;
}

const struct port port_poll = { .name = "poll",
				.open = device_open,
				.read = poll_read,
				.write = poll_write,
				.lost = poll_lost,
				.close = device_close };
