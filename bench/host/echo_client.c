/*
 * echo_client PORT CONNECTIONS MESSAGES [PAUSE_US]: keeps one 64-byte message under way on each
 * connection to 127.0.0.1:PORT, and compares every byte that comes back. No two messages are the
 * same. With PAUSE_US, so long passes before each message.
 *
 * Connections are opened one after the other, each proved by a first echo, since QEMU accepts for a
 * guest that may not. Says "steady", waits for a line, exchanges MESSAGES messages, says "done",
 * waits for a line, and ends. Between "steady" and "done" nothing but these messages is on its way.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host.h"

#define MESSAGE_BYTES	64
#define CONNECTIONS_MAX 1024
#define PATIENCE_MS	20000
#define FILES_OWN	16 /* descriptors besides the connections */

struct connection {
	int fd;
	uint32_t got;  /* bytes of the answer */
	uint64_t sent; /* number of the message under way */
	uint64_t since;
};

static struct connection connections[CONNECTIONS_MAX];
static unsigned pause_us;

static void message_fill(uint64_t *words, uint64_t connection, uint64_t count)
{
	for (unsigned i = 0; i < MESSAGE_BYTES / 8; i++)
		words[i] = (connection << 48 | count << 8 | i) * 0x9e3779b97f4a7c15ull;
}

static void message_send(struct connection *c)
{
	uint64_t words[MESSAGE_BYTES / 8];

	if (pause_us)
		usleep(pause_us);
	message_fill(words, (uint64_t)(c - connections), ++c->sent);
	c->got = 0;
	c->since = now_ns();
	if (send(c->fd, words, sizeof(words), MSG_NOSIGNAL) != sizeof(words))
		die("connection %d: send: %s", (int)(c - connections), strerror(errno));
}

/* Takes what is there; true when the answer is whole. */
static int message_take(struct connection *c)
{
	uint64_t words[MESSAGE_BYTES / 8];
	char answer[MESSAGE_BYTES];
	ssize_t n = recv(c->fd, answer, MESSAGE_BYTES - c->got, 0);

	if (n <= 0)
		die("connection %d: %s", (int)(c - connections),
		    n ? strerror(errno) : "closed by the server");
	message_fill(words, (uint64_t)(c - connections), c->sent);
	if (memcmp((char *)words + c->got, answer, (size_t)n))
		die("connection %d: message %llu came back changed", (int)(c - connections),
		    (unsigned long long)c->sent);
	c->got += (uint32_t)n;
	return c->got == MESSAGE_BYTES;
}

static void connection_open(struct connection *c, uint16_t port)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&name, sizeof(name)))
		die("connect: %s", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	message_send(c);
	while (!message_take(c))
		;
}

static void files_allow(unsigned count)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur >= count)
		return;
	files.rlim_cur = count < files.rlim_max ? count : files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	uint64_t messages, sent = 0, done = 0, begin;
	uint32_t *us;
	unsigned count;
	int poll = epoll_create1(0);

	if (argc != 4 && argc != 5)
		die("usage: echo_client PORT CONNECTIONS MESSAGES [PAUSE_US]");
	count = (unsigned)number(argv[2], 1, CONNECTIONS_MAX);
	messages = number(argv[3], 0, 1000000000);
	if (argc == 5)
		pause_us = (unsigned)number(argv[4], 0, 999999);
	us = malloc((messages + 1) * sizeof(*us));
	if (poll < 0 || !us)
		die("no memory");
	files_allow(count + FILES_OWN);
	for (unsigned i = 0; i < count; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		connection_open(&connections[i], (uint16_t)number(argv[1], 1, 65535));
		if (epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].fd, &event))
			die("epoll: %s", strerror(errno));
	}
	meet("steady");
	begin = now_ns();
	for (unsigned i = 0; i < count && sent < messages; i++, sent++)
		message_send(&connections[i]);
	while (done < messages) {
		int n = epoll_wait(poll, events, 64, PATIENCE_MS);

		if (n <= 0)
			die("nothing comes back after %llu messages", (unsigned long long)done);
		for (int i = 0; i < n; i++) {
			struct connection *c = &connections[events[i].data.u32];

			if (!message_take(c))
				continue;
			us[done++] = (uint32_t)((now_ns() - c->since) / 1000);
			if (sent < messages) {
				message_send(c);
				sent++;
			}
		}
	}
	begin = now_ns() - begin;
	qsort(us, done, sizeof(*us), compare);
	printf("messages %llu seconds %.3f per_second %.0f us_p50 %u us_p99 %u\n",
	       (unsigned long long)done, (double)begin / 1e9,
	       (double)done * 1e9 / (double)(begin + 1), done ? us[done / 2] : 0,
	       done ? us[done * 99 / 100] : 0);
	meet("done");
	return 0;
}
