/*
 * told COUNT GAP_US WAIT_MS ROUNDS HOW...: how does a thread learn of a message, and what does that
 * cost it? As bench/guest/told.c: another thread, on cpu 1, sends nothing for WAIT_MS, and then
 * COUNT messages, GAP_US or more apart, to this one on cpu 0, which sleeps meanwhile in HOW:
 *
 *	eventfd		a read of a counter
 *	futex		a futex on the message's number
 *	pipe		a read of a pipe
 *	signal		sigsuspend; the handler looks
 *	word		nothing: it looks at the number all the time
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/told.h"
#include "peer.h"

static struct told told;
static int ends[2];
static pthread_t receiver;
static uint32_t count;
static uint64_t gap_ns, wait_ns;

/* Its lower half is where a futex waits. */
static uint32_t *number_word(void)
{
	return (uint32_t *)&told.number;
}

static void look(void)
{
	uint64_t number = __atomic_load_n(&told.number, __ATOMIC_ACQUIRE);

	if (number == told.seen)
		return;
	told.took[number % TOLD_MAX] = now_ns() - told.sent;
	PEER_MARK(TOLD_MARK_SEEN);
	__atomic_store_n(&told.seen, number, __ATOMIC_RELEASE);
}

static void on_signal(int signal)
{
	(void)signal;
	look();
}

__attribute__((noinline)) static void word_await(void)
{
	PEER_MARK(PEER_MARK_SPIN);
	while (__atomic_load_n(&told.number, __ATOMIC_RELAXED) == told.seen)
		relax();
	PEER_MARK(PEER_MARK_SPUN);
}

__attribute__((noinline)) static void seen_wait(uint64_t number)
{
	PEER_MARK(PEER_MARK_SPIN);
	while (__atomic_load_n(&told.seen, __ATOMIC_ACQUIRE) != number)
		relax();
	PEER_MARK(PEER_MARK_SPUN);
}

static void futex_tell(void)
{
	syscall(SYS_futex, number_word(), FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void futex_await(void)
{
	syscall(SYS_futex, number_word(), FUTEX_WAIT_PRIVATE, (uint32_t)told.seen, NULL, NULL, 0);
}

static void file_tell(void)
{
	uint64_t one = 1; /* of a pipe, eight bytes */

	if (write(ends[1], &one, sizeof(one)) != sizeof(one))
		die("write: %s", strerror(errno));
}

static void file_await(void)
{
	uint64_t one;

	if (read(ends[0], &one, sizeof(one)) != sizeof(one))
		die("read: %s", strerror(errno));
}

static void signal_tell(void)
{
	pthread_kill(receiver, SIGUSR1);
}

static void signal_await(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigsuspend(&none);
}

static void word_tell(void)
{
}

static const struct way {
	const char *name;
	void (*tell)(void), (*await)(void);
} ways[] = {
	{ "eventfd", file_tell, file_await },	{ "pipe", file_tell, file_await },
	{ "futex", futex_tell, futex_await },	{ "signal", signal_tell, signal_await },
	{ "word", word_tell, word_await },
};

static void pause_ns(uint64_t ns)
{
	struct timespec time = { .tv_sec = (time_t)(ns / 1000000000u),
				 .tv_nsec = (long)(ns % 1000000000u) };

	nanosleep(&time, NULL);
}

static void message(const struct way *way, uint64_t number)
{
	PEER_MARK(TOLD_MARK_SENT);
	told.sent = now_ns();
	__atomic_store_n(&told.number, number, __ATOMIC_RELEASE);
	way->tell();
	seen_wait(number);
}

static void *sender(void *arg)
{
	const struct way *way = arg;

	pin_to(1);
	pause_ns(wait_ns);
	message(way, 1);
	while (__atomic_load_n(&told.ready, __ATOMIC_ACQUIRE) != 2)
		pause_ns(gap_ns);
	for (uint32_t i = 0; i < count; i++) {
		pause_ns(gap_ns);
		message(way, 2 + i);
	}
	return NULL;
}

static uint64_t receive(const struct way *way, uint64_t last)
{
	uint64_t from = now_ns();

	PEER_MARK(PEER_MARK_BEGIN);
	while (told.seen != last) {
		way->await();
		look();
	}
	PEER_MARK(PEER_MARK_END);
	return now_ns() - from;
}

static void round_run(const struct way *way)
{
	pthread_t thread;
	uint64_t ns;

	memset(&told, 0, sizeof(told));
	if (!strcmp(way->name, "eventfd"))
		ends[0] = ends[1] = eventfd(0, 0);
	else if (pipe(ends))
		die("pipe: %s", strerror(errno));
	if (pthread_create(&thread, NULL, sender, (void *)(uintptr_t)way))
		die("a thread cannot be started");
	ns = receive(way, 1);
	printf("bench: how=%s wait_ns=%llu\n", way->name, (unsigned long long)ns);
	fflush(stdout);
	__atomic_store_n(&told.ready, 2, __ATOMIC_RELEASE);
	ns = receive(way, 1 + count);
	told_sort(told.took + 2, count);
	printf("bench: how=%s messages=%u ns=%llu median_ns=%llu p99_ns=%llu\n", way->name, count,
	       (unsigned long long)ns, (unsigned long long)told.took[2 + count / 2],
	       (unsigned long long)told.took[2 + count - 1 - count / 100]);
	fflush(stdout);
	pthread_join(thread, NULL);
	close(ends[0]);
	close(ends[1]);
}

static const struct way *way_of(const char *name)
{
	for (unsigned i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (!strcmp(name, ways[i].name))
			return &ways[i];
	die("%s is no way", name);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t usr1;
	uint64_t rounds;

	if (argc < 6)
		die("usage: told COUNT GAP_US WAIT_MS ROUNDS HOW...");
	count = (uint32_t)number(argv[1], 1, TOLD_MAX - 2);
	gap_ns = number(argv[2], 1, 1000000) * 1000u;
	wait_ns = number(argv[3], 1, 10000) * 1000000u;
	rounds = number(argv[4], 1, 1000);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL); /* taken in sigsuspend only */
	sigaction(SIGUSR1, &action, NULL);
	receiver = pthread_self();
	pin_to(0);
	while (rounds--)
		for (int i = 5; i < argc; i++)
			round_run(way_of(argv[i]));
	return 0;
}
