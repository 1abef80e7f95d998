/*
 * b_co_integer: lib/co.h with integers, in a program that has no floating point (docs/abi.md).
 */
#include <stdint.h>

typedef uint64_t co_value;

#include "lib/co.h"
