/*
 * notice_arch (x86_64): the hosted machine gives no user interrupts, so notice_direct is never true
 * and no direct_* is reached; notices come by upcalls, or are waited for.
 */
#ifndef NOTICE_ARCH_H
#define NOTICE_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "uapi/notice.h"

extern struct sluice_upcall notice_area;

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
	f->was = notice_area.was;
}
static inline void notice_frame_load(const struct notice_frame *f)
{
	notice_area.was = f->was;
}

#define notice_entry ((void (*)(void))0)
/* notice.S: where the kernel enters by an upcall; calls upcall_taken and upcall_again. */
void upcall_entry(void);

#endif
