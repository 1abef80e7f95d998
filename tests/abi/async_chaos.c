/*
 * What if everything happens at once? Coroutines do random things for a while, each under a random
 * time limit, and many are cancelled at random moments. Nothing may hang, no answer may be
 * another's, no buffer may change after its call returned, and in the end nothing is left.
 *
 * The seed is fixed; the order of completions is not.
 */
#include <string.h>

#include "lib/async_check.h"

#define WORKERS 24
#define ROUNDS 150
#define CANARY 0xa5

static uint16_t port;
static int listener;
static struct async_mutex mutex;
static struct async_chan chan;
static uint64_t chan_slots[4];
static int inside;
static uint64_t sent, received;
static uint32_t outcomes[3]; /* done, out of time, cancelled */

static uint32_t chance(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*seed >> 33) % below;
}

/* Every answer is one of these. */
static int64_t note(int64_t res)
{
	if (res < 0 && res != -ETIME)
		CHECK_EQ(res, -ECANCELED);
	outcomes[res >= 0 ? 0 : res == -ETIME ? 1 : 2]++;
	return res;
}

/* ---- things to do ---- */

static void do_nop(uint64_t *seed)
{
	struct async_io io;
	struct io_uring_sqe *sqe = async_io_begin(&io);
	uint32_t want = chance(seed, 1 << 20);
	int64_t res;

	if (sqe)
		ring_fill(sqe, IORING_OP_NOP, -1, 0, 0, want, IORING_NOP_INJECT_RESULT,
			  (uint64_t)(uintptr_t)&io);
	res = note(async_io_wait(&io));
	CHECK(res < 0 || res == want);
}

static void do_timeout(uint64_t *seed)
{
	struct __kernel_timespec ts = { .tv_nsec = chance(seed, 300000) };

	note(async_op(IORING_OP_TIMEOUT, -1, 0, &ts, 1, IORING_TIMEOUT_ETIME_SUCCESS) == -ETIME ?
		     0 :
		     async_stopped());
}

static void do_mutex(uint64_t *seed)
{
	struct async_scope shield;

	if (note(async_mutex_lock(&mutex)) < 0)
		return;
	CHECK_EQ(inside++, 0);
	async_shield_begin(&shield);
	CHECK_EQ(async_sleep(chance(seed, 20000)), 0);
	async_shield_end(&shield);
	CHECK_EQ(--inside, 0);
	async_mutex_unlock(&mutex);
}

static void do_chan(uint64_t *seed)
{
	uint64_t value = 1 + chance(seed, 1000);

	if (chance(seed, 2)) {
		if (note(async_chan_send(&chan, &value)) == 0)
			sent += value;
	} else if (note(async_chan_recv(&chan, &value)) == 0) {
		received += value;
	}
}

/* A conversation with the echo below; anything unfinished is ended by closing. */
static void do_talk(uint64_t *seed)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = __builtin_bswap16(port) };
	char out[256], in[256], after[256];
	int fd = async_socket(AF_INET, SOCK_STREAM, 0);
	int64_t n;

	if (note(fd) < 0)
		return;
	to.sin_addr.s_addr = __builtin_bswap32(INADDR_LOOPBACK);
	n = note(async_connect(fd, &to, sizeof(to)));
	for (int i = 0; i < 4 && n >= 0; i++) {
		uint32_t len = 1 + chance(seed, sizeof(out));

		memset(out, (int)chance(seed, 256), len);
		memset(in, CANARY, sizeof(in));
		n = chance(seed, 2) ? async_send_all(fd, out, len) :
				      async_exchange(fd, out, len, in, 1);
		if (n == 1 && len > 1 && (n = async_recv_all(fd, in + 1, len - 1)) >= 0)
			n++;
		else if (n == len && (uint8_t)in[0] == CANARY)
			n = async_recv_all(fd, in, len);
		if (note(n) >= len)
			CHECK_EQ(memcmp(in, out, len), 0);
		/* whatever came of it, the kernel writes here no more */
		memcpy(after, in, sizeof(in));
		async_yield();
		CHECK_EQ(memcmp(after, in, sizeof(in)), 0);
	}
	CHECK_EQ(async_close(fd), 0);
}

static void do_something(uint64_t *seed)
{
	switch (chance(seed, 6)) {
	case 0:
		do_nop(seed);
		return;
	case 1:
		do_timeout(seed);
		return;
	case 2:
		do_mutex(seed);
		return;
	case 3:
		do_chan(seed);
		return;
	case 4:
		do_talk(seed);
		return;
	}
	note(async_sleep(chance(seed, 200000)));
}

/* ---- who does them ---- */

static int64_t child(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;

	for (int i = 0; i < 5; i++) {
		struct async_scope limit;

		async_deadline_begin(&limit, chance(&seed, 400000));
		do_something(&seed);
		async_deadline_end(&limit);
	}
	return async_stopped();
}

static void with_child(uint64_t *seed)
{
	struct async_co *co = async_spawn(child, (void *)(uintptr_t)(*seed | 1));
	struct async_scope shield;

	if (!co)
		return;
	if (chance(seed, 2))
		async_sleep(chance(seed, 300000));
	else
		async_yield();
	if (chance(seed, 3))
		async_cancel(co);
	async_shield_begin(&shield);
	CHECK_EQ(async_join(co, NULL), 0);
	async_shield_end(&shield);
}

static int64_t worker(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg * 77777;

	for (int i = 0; i < ROUNDS; i++) {
		struct async_scope limit;

		async_deadline_begin(&limit, chance(&seed, 400000));
		if (chance(&seed, 4))
			do_something(&seed);
		else
			with_child(&seed);
		async_deadline_end(&limit);
		CHECK_EQ(async_stopped(), 0);
	}
	return 0;
}

/* ---- the echo they talk to ---- */

static int64_t echo(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buf[300];
	int64_t n = 0;

	do {
		n = async_exchange(fd, buf, (size_t)n, buf, sizeof(buf));
	} while (n > 0);
	return async_close(fd);
}

static int64_t serve(void *arg)
{
	struct async_stream conns;
	struct async_group group;
	int64_t fd;

	(void)arg;
	async_group_init(&group);
	async_accept_each(&conns, listener, 0);
	while ((fd = async_stream_next(&conns, NULL)) >= 0 || fd == -ECONNABORTED)
		if (fd >= 0 && async_group_spawn(&group, echo, (void *)(intptr_t)fd))
			async_close((int)fd);
	CHECK_EQ(fd, -ECANCELED);
	async_stream_end(&conns);
	async_group_wait(&group);
	return 0;
}

int main(int argc, char **argv)
{
	struct async_co *server;
	struct async_group group;
	uint64_t value;

	async_chan_init(&chan, chan_slots, sizeof(value), 4);
	port = check_port(argc, argv, 4712);
	listener = async_listen_tcp(port, 128);
	CHECK(listener >= 0);
	server = async_spawn(serve, NULL);
	async_group_init(&group);
	for (intptr_t i = 1; i <= WORKERS; i++)
		CHECK_EQ(async_group_spawn(&group, worker, (void *)i), 0);
	CHECK_EQ(async_group_wait(&group), 0);
	while (async_chan_tryrecv(&chan, &value) == 0)
		received += value;
	CHECK_EQ(sent, received);
	CHECK(mutex.owner == NULL);
	async_cancel(server);
	CHECK_EQ(async_join(server, NULL), 0);
	CHECK_EQ(async_close(listener), 0);
	CHECK(outcomes[0] && outcomes[1] && outcomes[2]); /* all three happened */
	async_printf("# %u done, %u out of time, %u cancelled\n", outcomes[0], outcomes[1],
		     outcomes[2]);
	return async_printf("ok\n") == 3 ? 0 : 1;
}
