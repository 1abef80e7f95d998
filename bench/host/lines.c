/*
 * lines [wakes]: what it costs two cpus to have something in common. Threads on cpus 0 and 1;
 * prints
 *
 *   line N    a cache line that is with the other cpu, waited for (half of a round trip)
 *   stream N  one of a row of entries that the other has written, each copied and looked at before
 *             the next, on top of what that takes at hand; without the wait for the first
 *   store N   one of a row of lines that the other has read, written; until all are there
 *   relax N   the pause of a loop that looks
 *   user N    filling an entry of 64 bytes and looking at an answer of 16, both at hand
 *
 * and with `wakes`
 *
 *   doorbell N  waking a thread that sleeps in a futex, for the one who wakes it
 *   wake N    from there until that thread goes on
 *
 * in nanoseconds: the lower quartile of all rounds, since a neighbour on one of the cpus only makes
 * it longer.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host.h"

#define ROUNDS 400u
#define TRIPS  200u
#define ROW    32u /* as long as a batch of the kernel's, kernel/ring/turn.c */
#define LOOKS  24u /* an entry is worth some 10 ns then, as one of the kernel's */
#define WAKES  200u

struct word {
	_Atomic uint32_t value;
} __attribute__((aligned(128)));

static unsigned wakes_wanted;
static struct word ask, answer, asleep, done;
static volatile uint64_t row[ROW][8] __attribute__((aligned(4096)));
static _Atomic uint64_t woken_at;
static double sample[ROUNDS], line;

static void wait_for(struct word *w, uint32_t value)
{
	while (atomic_load_explicit(&w->value, memory_order_acquire) != value)
		relax();
}

static void look_for(struct word *w, uint32_t value)
{
	while (atomic_load_explicit(&w->value, memory_order_acquire) != value)
		;
}

static void row_write(void)
{
	for (unsigned i = 0; i < ROW; i++)
		row[i][0] = i;
	atomic_thread_fence(memory_order_seq_cst);
}

/* As a kernel does with entries: a row that is only read comes four times as fast. */
static uint64_t row_take(void)
{
	static volatile uint64_t entry[8];
	uint64_t sum = 0;

	for (unsigned i = 0; i < ROW; i++) {
		for (unsigned word = 0; word < 8; word++)
			entry[word] = row[i][word];
		sum += entry[0];
		for (unsigned look = 0; look < LOOKS; look++) {
			sum += look;
			__asm__ volatile("" : "+r"(sum)); /* one after the other */
		}
	}
	return sum;
}

/* The other cpu: answers each question by its number, with what belongs to that round. */
static void *other(void *unused)
{
	uint32_t n = 0;

	(void)unused;
	pin_to(1);
	for (unsigned i = 0; i < ROUNDS * TRIPS; i++) {
		look_for(&ask, ++n);
		atomic_store_explicit(&answer.value, n, memory_order_release);
	}
	for (unsigned i = 0; i < ROUNDS; i++) { /* the row goes to and fro */
		wait_for(&ask, ++n);
		row_write();
		atomic_store_explicit(&answer.value, n, memory_order_release);
		wait_for(&ask, ++n);
		(void)row_take();
		atomic_store_explicit(&answer.value, n, memory_order_release);
	}
	for (unsigned i = 0; i < wakes_wanted; i++) {
		atomic_store_explicit(&asleep.value, 1, memory_order_release);
		syscall(SYS_futex, &asleep.value, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
		atomic_store(&woken_at, now_ns());
		atomic_store_explicit(&done.value, i + 1, memory_order_release);
	}
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double say(const char *name, unsigned count)
{
	qsort(sample, count, sizeof(*sample), by_value);
	printf("%s %.3f\n", name, sample[count / 4]);
	return sample[count / 4];
}

static double ns_since(uint64_t begin)
{
	return (double)(now_ns() - begin);
}

static uint32_t asked;

static void question(void)
{
	atomic_store_explicit(&ask.value, ++asked, memory_order_release);
	wait_for(&answer, asked);
}

static void trips(void)
{
	for (unsigned r = 0; r < ROUNDS; r++) {
		uint64_t begin = now_ns();

		for (unsigned i = 0; i < TRIPS; i++) {
			atomic_store_explicit(&ask.value, ++asked, memory_order_release);
			look_for(&answer, asked);
		}
		sample[r] = ns_since(begin) / (2 * TRIPS);
	}
	line = say("line", ROUNDS);
}

static void rows(void)
{
	static double stores[ROUNDS];
	uint64_t empty = UINT64_MAX, begin;

	for (unsigned i = 0; i < 100; i++) {
		begin = now_ns();
		begin = now_ns() - begin;
		empty = begin < empty ? begin : empty;
	}
	for (unsigned r = 0; r < ROUNDS; r++) {
		question();
		begin = now_ns();
		(void)row_take();
		sample[r] = ns_since(begin);
		begin = now_ns();
		(void)row_take(); /* all of it at hand now */
		sample[r] = (sample[r] - ns_since(begin) - line) / (ROW - 1);
		question();
		begin = now_ns();
		row_write();
		stores[r] = (ns_since(begin) - (double)empty) / ROW;
	}
	say("stream", ROUNDS);
	for (unsigned r = 0; r < ROUNDS; r++)
		sample[r] = stores[r];
	say("store", ROUNDS);
}

static void pauses(void)
{
	for (unsigned r = 0; r < ROUNDS; r++) {
		uint64_t begin = now_ns();

		for (unsigned i = 0; i < TRIPS; i++)
			relax();
		sample[r] = ns_since(begin) / TRIPS;
	}
	say("relax", ROUNDS);
}

static void asks(void)
{
	static volatile uint64_t answers[ROW][2];
	uint64_t name = 0, sum = 0, wrong = 0;

	for (unsigned r = 0; r < ROUNDS; r++) {
		uint64_t begin = now_ns();

		for (unsigned i = 0; i < TRIPS * ROW; i++) {
			for (unsigned word = 0; word < 8; word++)
				row[i % ROW][word] = word == 4 ? name++ : word;
			sum += answers[i % ROW][0];
			wrong |= answers[i % ROW][1];
		}
		sample[r] = ns_since(begin) / (TRIPS * ROW);
	}
	if (sum | wrong)
		die("an answer that nobody gave");
	say("user", ROUNDS);
}

static void wakes(void)
{
	static double rings[WAKES];

	for (unsigned i = 0; i < WAKES; i++) {
		uint64_t begin, rung;

		wait_for(&asleep, 1);
		usleep(200); /* it is in the futex by then; if not, this round is no wake */
		atomic_store_explicit(&asleep.value, 0, memory_order_release);
		begin = now_ns();
		syscall(SYS_futex, &asleep.value, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
		rung = now_ns();
		wait_for(&done, i + 1);
		rings[i] = (double)(rung - begin);
		sample[i] = (double)(atomic_load(&woken_at) - begin);
	}
	say("wake", WAKES);
	for (unsigned i = 0; i < WAKES; i++)
		sample[i] = rings[i];
	say("doorbell", WAKES);
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc > 2 || (argc == 2 && strcmp(argv[1], "wakes")))
		die("usage: lines [wakes]");
	wakes_wanted = argc == 2 ? WAKES : 0;
	pin_to(0);
	if (pthread_create(&thread, NULL, other, NULL))
		die("no second thread");
	trips();
	rows();
	pauses();
	asks();
	if (wakes_wanted)
		wakes();
	pthread_join(thread, NULL);
	return 0;
}
