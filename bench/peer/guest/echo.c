/*
 * echo epoll|defer|sqpoll PORT: sends back what it receives, over TCP, as servers on Linux do it;
 * the opponents of apps/echod. One thread.
 *
 *	epoll	readiness, level-triggered: one read and one write for each event
 *	defer	io_uring, SINGLE_ISSUER | DEFER_TASKRUN: a multishot accept, receive, send, receive ...;
 *		one enter for each turn
 *	sqpoll	the same, the kernel's thread on cpu 1 polls the submissions, this one sleeps in enter
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bench/host/uring.h"

#include "peer.h"

#define BACKLOG	     128
#define DESCRIPTORS  4096
#define BUFFER_BYTES 2048u
#define ENTRIES	     4096u
#define EVENTS	     256

static int listen_on(uint16_t port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) || listen(fd, BACKLOG))
		die("listen: %s", strerror(errno));
	return fd;
}

static void undelayed(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void epoll_watch(int poll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event))
		die("epoll: %s", strerror(errno));
}

static void epoll_answer(int fd)
{
	static char buffer[BUFFER_BYTES];
	ssize_t n = read(fd, buffer, sizeof(buffer));

	if (n <= 0 || write(fd, buffer, (size_t)n) != n)
		close(fd);
}

static void serve_epoll(int listener)
{
	struct epoll_event events[EVENTS];
	int poll = epoll_create1(0);

	epoll_watch(poll, listener);
	for (;;) {
		int n = epoll_wait(poll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd != listener) {
				epoll_answer(fd);
				continue;
			}
			fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
			if (fd >= 0) {
				undelayed(fd);
				epoll_watch(poll, fd);
			}
		}
	}
}

enum what { ACCEPT, RECEIVE, SEND };

static char buffers[DESCRIPTORS][BUFFER_BYTES];

static void uring_ask(struct uring *u, enum what what, int fd, uint32_t len)
{
	struct io_uring_sqe *sqe = uring_sqe(u);

	sqe->opcode = what == ACCEPT ? IORING_OP_ACCEPT
		      : what == SEND ? IORING_OP_SEND
				     : IORING_OP_RECV;
	sqe->fd = fd;
	if (what == ACCEPT) {
		sqe->ioprio = IORING_ACCEPT_MULTISHOT;
	} else {
		sqe->addr = (uintptr_t)buffers[fd];
		sqe->len = len;
	}
	sqe->user_data = (uint64_t)what << 32 | (uint32_t)fd;
}

static void uring_answer(struct uring *u, const struct io_uring_cqe *cqe)
{
	enum what what = (enum what)(cqe->user_data >> 32);
	int fd = (int)(uint32_t)cqe->user_data;

	if (what == ACCEPT) {
		if (cqe->res < 0 || cqe->res >= DESCRIPTORS)
			die("accept: %d", cqe->res);
		undelayed(cqe->res);
		uring_ask(u, RECEIVE, cqe->res, BUFFER_BYTES);
	} else if (cqe->res <= 0) {
		close(fd);
	} else {
		uring_ask(u, what == RECEIVE ? SEND : RECEIVE, fd,
			  what == RECEIVE ? (uint32_t)cqe->res : BUFFER_BYTES);
	}
}

static void serve_uring(int listener, unsigned flags)
{
	struct uring u = { 0 };
	uint32_t shown = 0;

	uring_open(&u, ENTRIES, flags, false);
	uring_ask(&u, ACCEPT, listener, 0);
	for (;;) {
		unsigned wake = IORING_ENTER_GETEVENTS, submit = u.tail - shown;

		uring_publish(&u);
		shown = u.tail;
		if (flags & IORING_SETUP_SQPOLL) {
			__atomic_thread_fence(__ATOMIC_SEQ_CST);
			if (__atomic_load_n(u.sq_flags, __ATOMIC_RELAXED) & IORING_SQ_NEED_WAKEUP)
				wake |= IORING_ENTER_SQ_WAKEUP;
		}
		uring_enter(&u, submit, 1, wake);
		for (uint32_t end = u.head + uring_ready(&u); u.head != end; u.head++)
			uring_answer(&u, &u.cqes[u.head & u.cq_mask]);
		__atomic_store_n(u.cq_head, u.head, __ATOMIC_RELEASE);
	}
}

int main(int argc, char **argv)
{
	int listener;

	if (argc != 3)
		die("usage: echo epoll|defer|sqpoll PORT");
	listener = listen_on((uint16_t)number(argv[2], 1, 65535));
	printf("echo: ready\n");
	fflush(stdout);
	if (!strcmp(argv[1], "epoll"))
		serve_epoll(listener);
	serve_uring(listener, strcmp(argv[1], "sqpoll") ?
				      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN :
				      IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF);
	return 0;
}
