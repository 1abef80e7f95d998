/*
 * http_client PORT CONNECTIONS REQUESTS DEPTH NAME FILE: asks 127.0.0.1:PORT for /NAME on
 * CONNECTIONS connections that are kept alive, DEPTH requests in one send on each, and compares
 * every answer's body with FILE.
 *
 * A connection's first answer says how long an answer is; all of them are (a date has one length).
 * Opens, says "steady", waits, asks, says "done", waits, ends, as echo_client does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host.h"

#define CONNECTIONS_MAX 1024
#define DEPTH_MAX	64
#define ANSWER_MAX	2048
#define PATIENCE_MS	20000

static const char status[] = "HTTP/1.1 200 OK\r\n";

static struct connection {
	int fd;
	uint32_t got, want; /* bytes of the answers to what was sent last */
	char in[DEPTH_MAX * ANSWER_MAX];
} connections[CONNECTIONS_MAX];

static char request[DEPTH_MAX * 256], body[ANSWER_MAX / 2];
static size_t request_bytes, body_bytes, answer_bytes;

static void ask(struct connection *c, uint64_t count)
{
	c->got = 0;
	c->want = (uint32_t)(count * answer_bytes);
	if (send(c->fd, request, count * request_bytes, MSG_NOSIGNAL) !=
	    (ssize_t)(count * request_bytes))
		die("send: %s", strerror(errno));
}

static void take(struct connection *c, size_t want)
{
	ssize_t n = recv(c->fd, c->in + c->got, want - c->got, 0);

	if (n <= 0)
		die("after %u bytes: %s", c->got, n ? strerror(errno) : "closed by the server");
	c->got += (uint32_t)n;
}

/* Are all answers here, and right? */
static bool answered(struct connection *c)
{
	take(c, c->want);
	if (c->got < c->want)
		return false;
	for (const char *at = c->in; at < c->in + c->want; at += answer_bytes)
		if (memcmp(at, status, sizeof(status) - 1) ||
		    memcmp(at + answer_bytes - body_bytes, body, body_bytes))
			die("a wrong answer: %.*s", (int)answer_bytes, at);
	return true;
}

static void connection_open(struct connection *c, uint16_t port)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
	char *end;
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&name, sizeof(name)))
		die("connect: %s", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	ask(c, 1);
	do {
		take(c, ANSWER_MAX - 1);
		end = strstr(c->in, "\r\n\r\n");
	} while (!end || c->got < (size_t)(end + 4 - c->in) + body_bytes);
	answer_bytes = c->got;
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	uint64_t requests, depth, sent = 0, done = 0, begin;
	int poll = epoll_create1(0);
	unsigned count;
	FILE *file;

	if (argc != 7)
		die("usage: http_client PORT CONNECTIONS REQUESTS DEPTH NAME FILE");
	count = (unsigned)number(argv[2], 1, CONNECTIONS_MAX);
	depth = number(argv[4], 1, DEPTH_MAX);
	requests = number(argv[3], 1, 1000000000) / depth * depth;
	file = fopen(argv[6], "r");
	body_bytes = file ? fread(body, 1, sizeof(body), file) : 0;
	if (poll < 0 || !body_bytes)
		die("cannot read %s", argv[6]);
	for (uint64_t i = 0; i < depth; i++)
		request_bytes =
			(size_t)snprintf(request + i * request_bytes, 256,
					 "GET /%s HTTP/1.1\r\nHost: guest\r\n\r\n", argv[5]);
	for (unsigned i = 0; i < count; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		connection_open(&connections[i], (uint16_t)number(argv[1], 1, 65535));
		if (epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].fd, &event))
			die("epoll: %s", strerror(errno));
	}
	meet("steady");
	begin = now_ns();
	for (unsigned i = 0; i < count && sent < requests; i++, sent += depth)
		ask(&connections[i], depth);
	while (done < requests) {
		int n = epoll_wait(poll, events, 64, PATIENCE_MS);

		if (n <= 0)
			die("nothing comes back after %llu answers", (unsigned long long)done);
		for (int i = 0; i < n; i++) {
			struct connection *c = &connections[events[i].data.u32];

			if (!answered(c))
				continue;
			done += depth;
			if (sent < requests) {
				ask(c, depth);
				sent += depth;
			}
		}
	}
	begin = now_ns() - begin;
	printf("requests %llu seconds %.3f per_second %.0f\n", (unsigned long long)done,
	       (double)begin / 1e9, (double)done * 1e9 / (double)(begin + 1));
	meet("done");
	return 0;
}
