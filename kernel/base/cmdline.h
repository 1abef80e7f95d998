/*
 * cmdline: the boot arguments, `key=value` separated by blanks, the value optionally in double
 * quotes. Parsed once at boot into a private copy; set once, then read by any core.
 */
#ifndef BASE_CMDLINE_H
#define BASE_CMDLINE_H

#include "base/types.h"

#define CMDLINE_MAX 2048

/* Copies and splits `text` (NUL-terminated). Returns 0, or -EINVAL and prints a sentence that
 * names the place when a quote is open, an argument has no `=`, or the text is too long. */
must_use int cmdline_init(const char *text);

/* The value of `key` (the last one when it was given twice), or NULL. Lives for ever. */
const char *cmdline_find(const char *key);

/* The value as an unsigned number (decimal or 0x), `absent` if the key is missing. A value
 * that is not a number is refused with a printed sentence and counts as absent. */
uint64_t cmdline_find_u64(const char *key, uint64_t absent);

#endif
