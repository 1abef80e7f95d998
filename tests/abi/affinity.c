/*
 * Does a thread leave a core that it may no longer be on, and are masks refused that name no core
 * for programs? (map: split.conf)
 */
#include "tests/abi/lib/affinity.h"

int ring_main(struct ring *ring, int argc, char **argv)
{
	uint64_t mask[4] = { 0, ~0ull, ~0ull, ~0ull };

	(void)ring, (void)argc, (void)argv;
	say_is("length of the mask", call(SYS_sched_getaffinity, 0, 8, mask), 8);
	say_is("every core that runs programs", (int64_t)mask[0], 0xc);
	say_is("and nothing behind it", (int64_t)mask[1], -1);
	for (uint32_t core = 3; core >= 2; core--) {
		say_is("a mask of one core", allow(1ull << core), 0);
		say_true("it goes there", wait_for(core) < LOOKS_MAX);
		(void)call(SYS_sched_getaffinity, 0, 8, mask);
		say_is("which is what it is told", (int64_t)mask[0], 1ll << core);
	}
	say_is("cores that serve do not count", allow(1ull << 3 | 3), 0);
	say_true("it goes to the one that does", wait_for(3) < LOOKS_MAX);
	say_is("none", allow(0), -EINVAL);
	say_is("only cores that serve", allow(3), -EINVAL);
	say_is("only harts that there are not", allow(1ull << 40), -EINVAL);
	say_is("a mask of no bytes", call(SYS_sched_setaffinity, 0, 0, mask), -EINVAL);
	say_is("a mask nowhere", call(SYS_sched_setaffinity, 0, 8, (void *)8), -EFAULT);
	say_is("a thread that there is not", call(SYS_sched_setaffinity, 12345, 8, mask), -ESRCH);
	say_is("too short an answer", call(SYS_sched_getaffinity, 0, 0, mask), -EINVAL);
	say_is("an odd one", call(SYS_sched_getaffinity, 0, 12, mask), -EINVAL);
	say_is("all of that has changed nothing", strays(3), 0);
	say_is("everywhere again", allow(~0ull), 0);
	say_is("which moves nobody", strays(3), 0);
	return say_verdict();
}
