/*
 * What if a program's file asks for user interrupts? It has them without a word in its environment,
 * or upcalls where the machine has none; and the environment has the last word.
 *
 * also: SLUICE_UINTR=0 plain
 * ends: exit status 0
 * also: SLUICE_UINTR=1
 * ends: exit status 0
 */
#include "libasync/notice.h"
#include "tests/abi/lib/say.h"

SLUICE_NOTE(SLUICE_NOTE_UINTR);

int ring_main(struct ring *ring, int argc, char **argv)
{
	uint32_t asked = ring_start_info->flags & (SLUICE_START_UINTR | SLUICE_START_UPCALLS);

	(void)argv;
	if (argc > 1) {
		say_true("the environment overrides the note", !asked);
		say_is("registering", notice_start(ring), SLUICE_NOTICE_UPCALLS);
		return say_verdict();
	}
	say_true("it is one of both", asked && (asked & (asked - 1)) == 0);
	say_is("registering", notice_start(ring),
	       asked == SLUICE_START_UINTR ? SLUICE_NOTICE_DIRECT : SLUICE_NOTICE_UPCALLS);
	return say_verdict();
}
