/*
 * uintr: a driver that the device interrupts in its own mode: the interrupt is a store into this
 * program's mailbox, and no kernel code runs for a byte, whether we compute or sleep.
 *
 *   device --edge--> uintr_noticed: FIFO -> who reads, or in; out -> FIFO; until it asks for nothing
 *                    --event--> reader, writer
 *
 * The handler runs when the executor sleeps, or inside async_compute; notices are off whenever a
 * coroutine touches the rings, so they need no lock. A program that is no receiver polls instead.
 */
#include <string.h>

#include "libasync/notice.h"
#include "port.h"

#define UART_ID	   2u /* the executor's completions are 1 */
#define RING_BYTES 4096u /* power of two */
#define FIFO_BYTES 16u

struct bytes {
	uint8_t at[RING_BYTES];
	uint32_t head, tail; /* ever taken out, ever put in */
};

static struct bytes uintr_in, uintr_out;
static struct async_event uintr_moved;
static uint8_t *uintr_reader; /* where the one who waits wants its bytes; NULL: nobody waits */
static unsigned uintr_got;
static uint64_t uintr_dropped;
static bool uintr_direct;

static inline uint32_t bytes_count(const struct bytes *b)
{
	return b->tail - b->head;
}

/* The run of bytes that lies in one piece. */
static inline uint8_t *bytes_first(struct bytes *b, uint32_t *len)
{
	uint32_t at = b->head % RING_BYTES, count = bytes_count(b);

	*len = count < RING_BYTES - at ? count : RING_BYTES - at;
	return b->at + at;
}

static void uintr_input(void)
{
	struct bytes *in = &uintr_in;
	uint32_t at, room, run;

	if (uintr_reader) {
		uintr_got += device_take(uintr_reader + uintr_got, PORT_READ_MAX - uintr_got);
		if (uintr_got < PORT_READ_MAX)
			return;
		uintr_reader = NULL; /* the rest is for the next one */
	}

	do {
		uint8_t none[FIFO_BYTES];

		at = in->tail % RING_BYTES;
		room = RING_BYTES - bytes_count(in);
		run = room < RING_BYTES - at ? room : RING_BYTES - at;
		if (!run) {
			uintr_dropped += device_take(none, sizeof(none));
			return;
		}
		room = device_take(in->at + at, run);
		in->tail += room;
	} while (room == run);
}

/* The device is asked to say when its FIFO is empty only while there is more for it. */
static void uintr_output(void)
{
	uint32_t run;
	uint8_t *from = bytes_first(&uintr_out, &run);

	if (!run)
		return;
	uintr_out.head += device_give(from, run);
	if (!bytes_count(&uintr_out))
		device_interrupts(DEVICE_INPUT);
}

static void uintr_noticed(uint32_t id)
{
	(void)id;
	do {
		uintr_input();
		uintr_output();
	} while (device_asks());
	async_event_set(&uintr_moved);
}

static int uintr_open(void)
{
	int err = async_notices();

	uintr_direct = err == 1;
	if (err < 0 || (err = device_open()))
		return err;
	if (!uintr_direct) {
		async_printf("uartd: no user interrupts here: polling\n");
		return 0;
	}
	async_notice_handle(UART_ID, uintr_noticed);
	err = notice_call(&async_here()->ring, SLUICE_NOTICE_DEVICE, device_fd, UART_ID, NULL);
	if (err) {
		async_printf("uartd: its interrupt cannot be had: error %d\n", err);
		device_close();
		return err;
	}
	device_interrupts(DEVICE_INPUT);
	return 0;
}

static int64_t uintr_read(uint8_t *buf)
{
	uint32_t run;
	uint8_t *from;

	if (!uintr_direct)
		return port_poll.read(buf);
	if (!bytes_count(&uintr_in)) {
		int err = 0;

		uintr_got = 0;
		uintr_reader = buf;
		while (!err && !uintr_got) {
			async_event_clear(&uintr_moved);
			err = async_event_wait(&uintr_moved);
		}
		uintr_reader = NULL;
		return uintr_got ? (int64_t)uintr_got : err;
	}
	from = bytes_first(&uintr_in, &run);
	if (run > PORT_READ_MAX)
		run = PORT_READ_MAX;
	memcpy(buf, from, run);
	uintr_in.head += run;
	return run;
}

static int64_t uintr_write(const uint8_t *buf, size_t len)
{
	size_t done = 0;

	if (!uintr_direct)
		return port_poll.write(buf, len);
	if (!bytes_count(&uintr_out))
		done = device_give(buf, len);
	while (done < len) {
		int err;

		if (bytes_count(&uintr_out) < RING_BYTES) {
			if (!bytes_count(&uintr_out))
				device_interrupts(DEVICE_INPUT | DEVICE_OUTPUT_EMPTY);
			uintr_out.at[uintr_out.tail++ % RING_BYTES] = buf[done++];
			continue;
		}
		async_event_clear(&uintr_moved);
		err = async_event_wait(&uintr_moved);
		if (err)
			return err;
	}
	return (int64_t)len;
}

static uint64_t uintr_lost(void)
{
	return device_lost + uintr_dropped;
}

static void uintr_close(void)
{
	while (bytes_count(&uintr_out)) {
		async_event_clear(&uintr_moved);
		if (async_event_wait(&uintr_moved))
			break;
	}
	device_close();
}

const struct port port_uintr = { .name = "uintr",
				 .open = uintr_open,
				 .read = uintr_read,
				 .write = uintr_write,
				 .lost = uintr_lost,
				 .close = uintr_close };
