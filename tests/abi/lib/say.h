/*
 * say: what abi tests share: words on the console, and one line per question that was answered.
 *
 * Uses the native ring synchronously: no other entry may be in flight when these are called.
 */
#ifndef TESTS_ABI_SAY_H
#define TESTS_ABI_SAY_H

#include "libasync/ring.h"

/* Writes `text` to descriptor 1. */
void say(const char *text);
/* The same for a number, in decimal. */
void say_number(int64_t n);

/* `ok NAME`, or `FAIL NAME: got G, want W`; counts the failures. */
void say_is(const char *name, int64_t got, int64_t want);
/* `ok NAME` or `FAIL NAME`. */
void say_true(const char *name, bool good);
/* Failures so far: what ring_main returns (0 or 1). */
int say_verdict(void);

/* One entry, filled by the caller through ring_sqe; submitted, awaited: its result (64 bits for a
 * SYSCALL). */
int64_t say_wait(void);

#endif
