/*
 * b_mem_echo CONNECTIONS MS: how many messages of 64 bytes go through memory and back? Each
 * connection is two pipes, a coroutine that sends and waits for the answer, and one that answers.
 * What comes back is compared. bench/host/mem_echo.c does the same by Linux' means.
 */
#include "libasync/async.h"

#include <string.h>

#include "lib/guest.h"

#define CONNECTIONS_MAX 64u
#define MESSAGE		64u
#define WARM_MS		50u

static struct connection {
	int there[2], back[2];
	uint64_t messages;
} connections[CONNECTIONS_MAX];
static uint64_t until;

static int64_t answer(void *arg)
{
	struct connection *c = arg;
	char text[MESSAGE];
	int64_t n;

	while ((n = async_read(c->there[0], text, MESSAGE)) > 0)
		if (async_write(c->back[1], text, (size_t)n) != n)
			return -1;
	return n;
}

static int64_t ask(void *arg)
{
	struct connection *c = arg;
	uint64_t out[MESSAGE / 8] = { 0 }, in[MESSAGE / 8];

	while (guest_ns() < until) {
		out[0] = ++c->messages;
		if (async_write(c->there[1], out, MESSAGE) != MESSAGE ||
		    async_read(c->back[0], in, MESSAGE) != MESSAGE || memcmp(in, out, MESSAGE))
			return -1;
	}
	return 0;
}

/* Everybody asks until the time is over: messages, or 0 when one went wrong. */
static uint64_t ask_for(uint32_t count, uint64_t ms)
{
	struct async_group group;
	uint64_t sum = 0;

	async_group_init(&group);
	until = guest_ns() + ms * ASYNC_MS;
	for (uint32_t i = 0; i < count; i++) {
		connections[i].messages = 0;
		if (async_group_spawn(&group, ask, &connections[i]))
			return 0;
	}
	if (async_group_wait(&group))
		return 0;
	for (uint32_t i = 0; i < count; i++)
		sum += connections[i].messages;
	return sum;
}

static uint32_t number_of(const char *text)
{
	uint32_t n = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		n = n * 10 + (uint32_t)(*text - '0');
	return n;
}

int main(int argc, char **argv)
{
	uint32_t count = argc == 3 ? number_of(argv[1]) : 0,
		 ms = argc == 3 ? number_of(argv[2]) : 0;
	struct async_group servers;
	uint64_t messages, from, ns;

	if (!count || count > CONNECTIONS_MAX || !ms) {
		async_printf("usage: b_mem_echo CONNECTIONS MS\n");
		return 2;
	}
	async_group_init(&servers);
	for (uint32_t i = 0; i < count; i++)
		if (async_pipe(connections[i].there, 0) || async_pipe(connections[i].back, 0) ||
		    async_group_spawn(&servers, answer, &connections[i]))
			return 1;
	if (!ask_for(count, WARM_MS))
		return 1;
	from = guest_ns();
	messages = ask_for(count, ms);
	ns = guest_ns() - from;
	for (uint32_t i = 0; i < count; i++)
		async_close(connections[i].there[1]);
	if (!messages || async_group_wait(&servers))
		return 1;
	async_printf("bench: connections=%u messages=%llu ns=%llu\n", count,
		     (unsigned long long)messages, (unsigned long long)ns);
	return 0;
}
