/*
 * pin: from claim to proof. A user address is a claim (uaddr_t); a pin is the proof that its frames
 * are present, permitted and held. Only a pin can be copied through or given to a device.
 *
 * A pin covers at most PIN_BYTES_MAX bytes; longer transfers pin piece by piece (partial progress
 * wins over a late error). A pin outlives the address space: its frames return when it is released,
 * wherever that happens. Pins may be made, copied through and released on any core; one pin belongs
 * to one op at a time.
 */
#ifndef MM_PIN_H
#define MM_PIN_H

#include "mm/aspace.h"

#define PIN_PAGES_MAX 17
#define PIN_BYTES_MAX 65536u

struct pin {
	uint32_t len;	 /* bytes proved, 0: holds nothing */
	uint16_t first;	 /* offset in the first frame */
	uint8_t pages;	 /* frames held */
	uint8_t unused;
	uint32_t frame[PIN_PAGES_MAX]; /* frame numbers (paddr >> PAGE_SHIFT) */
};

/*
 * Pins [claim, claim+min(len, PIN_BYTES_MAX - offset in page rounding)) for `access` (ACCESS_READ:
 * the kernel will read it, ACCESS_WRITE: the kernel or a device will write it; may fault in and
 * break copy-on-write). Returns the number of bytes pinned (> 0), fewer than asked when a later
 * page fails; -EFAULT when the first page fails; -ENOMEM. len 0 gives 0 and an empty pin.
 */
must_use int64_t pin_user(struct aspace *as, uaddr_t claim, uint64_t len, uint32_t access,
			  struct pin *pin);
void pin_release(struct pin *pin);

/*
 * The common case of a short transfer: the kernel's view of [claim, claim+len), which is held until
 * pin_view_done(view). NULL when it is empty or not all of it in one page that is present and
 * permitted: pin_user tells the rest.
 */
must_use void *pin_view_one(struct aspace *as, uaddr_t claim, uint64_t len, uint32_t access);
void pin_view_done(void *view);

/* Copy between kernel memory and [off, off+n) of the pin; off+n <= pin->len. */
void pin_copy_in(const struct pin *pin, uint32_t off, void *dst, uint32_t n);
void pin_copy_out(const struct pin *pin, uint32_t off, const void *src, uint32_t n);

/* Zeros into [off, off+n) of the pin. */
void pin_zero(const struct pin *pin, uint32_t off, uint32_t n);

/* The longest physically contiguous run at `off`: its address, and its length through *run. */
paddr_t pin_run(const struct pin *pin, uint32_t off, uint32_t *run);

/* Kernel view of the longest contiguous run at `off`. */
static inline void *pin_view(const struct pin *pin, uint32_t off, uint32_t *run)
{
	return arch_direct(pin_run(pin, off, run));
}

/* Small structures: copy n (<= 4096) bytes between kernel and user memory in one step. 0 or
 * -EFAULT/-ENOMEM; all or nothing for reads, and for writes nothing was promised when it fails. Any
 * core, never parks. */
must_use int user_read(struct aspace *as, uaddr_t from, void *dst, size_t n);
must_use int user_write(struct aspace *as, uaddr_t to, const void *src, size_t n);
/* NUL-terminated string into buf[size]: its length, -EFAULT, or -ENAMETOOLONG. */
must_use int user_read_string(struct aspace *as, uaddr_t from, char *buf, size_t size);

#endif
