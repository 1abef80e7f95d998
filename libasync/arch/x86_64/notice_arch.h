/*
 * notice_arch (x86_64): the hosted machine gives no user interrupts, so notice_direct is never true
 * and none of this is reached; notices come by notice_wait.
 */
#ifndef NOTICE_ARCH_H
#define NOTICE_ARCH_H

#include <stdbool.h>
#include <stdint.h>

static inline void notice_on(void) {}
static inline void notice_off(void) {}
static inline uint32_t notice_claim(void)
{
	return 0;
}
static inline void notice_sleep(void) {}
static inline void notice_store(volatile uint32_t *page, uint32_t id)
{
	*page = id;
}
static inline void notice_unmask(uint64_t ids)
{
	(void)ids;
}
static inline void notice_mask(uint64_t ids)
{
	(void)ids;
}
static inline void notice_timer(uint64_t ticks)
{
	(void)ticks;
}
static inline bool notice_timer_due(void)
{
	return false;
}
static inline void notice_begin(void) {}
static inline uint64_t notice_cause(void)
{
	return 0;
}
#define NOTICE_CAUSE_TIMER 1ull

struct notice_frame {
	uint64_t unused;
};
static inline void notice_frame_save(struct notice_frame *f)
{
	f->unused = 0;
}
static inline void notice_frame_load(const struct notice_frame *f)
{
	(void)f;
}

#define notice_entry ((void (*)(void))0)

#endif
