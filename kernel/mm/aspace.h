/*
 * aspace: one user address space: regions (what is mapped, with which rights) and a radix table of
 * Sv39-format entries (what is present).
 *
 * Owner: the process's home core changes regions (map, unmap, protect). Any core may fault or pin:
 * it reads the region array under its sequence count, installs the leaf by compare-and-swap and
 * re-checks the count; a changed count undoes the installation and retries. Replacing or removing a
 * present leaf waits for arch_tlb_shootdown before the frame's reference is put.
 *
 * Frames mapped by a leaf hold one reference each (managed frames only). Leaves: V R W X U A D as
 * in the Privileged Architecture, section 4.4.1. Of the bits left to software, 8 marks
 * copy-on-write, and 9 a frame of the allocator's: a device's page has none, so that no pin takes
 * it.
 */
#ifndef MM_ASPACE_H
#define MM_ASPACE_H

#include "arch/arch.h"

#define PTE_V 1ull
#define PTE_R 2ull
#define PTE_W 4ull
#define PTE_X 8ull
#define PTE_U 16ull
#define PTE_G 32ull
#define PTE_A 64ull
#define PTE_D 128ull
#define PTE_COW 256ull
#define PTE_RAM 512ull
#define pte_paddr(pte) (((pte) >> 10 & 0xfffffffffffull) << PAGE_SHIFT)
#define pte_make(pa, bits) (((pa) >> PAGE_SHIFT) << 10 | (bits))

enum region_kind {
	REGION_ANON,   /* zero-filled on first touch */
	/* a block of frames the kernel shares with the program (rings); present from the start */
	REGION_FRAMES,
	REGION_NONE,   /* reserved, no access (guards) */
	/* a page of a device, or nothing: aspace_device_set; `flags` is its tag */
	REGION_DEVICE,
	/* pages of a memory object; flags: its slot in aspace->maps, and REGION_PRIVATE */
	REGION_OBJECT,
};
#define REGION_PRIVATE 0x8000u /* a page is copied before it is written */
#define REGION_MAP 0x7fffu

struct region {
	uaddr_t base, end;
	uint32_t prot; /* ACCESS_* */
	uint16_t kind;
	uint16_t flags;
};

#define ASPACE_REGIONS_MAX                                                                         \
	5400 /* regions per address space; more is -ENOMEM. A guarded stack is two */

struct mobj;

/* A memory object that some regions of a space show: page of the object = (va + delta) / page
 * size. The owner core fills it before the first such region is seen, and empties it after the
 * last; a faulter takes a reference and looks at the region's count again. */
struct aspace_map {
	struct mobj *_Atomic object; /* NULL: free */
	uint64_t delta;
};
#define ASPACE_MAPS_MAX 32u /* per address space; more is -ENOMEM */

struct aspace {
	/* any core, atomic */
	_Atomic uint32_t refs;
	/* odd while the owner rewrites the region array; pairs with aspace_fault */
	_Atomic uint32_t seq;
	/* frames mapped, page tables, and what was charged: for limits and reports */
	_Atomic uint64_t resident;

	/* owner core only (others read under seq) */
	struct region *regions; /* sorted by base, not overlapping */
	uint32_t region_count;
	uint32_t region_space;
	uaddr_t map_hint; /* where the next placement search starts */
	uint32_t map_count; /* slots of `maps` in use */
	bool shed; /* aspace_shed has taken all pages */
	struct aspace_map maps[ASPACE_MAPS_MAX];

	/* set once at creation */
	paddr_t root;
	enum arch_kind kind;
	uaddr_t low, top;      /* user addresses of this space: [low, top) */
	uint64_t resident_max; /* frames this space may have resident; 0: no limit */
	struct arch_aspace arch;
};

/* A new empty space with one reference, or NULL when memory is out or the machine has no such
 * kind. */
must_use struct aspace *aspace_create_kind(enum arch_kind kind);
must_use static inline struct aspace *aspace_create(void)
{
	return aspace_create_kind(ARCH_KIND_PLAIN);
}
void aspace_get(struct aspace *as);
/* The last put unmaps everything and frees the tables; no thread may be running it. Any core. */
void aspace_put(struct aspace *as);

#define ASPACE_FIXED 1u	   /* exactly at `at`, replacing what is there */
#define ASPACE_FIXED_NEW 2u /* exactly at `at`, -EEXIST if anything is there */
#define ASPACE_POPULATE 4u  /* make every page present now */

/* Maps anonymous memory [at, at+len) (at 0 or not FIXED: placed by the kernel). Home core only.
 * Returns the address through
 * *out. -EINVAL (alignment, zero, out of user range), -ENOMEM, -EEXIST. Never parks. */
must_use int aspace_map_anon(struct aspace *as, uaddr_t at, uint64_t len, uint32_t prot,
			     uint32_t flags, uaddr_t *out);
/* A range that stays empty whatever the program does: no access, no protect; unmap takes it
 * away. */
must_use int aspace_map_guard(struct aspace *as, uaddr_t at, uint64_t len);
/* Maps a block of frames (contiguous, frame_alloc'ed with `order`); takes one reference of the
 * block for each page's lifetime: the block is freed when the mapping and the kernel's own
 * reference are both gone. */
must_use int aspace_map_frames(struct aspace *as, uaddr_t at, paddr_t block, uint64_t len,
			       uint32_t prot, uint32_t flags, uaddr_t *out);
/*
 * A page-aligned range for pages of devices: empty at first, which aspace_device_set changes. `tag`
 * (not 0) tells one such range from another; aspace_device_tag is its inverse (0: no such range at
 * `va`). Rights never change; pins are refused. Mapping: home core only; set and tag: any core.
 */
must_use int aspace_map_device(struct aspace *as, uint64_t len, uint32_t prot, uint16_t tag,
			       uaddr_t *out);
/* The page at `va` is the device's at `pa`; 0: none, and no core has it any more when this returns.
 * 0, -ENOENT (the range with this tag is gone), -ENOMEM. */
int aspace_device_set(struct aspace *as, uaddr_t va, uint16_t tag, paddr_t pa);
uint16_t aspace_device_tag(struct aspace *as, uaddr_t va);
/* Maps [off, off+len) of a memory object; a page comes when it is touched, one behind the object's
 * end never does (-ENXIO of aspace_fault). private: writes stay this space's own. -EAGAIN: the
 * object is shrinking at this moment; else as aspace_map_anon. */
must_use int aspace_map_object(struct aspace *as, uaddr_t at, struct mobj *object, uint64_t off,
			       uint64_t len, uint32_t prot, uint32_t flags, bool private,
			       uaddr_t *out);
/* Removes whatever is mapped in [at, at+len); nothing there is no error. Waits for the shootdown.
 * -EINVAL (alignment, zero, range), -ENOMEM (a split would need one region too many). Home core
 * only. */
must_use int aspace_unmap(struct aspace *as, uaddr_t at, uint64_t len);
/* -ENOMEM when part of the range is not mapped (nothing is changed then). Home core only. */
must_use int aspace_protect(struct aspace *as, uaddr_t at, uint64_t len, uint32_t prot);
/* Throws the pages of anonymous memory away; the next touch finds zeros, or a memory object's page
 * as it is there. -ENOMEM (hole), -EINVAL
 * (not anonymous). */
must_use int aspace_discard(struct aspace *as, uaddr_t at, uint64_t len);
/* What aspace_discard would refuse it for, or 0. */
must_use int aspace_discard_check(struct aspace *as, uaddr_t at, uint64_t len);
/* Is it a range of whole pages that a program may have? */
bool aspace_range_ok(const struct aspace *as, uaddr_t at, uint64_t len);
/*
 * Where a step that goes from `at` towards `end` (above it) should stop, so that neither pages nor
 * the table keep it longer than some ten microseconds: unmap, map_anon over something, and discard
 * may be called piece by piece, each of them whole by itself. Home core only.
 */
uaddr_t aspace_piece(struct aspace *as, uaddr_t at, uaddr_t end);
/* The same from the end towards `from` (below it): where the last piece begins. */
uaddr_t aspace_piece_last(struct aspace *as, uaddr_t from, uaddr_t end);
/*
 * aspace_protect in pieces: the check, of all; then the regions, some per call, from *at on, which
 * moves; then, for pieces of the range, the leaves, which get the rights that their regions have by
 * then. -ENOMEM of the second: unmapped since. Home core only.
 */
must_use int aspace_protect_check(struct aspace *as, uaddr_t at, uint64_t len, uint32_t prot);
must_use int aspace_protect_regions(struct aspace *as, uaddr_t *at, uaddr_t end, uint32_t prot);
void aspace_protect_sweep(struct aspace *as, uaddr_t at, uaddr_t end);
/* Takes the pages of a space that nobody runs or uses any more, some per call, from *at (0 at
 * first) on; false: that was all, and aspace_put has little left to do. */
bool aspace_shed(struct aspace *as, uaddr_t *at);
/* Is every page of [at, at+len) inside some region? Any core. */
bool aspace_covers(struct aspace *as, uaddr_t at, uint64_t len);
/* Kernel-side copy into fresh memory of a program that does not run yet, whatever its rights (a
 * read-only segment is filled this way): a page not yet present is made present. 0, -EFAULT (no
 * region), -ENOMEM. */
must_use int aspace_fill(struct aspace *as, uaddr_t to, const void *src, uint64_t len);

/* Makes the page at `va` present with `access`. Any core, never parks. 0, -EFAULT (no region or no
 * right), -ENXIO (behind the end of a memory object), -ENOMEM. */
must_use int aspace_fault(struct aspace *as, uaddr_t va, uint32_t access);

/* Puts `n` frames that the kernel holds on behalf of the program (rings, tables, registered
 * buffers) on the account of its limit. 0, or -ENOMEM when that or the kernel's reserve is reached.
 * Any core. */
must_use int aspace_charge(struct aspace *as, uint64_t n);
void aspace_uncharge(struct aspace *as, uint64_t n);

/* Software walk: the leaf for `va`, 0 if absent. Any core; a hint unless the caller holds the
 * frame. */
uint64_t aspace_leaf(struct aspace *as, uaddr_t va);

#endif
