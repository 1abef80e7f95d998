/*
 * uart_client SOCKET BYTES WINDOW: the far end of a serial port that a guest loops back. Sends
 * bytes that count up, at most WINDOW ahead of what came back, and checks each one that does.
 *
 * Says "steady" when a first window has come back, waits for a line, exchanges BYTES bytes, says
 * "done", waits for a line, and ends. Between "steady" and "done" nothing else is on its way. A
 * byte's latency is the time from its sending until it is read here.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "host.h"

#define WINDOW_MAX   4096u
#define PATIENCE_S   20
#define EDGE_BYTES   256u /* before and behind what is measured */
#define BUCKETS	     24 /* powers of two of microseconds */

static struct {
	int fd;
	uint64_t sent, received;
	uint64_t since[WINDOW_MAX]; /* when a byte under way was sent */
	uint64_t bucket[BUCKETS];   /* bytes by latency: [2^i, 2^(i+1)) us, the first from 0 */
} port;

static void port_open(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = PATIENCE_S };

	if (strlen(path) >= sizeof(name.sun_path))
		die("%s is too long a name for a socket", path);
	strcpy(name.sun_path, path);
	port.fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (port.fd < 0 || connect(port.fd, (struct sockaddr *)&name, sizeof(name)))
		die("%s: %s", path, strerror(errno));
	setsockopt(port.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

static void port_send(uint64_t until)
{
	uint8_t bytes[WINDOW_MAX];
	size_t n = 0;

	while (port.sent < until) {
		port.since[port.sent % WINDOW_MAX] = now_ns();
		bytes[n++] = (uint8_t)port.sent++;
	}
	if (n && write(port.fd, bytes, n) != (ssize_t)n)
		die("write: %s", strerror(errno));
}

static void port_latency(uint64_t ns)
{
	unsigned i = 0;

	while (i < BUCKETS - 1 && ns / 1000 >= 2ull << i)
		i++;
	port.bucket[i]++;
}

static void port_receive(void)
{
	uint8_t bytes[WINDOW_MAX];
	ssize_t n = read(port.fd, bytes, sizeof(bytes));
	uint64_t now = now_ns();

	if (n <= 0)
		die("after %llu bytes: %s", (unsigned long long)port.received,
		    n ? strerror(errno) : "closed by the guest");
	for (ssize_t i = 0; i < n; i++, port.received++) {
		if (port.received >= port.sent || bytes[i] != (uint8_t)port.received)
			die("byte %llu came back as %u", (unsigned long long)port.received,
			    bytes[i]);
		port_latency(now - port.since[port.received % WINDOW_MAX]);
	}
}

static void port_exchange(uint64_t count, uint64_t window)
{
	uint64_t end = port.received + count;

	while (port.received < end) {
		uint64_t ahead = port.received + window;

		port_send(ahead < end ? ahead : end);
		port_receive();
	}
}

/* Upper end of the bucket below which `share` of all bytes are, microseconds. */
static unsigned port_quantile(uint64_t count, double share)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		sum += port.bucket[i];
		if ((double)sum >= share * (double)count)
			return 2u << i;
	}
	return 2u << (BUCKETS - 1);
}

int main(int argc, char **argv)
{
	uint64_t count, window, begin;

	if (argc != 4)
		die("usage: uart_client SOCKET BYTES WINDOW");
	count = number(argv[2], 1, 1000000000);
	window = number(argv[3], 1, WINDOW_MAX);
	port_open(argv[1]);
	port_exchange(EDGE_BYTES, window);
	meet("steady");
	memset(port.bucket, 0, sizeof(port.bucket));
	begin = now_ns();
	port_exchange(count, window);
	begin = now_ns() - begin;
	printf("bytes %llu seconds %.3f per_second %.0f us_p50 %u us_p99 %u\nlatency",
	       (unsigned long long)count, (double)begin / 1e9,
	       (double)count * 1e9 / (double)(begin + 1), port_quantile(count, 0.5),
	       port_quantile(count, 0.99));
	for (unsigned i = 0; i < BUCKETS; i++)
		printf(" %llu", (unsigned long long)port.bucket[i]);
	printf("\n");
	meet("done");
	/* the guest ends behind these, not before it was counted */
	port_exchange(EDGE_BYTES, window);
	return 0;
}
