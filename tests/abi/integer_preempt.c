/*
 * The same as async_preempt in a program without floating point, whose frames of preempted
 * coroutines hold integer registers alone.
 *
 * also: SLUICE_UINTR=1
 * ends: exit status 0
 */
#include "async_preempt.c"

#ifdef __riscv_flen
#error "integer_*: built with floating point"
#endif
