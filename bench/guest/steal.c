/*
 * b_steal ROUNDS: what does it cost an executor to take coroutines that wait with another one? The
 * function that thieves use, on two executors that nobody else knows, so that nothing is waited
 * for: the count is the same in every run.
 */
#include "libasync/crew.h"

#include "lib/guest.h"

static struct async_exec thief, victim;
static struct async_co cos[64];

static void fill(uint32_t count)
{
	victim.share.head = NULL;
	victim.share.tail = &victim.share.head;
	victim.share.count = count;
	thief.share.head = NULL;
	thief.share.count = 0;
	for (uint32_t i = 0; i < count; i++) {
		cos[i].exec = &victim;
		cos[i].next = NULL;
		*victim.share.tail = &cos[i];
		victim.share.tail = &cos[i].next;
	}
}

/* Instructions of `rounds` steals from a share of `count`; each must take `taken`. */
static uint64_t measure(uint32_t count, uint32_t taken, uint64_t rounds)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t from;
		uint32_t got;

		fill(count);
		from = guest_instructions();
		got = crew_steal_from(&thief, &victim);
		sum += guest_instructions() - from;
		if (got != taken)
			async_exit(1);
	}
	return sum;
}

int main(int argc, char **argv)
{
	uint64_t rounds = 0;

	for (const char *p = argc == 2 ? argv[1] : ""; *p >= '0' && *p <= '9'; p++)
		rounds = rounds * 10 + (uint64_t)(*p - '0');
	if (!rounds) {
		async_printf("usage: b_steal ROUNDS\n");
		return 2;
	}
	for (uint32_t taken = 1; taken <= 16; taken *= 4)
		async_printf("bench: taken=%u rounds=%llu instructions=%llu\n", taken,
			     (unsigned long long)rounds,
			     (unsigned long long)measure(2 * taken, taken, rounds));
	return 0;
}
