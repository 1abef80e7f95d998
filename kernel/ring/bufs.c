/*
 * bufs: registered buffers (frames held once, so that an op needs no pin of its own) and
 * provided-buffer rings (the program queues buffers, an op takes one when it has something to put
 * into it).
 *
 * Registration runs on the ring's core. Taking a provided buffer may happen on any serving core:
 * the group's head is claimed by compare-and-swap; its tail is the program's and never trusted
 * further than the ring's size.
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
	struct list link; /* ring->groups */
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

void ring_bufs_drop(struct ring *r)
{
	for (uint32_t i = 0; i < r->buf_count; i++)
		fixed_drop(r->as, &r->bufs[i]);
	if (r->bufs)
		frame_put(arch_direct_paddr(r->bufs));
	r->bufs = NULL;
	r->buf_count = 0;
}

int ring_bufs_register(struct ring *r, uaddr_t vec, uint32_t count)
{
	paddr_t block;
	int err = 0;

	if (r->bufs)
		return -EBUSY;
	if (!count || count > FIXED_BUFS_MAX)
		return -EINVAL;
	block = frame_alloc(order_for(count * sizeof(struct fixed_buf)));
	if (!block)
		return -ENOMEM;
	r->bufs = arch_direct(block);
	memset(r->bufs, 0, count * sizeof(struct fixed_buf));
	r->buf_count = count;
	for (uint32_t i = 0; i < count && !err; i++) {
		struct iovec iov;

		err = user_read(r->as, vec + i * sizeof(iov), &iov, sizeof(iov));
		if (!err && (iov.iov_base || iov.iov_len))
			err = fixed_add(r->as, &r->bufs[i], (uaddr_t)(uintptr_t)iov.iov_base,
					iov.iov_len);
	}
	if (err)
		ring_bufs_drop(r);
	return err;
}

int64_t op_pin_fixed(struct op *op, uint16_t index, uaddr_t addr, uint64_t len, struct pin *pin)
{
	const struct ring *r = op->ring;
	const struct fixed_buf *b;
	uint64_t off;
	uint32_t first, n;

	if (index >= r->buf_count)
		return -EFAULT;
	b = &r->bufs[index];
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

/* ---- provided-buffer rings ------------------------------------------------------------------- */

static struct buf_group *group_find(const struct ring *r, uint16_t id)
{
	list_for_each(pos, &r->groups) {
		struct buf_group *g = list_item(pos, struct buf_group, link);

		if (g->id == id)
			return g;
	}
	return NULL;
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

static void group_drop(struct ring *r, struct buf_group *g)
{
	aspace_uncharge(r->as, group_charge(g->mask + 1));
	list_remove(&g->link);
	for (unsigned i = 0; i < GROUP_PINS; i++)
		if (g->pins[i].pages)
			pin_release(&g->pins[i]);
	frame_put(arch_direct_paddr(g));
}

void ring_groups_drop(struct ring *r)
{
	while (!list_is_empty(&r->groups))
		group_drop(r, list_item(r->groups.next, struct buf_group, link));
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
	list_init(&g->link);
	for (unsigned i = 0; done < bytes; i++) {
		uint64_t want = min_of(bytes - done, (uint64_t)PIN_BYTES_MAX);
		int64_t got = pin_user(r->as, reg->ring_addr + done, want,
				       ACCESS_READ | ACCESS_WRITE, &g->pins[i]);

		if (got < 0 || (uint64_t)got != want) {
			group_drop(r, g);
			return got < 0 ? (int)got : -EFAULT;
		}
		done += want;
	}
	list_push_back(&r->groups, &g->link);
	return 0;
}

int ring_group_unregister(struct ring *r, uint16_t id)
{
	struct buf_group *g = group_find(r, id);

	if (!g)
		return -EINVAL;
	group_drop(r, g);
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

int op_buf_select(struct op *op, uint16_t group, uaddr_t *addr, uint32_t *len, uint32_t *cqe_flags)
{
	struct buf_group *g = group_find(op->ring, group);
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

/* Only the newest one taken can go back; otherwise the program gets it with its CQE and provides it
 * again itself. */
void op_buf_return(struct op *op, uint16_t group)
{
	struct buf_group *g = group_find(op->ring, group);
	uint32_t head, bid = op->cqe_flags >> IORING_CQE_BUFFER_SHIFT;

	if (!g || !(op->cqe_flags & IORING_CQE_F_BUFFER))
		return;
	head = atomic_load_explicit(&g->head, memory_order_relaxed);
	if (group_entry(g, head - 1)->bid == bid &&
	    atomic_compare_exchange_strong_explicit(&g->head, &head, head - 1, memory_order_acq_rel,
						    memory_order_relaxed))
		op->cqe_flags = 0;
}
