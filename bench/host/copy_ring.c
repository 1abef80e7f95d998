/*
 * copy_ring BATCH MS: what two threads on cpus 0 and 1 can do at most with a pair of rings: 64-byte
 * entries are filled and copied out, 16-byte answers come back. No operation is looked up, checked
 * or executed.
 *
 * At most 256 entries are under way; either side shows its end every BATCH entries. Each of the
 * four ends is on a pair of cache lines of its own and has one writer. Prints one number: entries
 * per second.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "host.h"

#define ENTRIES 256u
#define MASK	(ENTRIES - 1)
#define WARM_NS 30000000u

struct entry {
	uint64_t words[8]; /* the fifth is the mark that comes back */
};

struct answer {
	uint64_t mark;
	int32_t result;
	uint32_t flags;
};

struct end {
	_Atomic uint32_t value;
} __attribute__((aligned(128)));

static struct entry entries[ENTRIES] __attribute__((aligned(4096)));
static struct answer answers[ENTRIES] __attribute__((aligned(4096)));
static struct end asked, copied, answered, taken;
static uint32_t batch;

/* The other thread: copies, answers, until an entry says otherwise. */
static void *serve(void *unused)
{
	uint32_t at = 0;
	struct entry mine;

	(void)unused;
	pin_to(1);
	for (;;) {
		uint32_t count = atomic_load_explicit(&asked.value, memory_order_acquire) - at;

		if (count > batch)
			count = batch;
		if (!count ||
		    ENTRIES - (at - atomic_load_explicit(&taken.value, memory_order_acquire)) <
			    count) {
			relax();
			continue;
		}
		for (uint32_t i = 0; i < count; i++, at++) {
			struct answer *answer = &answers[at & MASK];

			mine = entries[at & MASK];
			__asm__ volatile("" : : "m"(mine)); /* the whole copy is wanted */
			if (mine.words[0])
				return NULL;
			answer->mark = mine.words[4];
			answer->result = 0;
			answer->flags = 0;
		}
		atomic_store_explicit(&copied.value, at, memory_order_release);
		atomic_store_explicit(&answered.value, at, memory_order_release);
	}
}

static void entry_fill(struct entry *entry, uint64_t first, uint64_t mark)
{
	*entry = (struct entry){ .words = { first, 0, 0, 0, mark, 0, 0, 0 } };
}

int main(int argc, char **argv)
{
	uint64_t now = 0, begin = 0, end = 0, done = 0, sum_asked = 0, sum_answered = 0;
	uint32_t tail = 0, head = 0;
	pthread_t server;
	bool stop = false;

	if (argc != 3)
		die("usage: copy_ring BATCH MS");
	batch = (uint32_t)number(argv[1], 1, ENTRIES);
	if (pthread_create(&server, NULL, serve, NULL))
		die("no second thread");
	pin_to(0);
	for (unsigned n = 0; !stop || head != tail; n++) {
		uint32_t ready = atomic_load_explicit(&answered.value, memory_order_acquire);
		uint32_t free = ENTRIES -
				(tail - atomic_load_explicit(&copied.value, memory_order_acquire));

		if (!stop && free >= batch && tail - head + batch <= ENTRIES) {
			for (uint32_t i = 0; i < batch; i++, tail++) {
				entry_fill(&entries[tail & MASK], 0, tail);
				sum_asked += tail;
			}
			atomic_store_explicit(&asked.value, tail, memory_order_release);
		}
		if (ready != head) {
			done += ready - head;
			for (; head != ready; head++)
				sum_answered += answers[head & MASK].mark;
			atomic_store_explicit(&taken.value, head, memory_order_release);
		} else {
			relax();
		}
		if (n % 64 || stop)
			continue;
		now = now_ns();
		if (!begin) {
			begin = now + WARM_NS;
			end = begin + number(argv[2], 1, 100000) * 1000000;
		}
		if (now < begin)
			done = 0;
		if (now >= end) {
			printf("%.0f\n", (double)done * 1e9 / (double)(now - begin));
			stop = true;
		}
	}
	entry_fill(&entries[tail & MASK], 1, 0);
	atomic_store_explicit(&asked.value, tail + 1, memory_order_release);
	pthread_join(server, NULL);
	if (sum_asked != sum_answered)
		die("the answers are not those of the questions");
	return 0;
}
