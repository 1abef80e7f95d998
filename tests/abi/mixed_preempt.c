/*
 * The questions of preempt_long once more, on one hart that is both user and kernel core: there the
 * step that makes way stands between a program's trap and its return. (map: smp1.conf)
 *
 * also: leave
 * ends: exit status 0
 */
#include "preempt_long.c"
