/*
 * Does a program without floating point (docs/abi.md) keep what its coroutines have in registers?
 * Its switch saves no FP registers; its floating-point values are the compiler's own arithmetic.
 */
#include "async_switch.c"

#ifdef __riscv_flen
#error "integer_*: built with floating point"
#endif
