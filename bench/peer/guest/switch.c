/*
 * switch HOW MEMBERS KIB ROUNDS: what does it cost to hand a token on? (bench/switch.h)
 *
 *	process		members are processes, linked by pipes
 *	thread		members are threads, linked by pipes
 *	overhead	one process writes and reads all pipes itself
 *
 * All on cpu 0.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <errno.h>
#include <unistd.h>

#include "bench/switch.h"
#include "peer.h"

static int links[SWITCH_MEMBERS_MAX][2]; /* member i reads link i, writes link i + 1 */
static unsigned members;
static size_t bytes;

static void token_send(unsigned link, int32_t token)
{
	if (write(links[link][1], &token, sizeof(token)) != sizeof(token))
		die("write: %s", strerror(errno));
}

static int32_t token_take(unsigned link)
{
	int32_t token;

	if (read(links[link][0], &token, sizeof(token)) != sizeof(token))
		die("read: %s", strerror(errno));
	return token;
}

static uint64_t *buffer_make(void)
{
	uint64_t *words = mmap(NULL, bytes + 4096, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (words == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	memset(words, 1, bytes + 4096);
	return words;
}

static void *member_run(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	uint64_t *words = buffer_make();
	int32_t token;

	do {
		token = token_take(me);
		switch_work(words, bytes);
		token_send((me + 1) % members, token);
	} while (token != SWITCH_STOP);
	return NULL;
}

static void member_start(unsigned me, bool is_thread)
{
	pthread_t thread;

	if (is_thread) {
		if (pthread_create(&thread, NULL, member_run, (void *)(uintptr_t)me))
			die("a thread cannot be started");
		return;
	}
	switch (fork()) {
	case -1:
		die("fork: %s", strerror(errno));
	case 0:
		member_run((void *)(uintptr_t)me);
		_exit(0);
	}
}

static void rounds_ring(uint64_t count, const uint64_t *words)
{
	while (count--) {
		token_send(1 % members, 1);
		token_take(0);
		switch_work(words, bytes);
	}
}

static void rounds_alone(uint64_t count, uint64_t *const *words)
{
	while (count--)
		for (unsigned i = 0; i < members; i++) {
			token_send(i, 1);
			token_take(i);
			switch_work(words[i], bytes);
		}
}

int main(int argc, char **argv)
{
	uint64_t rounds, from = 0, *words[SWITCH_MEMBERS_MAX];
	bool alone;

	if (argc != 5)
		die("usage: switch process|thread|overhead MEMBERS KIB ROUNDS");
	alone = !strcmp(argv[1], "overhead");
	members = (unsigned)number(argv[2], 2, SWITCH_MEMBERS_MAX);
	bytes = number(argv[3], 0, 1024) * 1024;
	rounds = number(argv[4], 1, 1000000000);
	pin_to(0);
	for (unsigned i = 0; i < members; i++) {
		words[i] = buffer_make();
		if (pipe(links[i]))
			die("pipe: %s", strerror(errno));
	}
	for (unsigned i = 1; i < members && !alone; i++)
		member_start(i, !strcmp(argv[1], "thread"));
	for (unsigned warm = 1;; warm = 0) {
		uint64_t count = warm ? SWITCH_WARM : rounds;

		from = now_ns();
		if (!warm)
			PEER_MARK(PEER_MARK_BEGIN);
		if (alone)
			rounds_alone(count, words);
		else
			rounds_ring(count, words[0]);
		if (!warm)
			break;
	}
	PEER_MARK(PEER_MARK_END);
	printf("bench: how=%s members=%u kib=%zu hops=%llu ns=%llu\n", argv[1], members,
	       bytes / 1024, (unsigned long long)(rounds * members),
	       (unsigned long long)(now_ns() - from));
	if (!alone) {
		token_send(1, SWITCH_STOP);
		token_take(0);
	}
	while (wait(NULL) > 0)
		;
	return 0;
}
