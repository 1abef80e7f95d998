/*
 * b_co: lib/co.h with floating-point values.
 */
typedef double co_value;

#include "lib/co.h"
