/*
 * b_preempt ROUNDS LOOPS: wakeup.c in a program that asked for preemption: the computation is a
 * plain call.
 */
#define ASYNC_PREEMPT
#include "wakeup.c"
