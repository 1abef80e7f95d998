/*
 * switch HOW MEMBERS KIB ROUNDS: what does it cost to hand a token on? (bench/switch.h)
 *
 *	process		members are processes, linked by pipes
 *	thread		members are threads, linked by pipes
 *	overhead	one process writes and reads all pipes itself
 *	yield-process	two processes that only yield to each other, first in, first out where that is
 *			allowed; ROUNDS counts each hand-over, MEMBERS and KIB say nothing
 *	yield-thread	two threads, likewise
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

/* Shared by both that yield. */
static struct yields {
	volatile uint64_t hops; /* how often the cpu went from one to the other */
	volatile unsigned last;
	volatile bool stop;
} *yields;

static void yield_until(unsigned me, uint64_t hops)
{
	while (yields->hops < hops && !yields->stop) {
		if (yields->last != me) {
			yields->last = me;
			yields->hops++;
		}
		sched_yield();
	}
}

static void *yield_run(void *unused)
{
	(void)unused;
	yield_until(1, UINT64_MAX);
	return NULL;
}

static int yield_main(const char *how, uint64_t hops)
{
	bool is_thread = !strcmp(how, "yield-thread");
	struct sched_param param = { .sched_priority = 1 };
	bool fifo = sched_setscheduler(0, SCHED_FIFO, &param) == 0;
	pthread_t thread;
	uint64_t from, ns;

	yields = mmap(NULL, sizeof(*yields), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (yields == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	if (is_thread && pthread_create(&thread, NULL, yield_run, NULL))
		die("a thread cannot be started");
	if (!is_thread && fork() == 0) {
		yield_run(NULL);
		_exit(0);
	}
	yield_until(0, 1000);
	from = now_ns();
	PEER_MARK(PEER_MARK_BEGIN);
	yield_until(0, 1000 + hops);
	PEER_MARK(PEER_MARK_END);
	ns = now_ns() - from;
	yields->stop = true;
	printf("bench: how=%s fifo=%u hops=%llu ns=%llu\n", how, fifo, (unsigned long long)hops,
	       (unsigned long long)ns);
	if (is_thread)
		pthread_join(thread, NULL);
	while (wait(NULL) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t rounds, from = 0, *words[SWITCH_MEMBERS_MAX];
	bool alone;

	if (argc != 5)
		die("usage: switch process|thread|overhead|yield-process|yield-thread MEMBERS KIB "
		    "ROUNDS");
	alone = !strcmp(argv[1], "overhead");
	members = (unsigned)number(argv[2], 2, SWITCH_MEMBERS_MAX);
	bytes = number(argv[3], 0, 1024) * 1024;
	rounds = number(argv[4], 1, 1000000000);
	pin_to(0);
	if (!strncmp(argv[1], "yield-", 6))
		return yield_main(argv[1], rounds);
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
