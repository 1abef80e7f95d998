/*
 * poller: what if the program publishes in the moment in which its poller goes to sleep?
 *
 * The poller's core has nothing else that would wake it. When nothing moves any more, every entry
 * must have been taken.
 *
 * Stands for ring_publish, ring_wake_flags_polled in libasync/ring.h, ring_has_sqes, rings_arm and
 * rings_disarm in kernel/ring/turn.c, core_sleep in kernel/cores/core.c.
 */
#define PROCS 2
#define PROG 0
#define KERN 1

#define PLACES 2
#define SQ_TAIL 0
#define NEED_WAKEUP 1 /* only the kernel writes the word of flags */

#define ENTRIES 3

#include "weak.pml"

bool bell;
byte head;

proctype program()
{
	byte tail;

	do
	:: tail < ENTRIES ->
		tail++;
		STORE_RELEASE(PROG, SQ_TAIL, tail); /* step: ring-publish-tail release */
#ifndef NO_PROGRAM_FENCE
		DRAINED(PROG); /* step: wake-fence fence */
#endif
		if
		:: LOAD(PROG, NEED_WAKEUP) -> /* step: wake-look */
			DRAINED(PROG); /* the kernel's fence before it rings */
			bell = true
		:: !LOAD(PROG, NEED_WAKEUP)
		fi
	:: else -> break
	od
}

proctype kernel()
{
	do
	:: LOAD(KERN, SQ_TAIL) != head -> /* step: poll-look */
		head = LOAD(KERN, SQ_TAIL) /* step: ring-take-tail acquire */
	:: LOAD(KERN, SQ_TAIL) == head ->
#ifndef NO_ARM
		STORE(KERN, NEED_WAKEUP, 1); /* step: poll-arm */
#endif
#ifndef NO_KERNEL_FENCE
		DRAINED(KERN); /* step: poll-arm-fence fence */
#endif
		if
#ifndef NO_SECOND_LOOK
		:: LOAD(KERN, SQ_TAIL) != head /* step: poll-look */
		:: LOAD(KERN, SQ_TAIL) == head ->
#else
		:: true ->
#endif
			DRAINED(KERN); /* step: sleep-fence fence */
end_asleep:		d_step { bell -> bell = false }
		fi;
		STORE(KERN, NEED_WAKEUP, 0) /* step: poll-disarm */
	od
}

init {
	atomic {
		run memory(PROG);
		run memory(KERN);
		run program();
		run kernel()
	}
	timeout -> assert(head == ENTRIES)
}
