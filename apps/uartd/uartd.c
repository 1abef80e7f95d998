/*
 * uartd WAY [COUNT [hash]]: sends every byte of the serial port back, by one of several drivers,
 * and checks that the bytes count up (0, 1, ... 255, 0, ...): a byte that was lost, doubled or
 * damaged shows.
 *
 *   WAY    kernel   the kernel's driver, /dev/ttyS0
 *          poll     a driver of this program's own, which looks at the device all the time
 *          uintr    one that the device interrupts, by user interrupts or upcalls; it polls if it
 *                   did not ask for them (SLUICE_UINTR=1)
 *   COUNT  ends after so many bytes; 0 or nothing: never
 *   hash   each byte goes into a BLAKE3 hash before it is sent back; the end prints it
 */
#include <stdlib.h>
#include <string.h>

#include "port.h"

#ifdef UARTD_BLAKE3
#include <blake3.h>
static blake3_hasher uart_hasher;
#endif

static const struct port *const uart_ways[] = { &port_kernel, &port_poll, &port_uintr };

static struct {
	uint64_t count, wrong;
	uint8_t next;
	bool hash;
} uart;

static void uart_bytes(const uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uart.wrong += buf[i] != uart.next;
		uart.next = (uint8_t)(buf[i] + 1);
#ifdef UARTD_BLAKE3
		if (uart.hash)
			blake3_hasher_update(&uart_hasher, &buf[i], 1);
#endif
	}
	uart.count += len;
}

static bool uart_hash_begin(void)
{
	uart.hash = true;
#ifdef UARTD_BLAKE3
	blake3_hasher_init(&uart_hasher);
	return true;
#else
	async_printf("uartd: built without BLAKE3: install librust-blake3-dev and build again\n");
	return false;
#endif
}

static void uart_report(const struct port *port)
{
	char hash[65] = "none";

#ifdef UARTD_BLAKE3
	if (uart.hash) {
		static const char digit[] = "0123456789abcdef";
		uint8_t sum[BLAKE3_OUT_LEN];

		blake3_hasher_finalize(&uart_hasher, sum, sizeof(sum));
		for (unsigned i = 0; i < sizeof(sum); i++) {
			hash[2 * i] = digit[sum[i] >> 4];
			hash[2 * i + 1] = digit[sum[i] & 15];
		}
		hash[64] = 0;
	}
#endif
	async_printf("uartd: %s: %llu bytes, %llu out of sequence, %llu lost, hash %s\n",
		     port->name, (unsigned long long)uart.count, (unsigned long long)uart.wrong,
		     (unsigned long long)port->lost(), hash);
}

static int64_t uart_serve(const struct port *port, uint64_t count)
{
	uint8_t buf[PORT_READ_MAX];

	while (!count || uart.count < count) {
		int64_t n = port->read(buf);

		if (n <= 0)
			return n;
		uart_bytes(buf, (size_t)n);
		n = port->write(buf, (size_t)n);
		if (n < 0)
			return n;
	}
	return 0;
}

static const struct port *uart_way(const char *name)
{
	for (unsigned i = 0; i < sizeof(uart_ways) / sizeof(uart_ways[0]); i++)
		if (!strcmp(uart_ways[i]->name, name))
			return uart_ways[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const struct port *port = argc > 1 ? uart_way(argv[1]) : NULL;
	char none[] = "", *end = none;
	uint64_t count = argc > 2 ? strtoull(argv[2], &end, 10) : 0;
	int64_t err;

	if (!port || *end || argc > 4 || (argc == 4 && strcmp(argv[3], "hash"))) {
		async_printf("usage: uartd kernel|poll|uintr [COUNT [hash]]\n");
		return 2;
	}
	if ((argc == 4 && !uart_hash_begin()) || port->open())
		return 1;
	async_printf("uartd: %s: ready\n", port->name);
	err = uart_serve(port, count);
	if (err)
		async_printf("uartd: %s: error %lld\n", port->name, (long long)err);
	uart_report(port);
	port->close();
	return err || uart.wrong ? 1 : 0;
}
