/*
 * ring: what if each side's stores and loads pass each other in every way the orderings leave open?
 *
 * The program fills SQEs and takes CQEs, the kernel the other way round, over queues of two, four
 * entries, the counters wrapping on the way. The values are their numbers, so an entry that is lost,
 * doubled, out of order, read before it was written or overwritten before it was read fails an
 * assertion; an entry that nobody takes leaves both sides waiting, which is an invalid end state.
 *
 * Stands for libasync/ring.h and take, cq_find_room in kernel/ring/ring.c.
 */
#define PROCS 2
#define PROG 0
#define KERN 1

#define PLACES 8
#define SQ_TAIL 0
#define SQ_HEAD 1
#define CQ_TAIL 2
#define CQ_HEAD 3
#define SQE(n) (4 + (n) % 2)
#define CQE(n) (6 + (n) % 2)

#define START 254 /* the counters are bytes here: they wrap at the third entry */
#define ENTRIES 4

#include "weak.pml"

#define DISTANCE(a, b) (((a) + 256 - (b)) % 256)

#ifdef SQ_LIMIT_WRONG
#define SQ_LIMIT 3
#else
#define SQ_LIMIT 2
#endif
#ifdef NO_ROOM_LOOK
#define ROOM true
#else
#define ROOM (DISTANCE(cq_tail, LOAD(KERN, CQ_HEAD)) < 2)
#endif

proctype program()
{
	byte next = START, shown = START, cq_next = START, sent, got, value, ready, spec;
	bool has_spec;

	do
	:: sent < ENTRIES && DISTANCE(next, LOAD(PROG, SQ_HEAD)) < SQ_LIMIT -> /* step: ring-space acquire */
		STORE(PROG, SQE(next), sent + 1);
		next++;
		sent++
	:: shown != next ->
		/* one entry or more to a publication */
#ifdef NO_SQ_TAIL_RELEASE
		STORE(PROG, SQ_TAIL, next);
#else
		STORE_RELEASE(PROG, SQ_TAIL, next); /* step: ring-publish-tail release */
#endif
		shown = next
#ifdef NO_CQ_TAIL_ACQUIRE
	:: !has_spec && got < ENTRIES ->
		d_step { spec = LOAD(PROG, CQE(cq_next)); has_spec = true }
#endif
	:: LOAD(PROG, CQ_TAIL) != cq_next ->
		ready = DISTANCE(LOAD(PROG, CQ_TAIL), cq_next); /* step: ring-ready acquire */
		assert(ready <= 2);
#ifdef NO_CQ_HEAD_RELEASE
		STORE(PROG, CQ_HEAD, (cq_next + ready) % 256);
#endif
		do
		:: ready > 0 ->
			value = LOAD(PROG, CQE(cq_next));
			if
			:: has_spec -> value = spec; spec = 0; has_spec = false
			:: else
			fi;
			got++;
			assert(value == got);
			cq_next++;
			ready--
		:: else -> break
		od;
#ifndef NO_CQ_HEAD_RELEASE
		STORE_RELEASE(PROG, CQ_HEAD, cq_next); /* step: ring-advance release */
#endif
	:: got == ENTRIES -> break
	od
}

inline complete()
{
	STORE(KERN, CQE(cq_tail), done + 1);
	cq_tail++;
	done++
}

proctype kernel()
{
	byte head = START, cq_tail = START, took, done, value, avail, spec;
	bool has_spec;

	do
#ifdef NO_SQ_TAIL_ACQUIRE
	:: !has_spec && took < ENTRIES ->
		d_step { spec = LOAD(KERN, SQE(head)); has_spec = true }
#endif
	:: LOAD(KERN, SQ_TAIL) != head ->
		avail = DISTANCE(LOAD(KERN, SQ_TAIL), head); /* step: ring-take-tail acquire */
		assert(avail <= 2);
#ifdef NO_SQ_HEAD_RELEASE
		STORE(KERN, SQ_HEAD, (head + avail) % 256);
#endif
		do
		:: avail > 0 ->
			value = LOAD(KERN, SQE(head));
			if
			:: has_spec -> value = spec; spec = 0; has_spec = false
			:: else
			fi;
			took++;
			assert(value == took);
			head++;
			avail--;
			if
			:: ROOM -> complete() /* step: ring-room acquire */
			:: true /* it is not quick, or held back: completed in a later turn */
			fi
		:: else -> break
		od;
		value = 0;
#ifndef NO_SQ_HEAD_RELEASE
		STORE_RELEASE(KERN, SQ_HEAD, head); /* step: ring-publish-head release */
#endif
#ifdef NO_CQ_TAIL_RELEASE
		STORE(KERN, CQ_TAIL, cq_tail)
#else
		STORE_RELEASE(KERN, CQ_TAIL, cq_tail) /* step: ring-publish-cq-tail release */
#endif
	:: done < took && ROOM ->
		complete();
#ifdef NO_CQ_TAIL_RELEASE
		STORE(KERN, CQ_TAIL, cq_tail)
#else
		STORE_RELEASE(KERN, CQ_TAIL, cq_tail) /* step: ring-publish-cq-tail release */
#endif
	:: done == ENTRIES -> break
	od
}

init {
	atomic {
		mem[SQ_TAIL] = START;
		mem[SQ_HEAD] = START;
		mem[CQ_TAIL] = START;
		mem[CQ_HEAD] = START;
		run memory(PROG);
		run memory(KERN);
		run program();
		run kernel()
	}
}
