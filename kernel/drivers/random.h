/*
 * random: where drivers put what they know that nobody else does. random_bytes itself is in
 * drivers.h.
 */
#ifndef DRIVERS_RANDOM_H
#define DRIVERS_RANDOM_H

#include "base/types.h"

/* Mixes bytes of a hardware source into the pool; every core's generator starts from it anew at its
 * next use. Any core. */
void random_add(const void *bytes, size_t len);

/* Enough has been given out since the last random_add that a source should be asked again. Any
 * core. */
bool random_is_hungry(void);

#endif
