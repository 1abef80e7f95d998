/*
 * notice_arch (x86_64): the hosted machine gives no user interrupts, so notice_direct is never true
 * and no direct_* is reached; notices come by upcalls, or are waited for.
 */
#ifndef NOTICE_ARCH_H
#define NOTICE_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "uapi/notice.h"

/* Where the thread that runs has its struct notice_self: the second word of what gs points at; the
 * first is async_here's. Hosted machine only. */
#define NOTICE_GS_WORD 8
static inline __attribute__((always_inline)) struct notice_self *notice_here(void)
{
	struct notice_self *self;

	__asm__ volatile("movq	%%gs:%c1, %0" : "=r"(self) : "i"(NOTICE_GS_WORD));
	return self;
}
/* A program without coroutines has nothing there yet. */
static inline void notice_here_set(struct notice_self *self)
{
	static void *words[2];
	uint64_t gs;

	__asm__ volatile("rdgsbase	%0" : "=r"(gs));
	if (!gs)
		__asm__ volatile("wrgsbase	%0" ::"r"(words) : "memory");
	__asm__ volatile("movq	%0, %%gs:%c1" ::"r"(self), "i"(NOTICE_GS_WORD) : "memory");
}

static inline void direct_on(void) {}
static inline void direct_off(void) {}
static inline void direct_return_off(void) {}
static inline uint32_t direct_claim(void)
{
	return 0;
}
static inline void direct_sleep(void) {}
static inline void notice_store(volatile uint32_t *page, uint32_t id)
{
	*page = id;
}
static inline void direct_pend(uint64_t ids)
{
	(void)ids;
}
static inline void direct_timer(uint64_t ticks)
{
	(void)ticks;
}
static inline bool direct_timer_due(void)
{
	return false;
}
static inline void direct_begin(void) {}
static inline uint64_t direct_cause(void)
{
	return 0;
}
#define NOTICE_CAUSE_TIMER 1ull

/* What else a handler must keep is on its stack (notice.S). */
struct notice_frame {
	uint32_t was;
};
static inline void notice_frame_save(struct notice_frame *f)
{
	f->was = notice_here()->area.was;
}
static inline void notice_frame_load(const struct notice_frame *f)
{
	notice_here()->area.was = f->was;
}

#define notice_entry ((void (*)(void))0)
/* notice.S: where the kernel enters by an upcall; calls upcall_taken and upcall_again. */
void upcall_entry(void);

#endif
