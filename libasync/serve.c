/*
 * serve: the front of a server: connections are taken while there is room, and each is served by a
 * coroutine of its own.
 *
 * Room is a number of connections. Where memory or descriptors run out before, the server waits for
 * the end of a connection, which gives some back, instead of asking again and again.
 */
#include "libasync/internal.h"

struct server {
	struct async_group group; /* of the connections: a coroutine finds its server by it */
	struct async_sem room;
	struct async_event ended; /* a connection gave its memory back */
	uint32_t count;
	void (*run)(int fd);
};

static int64_t serve_one(void *arg)
{
	struct server *server = (struct server *)(void *)async_self()->group;
	int fd = (int)(intptr_t)arg;

	server->run(fd);
	async_close(fd);
	__atomic_fetch_sub(&server->count, 1, __ATOMIC_RELAXED);
	async_event_set(&server->ended);
	async_sem_give(&server->room);
	return 0;
}

/* Takes what accept answered: false when there is no going on. */
static bool serve_take(struct server *server, int64_t fd)
{
	if (fd >= 0) {
		__atomic_fetch_add(&server->count, 1, __ATOMIC_RELAXED);
		if (async_group_spawn(&server->group, serve_one, (void *)(intptr_t)fd) == 0)
			return true;
		__atomic_fetch_sub(&server->count, 1, __ATOMIC_RELAXED);
		async_close((int)fd); /* no memory for another one */
	}
	async_sem_give(&server->room);
	if (fd >= 0 || fd == -ECONNABORTED)
		return true;
	if (fd != -ENOMEM && fd != -ENOBUFS && fd != -ENFILE && fd != -EMFILE)
		return false;
	/* the machine is full: as soon as a connection ends there is room again */
	async_event_clear(&server->ended);
	return __atomic_load_n(&server->count, __ATOMIC_RELAXED) &&
	       async_event_wait(&server->ended) == 0;
}

int async_serve(int listener, uint32_t most, void (*run)(int fd))
{
	struct server server = { .room = { .count = most }, .run = run };
	struct async_stream conns;
	int64_t fd;

	async_group_init(&server.group);
	async_accept_each(&conns, listener, 0);
	do {
		async_sem_take(&server.room);
		fd = async_stream_next(&conns, NULL);
	} while (serve_take(&server, fd));
	async_stream_end(&conns);
	async_group_cancel(&server.group);
	async_group_wait(&server.group);
	return (int)fd;
}

uint16_t async_port(const char *text)
{
	uint32_t port = 0;

	for (; *text >= '0' && *text <= '9' && port < 65536; text++)
		port = port * 10 + (uint32_t)(*text - '0');
	return *text == 0 && port < 65536 ? (uint16_t)port : 0;
}
