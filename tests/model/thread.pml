/*
 * thread: what if a wake arrives while its thread parks, runs, or is just being woken by another?
 *
 * The thread's core delivers mail between the thread's own steps. The mailbox itself is taken as
 * mailbox.pml shows it: what is posted is delivered, and a post is a release.
 *
 * As the kernel uses it, one wake answers one park: the thread asks some core, parks, and finds the
 * result. With TWO_WAKERS, two cores make a condition of their own true and wake; the thread waits
 * for both.
 *
 * Stands for kernel/sched/thread.c and its users in kernel/ring/enter.c.
 */
#define PROCS 3
#define OWNER 0

#define PLACES 3
#define WAKES 0
#define RESULT 1
#define CONDITION(p) (0 + (p)) /* with TWO_WAKERS, in RESULT's stead */

#define ROUNDS 3

#include "weak.pml"

byte asked[3]; /* by waker: the round in which it was asked */
bool in_mailbox; /* the thread's wake_mail */
bool parked, woken, over;

inline thread_wake()
{
	atomic {
#ifndef NO_WAKE_RELEASE
		DRAINED(p) ->
#endif
		old = mem[WAKES]; /* step: wake-count release */
		mem[WAKES] = old + 1
	}
	if
#ifdef NO_COUNT
	:: true ->
#else
	:: old == 0 ->
#endif
		atomic {
			DRAINED(p) -> /* mail-push is a release */
			assert(!in_mailbox);
			in_mailbox = true
		}
	:: old != 0
	fi;
	old = 0
}

proctype waker(byte p)
{
	byte old;

#ifdef TWO_WAKERS
	STORE(p, CONDITION(p), 1);
	thread_wake()
#else
end:	do
	:: asked[p] ->
		STORE(p, RESULT, asked[p]);
		asked[p] = 0;
		thread_wake()
	od
#endif
}

#ifdef EXCHANGE
#define CLEAR_WAKES atomic { DRAINED(OWNER) -> mem[WAKES] = 0 }
#else
#define CLEAR_WAKES STORE_RELEASE(OWNER, WAKES, 0)
#endif

inline deliver()
{
#ifdef NO_CLEAR_RELEASE
	CLEAR_WAKES;
	in_mailbox = false;
#else
	in_mailbox = false;
	CLEAR_WAKES; /* step: wake-clear release */
#endif
	if
	:: parked -> parked = false
#ifdef NO_WOKEN
	:: !parked
#else
	:: !parked -> woken = true
#endif
	fi
}

inline maybe_deliver()
{
	if
	:: in_mailbox -> deliver()
	:: true
	fi
}

inline park()
{
	if
	:: woken -> woken = false
	:: !woken ->
		parked = true;
end_parked:	in_mailbox -> deliver()
	fi
}

proctype owner()
{
	byte round;

#ifdef TWO_WAKERS
	do
	:: !over ->
		maybe_deliver();
		if
		:: LOAD(OWNER, CONDITION(1)) ->
			if
			:: LOAD(OWNER, CONDITION(2)) -> over = true
			:: !LOAD(OWNER, CONDITION(2))
			fi
		:: !LOAD(OWNER, CONDITION(1))
		fi;
		if
		:: !over -> maybe_deliver(); park()
		:: over
		fi
	:: over -> break
	od
#else
	do
	:: round < ROUNDS ->
		round++;
		DRAINED(OWNER); /* the request is a mail, and so a release */
		if
		:: asked[1] = round
		:: asked[2] = round
		fi;
		maybe_deliver();
		park();
		assert(LOAD(OWNER, RESULT) == round)
	:: round == ROUNDS -> over = true; break
	od
#endif
}

init {
	atomic {
		run memory(OWNER);
		run memory(1);
		run memory(2);
		run owner();
		run waker(1);
		run waker(2)
	}
	timeout -> assert(over)
}
