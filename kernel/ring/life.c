/*
 * life: rings are born with a process (native) or by io_uring_setup, and die with their process or
 * their last descriptor.
 *
 *  ring_create_native / ring_setup: blocks of frames -> struct ring -> attached to its core -> descriptor
 *  last descriptor closed:          detached, everything in flight cancelled, freed when the last op is done
 *  process dying:                   process_hooks.quiesce until nothing is in flight, then rings_free
 *
 * Home core of the process only. A ring that has moved is called home first (move.c), and ends
 * there. The memory of struct ring is type-stable (a pool), so a stale descriptor look-up reads a
 * dead ring, not garbage.
 */
#include "ring/internal.h"

#include "base/meter.h"
#include "base/trace.h"
#include "mm/frames.h"
#include "mm/pool.h"
#include "ring/notice.h"
#include "uapi/errno.h"
#include "uapi/fs.h"
#include "uapi/mman.h"
#include "uapi/socket.h"

#define RINGS_PER_CORE 256
#define RING_ENTRIES_MAX 32768u
#define MORE_CREDIT 256

static struct pool ring_pools[CORES_MAX];
static uint32_t ring_ids;

void ring_init(struct ring *r, struct process *p, uint32_t core, enum ring_kind kind)
{
	memset(r, 0, sizeof(*r));
	r->kind = (uint8_t)kind;
	r->proc = p;
	r->as = p->as;
	atomic_store_explicit(&r->core, core, memory_order_relaxed);
	atomic_store_explicit(&r->post, core, memory_order_relaxed);
	r->slow = trace_detail ? RING_SLOW_TRACE : 0;
	r->table = op_table;
	r->op_word = op_word(OP_STEPPING, 0, 0, OP_PRIORITY_NORMAL, core, core);
	r->id = ++ring_ids;
	r->more_credit = MORE_CREDIT;
	for (unsigned i = 0; i < RING_HASH; i++)
		list_init(&r->inflight[i]);
	list_init(&r->waiters);
	list_init(&r->overflow);
	list_init(&r->counted);
	list_init(&r->drained);
	list_init(&r->link);
	list_init(&r->sibling);
	waitlist_init(&r->home_waiters);
}

void ring_enlist(struct core *c, struct ring *r)
{
	if (r->kind == RING_POLLED)
		ring_list(c, r);
	else
		list_push_back(&c->rings->entered, &r->link);
}

/* ---- the ring's own descriptor --------------------------------------------------------------- */

static uint32_t ring_file_poll(struct file *f)
{
	struct ring *r = container_of(f, struct ring, file);
	uint32_t bits = 0;

	if (!ring_rests_here(this_core(), r)) {
		ring_call_home(r); /* and its pollers look again; then it stays */
		return 0;
	}
	r->watchers |= RING_POLLED_FD;
	if (ring_ready(r) || !list_is_empty(&r->overflow))
		bits |= POLLIN | POLLRDNORM;
	if (atomic_load_explicit(&r->shared->sq_tail, memory_order_relaxed) - r->sq_head <=
	    r->sq_mask)
		bits |= POLLOUT | POLLWRNORM;
	return bits;
}

static unsigned order_of(uint64_t bytes)
{
	unsigned order = 0;

	while ((PAGE_SIZE << order) < bytes)
		order++;
	return order;
}

/* Frames of its two blocks, which are on the program's account. */
static uint64_t ring_frames(const struct ring *r)
{
	return (1ull << order_of(r->ring_bytes)) + (1ull << order_of(r->sqes_bytes));
}

/* Everything the ring holds except its struct. Nothing is in flight any more. */
static void ring_strip(struct core *c, struct ring *r)
{
	struct list *held;

	rings_lock(c->rings);
	list_remove(&r->link);
	rings_unlock(c->rings);
	list_remove(&r->sibling);
	door_forget(r);
	while ((held = list_pop_front(&r->overflow)))
		op_release(c, list_item(held, struct op, link));
	ring_groups_drop(r);
	ring_bufs_drop(r);
	ring_files_drop(r);
	if (r->block_ring)
		frame_put(r->block_ring);
	if (r->block_sqes) {
		frame_put(r->block_sqes);
		aspace_uncharge(r->as, ring_frames(r));
	}
	r->block_ring = r->block_sqes = 0;
	r->shared = NULL; /* nothing is published any more */
}

unsigned ring_stop(struct core *c, struct ring *r)
{
	r->slow |= RING_SLOW_DEAD;
	if (r->shared)
		r->sq_head = atomic_load_explicit(&r->shared->sq_tail, memory_order_relaxed);
	if (r->chain_head)
		ring_chain_end(c, r);
	enter_forget(c, r);
	(void)ring_cancel_all(c, r);
	if (!list_is_empty(&r->drained))
		ring_drain_advance(c, r);
	ring_begin_ready(c);
	return r->inflight_count;
}

/* The last descriptor is closed: what is in flight is cancelled. Each of those ops keeps the ring's
 * memory through inflight_count. */
static void ring_file_close(struct file *f)
{
	struct ring *r = container_of(f, struct ring, file);
	struct core *c = this_core();

	if (ring_rests_here(c, r))
		(void)ring_stop(c, r);
	else
		ring_call_home(r);
}

/*
 * The end of a ring comes by mail to its own core, so that nobody who is at work on it, or walks
 * the list of rings, finds it gone: an entry may well close the ring it came from.
 *
 *   file freed --> COMING --mail--> nothing in flight: stripped, back to the pool
 *                    ^      \-----> WAITING, for the last op, the ring's way home or the process's end
 *                    +---------------/
 */
enum ring_orphan { ORPHAN_NO, ORPHAN_WAITING, ORPHAN_COMING };

/* Something is still on its way that names it. */
static bool ring_has_mail(const struct ring *r)
{
	/* acquire pairs with ring_letter_came */
	return r->called || atomic_load_explicit(&r->letters, memory_order_acquire);
}

static void ring_end_delivered(struct mail *m)
{
	struct ring *r = container_of(container_of(m, struct file, mail), struct ring, file);
	struct core *c = this_core();

	if (!ring_rests_here(c, r) || ring_stop(c, r) || ring_has_mail(r)) {
		r->orphan = ORPHAN_WAITING;
		if (!ring_rests_here(c, r))
			ring_call_home(r);
		return;
	}
	if (r->shared) /* not if its process has died meanwhile */
		ring_strip(c, r);
	pool_free(&ring_pools[c->index], r);
}

static void ring_end_comes(struct core *c, struct ring *r)
{
	r->orphan = ORPHAN_COMING;
	r->file.mail.deliver = ring_end_delivered; /* the file has no more use for it */
	mailbox_post(c->index, &r->file.mail);
}

static void ring_file_free(struct file *f)
{
	ring_end_comes(this_core(), container_of(f, struct ring, file));
}

const struct file_ops ring_file_ops = {
	.name = "io_uring",
	.poll = ring_file_poll,
	.close = ring_file_close,
	.free = ring_file_free,
};

void ring_reap(struct core *c, struct ring *r)
{
	if (r->inflight_count)
		return;
	if (r->kind == RING_SLOT)
		thread_poke(container_of(r, struct door, slot)->wait.thread);
	if (r->proc->state == PROCESS_DYING)
		process_poke(r->proc);
	else if (r->orphan == ORPHAN_WAITING)
		ring_end_comes(c, r);
}

void ring_is_home(struct core *c, struct ring *r)
{
	r->wanted_home = 0;
	waitlist_wake_all(&r->home_waiters);
	file_poll_wake(&r->file);
	if (r->file.closed)
		(void)ring_stop(c, r);
	if (r->proc->state == PROCESS_DYING)
		process_poke(r->proc); /* which stops it */
	else
		ring_reap(c, r);
}

void ring_letter_came(struct core *c, struct ring *r)
{
	/* release pairs with ring_has_mail */
	uint32_t left = atomic_fetch_sub_explicit(&r->letters, 1, memory_order_acq_rel) - 1;

	if (!left && (r->slow & RING_SLOW_DEAD))
		ring_reap(c, r);
}

/* ---- birth ----------------------------------------------------------------------------------- */

static int ring_memory(struct ring *r, uint32_t sq, uint32_t cq, bool array)
{
	uint64_t cqes = sizeof(struct ring_shared);
	uint64_t at = cqes + (uint64_t)cq * sizeof(struct io_uring_cqe);

	r->ring_bytes = align_up(at + (array ? sq * sizeof(uint32_t) : 0), PAGE_SIZE);
	r->sqes_bytes = align_up((uint64_t)sq * sizeof(struct io_uring_sqe), PAGE_SIZE);
	if (aspace_charge(r->as, ring_frames(r)))
		return -ENOMEM;
	r->block_ring = frame_alloc(order_of(r->ring_bytes));
	r->block_sqes = frame_alloc(order_of(r->sqes_bytes));
	if (!r->block_ring || !r->block_sqes) {
		if (r->block_ring)
			frame_put(r->block_ring);
		if (r->block_sqes)
			frame_put(r->block_sqes);
		r->block_ring = r->block_sqes = 0;
		aspace_uncharge(r->as, ring_frames(r));
		return -ENOMEM;
	}
	r->shared = arch_direct(r->block_ring);
	r->sqes = arch_direct(r->block_sqes);
	memset(r->shared, 0, PAGE_SIZE << order_of(r->ring_bytes));
	memset(r->sqes, 0, PAGE_SIZE << order_of(r->sqes_bytes));
	r->cqes = (void *)((char *)r->shared + cqes);
	r->sq_array = array ? (void *)((char *)r->shared + at) : NULL;
	r->sq_mask = sq - 1;
	r->sqes_end = r->sqes + sq;
	r->cq_mask = cq - 1;
	r->cq_at = r->cq_stop = r->cqes;
	r->shared->sq_mask = sq - 1;
	r->shared->cq_mask = cq - 1;
	r->shared->sq_entries = sq;
	r->shared->cq_entries = cq;
	return 0;
}

#define RING_FEATURES                                                                              \
	(IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |                \
	 IORING_FEAT_RW_CUR_POS | IORING_FEAT_FAST_POLL | IORING_FEAT_POLL_32BITS |                \
	 IORING_FEAT_SQPOLL_NONFIXED | IORING_FEAT_EXT_ARG | IORING_FEAT_NATIVE_WORKERS |          \
	 IORING_FEAT_CQE_SKIP | IORING_FEAT_LINKED_FILE)

static void ring_describe(const struct ring *r, struct io_uring_params *p)
{
	p->sq_entries = (uint32_t)r->sq_mask + 1;
	p->cq_entries = r->cq_mask + 1;
	p->features = RING_FEATURES;
	p->sq_off = (struct io_sqring_offsets){
		.head = offsetof(struct ring_shared, sq_head),
		.tail = offsetof(struct ring_shared, sq_tail),
		.ring_mask = offsetof(struct ring_shared, sq_mask),
		.ring_entries = offsetof(struct ring_shared, sq_entries),
		.flags = offsetof(struct ring_shared, sq_flags),
		.dropped = offsetof(struct ring_shared, sq_dropped),
		.array = r->sq_array ? (uint32_t)((char *)r->sq_array - (char *)r->shared) : 0,
	};
	p->cq_off = (struct io_cqring_offsets){
		.head = offsetof(struct ring_shared, cq_head),
		.tail = offsetof(struct ring_shared, cq_tail),
		.ring_mask = offsetof(struct ring_shared, cq_mask),
		.ring_entries = offsetof(struct ring_shared, cq_entries),
		.overflow = offsetof(struct ring_shared, cq_overflow),
		.cqes = sizeof(struct ring_shared),
		.flags = offsetof(struct ring_shared, cq_flags),
	};
}

/* Common to both births: struct, memory, core, process. The caller holds the file's first
 * reference. */
static struct ring *ring_make(struct process *p, uint32_t sq, uint32_t cq, uint32_t setup,
			      enum ring_kind kind)
{
	struct core *c = this_core();
	struct ring *r = pool_alloc(&ring_pools[c->index]);

	if (!r)
		return NULL;
	ring_init(r, p, c->index, kind);
	r->setup = setup;
	if (ring_memory(r, sq, cq, !(setup & IORING_SETUP_NO_SQARRAY))) {
		pool_free(&ring_pools[c->index], r);
		return NULL;
	}
	if (setup & IORING_SETUP_R_DISABLED)
		r->slow |= RING_SLOW_DISABLED;
	if (p->restricted)
		r->slow |= RING_SLOW_RESTRICTED;
	file_init(&r->file, &ring_file_ops, S_IFREG, FILE_STREAM);
	ring_enlist(c, r);
	list_push_back(&p->rings, &r->sibling);
	return r;
}

int ring_create_native(struct process *p, struct sluice_start *start, struct ring **out)
{
	struct core *c = this_core();
	bool mixed = c->roles & ROLE_USER;
	uint32_t setup = IORING_SETUP_NO_SQARRAY | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_SUBMIT_ALL | (mixed ? 0 : IORING_SETUP_SQPOLL);
	struct ring *r = ring_make(p, SLUICE_RING_SQ_ENTRIES, SLUICE_RING_CQ_ENTRIES, setup,
				   mixed ? RING_ENTER : RING_POLLED);
	uaddr_t ring_at = 0, sqes_at = 0, watch_at = 0;
	int err;

	if (!r)
		return -ENOMEM;
	r->result64 = 1;
	r->native = 1;
	err = aspace_map_frames(p->as, 0, r->block_ring, r->ring_bytes, ACCESS_READ | ACCESS_WRITE,
				ASPACE_POPULATE, &ring_at);
	if (!err)
		err = aspace_map_frames(p->as, 0, r->block_sqes, r->sqes_bytes,
					ACCESS_READ | ACCESS_WRITE, ASPACE_POPULATE, &sqes_at);
	if (!err && !mixed && c->watch) {
		err = aspace_map_frames(p->as, 0, arch_direct_paddr((void *)c->watch), PAGE_SIZE,
					ACCESS_READ | ACCESS_WRITE, ASPACE_POPULATE, &watch_at);
		atomic_fetch_or_explicit(&r->shared->sq_flags, SLUICE_SQ_WATCHED,
					 memory_order_relaxed);
		r->watched = 1;
	}
	if (!err)
		err = fd_install(p, &r->file, 3, false);
	file_put(&r->file); /* the descriptor holds it; without one this frees it */
	if (err < 0)
		return err;
	start->ring_fd = err;
	start->flags |= (mixed ? SLUICE_START_MIXED : 0) |
			(p->as->kind == ARCH_KIND_UINTR ? SLUICE_START_UINTR : 0);
	start->sq_ring = start->cq_ring = ring_at;
	start->sqes = sqes_at;
	start->params.flags = setup;
	start->params.resv[2] = SLUICE_SETUP_TAG | SLUICE_SETUP_WIDE | SLUICE_SETUP_NATIVE;
	ring_describe(r, &start->params);
	start->watch = watch_at;
	*out = r;
	return 0;
}

void ring_drop_native(struct process *p, const struct sluice_start *start, const struct ring *r)
{
	int err = aspace_unmap(p->as, start->sq_ring, align_up(r->ring_bytes, PAGE_SIZE));

	if (!err)
		err = aspace_unmap(p->as, start->sqes, align_up(r->sqes_bytes, PAGE_SIZE));
	if (!err && start->watch)
		err = aspace_unmap(p->as, start->watch, PAGE_SIZE);
	(void)err; /* without memory to split a region: they stay till the process ends */
	(void)fd_close(p, start->ring_fd);
}

/* The ring of a process that is loading; its first thread will own it. */
static int ring_create_first(struct process *p, struct sluice_start *start)
{
	struct ring *r;

	return ring_create_native(p, start, &r);
}

static uint32_t round_up_pow2(uint32_t n)
{
	return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1));
}

/* Flags this kernel honours. COOP_TASKRUN and SINGLE_ISSUER are hints that always hold here:
 * completions never interrupt the program. */
#define SETUP_FLAGS                                                                                \
	(IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |    \
	 IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |           \
	 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_NO_SQARRAY)

static int setup_counts(uint32_t entries, struct io_uring_params *p, uint32_t *sq, uint32_t *cq)
{
	bool clamp = p->flags & IORING_SETUP_CLAMP;

	if (!entries || (entries > RING_ENTRIES_MAX && !clamp))
		return -EINVAL;
	*sq = round_up_pow2(min_of(entries, RING_ENTRIES_MAX));
	*cq = *sq * 2;
	if (!(p->flags & IORING_SETUP_CQSIZE))
		return 0;
	if (!p->cq_entries || (p->cq_entries > 2 * RING_ENTRIES_MAX && !clamp))
		return -EINVAL;
	*cq = round_up_pow2(min_of(p->cq_entries, 2 * RING_ENTRIES_MAX));
	return *cq < *sq ? -EINVAL : 0;
}

int ring_setup(struct process *p, uint32_t entries, struct io_uring_params *params)
{
	uint32_t setup = params->flags, sq, cq;
	enum ring_kind kind = RING_ENTER;
	struct ring *r;
	int fd, err;

	if (setup & ~SETUP_FLAGS)
		return -EINVAL;
	if (params->resv[0] || params->resv[1] || params->resv[2])
		return -EINVAL;
	if ((setup & IORING_SETUP_SQPOLL) && (setup & IORING_SETUP_COOP_TASKRUN))
		return -EINVAL;
	if ((setup & IORING_SETUP_SQ_AFF) && !(setup & IORING_SETUP_SQPOLL))
		return -EINVAL;
	err = setup_counts(entries, params, &sq, &cq);
	if (err)
		return err;
	if (setup & IORING_SETUP_SQPOLL) {
		if (this_core()->roles & ROLE_USER)
			return -EINVAL; /* nobody would poll it while the program runs */
		kind = RING_POLLED;
	}
	r = ring_make(p, sq, cq, setup, kind);
	if (!r)
		return -ENOMEM;
	err = setup & IORING_SETUP_SQ_AFF ? ring_pin(r, params->sq_thread_cpu) : 0;
	fd = err ? err : fd_install(p, &r->file, 0, true);
	file_put(&r->file); /* the descriptor holds it; without one this frees it */
	if (fd < 0)
		return fd;
	ring_describe(r, params);
	return fd;
}

int ring_mmap(struct file *f, uint64_t off, uint64_t len, paddr_t *block, uint64_t *bytes)
{
	struct ring *r = container_of(f, struct ring, file);

	if (f->ops != &ring_file_ops)
		return -ENODEV;
	switch (off) {
	case IORING_OFF_SQ_RING:
	case IORING_OFF_CQ_RING:
		*block = r->block_ring;
		*bytes = r->ring_bytes;
		break;
	case IORING_OFF_SQES:
		*block = r->block_sqes;
		*bytes = r->sqes_bytes;
		break;
	default:
		return -EINVAL;
	}
	return align_up(len, PAGE_SIZE) > *bytes ? -EINVAL : 0;
}

/* ---- death with the process ------------------------------------------------------------------ */

static unsigned process_quiesce(struct process *p)
{
	struct core *c = this_core();
	unsigned left = 0;

	list_for_each_safe(pos, &p->rings) {
		struct ring *r = list_item(pos, struct ring, sibling);

		if (ring_rests_here(c, r)) {
			left += ring_stop(c, r) + ring_has_mail(r);
			continue;
		}
		ring_call_home(r); /* and when it is there, this is called again */
		left++;
	}
	list_for_each_safe(pos, &p->threads) {
		struct user_thread *t = list_item(pos, struct user_thread, sibling);

		if (t->slot)
			left += ring_stop(c, t->slot);
	}
	return left;
}

/* Descriptors are closed already, so most rings are gone; one whose file somebody else still holds
 * is only emptied. */
static void process_rings_free(struct process *p)
{
	struct core *c = this_core();

	list_for_each_safe(pos, &p->rings) {
		struct ring *r = list_item(pos, struct ring, sibling);

		ring_strip(c, r);
		if (r->orphan == ORPHAN_WAITING)
			ring_end_comes(c, r);
	}
}

static void thread_ended(struct user_thread *t)
{
	futex_abandon_all(t->proc, t->robust_at, t->tid);
	if (t->tid_at)
		futex_clear(t->proc, t->tid_at);
}

#define DOOR_OPS_MAX 256u /* threads there can be: proc/threads.c */

void rings_init(void)
{
	for (unsigned i = 0; i < CORES_MAX; i++) {
		struct core *c = cores[i];

		if (!c || !(c->roles & ROLE_MAY_SERVE))
			continue;
		c->rings = frames_boot_alloc(sizeof(*c->rings));
		list_init(&c->rings->rings);
		list_init(&c->rings->entered);
		list_init(&c->rings->ready);
		pool_init(&ring_pools[i], "rings", sizeof(struct ring), RINGS_PER_CORE);
		c->rings->door_ops = min_of(DOOR_OPS_MAX, ops_total_count(c) / 4);
		notices_init(i);
		ring_core_attach(c);
		ring_moves_init(c);
	}
	table_check();
	if (meter_on)
		table_measure();
	doors_init();
	process_hooks = (struct process_hooks){
		.ring_create = ring_create_first,
		.door = ring_door,
		.quiesce = process_quiesce,
		.rings_free = process_rings_free,
		.thread_init = door_init,
		.thread_fini = door_fini,
		.thread_moved = door_moved,
		.thread_quiesce = door_quiesce,
		.thread_interrupt = door_interrupt,
		.thread_ended = thread_ended,
	};
}
