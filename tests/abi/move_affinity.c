/*
 * Does a thread stay where it may be, although every thread is moved on each 100 us; and does it
 * leave a core that it is forbidden while a move is under way? (map: split.conf)
 *
 * boot: shuffle_us=100
 */
#include "tests/abi/lib/affinity.h"

int ring_main(struct ring *ring, int argc, char **argv)
{
	uint32_t away = 0;

	(void)ring, (void)argc, (void)argv;
	say_true("it comes to one core", wait_for(3) < LOOKS_MAX);
	say_true("and to the other", wait_for(2) < LOOKS_MAX);
	for (uint32_t core = 3; core >= 2; core--) {
		say_is("a mask of one core", allow(1ull << core), 0);
		say_true("it goes there", wait_for(core) < LOOKS_MAX);
		say_is("and stays", strays(core), 0);
	}
	for (uint32_t i = 0; i < 200; i++) {
		(void)allow(~0ull);
		for (uint32_t k = 0; k < i % 8; k++)
			(void)where();
		(void)allow(1ull << (2 + i % 2));
		away += wait_for(2 + i % 2) == LOOKS_MAX;
		away += where() != 2 + i % 2;
	}
	say_is("times it was away for good", away, 0);
	return say_verdict();
}
