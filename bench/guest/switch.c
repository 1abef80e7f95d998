/*
 * b_switch HOW MEMBERS KIB ROUNDS: what does it cost to hand a token on? (bench/switch.h)
 *
 *	channel		members are coroutines, linked by channels
 *	channel-alone	one coroutine sends and receives on all channels itself
 *	pipe		members are coroutines, linked by the kernel's pipes
 *	pipe-alone	one coroutine writes and reads all pipes itself
 *	process		members are processes on one core, linked by the kernel's pipes
 *	across		the same, each on the core behind the one before it
 *	member		what such a process runs: takes from descriptor 0, sends to 1
 */
#include "libasync/async.h"

#include <stdlib.h>
#include <string.h>

#include "bench/switch.h"
#include "lib/guest.h"

struct link {
	struct async_chan chan;
	int32_t slot;
	int fds[2];
};

static struct link links[SWITCH_MEMBERS_MAX]; /* member i takes from link i, sends to link i + 1 */
static unsigned members;
static size_t bytes;
static bool piped;

static bool token_send(unsigned at, int32_t token)
{
	struct link *link = &links[at];

	return piped ? async_write(link->fds[1], &token, sizeof(token)) == sizeof(token) :
		       async_chan_send(&link->chan, &token) == 0;
}

static bool token_take(unsigned at, int32_t *token)
{
	struct link *link = &links[at];

	return piped ? async_read(link->fds[0], token, sizeof(*token)) == sizeof(*token) :
		       async_chan_recv(&link->chan, token) == 0;
}

static uint64_t *buffer_make(void)
{
	uint64_t *words = async_pages_alloc(bytes + 4096, true);

	if (words)
		memset(words, 1, bytes + 4096);
	return words;
}

static int64_t member_run(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	uint64_t *words = buffer_make();
	int32_t token;

	do {
		if (!words || !token_take(me, &token))
			return -1;
		switch_work(words, bytes);
		if (!token_send((me + 1) % members, token))
			return -1;
	} while (token != SWITCH_STOP);
	return 0;
}

/* The other members as processes, on this core or each on the next. */
static bool processes_start(const char *kib, bool across)
{
	const char *argv[] = { "/bin/b_switch", "member", "2", kib, "1", NULL };

	for (unsigned i = 1; i < members; i++) {
		int32_t fds[] = { links[i].fds[0], links[(i + 1) % members].fds[1], 2 };
		struct sluice_spawn ask = {
			.size = sizeof(ask),
			.fd_count = 3,
			.path = (uint64_t)(uintptr_t)argv[0],
			.argv = (uint64_t)(uintptr_t)argv,
			.fds = (uint64_t)(uintptr_t)fds,
			.user_core = ring_start_info->core + (across ? i : 0),
			.home = SLUICE_ANY_CORE,
		};

		if (async_op(IORING_OP_SPAWN, 0, 0, &ask, sizeof(ask), 0) < 0)
			return false;
	}
	return true;
}

static int process_member(void)
{
	links[0].fds[0] = 0;
	links[1].fds[1] = 1;
	return (int)member_run(NULL);
}

static bool rounds_ring(uint64_t count, const uint64_t *words)
{
	int32_t token;

	while (count--) {
		if (!token_send(1, 1) || !token_take(0, &token))
			return false;
		switch_work(words, bytes);
	}
	return true;
}

static bool rounds_alone(uint64_t count, uint64_t *const *words)
{
	int32_t token;

	while (count--)
		for (unsigned i = 0; i < members; i++) {
			if (!token_send(i, 1) || !token_take(i, &token))
				return false;
			switch_work(words[i], bytes);
		}
	return true;
}

static bool rounds_go(uint64_t count, uint64_t *const *words, bool alone)
{
	return alone ? rounds_alone(count, words) : rounds_ring(count, words[0]);
}

static bool ring_make(uint64_t **words, bool processes, bool across, const char *kib)
{
	for (unsigned i = 0; i < members; i++) {
		words[i] = buffer_make();
		async_chan_init(&links[i].chan, &links[i].slot, sizeof(links[i].slot), 1);
		if (!words[i] || (piped && async_pipe(links[i].fds, 0)))
			return false;
	}
	return !processes || processes_start(kib, across);
}

static bool coroutines_start(struct async_co **cos)
{
	for (unsigned i = 1; i < members; i++) {
		cos[i] = async_spawn(member_run, (void *)(uintptr_t)i);
		if (!cos[i])
			return false;
	}
	return true;
}

static unsigned digits(const char *text)
{
	unsigned n = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		n = n * 10 + (unsigned)(*text - '0');
	return n;
}

int main(int argc, char **argv)
{
	uint64_t rounds, from, ns, *words[SWITCH_MEMBERS_MAX];
	struct async_co *cos[SWITCH_MEMBERS_MAX];
	int32_t token = 0;
	bool alone, processes, across, coroutines, went;

	if (argc != 5 || digits(argv[2]) < 2 || digits(argv[2]) > SWITCH_MEMBERS_MAX) {
		async_printf("usage: b_switch channel|channel-alone|pipe|pipe-alone|process|across "
			     "MEMBERS "
			     "ROUNDS\n");
		return 2;
	}
	across = !strcmp(argv[1], "across");
	processes = across || !strcmp(argv[1], "process");
	piped = argv[1][0] != 'c'; /* channels, or pipes */
	alone = !strcmp(argv[1], "channel-alone") || !strcmp(argv[1], "pipe-alone");
	coroutines = !alone && !processes;
	members = digits(argv[2]);
	bytes = digits(argv[3]) * (size_t)1024;
	rounds = digits(argv[4]);
	if (!strcmp(argv[1], "member"))
		return process_member();
	if (!ring_make(words, processes, across, argv[3]) ||
	    (coroutines && !coroutines_start(cos)) || !rounds_go(SWITCH_WARM, words, alone))
		return 1;
	from = guest_ns();
	ASYNC_MARK(GUEST_MARK_BEGIN);
	went = rounds_go(rounds, words, alone);
	ASYNC_MARK(GUEST_MARK_END);
	ns = guest_ns() - from;
	if (!went)
		return 1;
	if (!alone &&
	    (!token_send(1, SWITCH_STOP) || !token_take(0, &token) || token != SWITCH_STOP))
		return 1;
	for (unsigned i = 1; i < members && coroutines; i++) {
		int64_t result;

		if (async_join(cos[i], &result) || result)
			return 1;
	}
	async_printf("bench: how=%s members=%u kib=%u hops=%llu ns=%llu\n", argv[1], members,
		     (unsigned)(bytes / 1024), (unsigned long long)(rounds * members),
		     (unsigned long long)ns);
	return 0;
}
