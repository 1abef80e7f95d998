/*
 * The same as async_notice in a program without floating point, whose interrupts keep integer
 * registers alone: does a computing coroutine go on where it was?
 *
 * also: SLUICE_UINTR=1
 * ends: exit status 0
 */
#include "async_notice.c"

#ifdef __riscv_flen
#error "integer_*: built with floating point"
#endif
