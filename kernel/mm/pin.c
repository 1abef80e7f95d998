/*
 * pin: from claim to proof, and copying through proofs.
 *
 * The common page is present and permitted: three loads, one counted reference, one more look at
 * the leaf. The second look is what makes the first one true: the reference was taken without any
 * lock, and a leaf that still names the frame afterwards proves that the frame was this page's
 * while we held it.
 *
 * Any core; never parks; a user address is only ever translated, never used.
 */
#include "mm/pin.h"

#include <stdatomic.h>
#include <string.h>

#include "base/panic.h"
#include "mm/frame_table.h"
#include "uapi/errno.h"

/* Every load of a walk is relaxed and ordered by dependency, as said below. ThreadSanitizer does
 * not know dependencies and is told the long way. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WALK_LOAD memory_order_acquire
#endif
#endif
#ifndef WALK_LOAD
#define WALK_LOAD memory_order_relaxed
#endif

static inline _Atomic uint64_t *pin_table(uint64_t entry)
{
	return arch_direct(pte_paddr(entry));
}

/*
 * The slot of the leaf for `va` (below `top`), NULL if a table is missing. The loads of a walk
 * depend on each other by address, which orders them on every machine.
 */
static inline __attribute__((always_inline)) _Atomic uint64_t *pin_slot(struct aspace *as,
									uaddr_t va)
{
	_Atomic uint64_t *slot = arch_direct(as->root);
	uint64_t e;

	e = atomic_load_explicit(&slot[va >> 30], WALK_LOAD);
	if (unlikely(!(e & PTE_V)))
		return NULL;
	e = atomic_load_explicit(&pin_table(e)[va >> 21 & 511], WALK_LOAD);
	if (unlikely(!(e & PTE_V)))
		return NULL;
	return &pin_table(e)[va >> 12 & 511];
}

/*
 * Reads a leaf that another core may just have published. Relaxed is enough, though what lies in
 * the page must be seen too: the count's address is computed from the leaf, and taking the count is
 * an acquire, so everything behind it comes after the load of the leaf (RISC-V unprivileged
 * specification 20191213, section 14.1, rules 9 and 5). memory_order_acquire would say the same
 * with a fence.
 */
static inline uint64_t pin_leaf(const _Atomic uint64_t *slot)
{
	return atomic_load_explicit(slot, WALK_LOAD);
}

/* Takes a reference on the frame under `va` if its leaf grants `need`. The frame number, or 0. */
static uint32_t pin_page_present(struct aspace *as, uaddr_t va, uint64_t need)
{
	_Atomic uint64_t *slot = pin_slot(as, va);
	uint64_t leaf = slot ? pin_leaf(slot) : 0;

	if (unlikely((leaf & need) != need))
		return 0;
	if (unlikely(!frame_get_live_single(pte_paddr(leaf))) && !frame_get_live(pte_paddr(leaf)))
		return 0;
	/* Behind the acquire of the count. */
	if (unlikely(atomic_load_explicit(slot, memory_order_relaxed) != leaf)) {
		frame_put(pte_paddr(leaf));
		return 0;
	}
	return (uint32_t)(pte_paddr(leaf) >> PAGE_SHIFT);
}

/* The same, making the page present first. 0 or a negative errno. */
static __attribute__((noinline)) int pin_page_slow(struct aspace *as, uaddr_t va, uint32_t access,
						   uint64_t need, uint32_t *frame)
{
	for (;;) {
		int err = aspace_fault(as, va, access);

		if (err)
			return err == -ENXIO ? -EFAULT : err;
		*frame = pin_page_present(as, va, need);
		if (*frame)
			return 0;
		if (aspace_device_tag(as, va))
			return -EFAULT;
	}
}

static inline uint64_t pin_need(uint32_t access)
{
	_Static_assert(ACCESS_READ << 1 == PTE_R && ACCESS_WRITE << 1 == PTE_W, "one shift");
	return PTE_V | PTE_U | PTE_RAM | (uint64_t)access << 1;
}

/* More than one page, or a page that is not there yet. */
static __attribute__((noinline)) int64_t pin_user_long(struct aspace *as, uaddr_t claim,
						       uint64_t len, uint32_t access,
						       struct pin *pin)
{
	uint64_t need = pin_need(access);
	uint32_t first = claim & (PAGE_SIZE - 1), proved, pages = 0;
	uaddr_t va = claim - first;

	if (unlikely(!len))
		return 0;
	if (unlikely(claim - as->low >= as->top - as->low))
		return -EFAULT;
	len = min_of(len, as->top - claim);
	len = min_of(len, PIN_BYTES_MAX);
	for (proved = 0; proved < first + len; proved += PAGE_SIZE, va += PAGE_SIZE) {
		uint32_t frame = pin_page_present(as, va, need);

		if (unlikely(!frame)) {
			int err = pin_page_slow(as, va, access, need, &frame);

			if (err && !pages)
				return err;
			if (err) {
				len = proved - first;
				break;
			}
		}
		pin->frame[pages++] = frame;
	}
	pin->pages = (uint8_t)pages;
	pin->len = (uint32_t)len;
	return (int64_t)len;
}

/* The leaf changed under the fast path's hands. */
static __attribute__((noinline)) int64_t pin_user_lost(struct aspace *as, uaddr_t claim,
						       uint64_t len, uint32_t access,
						       struct pin *pin, paddr_t pa)
{
	frame_put(pa);
	return pin_user_long(as, claim, len, access, pin);
}

/* One present page; whatever is less simple leaves by a tail call, so that this path saves no
 * register. */
int64_t pin_user(struct aspace *as, uaddr_t claim, uint64_t len, uint32_t access, struct pin *pin)
{
	uint64_t first = claim & (PAGE_SIZE - 1), need = pin_need(access), leaf;
	_Atomic uint64_t *slot;

	pin->len = 0;
	pin->first = (uint16_t)first;
	pin->pages = 0;
	if (unlikely(len - 1 >= PAGE_SIZE - first || claim - as->low >= as->top - as->low))
		return pin_user_long(as, claim, len, access, pin);
	slot = pin_slot(as, claim);
	if (unlikely(!slot))
		return pin_user_long(as, claim, len, access, pin);
	leaf = pin_leaf(slot);
	if (unlikely((leaf & need) != need || !frame_get_live_single(pte_paddr(leaf))))
		return pin_user_long(as, claim, len, access, pin);
	if (unlikely(atomic_load_explicit(slot, memory_order_relaxed) != leaf))
		return pin_user_lost(as, claim, len, access, pin, pte_paddr(leaf));
	pin->frame[0] = (uint32_t)(pte_paddr(leaf) >> PAGE_SHIFT);
	pin->pages = 1;
	pin->len = (uint32_t)len;
	return (int64_t)len;
}

void pin_release(struct pin *pin)
{
	unsigned pages = pin->pages;

	pin->pages = 0;
	pin->len = 0;
	for (unsigned i = 0; i < pages; i++) {
		paddr_t pa = (paddr_t)pin->frame[i] << PAGE_SHIFT;

		if (unlikely(!frame_put_single(pa)))
			frame_put(pa);
	}
}

void *pin_view_one(struct aspace *as, uaddr_t claim, uint64_t len, uint32_t access)
{
	uint64_t first = claim & (PAGE_SIZE - 1), need = pin_need(access), leaf;
	_Atomic uint64_t *slot;

	if (unlikely(len - 1 >= PAGE_SIZE - first || claim - as->low >= as->top - as->low))
		return NULL;
	slot = pin_slot(as, claim);
	leaf = slot ? pin_leaf(slot) : 0;
	if (unlikely((leaf & need) != need || !frame_get_live_single(pte_paddr(leaf))))
		return NULL;
	if (unlikely(atomic_load_explicit(slot, memory_order_relaxed) != leaf)) {
		frame_put(pte_paddr(leaf));
		return NULL;
	}
	return (char *)arch_direct(pte_paddr(leaf)) + first;
}

void pin_view_done(void *view)
{
	paddr_t pa = arch_direct_paddr(view);

	if (unlikely(!frame_put_single(pa)))
		frame_put(pa);
}

/* ---- through the proof ----------------------------------------------------------------------- */

static inline char *pin_at(const struct pin *pin, uint32_t off)
{
	uint32_t at = pin->first + off;

	return (char *)arch_direct((paddr_t)pin->frame[at >> PAGE_SHIFT] << PAGE_SHIFT) +
	       (at & (PAGE_SIZE - 1));
}

static inline uint32_t pin_piece(const struct pin *pin, uint32_t off, uint32_t n)
{
	uint32_t left = (uint32_t)PAGE_SIZE - ((pin->first + off) & ((uint32_t)PAGE_SIZE - 1));

	return min_of(n, left);
}

void pin_copy_in(const struct pin *pin, uint32_t off, void *dst, uint32_t n)
{
	kassert(off <= pin->len && n <= pin->len - off);
	while (n) {
		uint32_t piece = pin_piece(pin, off, n);

		memcpy(dst, pin_at(pin, off), piece);
		dst = (char *)dst + piece;
		off += piece;
		n -= piece;
	}
}

void pin_copy_out(const struct pin *pin, uint32_t off, const void *src, uint32_t n)
{
	kassert(off <= pin->len && n <= pin->len - off);
	while (n) {
		uint32_t piece = pin_piece(pin, off, n);

		memcpy(pin_at(pin, off), src, piece);
		src = (const char *)src + piece;
		off += piece;
		n -= piece;
	}
}

void pin_zero(const struct pin *pin, uint32_t off, uint32_t n)
{
	kassert(off <= pin->len && n <= pin->len - off);
	while (n) {
		uint32_t piece = pin_piece(pin, off, n);

		memset(pin_at(pin, off), 0, piece);
		off += piece;
		n -= piece;
	}
}

paddr_t pin_run(const struct pin *pin, uint32_t off, uint32_t *run)
{
	uint32_t at = pin->first + off, page = at >> PAGE_SHIFT, end = page + 1;
	uint32_t inside = at & ((uint32_t)PAGE_SIZE - 1);

	kassert(off < pin->len);
	while (end < pin->pages && pin->frame[end] == pin->frame[end - 1] + 1)
		end++;
	*run = min_of((end - page) * (uint32_t)PAGE_SIZE - inside, pin->len - off);
	return ((paddr_t)pin->frame[page] << PAGE_SHIFT) + inside;
}

/* ---- small structures ------------------------------------------------------------------------ */

int user_read(struct aspace *as, uaddr_t from, void *dst, size_t n)
{
	struct pin pin;
	int64_t got;

	kassert(n <= PAGE_SIZE);
	got = pin_user(as, from, n, ACCESS_READ, &pin);
	if (got < 0)
		return (int)got;
	if ((size_t)got == n)
		pin_copy_in(&pin, 0, dst, (uint32_t)n);
	pin_release(&pin);
	return (size_t)got == n ? 0 : -EFAULT;
}

int user_write(struct aspace *as, uaddr_t to, const void *src, size_t n)
{
	struct pin pin;
	int64_t got;

	kassert(n <= PAGE_SIZE);
	got = pin_user(as, to, n, ACCESS_WRITE, &pin);
	if (got < 0)
		return (int)got;
	if ((size_t)got == n)
		pin_copy_out(&pin, 0, src, (uint32_t)n);
	pin_release(&pin);
	return (size_t)got == n ? 0 : -EFAULT;
}

#define STRING_PIECE 256u /* most are shorter */

int user_read_string(struct aspace *as, uaddr_t from, char *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		size_t want = min_of(size - done, PAGE_SIZE - ((from + done) & (PAGE_SIZE - 1)));

		want = min_of(want, (size_t)STRING_PIECE);
		struct pin pin;
		int64_t got = pin_user(as, from + done, want, ACCESS_READ, &pin);
		char *end;

		if (got <= 0)
			return got ? (int)got : -EFAULT;
		pin_copy_in(&pin, 0, buf + done, (uint32_t)got);
		pin_release(&pin);
		end = memchr(buf + done, 0, (size_t)got);
		if (end)
			return (int)(end - buf);
		done += (size_t)got;
	}
	return -ENAMETOOLONG;
}
