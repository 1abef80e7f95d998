/*
 * rng (virtio): a source of entropy behind one virtqueue (VIRTIO 1.1, section 5.4). Asked once at
 * boot, and again whenever the pool has given much away.
 *
 * Owner core only.
 */
#include "base/print.h"
#include "drivers/random.h"
#include "drivers/virtio/mmio.h"
#include "mm/frames.h"
#include "uapi/errno.h"

#define QUEUE_SIZE 4u
#define SEED_BYTES 64u
#define LOOK_TURNS 1024

struct vrng {
	struct device_poller poller;
	struct vdev *vdev;

	/* owner core only */
	struct vq q;
	uint8_t *seed;
	bool dead;
};

static void vrng_ask(struct vrng *r)
{
	r->q.desc[0].addr = arch_direct_paddr(r->seed);
	r->q.desc[0].rest = vq_rest(SEED_BYTES, VQ_WRITE, 0);
	vq_push(&r->q, 0);
	vq_flush(&r->q);
}

static noinline_fn unsigned vrng_answer(struct vrng *r)
{
	struct vq_used_elem e;

	arch_after_dma();
	e = vq_take(&r->q);
	if (e.id != 0 || e.len > SEED_BYTES || vq_pending(&r->q)) {
		kprint("rng at %#llx: it answers nonsense; given up\n",
		       (unsigned long long)r->vdev->base);
		vdev_fail(r->vdev);
		vq_reset(&r->q);
		r->dead = true;
		return 1;
	}
	random_add(r->seed, e.len);
	memset(r->seed, 0, SEED_BYTES);
	return 1;
}

static noinline_fn unsigned vrng_quiet(struct vrng *r)
{
	if (random_is_hungry() && !vq_outstanding(&r->q) && !r->dead)
		vrng_ask(r);
	return 0;
}

static unsigned vrng_poll(struct device_poller *p)
{
	struct vrng *r = container_of(p, struct vrng, poller);

	if (unlikely(vq_pending(&r->q)))
		return vrng_answer(r);
	return unlikely(this_core()->turn % LOOK_TURNS == 0) ? vrng_quiet(r) : 0;
}

/* An answer is worth no wake-up: it is taken when the core is awake anyway. */
static bool vrng_arm(struct device_poller *p)
{
	return vq_pending(&container_of(p, struct vrng, poller)->q) != 0;
}

int vrng_probe(struct vdev *v, uint32_t core)
{
	struct vrng *r = frames_boot_alloc(sizeof(*r));
	uint16_t size;

	r->vdev = v;
	v->core = core;
	if (vdev_negotiate(v, VIRTIO_F_EVENT_IDX | VIRTIO_F_ORDER_PLATFORM, 0))
		return -ENODEV;
	size = vdev_queue_size(v, 0, QUEUE_SIZE);
	if (!size) {
		vdev_fail(v);
		return -ENODEV;
	}
	r->seed = frames_boot_alloc(SEED_BYTES);
	vq_init(&r->q, frames_boot_alloc(vq_bytes(size)), size);
	if (vdev_queue_start(v, 0, &r->q)) {
		vdev_fail(v);
		return -EIO;
	}
	vdev_go(v);
	vrng_ask(r);
	r->poller = (struct device_poller){.poll = vrng_poll, .arm = vrng_arm};
	device_poller_add(core, &r->poller);
	kprint("rng: virtio, core %u\n", core);
	return 0;
}
