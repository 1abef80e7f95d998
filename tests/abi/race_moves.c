/*
 * The questions of race_posts, asked while every program changes its hart each 300 us, and its
 * mailbox goes along: what if a notice comes just then?
 *
 * env: SLUICE_UINTR=1
 * boot: shuffle_us=300
 */
#define SELF "/bin/t_race_moves"
#define ALL "plain", "300", "masked", "300", "away", "320", "exits", "1000"
#include "race_posts.c"
