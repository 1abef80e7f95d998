/*
 * What if a notice comes just when its receiver is taken to another hart? As in notice_race, while
 * two receivers change their hart every 100 us: none is lost, each comes once, and none comes to a
 * stranger.
 *
 * env: SLUICE_UINTR=1
 * boot: shuffle_us=100
 * also: SLUICE_UINTR=1 4000
 * ends: exit status 0
 */
#include "notice_race.c"
