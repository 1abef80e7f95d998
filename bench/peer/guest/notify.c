/*
 * notify HOW CPU ROUNDS: what does it cost to tell another thread, which sleeps until it is told,
 * and which tells back? The other one is on CPU, this one on cpu 0.
 *
 *	eventfd		a counter each way
 *	futex		a word each way
 *	pipe		a byte each way
 *	signal		a signal each way, its handler run
 *	word		busy polling: both look at a word of memory all the time; on two cpus only
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "peer.h"

#define WARM 100u

/* Side 0 is main's, side 1 the other thread's. */
struct way {
	const char *name;
	void (*open)(unsigned side);
	void (*tell)(unsigned side);
	void (*await)(unsigned side);
};

static int ends[2][2];
static uint32_t words[2];
static pthread_t threads[2];
static volatile sig_atomic_t told[2];
static __thread unsigned me;
static unsigned other_cpu;
static uint64_t rounds;

static void eventfd_open(unsigned side)
{
	ends[side][0] = ends[side][1] = eventfd(0, 0);
}

static void eventfd_tell(unsigned side)
{
	uint64_t one = 1;

	if (write(ends[side][1], &one, sizeof(one)) != sizeof(one))
		die("eventfd: %s", strerror(errno));
}

static void eventfd_await(unsigned side)
{
	uint64_t count;

	if (read(ends[side][0], &count, sizeof(count)) != sizeof(count))
		die("eventfd: %s", strerror(errno));
}

static void futex_open(unsigned side)
{
	words[side] = 0;
}

static void futex_tell(unsigned side)
{
	__atomic_store_n(&words[side], 1, __ATOMIC_RELEASE); /* pairs with futex_await */
	syscall(SYS_futex, &words[side], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void futex_await(unsigned side)
{
	while (!__atomic_load_n(&words[side], __ATOMIC_ACQUIRE)) /* pairs with futex_tell */
		syscall(SYS_futex, &words[side], FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	words[side] = 0;
}

static void pipe_open(unsigned side)
{
	if (pipe(ends[side]))
		die("pipe: %s", strerror(errno));
}

static void pipe_tell(unsigned side)
{
	if (write(ends[side][1], "", 1) != 1)
		die("pipe: %s", strerror(errno));
}

static void pipe_await(unsigned side)
{
	char byte;

	if (read(ends[side][0], &byte, 1) != 1)
		die("pipe: %s", strerror(errno));
}

static void on_signal(int number)
{
	(void)number;
	told[me] = 1;
}

static void signal_open(unsigned side)
{
	struct sigaction action = { .sa_handler = on_signal };

	(void)side;
	sigaction(SIGUSR1, &action, NULL);
}

static void signal_tell(unsigned side)
{
	pthread_kill(threads[side], SIGUSR1);
}

static void signal_await(unsigned side)
{
	sigset_t none;

	sigemptyset(&none);
	while (!told[side])
		sigsuspend(&none);
	told[side] = 0;
}

static void word_tell(unsigned side)
{
	__atomic_store_n(&words[side], 1, __ATOMIC_RELEASE); /* pairs with word_await */
}

static void word_await(unsigned side)
{
	PEER_MARK(PEER_MARK_SPIN);
	while (!__atomic_load_n(&words[side], __ATOMIC_ACQUIRE)) /* pairs with word_tell */
		;
	PEER_MARK(PEER_MARK_SPUN);
	words[side] = 0;
}

static const struct way ways[] = {
	{ "eventfd", eventfd_open, eventfd_tell, eventfd_await },
	{ "futex", futex_open, futex_tell, futex_await },
	{ "pipe", pipe_open, pipe_tell, pipe_await },
	{ "signal", signal_open, signal_tell, signal_await },
	{ "word", futex_open, word_tell, word_await },
};

static void *other(void *arg)
{
	const struct way *way = arg;

	me = 1;
	pin_to(other_cpu);
	for (uint64_t i = 0; i < WARM + rounds; i++) {
		way->await(1);
		way->tell(0);
	}
	return NULL;
}

static void round_trips(const struct way *way, uint64_t count)
{
	while (count--) {
		way->tell(1);
		way->await(0);
	}
}

int main(int argc, char **argv)
{
	const struct way *way = NULL;
	sigset_t usr1;
	uint64_t from;

	if (argc != 4)
		die("usage: notify eventfd|futex|pipe|signal|word CPU ROUNDS");
	for (unsigned i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (!strcmp(argv[1], ways[i].name))
			way = &ways[i];
	if (!way)
		die("%s is no way", argv[1]);
	other_cpu = (unsigned)number(argv[2], 0, 1023);
	rounds = number(argv[3], 1, 1000000000);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL); /* taken in sigsuspend only */
	pin_to(0);
	way->open(0);
	way->open(1);
	threads[0] = pthread_self();
	if (pthread_create(&threads[1], NULL, other, (void *)(uintptr_t)way))
		die("a thread cannot be started");
	round_trips(way, WARM);
	from = now_ns();
	PEER_MARK(PEER_MARK_BEGIN);
	round_trips(way, rounds);
	PEER_MARK(PEER_MARK_END);
	printf("bench: how=%s cpu=%u messages=%llu ns=%llu\n", way->name, other_cpu,
	       (unsigned long long)(2 * rounds), (unsigned long long)(now_ns() - from));
	pthread_join(threads[1], NULL);
	return 0;
}
