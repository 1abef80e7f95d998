/*
 * weak: memory as the models see it. Every process has a store buffer; what lies in it reaches
 * memory in any order, except that stores to one place keep theirs and that a release store waits
 * for all before it. A fence waits until the buffer is empty. A load looks into the own buffer
 * first. Loads do not overtake loads by themselves: where an acquire forbids that, a model's mutant
 * does the load early in so many words.
 *
 * The including file defines PROCS (numbered from 0) and PLACES, and runs one memory(p) for each p.
 */
#define SB 4 /* stores that one process may have under way */

byte mem[PLACES];
byte sb_place[PROCS * SB];
byte sb_value[PROCS * SB];
bool sb_release[PROCS * SB];
byte sb_count[PROCS];

#define AT(p, i) ((p) * SB + (i))
#define HOLDS(p, i, place) (sb_count[p] > (i) && sb_place[AT(p, i)] == (place))

#define LOAD(p, place) \
	(HOLDS(p, 3, place) -> sb_value[AT(p, 3)] : \
	(HOLDS(p, 2, place) -> sb_value[AT(p, 2)] : \
	(HOLDS(p, 1, place) -> sb_value[AT(p, 1)] : \
	(HOLDS(p, 0, place) -> sb_value[AT(p, 0)] : mem[place]))))

/* `after_all`: a release */
inline store(p, place, value, after_all)
{
	d_step {
		sb_count[p] < SB ->
		sb_place[AT(p, sb_count[p])] = place;
		sb_value[AT(p, sb_count[p])] = value;
		sb_release[AT(p, sb_count[p])] = after_all;
		sb_count[p] = sb_count[p] + 1
	}
}
#define STORE(p, place, value) store(p, place, value, 0)
#define STORE_RELEASE(p, place, value) store(p, place, value, 1)

#define DRAINED(p) (sb_count[p] == 0)

#define SAME(p, i, j) (sb_place[AT(p, i)] == sb_place[AT(p, j)])
#define FREE(p, i) (sb_count[p] > (i) && !sb_release[AT(p, i)])

inline drain(p, i)
{
	mem[sb_place[AT(p, i)]] = sb_value[AT(p, i)];
	k = i;
	do
	:: k + 1 < sb_count[p] ->
		sb_place[AT(p, k)] = sb_place[AT(p, k + 1)];
		sb_value[AT(p, k)] = sb_value[AT(p, k + 1)];
		sb_release[AT(p, k)] = sb_release[AT(p, k + 1)];
		k++
	:: else -> break
	od;
	sb_place[AT(p, k)] = 0;
	sb_value[AT(p, k)] = 0;
	sb_release[AT(p, k)] = 0;
	sb_count[p] = sb_count[p] - 1;
	k = 0
}

proctype memory(byte p)
{
	byte k;
end:	do
	:: d_step { sb_count[p] > 0 -> drain(p, 0) }
	:: d_step { FREE(p, 1) && !SAME(p, 1, 0) -> drain(p, 1) }
	:: d_step { FREE(p, 2) && !SAME(p, 2, 0) && !SAME(p, 2, 1) -> drain(p, 2) }
	:: d_step { FREE(p, 3) && !SAME(p, 3, 0) && !SAME(p, 3, 1) && !SAME(p, 3, 2) -> drain(p, 3) }
	od
}
