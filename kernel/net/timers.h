/*
 * timers: lwIP's cyclic work on the net core's timer heap, so that the core knows when to wake and
 * sleeps until then. Net core only.
 */
#ifndef NET_TIMERS_H
#define NET_TIMERS_H

#include "base/types.h"

/* Starts the cycle. On the net core, once. */
void net_timers_start(void);

/* An address is being asked for: the half-second cycle runs until it is found. Net core. */
void net_timers_hurry(void);

#endif
