/*
 * hostile: what if the program rewrites its SQEs and its tail while the kernel reads them?
 *
 * What was checked must be what is used, and no batch is longer than the ring. Stands for take in
 * kernel/ring/ring.c: one copy, and a tail that runs away is worth one ring full.
 */
#define ENTRIES 2

byte tail, sqe[ENTRIES];

active proctype program()
{
	byte writes;

	do
	:: writes < 4 ->
		writes++;
		if
		:: tail = 0
		:: tail = 1
		:: tail = 2
		:: tail = 200
		:: sqe[0] = writes
		:: sqe[1] = writes
		fi
	:: true -> break
	od
}

active proctype kernel()
{
	byte head, turns, avail, batch, copy, checked, used;

	do
	:: turns < 3 ->
		turns++;
		avail = (tail + 256 - head) % 256; /* step: ring-take-tail acquire */
#ifndef NO_BOUND
		if
		:: avail > ENTRIES -> avail = ENTRIES
		:: else
		fi;
#endif
		batch = 0;
		do
		:: batch < avail ->
			copy = sqe[head % ENTRIES];
			checked = copy;
#ifdef COPY_TWICE
			copy = sqe[head % ENTRIES];
#endif
			used = copy;
			assert(used == checked);
			head++;
			batch++;
			assert(batch <= ENTRIES)
		:: else -> break
		od
	:: else -> break
	od
}
