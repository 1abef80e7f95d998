/*
 * move: what if a core has read where to post just before a ring moves, and posts afterwards?
 *
 * A ring goes from core A to core B and back. A third core, N, runs an operation of it that posts
 * two completions and a last one; each time it loads where to, and pushes later. Until N has
 * passed the fence on it may read what was true before (that much, and no more, of weak memory).
 * Mailboxes are taken as mailbox.pml shows them: what is pushed comes out, in the order of pushing.
 *
 * Shown: the completions arrive once each, in their order, at whoever has the ring then, and none has
 * to be sent on.
 * Stands for kernel/ring/move.c, ring_op_done and op_post_more in kernel/ring/ring.c.
 */
#define A 0
#define B 1
#define N 2
#define NOWHERE 3

#define LAST 3 /* completions are 1, 2, 3 */
#define MOVE 10
#define FENCE 11
#define RING 12

#define MOVES 2

chan box[3] = [8] of { byte };
chan early[2] = [4] of { byte };

byte owner = A, post = A, seen = A; /* seen: what N knows of post */
byte moves, arrived;
bool moving;

inline hand_over()
{
	owner = NOWHERE;
	box[post]!RING
}

inline got(m)
{
	assert(m == arrived + 1);
	arrived = m
}

inline completion(m)
{
	if
	:: owner == c -> got(m)
#ifdef NO_EARLY
	:: owner != c && post == c -> got(m)
#else
	:: owner != c && post == c -> early[c]!m
#endif
	:: owner != c && post != c -> assert(false) /* none has to follow the ring */
	fi
}

proctype core(byte c)
{
	byte m, e;

end:	do
	:: atomic { owner == c && !moving && moves < MOVES ->
		moves++;
		moving = true;
		post = 1 - c;
		box[c]!MOVE }
	:: box[c]?m ->
		if
#ifdef NO_FENCE
		:: m == MOVE -> hand_over()
#else
		:: m == MOVE -> box[N]!FENCE
#endif
		:: m == FENCE -> hand_over() /* it has come back */
		:: m == RING ->
			owner = c;
			moving = false;
			do
			:: nempty(early[c]) -> early[c]?e; got(e)
			:: empty(early[c]) -> break
			od
		:: m <= LAST -> completion(m)
		fi
	od
}

/* It delivers mail between its steps; a load and the push behind it are of one step. */
proctype poster()
{
	byte next = 1, to;

end:	do
	:: box[N]?FENCE -> seen = post; box[owner]!FENCE
	:: next <= LAST ->
		if
		:: to = seen
		:: to = post; seen = post
		fi;
		box[to]!next;
		next++
	od
}

proctype judge()
{
	arrived == LAST && !moving
}

init
{
	atomic {
		run core(A);
		run core(B);
		run poster();
		run judge()
	}
}
