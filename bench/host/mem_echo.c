/*
 * mem_echo HOW pipe|socket CPUS CONNECTIONS MS: how many messages of 64 bytes go through this
 * host's memory and back in a second? As bench/guest/mem_echo.c. Who asks is on cpu 0, who answers
 * on cpu 1:
 *
 *	epoll	a thread for each side, which waits for any of its connections
 *	pthread	two threads for each connection
 *	uring	a thread for each side, with a ring (DEFER_TASKRUN) and an operation under way for
 *		each connection
 *
 * Prints messages per second. What comes back is compared.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "uring.h"

#define CONNECTIONS_MAX 64u
#define MESSAGE		64
#define WARM_MS		50u

struct end {
	int in, out;
	uint64_t messages; /* sent by who asks */
	uint64_t text[MESSAGE / 8];
	bool writing; /* uring: what is under way */
};

struct side {
	struct end end[CONNECTIONS_MAX];
	unsigned cpu;
	bool asks;
};

static struct side asking = { .cpu = 0, .asks = true }, answering;
static unsigned count;
static volatile uint64_t counted; /* messages since `from` */
static uint64_t from, until;

static void end_open(unsigned i, bool socket)
{
	int there[2], back[2];

	if (socket) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, there))
			die("socketpair: %s", strerror(errno));
		asking.end[i].in = asking.end[i].out = there[0];
		answering.end[i].in = answering.end[i].out = there[1];
		return;
	}
	if (pipe(there) || pipe(back))
		die("pipe: %s", strerror(errno));
	answering.end[i].in = there[0];
	asking.end[i].out = there[1];
	asking.end[i].in = back[0];
	answering.end[i].out = back[1];
}

/* What is to be sent next; false: the time is over. */
static bool end_next(struct end *end)
{
	uint64_t now = now_ns();

	if (now >= until)
		return false;
	end->text[0] = ++end->messages;
	if (now >= from)
		__atomic_fetch_add(&counted, 1, __ATOMIC_RELAXED);
	return true;
}

/* A message is in: right for who asked? */
static void end_check(const struct side *side, const struct end *end)
{
	if (side->asks && end->text[0] != end->messages)
		die("an answer is not what was sent");
}

static void put(struct end *end)
{
	if (write(end->out, end->text, MESSAGE) != MESSAGE)
		die("write: %s", strerror(errno));
}

static bool get(struct end *end)
{
	ssize_t n = read(end->in, end->text, MESSAGE);

	if (n && n != MESSAGE)
		die("read: %s", strerror(errno));
	return n;
}

/* ---- epoll ----------------------------------------------------------------------------------- */

static void *epoll_side(void *arg)
{
	struct side *side = arg;
	struct epoll_event events[CONNECTIONS_MAX];
	int set = epoll_create1(0);
	unsigned left = count;

	pin_to(side->cpu);
	for (unsigned i = 0; i < count; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &side->end[i] };

		if (epoll_ctl(set, EPOLL_CTL_ADD, side->end[i].in, &event))
			die("epoll_ctl: %s", strerror(errno));
		if (side->asks && end_next(&side->end[i]))
			put(&side->end[i]);
	}
	while (left) {
		int n = epoll_wait(set, events, CONNECTIONS_MAX, -1);

		for (int i = 0; i < n; i++) {
			struct end *end = events[i].data.ptr;
			bool more = get(end);

			end_check(side, end);
			if (more && (!side->asks || end_next(end))) {
				put(end);
				continue;
			}
			epoll_ctl(set, EPOLL_CTL_DEL, end->in, NULL);
			if (side->asks)
				close(end->out);
			left--;
		}
	}
	return NULL;
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *ask_thread(void *arg)
{
	struct end *end = arg;

	pin_to(asking.cpu);
	while (end_next(end)) {
		put(end);
		if (!get(end))
			die("no answer");
		end_check(&asking, end);
	}
	close(end->out);
	return NULL;
}

static void *answer_thread(void *arg)
{
	struct end *end = arg;

	pin_to(answering.cpu);
	while (get(end))
		put(end);
	return NULL;
}

/* ---- io_uring -------------------------------------------------------------------------------- */

static void uring_begin(struct uring *u, struct end *end, bool writing)
{
	struct io_uring_sqe *sqe = &u->sqes[u->tail++ & u->sq_mask];

	memset(sqe, 0, sizeof(*sqe));
	end->writing = writing;
	sqe->opcode = writing ? IORING_OP_WRITE : IORING_OP_READ;
	sqe->fd = writing ? end->out : end->in;
	sqe->off = ~0ull;
	sqe->addr = (uint64_t)(uintptr_t)end->text;
	sqe->len = MESSAGE;
	sqe->user_data = (uint64_t)(uintptr_t)end;
}

/* The operation that was under way is over: begins the next one, or ends the connection. */
static bool uring_go_on(struct uring *u, const struct side *side, struct end *end, int32_t res)
{
	if (res && res != MESSAGE)
		die("an operation answered %d", res);
	if (end->writing) {
		uring_begin(u, end, false);
		return true;
	}
	end_check(side, end);
	if (res && (!side->asks || end_next(end))) {
		uring_begin(u, end, true);
		return true;
	}
	if (side->asks)
		close(end->out);
	return false;
}

static void *uring_side(void *arg)
{
	struct side *side = arg;
	struct uring u = { 0 };
	unsigned left = count;
	uint32_t shown = 0;

	pin_to(side->cpu);
	uring_open(&u, 256, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, true);
	for (unsigned i = 0; i < count; i++)
		uring_begin(&u, &side->end[i], side->asks && end_next(&side->end[i]));
	while (left) {
		uint32_t fresh = u.tail - shown, ready, end;

		uring_publish(&u);
		shown = u.tail;
		uring_enter(&u, fresh, 1, IORING_ENTER_GETEVENTS);
		ready = uring_ready(&u);
		for (end = u.head + ready; u.head != end; u.head++) {
			const struct io_uring_cqe *cqe = &u.cqes[u.head & u.cq_mask];

			left -= !uring_go_on(&u, side, (struct end *)(uintptr_t)cqe->user_data,
					     cqe->res);
		}
		__atomic_store_n(u.cq_head, u.head, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* ---- start ----------------------------------------------------------------------------------- */

static pthread_t start(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, arg))
		die("a thread cannot be started");
	return thread;
}

int main(int argc, char **argv)
{
	void *(*side)(void *) = NULL;
	pthread_t threads[2 * CONNECTIONS_MAX];
	unsigned started = 0;
	bool socket;

	if (argc != 6)
		die("usage: mem_echo epoll|pthread|uring pipe|socket CPUS CONNECTIONS MS");
	if (!strcmp(argv[1], "epoll"))
		side = epoll_side;
	else if (!strcmp(argv[1], "uring"))
		side = uring_side;
	else if (strcmp(argv[1], "pthread") != 0)
		die("%s is no way", argv[1]);
	socket = !strcmp(argv[2], "socket");
	answering.cpu = (unsigned)number(argv[3], 1, 2) - 1;
	count = (unsigned)number(argv[4], 1, CONNECTIONS_MAX);
	from = now_ns() + WARM_MS * 1000000ull;
	until = from + number(argv[5], 1, 100000) * 1000000u;
	for (unsigned i = 0; i < count; i++)
		end_open(i, socket);
	if (side) {
		threads[started++] = start(side, &answering);
		threads[started++] = start(side, &asking);
	}
	for (unsigned i = 0; !side && i < count; i++) {
		threads[started++] = start(answer_thread, &answering.end[i]);
		threads[started++] = start(ask_thread, &asking.end[i]);
	}
	while (started)
		pthread_join(threads[--started], NULL);
	printf("%.0f\n", (double)counted * 1e9 / (double)(until - from));
	return 0;
}
