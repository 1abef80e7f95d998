/*
 * bufs: registered buffers (frames held once, so that an op needs no pin of its own) and
 * provided-buffer rings (the program queues buffers, an op takes one when it has something to put
 * into it).
 *
 * Registration runs on the ring's core. Taking a provided buffer may happen on any serving core:
 * the group's head is claimed by compare-and-swap; its tail is the program's and never trusted
 * further than the ring's size. How others look while something goes: bufs.h.
 */
#include "ring/bufs.h"

#include "mm/frames.h"
#include "uapi/errno.h"

#define FIXED_BUFS_MAX 1024u
#define FIXED_BYTES_MAX (1ull << 30)
#define GROUP_ENTRIES_MAX 32768u
#define GROUP_PINS (GROUP_ENTRIES_MAX * sizeof(struct io_uring_buf) / PIN_BYTES_MAX)

struct fixed_buf {
	uaddr_t addr; /* 0 and len 0: an empty slot */
	uint64_t len;
	uint32_t pages;
	uint32_t charged; /* frames on the program's account: those held, and the block below */
	uint32_t *frame; /* frame numbers; its own block of frames */
};

struct buf_group {
	struct buf_group *_Atomic next; /* ring->groups */
	_Atomic uint32_t head;
	uint32_t mask;
	uint16_t id;
	struct pin pins[GROUP_PINS]; /* of the program's array, page-aligned, 64 KiB each */
};

/* ---- registered buffers ---------------------------------------------------------------------- */

static unsigned order_for(uint64_t bytes)
{
	unsigned order = 0;

	while ((PAGE_SIZE << order) < bytes)
		order++;
	return order;
}

static void fixed_drop(struct aspace *as, struct fixed_buf *b)
{
	for (uint32_t i = 0; i < b->pages; i++)
		frame_put((paddr_t)b->frame[i] << PAGE_SHIFT);
	if (b->frame)
		frame_put(arch_direct_paddr(b->frame));
	aspace_uncharge(as, b->charged);
	*b = (struct fixed_buf){ 0 };
}

/* Pins piece by piece and keeps the frames; the pins themselves are only the way to get them. */
static int fixed_add(struct aspace *as, struct fixed_buf *b, uaddr_t addr, uint64_t len)
{
	uint64_t pages = ((addr & (PAGE_SIZE - 1)) + len + PAGE_SIZE - 1) / PAGE_SIZE, done = 0;
	uint32_t charged;
	paddr_t block;

	if (!len || len > FIXED_BYTES_MAX || addr + len < addr)
		return -EFAULT;
	charged = (uint32_t)pages + (1u << order_for(pages * sizeof(uint32_t)));
	if (aspace_charge(as, charged))
		return -ENOMEM;
	block = frame_alloc(order_for(pages * sizeof(uint32_t)));
	if (!block) {
		aspace_uncharge(as, charged);
		return -ENOMEM;
	}
	*b = (struct fixed_buf){
		.addr = addr, .len = len, .charged = charged, .frame = arch_direct(block),
	};
	while (done < len) {
		struct pin pin;
		int64_t n = pin_user(as, addr + done, len - done, ACCESS_READ | ACCESS_WRITE, &pin);

		if (n <= 0) {
			fixed_drop(as, b);
			return n ? (int)n : -EFAULT;
		}
		for (unsigned i = 0; i < pin.pages; i++) {
			/* A piece that starts inside a page begins with the frame the piece before
			 * it ended with. */
			if (!(done && i == 0 && pin.first))
				b->frame[b->pages++] = pin.frame[i];
			else
				frame_put((paddr_t)pin.frame[i] << PAGE_SHIFT);
		}
		done += (uint64_t)n;
	}
	return 0;
}

static void bufs_free(struct ring *r, struct fixed_buf *bufs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		fixed_drop(r->as, &bufs[i]);
	frame_put(arch_direct_paddr(bufs));
}

void ring_bufs_drop(struct ring *r)
{
	struct fixed_buf *bufs = atomic_exchange(&r->bufs, NULL);

	if (!bufs)
		return;
	looks_wait(r);
	bufs_free(r, bufs, r->buf_count);
	r->buf_count = 0;
}

int ring_bufs_register(struct ring *r, uaddr_t vec, uint32_t count)
{
	struct fixed_buf *bufs;
	paddr_t block;
	int err = 0;

	if (r->bufs)
		return -EBUSY;
	if (!count || count > FIXED_BUFS_MAX)
		return -EINVAL;
	block = frame_alloc(order_for(count * sizeof(struct fixed_buf)));
	if (!block)
		return -ENOMEM;
	bufs = arch_direct(block);
	memset(bufs, 0, count * sizeof(struct fixed_buf));
	for (uint32_t i = 0; i < count && !err; i++) {
		struct iovec iov;

		err = user_read(r->as, vec + i * sizeof(iov), &iov, sizeof(iov));
		if (!err && (iov.iov_base || iov.iov_len))
			err = fixed_add(r->as, &bufs[i], (uaddr_t)(uintptr_t)iov.iov_base,
					iov.iov_len);
	}
	if (err) {
		bufs_free(r, bufs, count);
		return err;
	}
	r->buf_count = count;
	atomic_store(&r->bufs, bufs); /* whole: another core may look from now on */
	return 0;
}

static int64_t fixed_pin(struct ring *r, uint16_t index, uaddr_t addr, uint64_t len,
			 struct pin *pin)
{
	const struct fixed_buf *bufs = atomic_load(&r->bufs), *b;
	uint64_t off;
	uint32_t first, n;

	if (!bufs || index >= r->buf_count)
		return -EFAULT;
	b = &bufs[index];
	if (addr < b->addr || addr - b->addr > b->len || len > b->len - (addr - b->addr))
		return -EFAULT;
	off = (b->addr & (PAGE_SIZE - 1)) + (addr - b->addr);
	first = (uint32_t)(off >> PAGE_SHIFT);
	pin->first = off & (PAGE_SIZE - 1);
	pin->len = (uint32_t)min_of(len, (uint64_t)PIN_BYTES_MAX - pin->first);
	n = (pin->first + pin->len + PAGE_SIZE - 1) >> PAGE_SHIFT;
	pin->pages = (uint8_t)n;
	/* References of its own: the program may unregister the buffer while a device still writes
	 * to it. */
	for (uint32_t i = 0; i < n; i++) {
		pin->frame[i] = b->frame[first + i];
		frame_get((paddr_t)pin->frame[i] << PAGE_SHIFT);
	}
	return pin->len;
}

int64_t op_pin_fixed(struct op *op, uint16_t index, uaddr_t addr, uint64_t len, struct pin *pin)
{
	bool counted = look_begin(op->ring);
	int64_t n = fixed_pin(op->ring, index, addr, len, pin);

	look_end(op->ring, counted);
	return n;
}

/* ---- provided-buffer rings ------------------------------------------------------------------- */

static struct buf_group *group_find(struct ring *r, uint16_t id)
{
	struct buf_group *g = atomic_load(&r->groups);

	while (g && g->id != id)
		g = atomic_load(&g->next);
	return g;
}

static struct io_uring_buf *group_entry(struct buf_group *g, uint32_t index)
{
	uint32_t off = (index & g->mask) * (uint32_t)sizeof(struct io_uring_buf), run;

	return pin_view(&g->pins[off / PIN_BYTES_MAX], off % PIN_BYTES_MAX, &run);
}

static uint64_t group_charge(uint32_t entries)
{
	return 1 + align_up((uint64_t)entries * sizeof(struct io_uring_buf), PAGE_SIZE) / PAGE_SIZE;
}

/* Not reachable, or nobody looks any more. */
static void group_free(struct ring *r, struct buf_group *g)
{
	aspace_uncharge(r->as, group_charge(g->mask + 1));
	for (unsigned i = 0; i < GROUP_PINS; i++)
		if (g->pins[i].pages)
			pin_release(&g->pins[i]);
	frame_put(arch_direct_paddr(g));
}

static void group_unlink(struct ring *r, struct buf_group *g)
{
	struct buf_group *_Atomic *at = &r->groups;

	while (atomic_load(at) != g)
		at = &atomic_load(at)->next;
	atomic_store(at, atomic_load(&g->next)); /* who stands on it goes on to the next */
	looks_wait(r);
}

void ring_groups_drop(struct ring *r)
{
	struct buf_group *g;

	while ((g = atomic_load(&r->groups))) {
		group_unlink(r, g);
		group_free(r, g);
	}
}

int ring_group_register(struct ring *r, const struct io_uring_buf_reg *reg)
{
	uint32_t n = reg->ring_entries;
	uint64_t bytes = (uint64_t)n * sizeof(struct io_uring_buf), done = 0;
	struct buf_group *g;
	paddr_t block;

	if (reg->resv[0] || reg->resv[1] || reg->resv[2] || reg->flags)
		/* kernel-allocated and incremental rings are refused by their flags */
		return -EINVAL;
	if (!reg->ring_addr || (reg->ring_addr & (PAGE_SIZE - 1)))
		return -EINVAL;
	if (!n || n > GROUP_ENTRIES_MAX || (n & (n - 1)))
		return -EINVAL;
	if (group_find(r, reg->bgid))
		return -EEXIST;
	_Static_assert(sizeof(struct buf_group) <= PAGE_SIZE, "a group fits a frame");
	if (aspace_charge(r->as, group_charge(n)))
		return -ENOMEM;
	block = frame_alloc_zeroed();
	if (!block) {
		aspace_uncharge(r->as, group_charge(n));
		return -ENOMEM;
	}
	g = arch_direct(block);
	g->mask = n - 1;
	g->id = reg->bgid;
	for (unsigned i = 0; done < bytes; i++) {
		uint64_t want = min_of(bytes - done, (uint64_t)PIN_BYTES_MAX);
		int64_t got = pin_user(r->as, reg->ring_addr + done, want,
				       ACCESS_READ | ACCESS_WRITE, &g->pins[i]);

		if (got < 0 || (uint64_t)got != want) {
			group_free(r, g);
			return got < 0 ? (int)got : -EFAULT;
		}
		done += want;
	}
	atomic_store(&g->next, atomic_load(&r->groups));
	atomic_store(&r->groups, g);
	return 0;
}

int ring_group_unregister(struct ring *r, uint16_t id)
{
	struct buf_group *g = group_find(r, id);

	if (!g)
		return -EINVAL;
	group_unlink(r, g);
	group_free(r, g);
	return 0;
}

int ring_group_head(struct ring *r, uint16_t id, uint32_t *head)
{
	struct buf_group *g = group_find(r, id);

	if (!g)
		return -ENOENT;
	*head = atomic_load_explicit(&g->head, memory_order_relaxed) & 0xffff;
	return 0;
}

static int group_take(struct buf_group *g, uaddr_t *addr, uint32_t *len, uint32_t *cqe_flags)
{
	uint32_t head;
	struct io_uring_buf buf;

	if (!g)
		return -ENOBUFS;
	head = atomic_load_explicit(&g->head, memory_order_relaxed);
	do {
		/* The tail lies in the last field of entry 0; acquire pairs with the program's
		 * release store. */
		struct io_uring_buf_ring *br = (struct io_uring_buf_ring *)group_entry(g, 0);
		uint16_t tail = __atomic_load_n(&br->tail, __ATOMIC_ACQUIRE);

		if ((uint16_t)(tail - (uint16_t)head) == 0)
			return -ENOBUFS;
		buf = *(volatile struct io_uring_buf *)group_entry(g, head);
	} while (!atomic_compare_exchange_weak_explicit(
		&g->head, &head, head + 1, memory_order_acq_rel, memory_order_relaxed));
	*addr = buf.addr;
	*len = *len ? min_of(*len, buf.len) : buf.len;
	*cqe_flags = IORING_CQE_F_BUFFER | (uint32_t)buf.bid << IORING_CQE_BUFFER_SHIFT;
	return 0;
}

int op_buf_select(struct op *op, uint16_t group, uaddr_t *addr, uint32_t *len, uint32_t *cqe_flags)
{
	bool counted = look_begin(op->ring);
	int err = group_take(group_find(op->ring, group), addr, len, cqe_flags);

	look_end(op->ring, counted);
	return err;
}

/* Only the newest one taken can go back; otherwise the program gets it with its CQE and provides it
 * again itself. */
static bool group_untake(struct buf_group *g, uint32_t bid)
{
	uint32_t head;

	if (!g)
		return false;
	head = atomic_load_explicit(&g->head, memory_order_relaxed);
	return group_entry(g, head - 1)->bid == bid &&
	       atomic_compare_exchange_strong_explicit(&g->head, &head, head - 1,
						       memory_order_acq_rel, memory_order_relaxed);
}

void op_buf_return(struct op *op, uint16_t group)
{
	bool counted;

	if (!(op->cqe_flags & IORING_CQE_F_BUFFER))
		return;
	counted = look_begin(op->ring);
	if (group_untake(group_find(op->ring, group), op->cqe_flags >> IORING_CQE_BUFFER_SHIFT))
		op->cqe_flags = 0;
	look_end(op->ring, counted);
}
