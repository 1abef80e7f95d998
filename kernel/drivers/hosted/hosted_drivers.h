/*
 * hosted_drivers: what the hosted drivers share: their starts, and a lock-free hand-over from a
 * device's thread.
 *
 * A device here is a thread. It hands results to its owner core through memory and rings that
 * core's doorbell after each batch; the doorbell is remembered until the core has consumed it, so a
 * core that was about to sleep or to enter user mode does not.
 */
#ifndef DRIVERS_HOSTED_HOSTED_DRIVERS_H
#define DRIVERS_HOSTED_HOSTED_DRIVERS_H

#include <stdatomic.h>

#include "drivers/drivers.h"

/* Each prints its line. Boot core; `core` becomes the owner. A device that cannot be had ends the
 * process with a sentence. */
void hosted_console_init(unsigned core);
void hosted_blk_init(unsigned core);
void hosted_nic_init(unsigned core);

/* Starts a detached thread that takes no signals but those it asks for. Ends the process if the
 * host refuses. */
void hosted_thread_start(const char *name, void *(*run)(void *), void *arg);

/* Waits while *word == value; wakes are hosted_word_wake's. May return early. Device threads
 * only. */
void hosted_word_wait(_Atomic uint32_t *word, uint32_t value);
void hosted_word_wake(_Atomic uint32_t *word);

#endif
