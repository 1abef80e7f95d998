/*
 * blk (virtio): a disk behind one virtqueue (VIRTIO 1.1, section 5.2).
 *
 * Each request in flight has a slot: a header, a status byte and a descriptor table, laid out once
 * at boot, so that a request writes its header, its data descriptors and one ring entry. With
 * indirect descriptors the table is the slot's own and ring descriptor i points at slot i for ever;
 * without, the slots share out the ring's descriptors. In a table, entry 0 is the header, entry 1
 * the status byte, the data begins at entry 2.
 *
 *   free --vblk_submit--> with the device --vblk_poll--> free, done()
 *                               ^   | FUA write came back well
 *                               +---+ the same slot goes out again as a flush
 *
 * Owner core only. Doorbells wait for the end of the turn. What the device says is checked: a chain
 * it does not have, or more bytes than there is room for, is a lie; then every request in flight
 * fails with -EIO and the device starts over. A device that lies LIES_MAX times without one good
 * answer in between is given up.
 */
#include "drivers/blk.h"

#include <stdio.h>

#include "base/print.h"
#include "base/trace.h"
#include "drivers/virtio/mmio.h"
#include "mm/frames.h"
#include "uapi/errno.h"

/* 5.2.3 */
#define F_SEG_MAX (1ull << 2)
#define F_RO (1ull << 5)
#define F_BLK_SIZE (1ull << 6)
#define F_FLUSH (1ull << 9)
#define F_DISCARD (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)
#define FEATURES                                                                                   \
	(F_SEG_MAX | F_RO | F_BLK_SIZE | F_FLUSH | F_DISCARD | F_WRITE_ZEROES |                    \
	 VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_ORDER_PLATFORM)

/* 5.2.4: where the fields of the configuration space are */
#define CONFIG_CAPACITY 0
#define CONFIG_SEG_MAX 12
#define CONFIG_BLK_SIZE 20
#define CONFIG_DISCARD_SECTORS 36
#define CONFIG_ZEROES_SECTORS 48
#define CONFIG_ZEROES_MAY_UNMAP 56

/* 5.2.6 */
enum vblk_type { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum vblk_status { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2, S_PENDING = 0xff };
#define RANGE_UNMAP 1u

#define QUEUE_SIZE 256u
#define DATA_MAX PIN_PAGES_MAX
#define ENTRY_HEADER 0
#define ENTRY_STATUS 1
#define ENTRY_DATA 2
#define TABLE_ENTRIES (ENTRY_DATA + DATA_MAX)
#define LIES_MAX 8
#define QUIET_TURNS                                                                                \
	4096 /* a device that owes us answers is asked now and then whether it has broken down */

/* What the device reads and writes. */
struct vblk_mem {
	struct {
		uint32_t type;
		uint32_t reserved;
		uint64_t sector;
	} header;
	struct {
		uint64_t sector;
		uint32_t sectors;
		uint32_t flags;
	} range;
	uint8_t status;
	uint8_t unused[15];
	struct vq_desc table[TABLE_ENTRIES];
} __attribute__((aligned(CACHE_LINE)));

struct vblk_slot {
	struct blk_req *req; /* NULL: not with the device */
	struct vblk_mem *mem;
	struct vq_desc *table;
	uint64_t last_rest; /* of a last data piece, but for length and direction */
	uint32_t room;	    /* bytes the device may write */
	uint16_t base;	    /* index of the table's entry 0 in its table */
	uint16_t head;	    /* of the chain */
	uint16_t number;
	uint8_t flushing; /* the flush behind a FUA write */
};

struct vblk {
	struct blk_dev dev;
	struct device_poller poller;
	struct vdev *vdev;

	/* owner core only */
	struct vq q;
	uint32_t free_count;
	uint16_t free[QUEUE_SIZE]; /* stack of slot numbers */
	uint32_t lies; /* since the last good answer */
	bool dead;

	/* set once */
	uint16_t slot_count;
	uint8_t slot_shift; /* chain head = slot number << slot_shift */
	struct vblk_slot *slots;
};

/* ---- submitting ------------------------------------------------------------------------------ */

/* Describes memory that is not one piece of one frame. False: it has more pieces than the device
 * takes. */
static bool vblk_fill_pieces(const struct vblk *b, const struct vblk_slot *s,
			     const struct blk_req *r, uint64_t direction)
{
	const uint32_t *frame = r->pin->frame;
	uint64_t at = r->pin->first + r->pin_off, left = r->len;
	uint64_t page = at >> PAGE_SHIFT, in = at & (PAGE_SIZE - 1), n = 0;

	for (;;) {
		struct vq_desc *d = &s->table[ENTRY_DATA + n];
		uint64_t run = PAGE_SIZE - in;

		d->addr = ((paddr_t)frame[page] << PAGE_SHIFT) + in;
		for (; run < left && frame[page + 1] == frame[page] + 1; page++)
			run += PAGE_SIZE;
		if (run >= left) {
			d->rest = s->last_rest | direction | left;
			return true;
		}
		if (++n >= b->dev.segments_max)
			return false;
		d->rest = vq_rest(run, VQ_NEXT, s->base + ENTRY_DATA + n) | direction;
		left -= run;
		in = 0;
		page++;
	}
}

/* Describes the request's memory from entry ENTRY_DATA on. */
static inline bool vblk_fill(const struct vblk *b, const struct vblk_slot *s,
			     const struct blk_req *r, uint64_t direction)
{
	uint64_t at = r->pin->first + r->pin_off, in = at & (PAGE_SIZE - 1);
	struct vq_desc *d = &s->table[ENTRY_DATA];

	if (unlikely(in + r->len > PAGE_SIZE))
		return vblk_fill_pieces(b, s, r, direction);
	d->addr = ((paddr_t)r->pin->frame[at >> PAGE_SHIFT] << PAGE_SHIFT) + in;
	d->rest = s->last_rest | direction | r->len;
	return true;
}

/* A request without data of the caller's: a flush, or a range of sectors to forget or to zero. */
static void vblk_fill_range(struct vblk_slot *s, const struct blk_req *r)
{
	struct vq_desc *d = &s->table[ENTRY_DATA];

	s->mem->range.sector = r->sector;
	s->mem->range.sectors = r->len >> 9;
	s->mem->range.flags = r->kind == BLK_ZEROES && r->unmap ? RANGE_UNMAP : 0;
	d->addr = arch_direct_paddr(&s->mem->range);
	d->rest = vq_rest(sizeof(s->mem->range), VQ_NEXT, s->base + ENTRY_STATUS);
	s->mem->header.sector = 0;
}

static inline void vblk_offer(struct vblk *b, struct vblk_slot *s, uint32_t type)
{
	s->mem->header.type = type;
	s->mem->status = S_PENDING;
	vq_push(&b->q, s->head);
}

/* What follows the header: the data, or for a flush the status byte. */
static void vblk_link_header(struct vblk_slot *s, uint32_t entry)
{
	s->table[ENTRY_HEADER].rest = vq_rest(sizeof(s->mem->header), VQ_NEXT, s->base + entry);
}

static void vblk_offer_flush(struct vblk *b, struct vblk_slot *s)
{
	s->flushing = 1;
	s->mem->header.sector = 0;
	vblk_link_header(s, ENTRY_STATUS);
	vblk_offer(b, s, T_FLUSH);
}

/* Everything but reads and writes. */
static int vblk_submit_other(struct vblk *b, struct vblk_slot *s, struct blk_req *r)
{
	uint32_t max =
		r->kind == BLK_DISCARD ? b->dev.discard_sectors_max : b->dev.zeroes_sectors_max;

	if (r->kind == BLK_FLUSH) {
		if (!b->dev.has_flush)
			return -EOPNOTSUPP;
		vblk_offer_flush(b, s);
		return 0;
	}
	if (r->kind > BLK_ZEROES || r->len >> 9 == 0)
		return -EINVAL;
	if (r->len >> 9 > max)
		return max ? -EINVAL : -EOPNOTSUPP;
	vblk_fill_range(s, r);
	vblk_offer(b, s, r->kind == BLK_DISCARD ? T_DISCARD : T_WRITE_ZEROES);
	return 0;
}

static int vblk_submit(struct blk_dev *d, struct blk_req *r)
{
	struct vblk *b = container_of(d, struct vblk, dev);
	struct vblk_slot *s;
	int result;

	if (unlikely(!b->free_count))
		return b->dead ? -EIO : -EAGAIN;
	s = &b->slots[b->free[b->free_count - 1]];
	if (likely(r->kind <= BLK_WRITE)) {
		bool in = r->kind == BLK_READ;

		if (unlikely(!r->len || !vblk_fill(b, s, r, in ? VQ_WRITE << 32 : 0)))
			return -EINVAL;
		s->mem->header.sector = r->sector;
		s->room = in ? r->len + 1 : 1;
		vblk_offer(b, s, in ? T_IN : T_OUT);
	} else {
		result = vblk_submit_other(b, s, r);
		if (result)
			return result;
		s->room = 1;
	}
	s->req = r;
	b->free_count--;
	this_core()->count->blk_requests++;
	return 0;
}

/* ---- starting and starting over -------------------------------------------------------------- */

/* Points the ring's descriptors and the tables at the slots, and makes every slot free. */
static void vblk_lay_out(struct vblk *b)
{
	bool indirect = (b->vdev->features & VIRTIO_F_INDIRECT_DESC) != 0;

	b->free_count = 0;
	for (uint16_t i = b->slot_count; i-- > 0;) {
		struct vblk_slot *s = &b->slots[i];
		paddr_t mem = arch_direct_paddr(s->mem);

		s->base = indirect ? 0 : (uint16_t)(i << b->slot_shift);
		s->table = indirect ? s->mem->table : &b->q.desc[s->base];
		s->number = i;
		s->head = (uint16_t)(i << b->slot_shift);
		s->last_rest = vq_rest(0, VQ_NEXT, s->base + ENTRY_STATUS);
		s->table[ENTRY_HEADER].addr = mem + offsetof(struct vblk_mem, header);
		s->table[ENTRY_STATUS].addr = mem + offsetof(struct vblk_mem, status);
		s->table[ENTRY_STATUS].rest = vq_rest(1, VQ_WRITE, 0);
		if (indirect) {
			b->q.desc[i].addr = mem + offsetof(struct vblk_mem, table);
			b->q.desc[i].rest = vq_rest(sizeof(s->mem->table), VQ_INDIRECT, 0);
		}
		s->req = NULL;
		s->flushing = 0;
		vblk_link_header(s, ENTRY_DATA);
		b->free[b->free_count++] = i;
	}
}

/* The device has been negotiated with; its queue memory is there. */
static int vblk_start(struct vblk *b)
{
	vq_reset(&b->q);
	vblk_lay_out(b);
	if (vdev_queue_start(b->vdev, 0, &b->q))
		return -EIO;
	vdev_go(b->vdev);
	if (b->vdev->irq_stays)
		(void)vq_irq_on(&b->q);
	return 0;
}

/* After the reset inside vdev_negotiate no memory is under DMA any more: the requests may go
 * back. */
static void vblk_start_over(struct vblk *b, const char *why, uint64_t what)
{
	struct list failed;
	struct list *l;

	kprint("%s: %s (%#llx); requests in flight fail, the device starts over\n", b->dev.name,
	       why, (unsigned long long)what);
	trace_event(TRACE_DEVICE, VIRTIO_ID_BLK, vq_outstanding(&b->q), what);
	list_init(&failed);
	for (unsigned i = 0; i < b->slot_count; i++)
		if (b->slots[i].req)
			list_push_back(&failed, &b->slots[i].req->link);
	if (++b->lies >= LIES_MAX ||
	    vdev_negotiate(b->vdev, b->vdev->features, b->vdev->features) || vblk_start(b)) {
		kprint("%s: given up\n", b->dev.name);
		vdev_fail(b->vdev);
		vq_reset(&b->q);
		for (unsigned i = 0; i < b->slot_count; i++)
			b->slots[i].req = NULL;
		b->free_count = 0;
		b->dead = true;
	}
	while ((l = list_pop_front(&failed)) != NULL) {
		struct blk_req *r = list_item(l, struct blk_req, link);

		this_core()->count->blk_errors++;
		r->status = -EIO;
		r->done(r);
	}
	waitlist_wake_all(&b->dev.room);
}

/* ---- answers --------------------------------------------------------------------------------- */

static int32_t vblk_error(struct vblk *b, const struct vblk_slot *s)
{
	const struct blk_req *r = s->req;
	uint8_t status = s->mem->status;

	this_core()->count->blk_errors++;
	trace_event(TRACE_DEVICE, VIRTIO_ID_BLK, status, r->sector);
	if (status == S_UNSUPP)
		return -EOPNOTSUPP;
	kprint("%s: request of kind %u at sector %llu, %u bytes: the device answers %s\n",
	       b->dev.name, r->kind, (unsigned long long)r->sector, r->len,
	       status == S_IOERR ? "with an error" : "nonsense");
	return -EIO;
}

/* The device has given the slot back. */
static inline void vblk_finish(struct vblk *b, struct vblk_slot *s)
{
	struct blk_req *r = s->req;
	int32_t status = 0;

	if (unlikely(s->mem->status != S_OK)) {
		status = vblk_error(b, s);
	} else if (unlikely(r->fua) && r->kind == BLK_WRITE && b->dev.has_flush && !s->flushing) {
		vblk_offer_flush(b, s);
		return;
	}
	if (unlikely(s->flushing)) {
		s->flushing = 0;
		vblk_link_header(s, ENTRY_DATA);
	}
	s->req = NULL;
	b->lies = 0;
	b->free[b->free_count++] = s->number;
	r->status = status;
	r->done(r);
}

/* One used entry. False: it is a lie, and the device has been started over. */
static inline bool vblk_answer(struct vblk *b, struct vq_used_elem e)
{
	uint32_t i = e.id >> b->slot_shift;
	struct vblk_slot *s = &b->slots[i];

	if (unlikely(i >= b->slot_count || i << b->slot_shift != e.id || !s->req)) {
		vblk_start_over(b, "the device gives back a request it does not have", e.id);
		return false;
	}
	/* 2.6.8.2: only the first e.len bytes have been written. A good read has written all of
	 * them. */
	if (unlikely(e.len > s->room || (e.len < s->room && s->mem->status == S_OK))) {
		vblk_start_over(b, "the device answers with a wrong length", e.len);
		return false;
	}
	vblk_finish(b, s);
	return true;
}

static void vblk_check(struct vblk *b)
{
	if (!b->dead && (vdev_status(b->vdev) & VDEV_NEEDS_RESET))
		vblk_start_over(b, "the device asks for a reset", 0);
}

static noinline_fn unsigned vblk_take_answers(struct vblk *b, uint16_t n)
{
	if (unlikely(n > vq_outstanding(&b->q))) {
		vblk_start_over(b, "the device gives back more requests than it has", n);
		return 1;
	}
	arch_after_dma();
	for (uint16_t i = 0; i < n; i++)
		if (unlikely(!vblk_answer(b, vq_take(&b->q))))
			return 1;
	if (unlikely(!list_is_empty(&b->dev.room.ops)))
		waitlist_wake_all(&b->dev.room);
	if (b->vdev->irq_stays) {
		vdev_interrupts(b->vdev);
		/* what came meanwhile is seen in the next turn, which our answer makes sure of */
		(void)vq_irq_on(&b->q);
	}
	return n;
}

static noinline_fn unsigned vblk_quiet(struct vblk *b)
{
	if (vq_outstanding(&b->q))
		vblk_check(b);
	return 0;
}

static unsigned vblk_poll(struct device_poller *p)
{
	struct vblk *b = container_of(p, struct vblk, poller);
	uint16_t n = vq_pending(&b->q);

	if (n)
		return vblk_take_answers(b, n);
	if (unlikely(this_core()->turn % QUIET_TURNS == 0))
		return vblk_quiet(b);
	return 0;
}

static void vblk_flush(struct device_poller *p)
{
	struct vblk *b = container_of(p, struct vblk, poller);

	if (vq_flush(&b->q))
		this_core()->count->blk_kicks++;
}

static bool vblk_arm(struct device_poller *p)
{
	struct vblk *b = container_of(p, struct vblk, poller);

	if (b->dead)
		return false;
	if (vdev_interrupts(b->vdev) & VDEV_IRQ_CONFIG)
		vblk_check(b);
	return vq_irq_on(&b->q);
}

static void vblk_disarm(struct device_poller *p)
{
	struct vblk *b = container_of(p, struct vblk, poller);

	if (b->dead)
		return;
	if (!b->vdev->irq_stays)
		vq_irq_off(&b->q);
	if (vdev_interrupts(b->vdev) & VDEV_IRQ_CONFIG)
		vblk_check(b);
}

/* ---- finding out what the device is ---------------------------------------------------------- */

static uint32_t config_u32(struct vblk *b, uint32_t off, uint64_t feature, uint32_t absent)
{
	uint32_t value = absent;

	if (!feature || (b->vdev->features & feature))
		vdev_config(b->vdev, off, &value, sizeof(value));
	return value;
}

static void vblk_describe(struct vblk *b)
{
	struct blk_dev *d = &b->dev;
	uint8_t may_unmap = 0;

	vdev_config(b->vdev, CONFIG_CAPACITY, &d->sectors, sizeof(d->sectors));
	d->block_size = config_u32(b, CONFIG_BLK_SIZE, F_BLK_SIZE, 512);
	if (d->block_size < 512 || d->block_size > PAGE_SIZE ||
	    (d->block_size & (d->block_size - 1)))
		d->block_size = 512;
	d->segments_max = min_of(config_u32(b, CONFIG_SEG_MAX, F_SEG_MAX, 1), DATA_MAX);
	d->segments_max = max_of(d->segments_max, 1u);
	d->discard_sectors_max = config_u32(b, CONFIG_DISCARD_SECTORS, F_DISCARD, 0);
	d->zeroes_sectors_max = config_u32(b, CONFIG_ZEROES_SECTORS, F_WRITE_ZEROES, 0);
	if (b->vdev->features & F_WRITE_ZEROES)
		vdev_config(b->vdev, CONFIG_ZEROES_MAY_UNMAP, &may_unmap, 1);
	d->zeroes_may_unmap = may_unmap != 0;
	d->read_only = (b->vdev->features & F_RO) != 0;
	d->has_flush = (b->vdev->features & F_FLUSH) != 0;
	d->submit = vblk_submit;
	d->core = b->vdev->core;
	d->driver = b;
}

/* How many slots, and how many data pieces each: without indirect descriptors they share the ring
 * out. */
static void vblk_share_out(struct vblk *b)
{
	uint32_t entries;

	if (b->vdev->features & VIRTIO_F_INDIRECT_DESC) {
		b->slot_count = b->q.size;
		if (b->dev.segments_max + ENTRY_DATA > b->q.size) /* 2.6.5.3.1 */
			b->dev.segments_max = b->q.size - ENTRY_DATA;
		return;
	}
	for (b->slot_shift = 5; b->slot_shift > 2 && b->q.size >> b->slot_shift < 8;)
		b->slot_shift--;
	entries = 1u << b->slot_shift;
	b->slot_count = (uint16_t)(b->q.size >> b->slot_shift);
	if (b->dev.segments_max > entries - ENTRY_DATA)
		b->dev.segments_max = entries - ENTRY_DATA;
}

int vblk_probe(struct vdev *v, uint32_t core)
{
	struct vblk *b = frames_boot_alloc(sizeof(*b));
	uint16_t size;
	struct vblk_mem *mem;

	b->vdev = v;
	if (vdev_negotiate(v, FEATURES, 0))
		return -ENODEV;
	size = vdev_queue_size(v, 0, QUEUE_SIZE);
	if (size < 4 || vdev_route(v, core)) {
		kprint("virtio: disk at %#llx refused: %s\n", (unsigned long long)v->base,
		       size < 4 ? "its queue is too short" : "its interrupt leads nowhere");
		vdev_fail(v);
		return -ENODEV;
	}
	vblk_describe(b);
	vq_init(&b->q, frames_boot_alloc(vq_bytes(size)), size);
	vblk_share_out(b);
	b->slots = frames_boot_alloc(sizeof(*b->slots) * b->slot_count);
	mem = frames_boot_alloc(sizeof(*mem) * b->slot_count);
	for (unsigned i = 0; i < b->slot_count; i++)
		b->slots[i].mem = &mem[i];
	if (vblk_start(b)) {
		vdev_fail(v);
		return -EIO;
	}
	snprintf(b->dev.name, sizeof(b->dev.name), "vd%c", 'a' + (char)blk_count);
	blk_add(&b->dev);
	b->poller = (struct device_poller){
		.poll = vblk_poll, .flush = vblk_flush, .arm = vblk_arm, .disarm = vblk_disarm};
	device_poller_add(core, &b->poller);
	kprint("%s: virtio disk, %llu MiB, blocks of %u%s%s%s%s, %u requests in flight, core %u\n",
	       b->dev.name, (unsigned long long)(b->dev.sectors >> 11), b->dev.block_size,
	       b->dev.read_only ? ", read-only" : "", b->dev.has_flush ? ", flush" : "",
	       b->dev.discard_sectors_max ? ", discard" : "",
	       b->dev.zeroes_sectors_max ? ", zeroes" : "", b->slot_count, core);
	return 0;
}
