/*
 * uart COUNT [hash]: what apps/uartd does by the kernel's driver, on Linux: sends back what comes
 * in on /dev/ttyS0, a block per read and per write, and checks that the bytes count up.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#ifdef PEER_BLAKE3
#include <blake3.h>
static blake3_hasher hasher;
#endif

static int fail(const char *what)
{
	fprintf(stderr, "uart: %s: %s\n", what, strerror(errno));
	return 1;
}

static int raw(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t))
		return -1;
	cfmakeraw(&t);
	cfsetspeed(&t, B115200);
	t.c_cflag |= CLOCAL;
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	return tcsetattr(fd, TCSAFLUSH, &t);
}

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0)
			return -1;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long long count = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, done = 0, wrong = 0;
	int fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY), hash = argc > 2;
	uint8_t bytes[256], next = 0;

	if (fd < 0 || raw(fd))
		return fail("/dev/ttyS0");
#ifdef PEER_BLAKE3
	if (hash)
		blake3_hasher_init(&hasher);
#else
	if (hash) {
		fprintf(stderr, "uart: built without BLAKE3\n");
		return 1;
	}
#endif
	printf("uart: ready\n");
	fflush(stdout);
	while (done < count) {
		ssize_t n = read(fd, bytes, sizeof(bytes));

		if (n <= 0)
			return fail("read");
		for (ssize_t i = 0; i < n; i++) {
			wrong += bytes[i] != next;
			next = (uint8_t)(bytes[i] + 1);
#ifdef PEER_BLAKE3
			if (hash)
				blake3_hasher_update(&hasher, &bytes[i], 1);
#endif
		}
		if (write_all(fd, bytes, (size_t)n))
			return fail("write");
		done += (unsigned long long)n;
	}
	tcdrain(fd);
	printf("uart: %llu bytes, %llu out of sequence\n", done, wrong);
	return wrong != 0;
}
