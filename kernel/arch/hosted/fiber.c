/*
 * fiber: kernel contexts on this machine: a stack pointer with the callee-saved registers below it
 * (enter.S), and what the sanitizers want to hear about a change of stacks. A fiber is switched
 * to on one thread only at a time.
 */
#include <string.h>

#include "arch/hosted/hosted.h"
#include "base/panic.h"

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#endif
#ifndef FIBER_ASAN
#define FIBER_ASAN 0
#endif
#ifndef FIBER_TSAN
#define FIBER_TSAN 0
#endif

#if FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

void hosted_fiber_jump(void **from_sp, void *to_sp);

/* The fiber that switched last on this thread, and the one it switched to. */
static __thread struct arch_fiber *fiber_from, *fiber_to;

/* First thing after every change of stacks. */
static void fiber_arrived(void)
{
#if FIBER_ASAN
	const void *stack;
	size_t size;

	__sanitizer_finish_switch_fiber(fiber_to->shadow, &stack, &size);
	fiber_from->stack = (void *)(uintptr_t)stack;
	fiber_from->size = size;
#endif
}

static void fiber_begin(void)
{
	struct arch_fiber *f = fiber_to;

	fiber_arrived();
	f->entry(f->arg);
	panic("a fiber returned from its entry");
}

void arch_fiber_init(struct arch_fiber *f, void *base, size_t size, void (*entry)(void *),
		     void *arg)
{
	uint64_t *top = (uint64_t *)align_down((uintptr_t)base + size, 16ul);

#if FIBER_ASAN
	/* a former life of this stack may have left red zones behind */
	ASAN_UNPOISON_MEMORY_REGION(base, size);
#endif
#if FIBER_TSAN
	/* the former life's, if there was one: fibers are made in zeroed memory */
	if (f->shadow)
		__tsan_destroy_fiber(f->shadow);
#endif
	*f = (struct arch_fiber){ .stack = base, .size = size, .entry = entry, .arg = arg };
	*--top = 0; /* keeps the ABI's alignment at fiber_begin, and ends backtraces */
	*--top = (uintptr_t)fiber_begin;      /* what hosted_fiber_jump returns to */
	top -= 6;			      /* rbp rbx r12 r13 r14 r15 */
	memset(top, 0, 6 * sizeof(*top));
	*--top = 0x1f80ull | 0x37full << 32; /* mxcsr, x87 control word: the ABI's initial values */
	f->sp = top;
#if FIBER_TSAN
	f->shadow = __tsan_create_fiber(0);
#endif
}

void arch_fiber_switch(struct arch_fiber *from, struct arch_fiber *to)
{
	fiber_from = from;
	fiber_to = to;
#if FIBER_ASAN
	__sanitizer_start_switch_fiber(&from->shadow, to->stack, to->size);
#endif
#if FIBER_TSAN
	if (!from->shadow)
		from->shadow = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(to->shadow, 0);
#endif
	hosted_fiber_jump(&from->sp, to->sp);
	fiber_arrived();
}
