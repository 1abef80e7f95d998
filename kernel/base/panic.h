/*
 * panic: a kernel lie ends here, with an epitaph (core, op, state, trace tail) that a debugger can
 * read without a console: the text is also kept in `panic_epitaph`.
 */
#ifndef BASE_PANIC_H
#define BASE_PANIC_H

#include "base/types.h"

extern char panic_epitaph[1024];

/* Prints the epitaph, stops the other cores and the machine. Callable from anywhere. */
noreturn_fn void panic_stop(const char *file, int line, const char *fmt, ...) printf_like(3, 4);

#define panic(...) panic_stop(__FILE__, __LINE__, __VA_ARGS__)

/* Always on. Never assert what a user or a device controls. */
#define kassert(cond)                                                                              \
	do {                                                                                       \
		if (unlikely(!(cond)))                                                             \
			panic("assertion failed: %s", #cond);                                      \
	} while (0)

/* Whole-structure audits and costly checks: hosted, simulator and debug builds only. */
#ifndef CONFIG_AUDIT
#ifdef CONFIG_ARCH_HOSTED
#define CONFIG_AUDIT 1
#else
#define CONFIG_AUDIT 0
#endif
#endif
#define audit(cond)                                                                                \
	do {                                                                                       \
		if (CONFIG_AUDIT)                                                                  \
			kassert(cond);                                                             \
	} while (0)

/* What must hold here: said to reader and analyzers, free, and checked where audits are. */
#define known(cond)                                                                                \
	do {                                                                                       \
		audit(cond);                                                                       \
		if (!(cond))                                                                       \
			__builtin_unreachable();                                                   \
	} while (0)

#endif
