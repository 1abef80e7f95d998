/*
 * mailbox: what if two cores post in the moment in which the owner sleeps or leaves for user mode?
 *
 * When nothing moves any more, every mail must have been delivered; once, and in posting order per
 * poster.
 *
 * Stands for kernel/cores/mailbox.c, core_sleep in kernel/cores/core.c, core_leave and the return
 * from user mode in kernel/sched/thread.c.
 */
#define PROCS 3
#define OWNER 0

#define PLACES 7
#define NEWEST 0
#define AWAY 1
#define NEXT(node) (2 + (node)) /* nodes count from 1; poster p has 2p - 1 and 2p */
#define NODES 4

#include "weak.pml"

bool bell;
byte delivered;
byte last[3]; /* by poster: the node delivered last */

inline post(node)
{
	seen = LOAD(p, NEWEST); /* step: mail-newest */
#ifdef NO_POST_FENCE
	if
	:: away = LOAD(p, AWAY); early = true
	:: early = false
	fi;
#endif
	pushed = false;
	do
	:: !pushed ->
		STORE(p, NEXT(node), seen);
		atomic {
#ifndef NO_PUSH_RELEASE
			DRAINED(p) ->
#endif
			if
			:: mem[NEWEST] == seen -> mem[NEWEST] = node; pushed = true /* step: mail-push release */
			:: else -> seen = mem[NEWEST]
			fi
		}
	:: else -> break
	od;
	seen = 0;
#ifdef NO_POST_FENCE
	if
	:: early
	:: !early -> away = LOAD(p, AWAY)
	fi;
#else
	DRAINED(p); /* step: mail-fence fence */
	away = LOAD(p, AWAY); /* step: mail-look */
#endif
	if
	:: away -> bell = true
	:: else
	fi;
	away = 0;
	early = false
}

proctype poster(byte p)
{
	byte seen, away;
	bool pushed, early;

	post(2 * p - 1);
	post(2 * p)
}

inline deliver(node)
{
	/* the first of a poster comes first, the second second, none twice */
	assert(last[(node + 1) / 2] == (node % 2 -> 0 : node - 1));
	last[(node + 1) / 2] = node;
	delivered++
}

/* After the exchange the nodes are the owner's alone: nobody can tell how fast it walks them. */
inline deliver_all()
{
	d_step {
		m = mem[NEWEST]; /* step: mail-take acquire */
		mem[NEWEST] = 0;
		oldest = 0;
		do
		:: m != 0 ->
			next = LOAD(OWNER, NEXT(m));
#ifdef NO_TURN_ROUND
			deliver(m);
#endif
			turned[m] = oldest;
			oldest = m;
			m = next
		:: else -> break
		od;
#ifndef NO_TURN_ROUND
		m = oldest;
		do
		:: m != 0 ->
			deliver(m);
			m = turned[m]
		:: else -> break
		od;
#endif
		next = 0;
		oldest = 0;
		turned[1] = 0;
		turned[2] = 0;
		turned[3] = 0;
		turned[4] = 0
	}
}

proctype owner()
{
	byte m, next, oldest, turned[NODES + 1];

	do
	:: LOAD(OWNER, NEWEST) != 0 ->
		deliver_all()
	:: LOAD(OWNER, NEWEST) == 0 ->
		STORE(OWNER, AWAY, 1); /* step: sleep-announce */
#ifndef NO_SLEEP_FENCE
		DRAINED(OWNER); /* step: sleep-fence fence */
#endif
		if
#ifndef NO_SECOND_LOOK
		:: LOAD(OWNER, NEWEST) != 0
		:: LOAD(OWNER, NEWEST) == 0 ->
#else
		:: true ->
#endif
end_asleep:		d_step { bell -> bell = false }
		fi;
		STORE(OWNER, AWAY, 0) /* step: sleep-awake */
	:: true -> /* a thread is there to run, whether or not mail is */
		STORE(OWNER, AWAY, 1); /* step: leave-announce */
#ifndef NO_LEAVE_FENCE
		DRAINED(OWNER); /* step: leave-fence fence */
#endif
		if
		:: LOAD(OWNER, NEWEST) != 0 ->
			STORE(OWNER, AWAY, 0) /* step: leave-not */
		:: LOAD(OWNER, NEWEST) == 0 ->
			/* a thread that never traps: only the doorbell brings it back */
end_user:		d_step { bell -> bell = false };
			STORE(OWNER, AWAY, 0) /* step: leave-back */
		fi
	od
}

init {
	atomic {
		run memory(OWNER);
		run memory(1);
		run memory(2);
		run owner();
		run poster(1);
		run poster(2)
	}
	timeout -> assert(delivered == NODES)
}
