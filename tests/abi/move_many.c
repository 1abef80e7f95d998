/*
 * What if more programs receive notices than there are mailboxes, and all of them change their hart
 * every 500 us? Each still gets its own and no other's.
 *
 * env: SLUICE_UINTR=1
 * boot: shuffle_us=500
 * also: SLUICE_UINTR=1 2
 * also: SLUICE_UINTR=1 3
 * also: SLUICE_UINTR=1 4
 * also: SLUICE_UINTR=1 5
 * also: SLUICE_UINTR=1 6
 * also: SLUICE_UINTR=1 7
 * also: SLUICE_UINTR=1 8
 * also: SLUICE_UINTR=1 9
 * also: SLUICE_UINTR=1 10
 * also: SLUICE_UINTR=1 11
 * also: SLUICE_UINTR=1 12
 * also: SLUICE_UINTR=1 13
 * also: SLUICE_UINTR=1 14
 * also: SLUICE_UINTR=1 15
 * also: SLUICE_UINTR=1 16
 * also: SLUICE_UINTR=1 17
 * also: SLUICE_UINTR=1 18
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 */
#include "notice_many.c"
