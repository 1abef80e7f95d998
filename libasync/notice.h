/*
 * notice: user interrupts, as a program sees them: it registers, gives identities (1 to 63) their
 * handlers, hands endpoints to those who may post, and is told by them. docs/uintr.md is the manual
 * of the whole; uapi/notice.h that of the operations below this.
 *
 * While notices are on a handler interrupts whatever runs: without the kernel where the program
 * runs with user interrupts (notice_direct), elsewhere by an upcall of the kernel's. While they are
 * off what comes stays pending, and notice_wait serves it. A receiver that only waits
 * (!notice_interrupts) has them off always. So a program that calls notice_wait when it has nothing
 * to do runs on every machine.
 *
 * A handler is integer code: it may not use floating point, and takes no time. What it tells by is
 * a hint to look at shared memory, not a message: identities merge while they are pending, and
 * whoever holds a doorbell page can post any of them.
 *
 * Each thread with a ring of its own can receive. Handlers are the program's, what is pending is
 * each thread's own; an identity is handled by the thread that says notice_handle, which also gives
 * the endpoint of it. These calls use their thread's ring as ring_syscall does: no other
 * entry in flight. A program with coroutines calls async_notices instead (async.h).
 */
#ifndef LIBASYNC_NOTICE_H
#define LIBASYNC_NOTICE_H

#include "ring.h"
#include "uapi/notice.h"

/* Identities reach us without the kernel; a handler interrupts us, that way or by upcalls. */
extern bool notice_direct, notice_interrupts;

/* What a receiving thread has of its own. */
struct notice_self {
	/* its and the kernel's: notices that come by upcalls, how long it has dozed */
	struct sluice_upcall area __attribute__((aligned(64)));
	/* The alarm rings at the least of all times that were asked for since it was set: setting
	 * it is a trap, so a later time only changes `alarm_wanted`. */
	uint64_t alarm_set, alarm_wanted;
	uint64_t kept; /* notice_direct: what came for those that are masked */
};
/* Of the first thread. Of the one that runs: notice_here, asked anew each time as async_here is. */
extern struct notice_self notice_first;

#ifdef __riscv
#include "arch/riscv64/notice_arch.h"
#else
#include "arch/x86_64/notice_arch.h"
#endif

typedef void (*notice_fn)(uint32_t id);

/* Handlers and how often each ran, in all threads; [0] is the timer. Handlers are never NULL once
 * registered. */
extern notice_fn notice_handlers[SLUICE_NOTICE_IDS];
extern uint64_t notice_counts[SLUICE_NOTICE_IDS];
/* Called by the interrupt's handler after all others, still inside it; NULL: nothing. */
extern void (*notice_after)(void);
/* Asked before all others, if not NULL. True: not now: everything stays pending, and notices are
 * off behind this interrupt until somebody turns them on. */
extern bool (*notice_hold)(void);

/* Becomes a receiver, notices off, all identities masked. SLUICE_NOTICE_DIRECT or _UPCALLS, or
 * -errno. */
int notice_start(struct ring *ring);
/* The same for one more thread, the one that runs: `self` is zero, and stays as long as it runs. */
int notice_start_more(struct ring *ring, struct notice_self *self);
/* As notice_start, for one that only waits. 0 or -errno. */
int notice_start_waiting(struct ring *ring);

/* From here on handlers interrupt, and no more. */
static inline void notice_on(void);
static inline void notice_off(void);
/* Takes one identity that is pending and not masked; 0: none. Notices are off. */
static inline uint32_t notice_claim(void);
/* The timer: handler 0 runs when the clock reaches `ticks`; UINT64_MAX: never. */
static inline void notice_timer(uint64_t ticks);
/* `fn` serves `id` from now on, and it is not masked any more; NULL masks it: what comes stays
 * pending. */
void notice_handle(struct ring *ring, uint32_t id, notice_fn fn);
/* Serves what is pending, waiting until there is something. Notices are off. */
void notice_wait(struct ring *ring);

/* A new endpoint for `id`: a descriptor, or -errno. Later: nobody can use it any more. */
int notice_endpoint(struct ring *ring, uint32_t id);
int notice_revoke(struct ring *ring, int fd);

/* How one posts to an endpoint. */
struct notice_sender {
	volatile uint32_t *page; /* NULL: by the ring */
	uint32_t id;
	int32_t fd;
};
/* 0 or -errno. */
int notice_connect(struct ring *ring, int fd, struct notice_sender *sender);
/* Posts; earlier stores are seen by whoever is told. */
static inline void notice_send(struct ring *ring, const struct notice_sender *sender);

/* One NOTICE entry, awaited. */
int notice_call(struct ring *ring, uint32_t command, int fd, uint64_t off, const void *addr);

/* notice.c: the same by the area that the kernel shares. */
void upcall_on(void);
uint32_t upcall_claim(void);
void upcall_timer(uint64_t ticks);
/* ring_enter that ends with -EINTR when something is pending, also if it was before; notices are
 * off, and whoever returns from it takes what came. */
int64_t upcall_enter(struct ring *ring, uint32_t to_submit, uint32_t min_complete, uint32_t flags,
		     const void *arg, size_t argsz);

/* Sleeps until something is pending, and says that it does. Only while notice_direct. */
static inline void notice_doze(void)
{
	int64_t *word = &notice_here()->area.dozed, dozed = *word;
	uint64_t begin = async_ticks_read();

	__atomic_store_n(word, dozed - (int64_t)begin, __ATOMIC_RELAXED);
	direct_sleep();
	__atomic_store_n(word, dozed + (int64_t)(async_ticks_read() - begin), __ATOMIC_RELAXED);
}

static inline void upcall_off(void)
{
	__atomic_store_n(&notice_here()->area.on, SLUICE_UPCALL_OFF, __ATOMIC_RELAXED);
	__asm__ volatile("" ::: "memory");
}

static inline void notice_on(void)
{
	if (ring_likely(notice_direct))
		direct_on();
	else
		upcall_on();
}

static inline void notice_off(void)
{
	if (ring_likely(notice_direct))
		direct_off();
	else
		upcall_off();
}

/* An identity was served. */
static inline void notice_count(uint32_t id)
{
	__atomic_fetch_add(&notice_counts[id], 1, __ATOMIC_RELAXED);
}

/* Handler of those that are masked while notice_direct: remembers what came, uncounted. */
void notice_keep(uint32_t id);

static inline uint32_t notice_claim(void)
{
	uint32_t id;

	if (ring_unlikely(!notice_direct))
		return upcall_claim();
	while ((id = direct_claim()) != 0 && ring_unlikely(notice_handlers[id] == notice_keep)) {
		notice_count(id);
		notice_keep(id);
	}
	return id;
}

static inline void notice_timer(uint64_t ticks)
{
	if (ring_likely(notice_direct))
		direct_timer(ticks);
	else
		upcall_timer(ticks);
}

static inline void notice_send(struct ring *ring, const struct notice_sender *sender)
{
	if (ring_likely(sender->page != NULL))
		notice_store(sender->page, sender->id);
	else
		notice_call(ring, SLUICE_NOTICE_POST, sender->fd, 0, NULL);
}

#endif
