/*
 * blk (virtio): requests on a queue of a disk (VIRTIO 1.1, section 5.2).
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
 * The queue's core only. Doorbells wait for the end of the turn. What the device says is checked: a
 * chain it does not have, or more bytes than there is room for, is a lie; then every request in
 * flight fails with -EIO and the device starts over (blkdev.c).
 *
 * Flushes need no order between queues: a flush covers every write that the device had answered, on
 * whatever queue, before it was offered (5.2.6.2), and that is all that blk.h promises.
 */
#include "drivers/virtio/vblk.h"

#include "base/print.h"
#include "base/trace.h"
#include "uapi/errno.h"

/* 5.2.6 */
enum vblk_type { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum vblk_status { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2, S_PENDING = 0xff };
#define RANGE_UNMAP 1u

#define ENTRY_HEADER 0
#define ENTRY_STATUS 1
#define ENTRY_DATA VBLK_ENTRY_DATA
#define QUIET_TURNS                                                                                \
	4096 /* a device that owes us answers is asked now and then whether it has broken down */

/* ---- submitting ------------------------------------------------------------------------------ */

/* Describes memory that is not one piece of one frame. False: it has more pieces than the device
 * takes. */
static bool vblk_fill_pieces(const struct vblk_queue *q, const struct vblk_slot *s,
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
		if (++n >= q->b->dev.segments_max)
			return false;
		d->rest = vq_rest(run, VQ_NEXT, s->base + ENTRY_DATA + n) | direction;
		left -= run;
		in = 0;
		page++;
	}
}

/* Describes the request's memory from entry ENTRY_DATA on. */
static inline bool vblk_fill(const struct vblk_queue *q, const struct vblk_slot *s,
			     const struct blk_req *r, uint64_t direction)
{
	uint64_t at = r->pin->first + r->pin_off, in = at & (PAGE_SIZE - 1);
	struct vq_desc *d = &s->table[ENTRY_DATA];

	if (unlikely(in + r->len > PAGE_SIZE))
		return vblk_fill_pieces(q, s, r, direction);
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

static inline void vblk_offer(struct vblk_queue *q, struct vblk_slot *s, uint32_t type)
{
	s->mem->header.type = type;
	s->mem->status = S_PENDING;
	vq_push(&q->q, s->head);
}

/* What follows the header: the data, or for a flush the status byte. */
static void vblk_link_header(struct vblk_slot *s, uint32_t entry)
{
	s->table[ENTRY_HEADER].rest = vq_rest(sizeof(s->mem->header), VQ_NEXT, s->base + entry);
}

static void vblk_offer_flush(struct vblk_queue *q, struct vblk_slot *s)
{
	s->flushing = 1;
	s->mem->header.sector = 0;
	vblk_link_header(s, ENTRY_STATUS);
	vblk_offer(q, s, T_FLUSH);
}

/* Everything but reads and writes. */
static int vblk_submit_other(struct vblk_queue *q, struct vblk_slot *s, struct blk_req *r)
{
	uint32_t max = r->kind == BLK_DISCARD ? q->b->dev.discard_sectors_max
					      : q->b->dev.zeroes_sectors_max;

	if (r->kind == BLK_FLUSH) {
		if (!q->b->dev.has_flush)
			return -EOPNOTSUPP;
		vblk_offer_flush(q, s);
		return 0;
	}
	if (r->kind > BLK_ZEROES || r->len >> 9 == 0)
		return -EINVAL;
	if (r->len >> 9 > max)
		return max ? -EINVAL : -EOPNOTSUPP;
	vblk_fill_range(s, r);
	vblk_offer(q, s, r->kind == BLK_DISCARD ? T_DISCARD : T_WRITE_ZEROES);
	return 0;
}

int vblk_submit(struct blk_dev *d, struct blk_req *r)
{
	struct vblk_queue *q = container_of(d, struct vblk, dev)->queue[r->lane];
	struct vblk_slot *s;
	int result;

	if (unlikely(!q->free_count))
		return q->dead ? -EIO : -EAGAIN;
	s = &q->slots[q->free[q->free_count - 1]];
	if (likely(r->kind <= BLK_WRITE)) {
		bool in = r->kind == BLK_READ;

		if (unlikely(!r->len || !vblk_fill(q, s, r, in ? VQ_WRITE << 32 : 0)))
			return -EINVAL;
		s->mem->header.sector = r->sector;
		s->room = in ? r->len + 1 : 1;
		vblk_offer(q, s, in ? T_IN : T_OUT);
	} else {
		result = vblk_submit_other(q, s, r);
		if (result)
			return result;
		s->room = 1;
	}
	s->req = r;
	q->free_count--;
	this_core()->count->blk_requests++;
	return 0;
}

/* ---- the slots ------------------------------------------------------------------------------- */

void vblk_lay_out(struct vblk_queue *q)
{
	bool indirect = (q->b->vdev->features & VIRTIO_F_INDIRECT_DESC) != 0;

	q->free_count = 0;
	for (uint16_t i = q->slot_count; i-- > 0;) {
		struct vblk_slot *s = &q->slots[i];
		paddr_t mem = arch_direct_paddr(s->mem);

		s->base = indirect ? 0 : (uint16_t)(i << q->slot_shift);
		s->table = indirect ? s->mem->table : &q->q.desc[s->base];
		s->number = i;
		s->head = (uint16_t)(i << q->slot_shift);
		s->last_rest = vq_rest(0, VQ_NEXT, s->base + ENTRY_STATUS);
		s->table[ENTRY_HEADER].addr = mem + offsetof(struct vblk_mem, header);
		s->table[ENTRY_STATUS].addr = mem + offsetof(struct vblk_mem, status);
		s->table[ENTRY_STATUS].rest = vq_rest(1, VQ_WRITE, 0);
		if (indirect) {
			q->q.desc[i].addr = mem + offsetof(struct vblk_mem, table);
			q->q.desc[i].rest = vq_rest(sizeof(s->mem->table), VQ_INDIRECT, 0);
		}
		s->req = NULL;
		s->flushing = 0;
		vblk_link_header(s, ENTRY_DATA);
		q->free[q->free_count++] = i;
	}
}

/* ---- answers --------------------------------------------------------------------------------- */

static int32_t vblk_error(const struct vblk_queue *q, const struct vblk_slot *s)
{
	const struct blk_req *r = s->req;
	uint8_t status = s->mem->status;

	this_core()->count->blk_errors++;
	trace_event(TRACE_DEVICE, VIRTIO_ID_BLK, status, r->sector);
	if (status == S_UNSUPP)
		return -EOPNOTSUPP;
	kprint("%s: request of kind %u at sector %llu, %u bytes: the device answers %s\n",
	       q->b->dev.name, r->kind, (unsigned long long)r->sector, r->len,
	       status == S_IOERR ? "with an error" : "nonsense");
	return -EIO;
}

/* The device has given the slot back. */
static inline void vblk_finish(struct vblk_queue *q, struct vblk_slot *s)
{
	struct blk_req *r = s->req;
	int32_t status = 0;

	if (unlikely(s->mem->status != S_OK)) {
		status = vblk_error(q, s);
	} else if (unlikely(r->fua) && r->kind == BLK_WRITE && q->b->dev.has_flush &&
		   !s->flushing) {
		vblk_offer_flush(q, s);
		return;
	}
	if (unlikely(s->flushing)) {
		s->flushing = 0;
		vblk_link_header(s, ENTRY_DATA);
	}
	s->req = NULL;
	q->answered = true;
	q->free[q->free_count++] = s->number;
	r->status = status;
	r->done(r);
}

/* One used entry. False: it is a lie, and the device starts over. */
static inline bool vblk_answer(struct vblk_queue *q, struct vq_used_elem e)
{
	uint32_t i = e.id >> q->slot_shift;
	struct vblk_slot *s = &q->slots[i];

	if (unlikely(i >= q->slot_count || i << q->slot_shift != e.id || !s->req)) {
		vblk_distrust(q, "the device gives back a request it does not have", e.id);
		return false;
	}
	/* 2.6.8.2: only the first e.len bytes have been written. A good read has written all of
	 * them. */
	if (unlikely(e.len > s->room || (e.len < s->room && s->mem->status == S_OK))) {
		vblk_distrust(q, "the device answers with a wrong length", e.len);
		return false;
	}
	vblk_finish(q, s);
	return true;
}

/* Is there anything wrong that a queue's core would have to hear of? */
static void vblk_check(struct vblk_queue *q)
{
	if (vdev_status(q->b->vdev) & VDEV_NEEDS_RESET)
		vblk_distrust(q, "the device asks for a reset", 0);
}

static bool vblk_ask(struct vblk_queue *q)
{
	if (q->b->queue_count > 1)
		vblk_await(q);
	return vq_irq_on(&q->q);
}

static noinline_fn unsigned vblk_take_answers(struct vblk_queue *q, uint16_t n)
{
	struct waitlist *room = &q->b->dev.room[q->lane];

	if (unlikely(q->stopped))
		return 0;
	if (unlikely(n > vq_outstanding(&q->q))) {
		vblk_distrust(q, "the device gives back more requests than it has", n);
		return 1;
	}
	arch_after_dma();
	for (uint16_t i = 0; i < n; i++)
		if (unlikely(!vblk_answer(q, vq_take(&q->q))))
			return 1;
	if (unlikely(!list_is_empty(&room->ops)))
		waitlist_wake_all(room);
	if (q->irq_stays) {
		vblk_interrupts(q->b);
		/* what came meanwhile is seen in the next turn, which our answer makes sure of */
		(void)vblk_ask(q);
	}
	return n;
}

static noinline_fn unsigned vblk_quiet(struct vblk_queue *q)
{
	if (!q->stopped && vq_outstanding(&q->q))
		vblk_check(q);
	return 0;
}

static unsigned vblk_poll(struct device_poller *p)
{
	struct vblk_queue *q = container_of(p, struct vblk_queue, poller);
	uint16_t n = vq_pending(&q->q);

	if (n)
		return vblk_take_answers(q, n);
	if (unlikely(this_core()->turn % QUIET_TURNS == 0))
		return vblk_quiet(q);
	return 0;
}

static void vblk_flush(struct device_poller *p)
{
	struct vblk_queue *q = container_of(p, struct vblk_queue, poller);

	if (q->q.pushed != q->q.published && likely(!q->stopped) && vq_publish(&q->q))
		this_core()->count->blk_kicks++;
}

static bool vblk_arm(struct device_poller *p)
{
	struct vblk_queue *q = container_of(p, struct vblk_queue, poller);

	if (q->stopped) /* for good, or until a mail comes */
		return false;
	if (vblk_interrupts(q->b) & VDEV_IRQ_CONFIG)
		vblk_check(q);
	return !q->stopped && vblk_ask(q);
}

static void vblk_disarm(struct device_poller *p)
{
	struct vblk_queue *q = container_of(p, struct vblk_queue, poller);

	if (q->stopped)
		return;
	if (!q->irq_stays) {
		vq_irq_off(&q->q);
		if (q->b->queue_count > 1)
			atomic_fetch_and(&q->b->armed, ~(1u << q->lane));
	}
	if (vblk_interrupts(q->b) & VDEV_IRQ_CONFIG)
		vblk_check(q);
}

const struct device_poller vblk_queue_poller = {
	.poll = vblk_poll, .flush = vblk_flush, .arm = vblk_arm, .disarm = vblk_disarm
};
