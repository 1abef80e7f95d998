/*
 * What if a notice comes just when its receiver is taken to another hart? As in notice_race, while
 * two receivers change their hart every 100 us: none is lost, each comes once, and none comes to a
 * stranger. `t_move_race 1000000` asks so often.
 *
 * env: SLUICE_UINTR=1
 * boot: shuffle_us=100
 * also: SLUICE_UINTR=1 1500
 * ends: exit status 0
 */
#define ROUNDS 1500u
#include "notice_race.c"
