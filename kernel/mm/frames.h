/*
 * frames: physical memory in 4 KiB frames; a buddy allocator with a small cache of single frames
 * per core.
 *
 * Every frame has a reference count. Whoever holds a reference may hand it on; the last put frees
 * the frame (or the block: a block of order n is one object with one count, on its first frame).
 * Frames of the kernel image, firmware, device tree and initrd are never in the allocator. Any
 * core; the central buddy is behind one short spinlock that the per-core caches keep cold.
 */
#ifndef MM_FRAMES_H
#define MM_FRAMES_H

#include "arch/arch.h"

#define FRAME_ORDER_MAX 11 /* 8 MiB blocks */

/* Builds the allocator from arch_boot. Boot core, once. */
void frames_init(void);

/* A block of 2^order frames, count 1, contents undefined. 0 when memory is out. Never parks. */
must_use paddr_t frame_alloc(unsigned order);
/* Same, single frame, zeroed. */
must_use paddr_t frame_alloc_zeroed(void);
/* A single frame on behalf of a program, contents undefined. 0 already when only the kernel's
 * reserve is left, so that a greedy program runs dry before the kernel and its neighbours do. */
must_use paddr_t frame_alloc_user(void);
/* Would `n` more frames leave the reserve alone? A hint: others allocate too. */
bool frames_has_spare(uint64_t n);
/*
 * May a program, or one of the tables that hold frames for all programs (memory files, pipes), have
 * `held` frames in all? Once less than an eighth of the memory is free: only as many as are free,
 * so that those who hold most run dry first, and whoever holds little is still served. A hint.
 */
bool frames_allow(uint64_t held);

/* One more / one less reference to the block that `pa` lies in (any address inside it; the caller
 * holds a reference already). put frees at zero. */
void frame_get(paddr_t pa);
void frame_put(paddr_t pa);
/* A reference to the block `pa` lies in unless it is free at this moment (false then). For those
 * who found `pa` in a shared table: they look again afterwards whether it still stands there. */
must_use bool frame_get_live(paddr_t pa);
uint32_t frame_refs(paddr_t pa);

/* Is this a frame of the allocator (not a device, not reserved memory)? Mappings of other memory
 * hold no references. */
bool frame_is_managed(paddr_t pa);

/* Frames free now, caches included. Exact while no other core allocates. */
uint64_t frames_free_count(void);
uint64_t frames_total_count(void);

/* Boot-time memory that lives for ever (pools, per-core blocks): zeroed, page-aligned; panics when
 * memory is out. */
void *frames_boot_alloc(size_t size);

#endif
