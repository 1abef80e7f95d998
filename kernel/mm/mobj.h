/*
 * mobj: a memory object: pages that several address spaces and a file may share. Sparse; a page
 * that nobody wrote does not exist and reads as zeros.
 *
 * Pages are brought by any core, by compare-and-swap, and taken away only when the object shrinks,
 * which its owner core does and only while nobody maps it, or when its last reference goes; who
 * reads it from elsewhere holds the page it reads (mobj_hold). All
 * objects together hold at most half of the machine's memory. The struct's memory is type-stable:
 * whoever brings an object into being never uses its place for anything else.
 */
#ifndef MM_MOBJ_H
#define MM_MOBJ_H

#include <stdatomic.h>

#include "arch/arch.h"

#define MOBJ_FANOUT 512u
#define MOBJ_PAGES_MAX (MOBJ_FANOUT * MOBJ_FANOUT) /* 1 GiB: a root frame of frames of slots */
#define MOBJ_BYTES_MAX ((uint64_t)MOBJ_PAGES_MAX << PAGE_SHIFT)

struct mobj {
	/* any core, atomic */
	_Atomic uint32_t refs;
	_Atomic uint32_t maps;	/* address spaces' mappings; MOBJ_SHRINKING: there may be none */
	_Atomic uint32_t pages; /* present */
	_Atomic uint64_t size;	/* bytes; changed on the owner core */

	/* set once at birth */
	paddr_t root;
	void (*gone)(struct mobj *o); /* the last reference went; any core */
};
#define MOBJ_SHRINKING (1u << 31)

/* Empty, with one reference. 0, or -ENOMEM. */
must_use int mobj_init(struct mobj *o, void (*gone)(struct mobj *o));
/* False: it is gone, or was never there. Any core. */
must_use bool mobj_get_live(struct mobj *o);
/* The last put frees the pages. Any core. */
void mobj_put(struct mobj *o);

/* A mapping begins (takes a reference) and ends. 0, or -EAGAIN: it is shrinking. Any core. */
must_use int mobj_map(struct mobj *o);
void mobj_unmap(struct mobj *o);
/* The same for an object that the caller holds no reference to. False: it is gone or shrinking. */
must_use bool mobj_map_live(struct mobj *o);

typedef _Atomic paddr_t mobj_slot;

static inline mobj_slot *mobj_slot_in(paddr_t frame, uint64_t i)
{
	return (mobj_slot *)arch_direct(frame) + i % MOBJ_FANOUT;
}

/* Kernel address of page `index`, below MOBJ_PAGES_MAX; NULL if it does not exist. Good as long as
 * nobody shrinks the object, so on its owner core, or while it is mapped. */
static inline void *mobj_find(struct mobj *o, uint64_t index)
{
	/* Acquire: pairs with the exchanges of mobj_make; the page's zeros come with it. */
	paddr_t inner = atomic_load_explicit(mobj_slot_in(o->root, index / MOBJ_FANOUT),
					     memory_order_acquire);
	paddr_t page = inner ? atomic_load_explicit(mobj_slot_in(inner, index),
						    memory_order_acquire) :
			       0;

	return page ? arch_direct(page) : NULL;
}
/* The same for who is not on its owner core and has not mapped it: NULL also behind the object's
 * end; the page is held until frame_put. Any core. */
must_use void *mobj_hold(struct mobj *o, uint64_t index);
/* The same as mobj_find, bringing it, below the object's end. 0, -ENOSPC (objects hold their share
 * of the memory), -ENOMEM. */
must_use int mobj_make(struct mobj *o, uint64_t index, void **page);

/* Owner core. 0; -EFBIG; -EBUSY: it would shrink and is mapped. */
must_use int mobj_resize(struct mobj *o, uint64_t size);

#endif
