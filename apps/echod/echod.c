/*
 * echod [-t EXECUTORS] PORT: sends back what it receives, over TCP, IPv4 and IPv6.
 *
 * One coroutine per connection. A message costs one linked pair of entries (send what came, then
 * receive more) and one switch; the receive does not start before the peer has taken what was
 * sent, so a slow reader holds one buffer and nothing grows. An idle connection's buffer is in the
 * first page of its stack; one that fills it whole is given a larger one for as long as it does.
 */
#include "libasync/async.h"

#define ECHO_BACKLOG 128
#define ECHO_CONNS_MAX 1024u /* below the descriptor limit, so that accept never finds it reached */
#define ECHO_CONNS_READY 64u /* stacks touched before "ready" */
#define ECHO_SMALL 2048u
#define ECHO_LARGE 32768u

/* `n` bytes fill `small`: goes on with a larger buffer until a receive leaves that partly empty.
 * What the next one brings is in `small` again: as async_recv. */
static int64_t echo_large(int fd, char *large, char *small, int64_t n)
{
	__builtin_memcpy(large, small, (size_t)n);
	do {
		n = async_exchange(fd, large, (size_t)n, large, ECHO_LARGE);
	} while (n == ECHO_LARGE);
	if (n > 0)
		n = async_send_all(fd, large, (size_t)n);
	return n > 0 ? async_recv(fd, small, ECHO_SMALL, 0) : n;
}

static void echo_serve(int fd)
{
	char small[ECHO_SMALL];
	char *large;
	int64_t n = 0;
	int one = 1;

	async_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	do {
		n = async_exchange(fd, small, (size_t)n, small, ECHO_SMALL);
		if (n == ECHO_SMALL && (large = async_alloc(ECHO_LARGE)) != NULL) {
			n = echo_large(fd, large, small, n);
			async_free(large);
		}
	} while (n > 0);
	if (n == 0)
		async_shutdown(fd, SHUT_WR);
}

/* The number behind -t, 0: as many as there are processors; or 1 without it, ASYNC_EXECUTORS_MAX +
 * 1 for what is no number. */
static unsigned echo_executors(int argc, char **argv)
{
	unsigned n = 0;

	if (argc != 4)
		return argc == 2 ? 1 : ASYNC_EXECUTORS_MAX + 1;
	for (const char *digit = argv[2]; *digit; digit++) {
		if (*digit < '0' || *digit > '9' || n > ASYNC_EXECUTORS_MAX)
			return ASYNC_EXECUTORS_MAX + 1;
		n = n * 10 + (unsigned)(*digit - '0');
	}
	return argv[1][0] == '-' && argv[1][1] == 't' && !argv[1][2] ? n : ASYNC_EXECUTORS_MAX + 1;
}

int main(int argc, char **argv)
{
	unsigned executors = echo_executors(argc, argv);
	uint16_t port = executors <= ASYNC_EXECUTORS_MAX ? async_port(argv[argc - 1]) : 0;
	int listener, err;

	if (!port) {
		async_printf("echod: usage: echod [-t EXECUTORS] PORT\n");
		return 2;
	}
	if (executors == 1)
		(void)async_notices(); /* with user interrupts, if we were started with them */
	else if ((err = async_executors(executors)) < 0)
		async_printf("echod: one executor: error %d\n", -err);
	listener = async_listen_tcp(port, ECHO_BACKLOG);
	if (listener < 0) {
		async_printf("echod: cannot listen on port %u: error %d\n", port, -listener);
		return 1;
	}
	if (async_prepare(ECHO_CONNS_READY, ECHO_SMALL + 1024))
		async_printf("echod: little memory: connections will be slower to start\n");
	ASYNC_MARK(RING_MARK_READY);
	async_printf("echod: ready\n");
	err = async_serve(listener, ECHO_CONNS_MAX, echo_serve);
	async_printf("echod: accept ended: error %d\n", -err);
	return 1;
}
