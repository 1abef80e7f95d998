/*
 * sys_mem: mmap, munmap, mprotect, madvise, brk.
 *
 *   mmap: ACT --MAP_FIXED over more than a piece--> REPLACE (piece by piece) --+
 *          ACT --------------------------------------------------------------> +--> done, or
 *          --MAP_POPULATE--> WAIT (one slice of pages per step) --> done
 *
 *   munmap, mprotect, madvise: ACT --more than a piece--> NEXT, LEAVES (piece by piece) --> done
 *
 * Home core: regions are changed there only. None of them parks. A long populate gives way between
 * pages, a long munmap, mprotect or madvise between pieces (aspace_piece), each of which is whole
 * by itself: entries that were submitted without an order between them may see one half-way.
 */
#include "fs/memfile.h"
#include "ring/internal.h"
#include "ring/sys.h"
#include "sched/preempt.h"
#include "uapi/errno.h"
#include "uapi/mman.h"

#define POPULATE_SLICE (32 * PAGE_SIZE)
#define MAP_IGNORED                                                                                \
	(MAP_DENYWRITE | MAP_EXECUTABLE | MAP_NORESERVE | MAP_NONBLOCK | MAP_STACK | MAP_LOCKED |  \
	 MAP_POPULATE)

_Static_assert(PROT_READ == ACCESS_READ && PROT_WRITE == ACCESS_WRITE && PROT_EXEC == ACCESS_EXEC,
	       "rights are the same numbers on both sides");

/* ---- mmap */

enum { MMAP_ACT, MMAP_POPULATE, MMAP_REPLACE };

static int mmap_object(struct op *op, struct file *f, const struct sys_args *args, uint32_t place,
		       uaddr_t *at)
{
	uint32_t flags = atomic_load_explicit(&f->flags, memory_order_relaxed);
	bool private = (args->a[3] & MAP_TYPE) == MAP_PRIVATE;

	if (!(flags & FILE_READABLE) ||
	    (!private && (args->a[2] & PROT_WRITE) && !(flags & FILE_WRITABLE)))
		return -EACCES;
	if (args->a[5] + align_up(args->a[1], PAGE_SIZE) < args->a[5])
		return -EOVERFLOW;
	return aspace_map_object(op_aspace(op), args->a[0], memfile_object(f), args->a[5],
				 args->a[1], (uint32_t)args->a[2], place, private, at);
}

/* One page, where the kernel wants it, for both ways. */
static int mmap_device(struct op *op, struct file *f, const struct sys_args *args, uint32_t place,
		       uaddr_t *at)
{
	if (place || args->a[5] || args->a[1] > PAGE_SIZE ||
	    args->a[2] != (PROT_READ | PROT_WRITE) || (args->a[3] & MAP_TYPE) == MAP_PRIVATE)
		return -EINVAL;
	return f->ops->map_device(f, op_aspace(op), at);
}

static int mmap_file(struct op *op, const struct sys_args *args, uint32_t place, uaddr_t *at)
{
	struct file *f = op->file;
	uint64_t bytes;
	paddr_t block;
	int err;

	if (memfile_object(f))
		return mmap_object(op, f, args, place, at);
	if (f->ops->map_device)
		return mmap_device(op, f, args, place, at);
	if (f->ops != &ring_file_ops)
		return -ENODEV;
	err = ring_mmap(f, args->a[5], args->a[1], &block, &bytes);
	if (err)
		return err;
	return aspace_map_frames(op_aspace(op), args->a[0], block, bytes, (uint32_t)args->a[2],
				 place, at);
}

static int mmap_any(struct op *op, const struct sys_args *args, uint32_t place, uaddr_t *at)
{
	if (op->file)
		return mmap_file(op, args, place, at);
	return aspace_map_anon(op_aspace(op), args->a[0], args->a[1], (uint32_t)args->a[2], place,
			       at);
}

/* Is it to replace more than a piece? What is wrong with its arguments is left to mmap_any. */
static bool mmap_is_long(struct op *op, const struct sys_args *args, uint32_t place)
{
	struct aspace *as = op_aspace(op);
	uint64_t len = args->a[1];

	if (place != ASPACE_FIXED || len > as->top - as->low)
		return false;
	len = align_up(len, PAGE_SIZE);
	return (!op->file || (memfile_object(op->file) && args->a[5] + len >= args->a[5])) &&
	       aspace_range_ok(as, args->a[0], len) &&
	       aspace_piece(as, args->a[0], args->a[0] + len) < args->a[0] + len;
}

static int mmap_check(const struct sys_args *args, uint32_t *place)
{
	uint64_t flags = args->a[3];
	uint64_t known = MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_IGNORED;
	uint64_t type = flags & MAP_TYPE;

	if (type == MAP_SHARED_VALIDATE && (flags & ~known))
		return -EOPNOTSUPP;
	if (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE)
		return -EINVAL;
	if ((flags & ~known) || (args->a[2] & ~(uint64_t)(PROT_READ | PROT_WRITE | PROT_EXEC)))
		return -EINVAL;
	if (!args->a[1] || (args->a[5] & (PAGE_SIZE - 1)))
		return -EINVAL;
	*place = flags & MAP_FIXED_NOREPLACE ? ASPACE_FIXED_NEW
		 : flags & MAP_FIXED         ? ASPACE_FIXED
					     : 0;
	return 0;
}

/* The pages come in slices, or in one long step with a window behind each; as on Linux the mapping
 * stands even when there is no memory for all of them. */
static enum step mmap_populate(struct op *op)
{
	struct sys_op *sys = sys_op_of(op);
	uint32_t access = sys->args.a[2] & PROT_WRITE ? ACCESS_WRITE : ACCESS_READ;
	bool may = preempt_may();
	uaddr_t stop = may ? sys->end : min_of(sys->end, sys->at + POPULATE_SLICE);

	while (sys->at < stop && !(op->flags & OP_CANCELLED) &&
	       !aspace_fault(op_aspace(op), sys->at, access)) {
		sys->at += PAGE_SIZE;
		if (may)
			preempt_here();
	}
	if (sys->at < stop || stop == sys->end)
		return op_finish64(op, (int64_t)sys->result);
	return op_goto_long(op, MMAP_POPULATE);
}

static enum step mmap_mapped(struct op *op, const struct sys_args *args, uaddr_t at)
{
	struct sys_op *sys = sys_op_of(op);

	sys->result = sys->at = at;
	sys->end = at + align_up(args->a[1], PAGE_SIZE);
	if ((args->a[3] & (MAP_POPULATE | MAP_LOCKED)) &&
	    (args->a[2] & (PROT_READ | PROT_WRITE)))
		return args->a[1] > POPULATE_SLICE ? op_goto_long(op, MMAP_POPULATE) :
						     op_goto(op, MMAP_POPULATE);
	return op_finish64(op, (int64_t)at);
}

/*
 * Each piece replaces what was there at once: every page is the old one or the new one, at any
 * moment. An error of the first piece leaves everything as it was; where there are as many regions
 * as there can be, which a piece may need one more of, all of it goes at once.
 */
static enum step mmap_replace(struct op *op, const struct sys_args *args)
{
	struct sys_op *sys = sys_op_of(op);

	while (sys->at < sys->end) {
		uaddr_t stop = aspace_piece(op_aspace(op), sys->at, sys->end), at;
		struct sys_args piece = *args;
		int err;

		piece.a[0] = sys->at;
		piece.a[1] = stop - sys->at;
		piece.a[5] += sys->at - args->a[0];
		err = mmap_any(op, &piece, ASPACE_FIXED, &at);
		if (err == -ENOMEM && sys->at == args->a[0])
			err = mmap_any(op, args, ASPACE_FIXED, &stop) ?: 1;
		if (err < 0)
			return op_finish(op, err);
		sys->at = err ? sys->end : stop;
		if (sys->at == sys->end)
			break;
		if (!preempt_may())
			return op_goto_long(op, MMAP_REPLACE);
		preempt_here();
	}
	return mmap_mapped(op, args, args->a[0]);
}

static enum step mmap_act(struct op *op, const struct sys_args *args)
{
	struct sys_op *sys = sys_op_of(op);
	uint32_t place;
	uaddr_t at;
	int err = mmap_check(args, &place);

	if (err)
		return op_finish(op, err);
	if (!(args->a[3] & MAP_ANONYMOUS)) {
		op->file = fd_get(op_process(op), (int)args->a[4]);
		if (!op->file)
			return op_finish(op, -EBADF);
	}
	if (mmap_is_long(op, args, place)) {
		sys->at = args->a[0];
		sys->end = args->a[0] + align_up(args->a[1], PAGE_SIZE);
		return mmap_replace(op, args);
	}
	err = mmap_any(op, args, place, &at);
	return err ? op_finish(op, err) : mmap_mapped(op, args, at);
}

static enum step mmap_step(struct op *op, const struct sys_args *args)
{
	switch (op->state) {
	case MMAP_POPULATE:
		return mmap_populate(op);
	case MMAP_REPLACE:
		return mmap_replace(op, args);
	default:
		return mmap_act(op, args);
	}
}

#define FAULT_NS 1000u /* to bring a page, roughly */

static uint32_t mmap_work(const struct op *op)
{
	const struct sys_op *sys = (const struct sys_op *)(const void *)op->body;

	return (uint32_t)min_of((sys->end - sys->at) / PAGE_SIZE * FAULT_NS, (uint64_t)UINT32_MAX);
}

const struct sys_row sys_mmap = {
	.name = "mmap", .step = mmap_step, .anywhere_begun = true, .work = mmap_work
};

/* ---- munmap, mprotect, madvise */

#define REGIONS_MANY 100u

enum { RANGE_ACT, RANGE_NEXT, RANGE_LEAVES };

/* From state `next` on [at, end) is worked off by piece(); the first piece comes at once, and what
 * is left is a long step with a window behind each. */
static enum step range_go_on(struct op *op, uint8_t next,
			     int (*piece)(struct op *op, struct sys_op *sys, uaddr_t stop))
{
	struct sys_op *sys = sys_op_of(op);

	while (sys->at < sys->end) {
		uaddr_t stop = aspace_piece(op_aspace(op), sys->at, sys->end);
		int err = piece(op, sys, stop);

		if (err)
			return op_finish(op, err);
		sys->at = stop;
		if (sys->at == sys->end)
			break;
		if (!preempt_may())
			return op_goto_long(op, next);
		preempt_here();
	}
	return op_finish(op, 0);
}

static int munmap_piece(struct op *op, struct sys_op *sys, uaddr_t stop)
{
	return aspace_unmap(op_aspace(op), sys->at, stop - sys->at);
}

static enum step munmap_step(struct op *op, const struct sys_args *args)
{
	struct sys_op *sys = sys_op_of(op);
	struct aspace *as = op_aspace(op);

	if (op->state == RANGE_ACT) {
		if (args->a[1] > as->top - as->low ||
		    !aspace_range_ok(as, args->a[0], align_up(args->a[1], PAGE_SIZE)))
			return op_finish(op, -EINVAL);
		sys->at = args->a[0];
		sys->end = sys->at + align_up(args->a[1], PAGE_SIZE);
	}
	return range_go_on(op, RANGE_NEXT, munmap_piece);
}

const struct sys_row sys_munmap = { .name = "munmap", .step = munmap_step };

static int mprotect_leaves(struct op *op, struct sys_op *sys, uaddr_t stop)
{
	aspace_protect_sweep(op_aspace(op), sys->at, stop);
	return 0;
}

/* Regions first, then the leaves get the rights of their regions. */
static enum step mprotect_step(struct op *op, const struct sys_args *args)
{
	struct sys_op *sys = sys_op_of(op);
	struct aspace *as = op_aspace(op);
	int err;

	if (op->state == RANGE_LEAVES)
		return range_go_on(op, RANGE_LEAVES, mprotect_leaves);
	if (op->state == RANGE_ACT) {
		if (args->a[2] & ~(uint64_t)(PROT_READ | PROT_WRITE | PROT_EXEC))
			return op_finish(op, -EINVAL);
		err = aspace_protect_check(as, args->a[0], args->a[1], (uint32_t)args->a[2]);
		if (err || !args->a[1])
			return op_finish(op, err);
		sys->at = args->a[0];
		sys->end = sys->at + align_up(args->a[1], PAGE_SIZE);
		if (as->region_count > REGIONS_MANY)
			return op_goto_long(op, RANGE_NEXT); /* the check took its time */
	}
	err = aspace_protect_regions(as, &sys->at, sys->end, (uint32_t)args->a[2]);
	if (err)
		return op_finish(op, err);
	if (sys->at < sys->end)
		return op_goto_long(op, RANGE_NEXT);
	sys->at = args->a[0];
	return range_go_on(op, RANGE_LEAVES, mprotect_leaves);
}

const struct sys_row sys_mprotect = { .name = "mprotect", .step = mprotect_step };

static int discard_piece(struct op *op, struct sys_op *sys, uaddr_t stop)
{
	return aspace_discard(op_aspace(op), sys->at, stop - sys->at);
}

static enum step madvise_discard(struct op *op, const struct sys_args *args)
{
	struct sys_op *sys = sys_op_of(op);
	uaddr_t at = args->a[0];
	uint64_t len = args->a[1];
	int err;

	if (op->state == RANGE_ACT) {
		err = aspace_discard_check(op_aspace(op), at, len);
		if (err || !len)
			return op_finish(op, err);
		sys->at = at;
		sys->end = at + align_up(len, PAGE_SIZE);
	}
	return range_go_on(op, RANGE_NEXT, discard_piece);
}

static enum step madvise_step(struct op *op, const struct sys_args *args)
{
	uaddr_t at = args->a[0];
	uint64_t len = args->a[1];

	switch (args->a[2]) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
		if (at & (PAGE_SIZE - 1))
			return op_finish(op, -EINVAL);
		return op_finish(op, !len || aspace_covers(op_aspace(op), at, len) ? 0 : -ENOMEM);
	case MADV_DONTNEED:
	case MADV_FREE:
		return madvise_discard(op, args);
	default:
		return op_finish(op, -EINVAL);
	}
}

const struct sys_row sys_madvise = { .name = "madvise", .step = madvise_step };

/* ---- brk: answers with where the heap ends now, whether it moved or not */

static int brk_grow(struct process *p, uaddr_t to)
{
	uaddr_t old_end = align_up(p->brk, PAGE_SIZE), new_end = align_up(to, PAGE_SIZE), at;
	int err = 0;

	if (new_end > old_end)
		err = aspace_map_anon(p->as, old_end, new_end - old_end, ACCESS_READ | ACCESS_WRITE,
				      ASPACE_FIXED_NEW, &at);
	if (!err)
		p->brk = to;
	return err;
}

/* The last piece above `to`; the heap ends where it began. */
static int brk_shrink(struct process *p, uaddr_t to)
{
	uaddr_t old_end = align_up(p->brk, PAGE_SIZE), new_end = align_up(to, PAGE_SIZE), at;
	int err = 0;

	if (new_end < old_end) {
		at = aspace_piece_last(p->as, new_end, old_end);
		err = aspace_unmap(p->as, at, old_end - at);
		if (!err)
			p->brk = at;
	}
	if (!err && align_up(p->brk, PAGE_SIZE) == new_end)
		p->brk = to;
	return err;
}

/* Grows at once; shrinks from its end, piece by piece, and at any moment is what p->brk says. */
static enum step brk_step(struct op *op, const struct sys_args *args)
{
	struct process *p = op_process(op);
	uaddr_t to = args->a[0];
	int err = to < p->brk_base || to >= p->as->top - PAGE_SIZE;

	if (!err && to > p->brk && op->state == RANGE_ACT)
		err = brk_grow(p, to);
	while (!err && p->brk > to) {
		err = brk_shrink(p, to);
		if (err || p->brk <= to)
			break;
		if (!preempt_may())
			return op_goto_long(op, RANGE_NEXT);
		preempt_here();
	}
	return op_finish64(op, (int64_t)p->brk);
}

const struct sys_row sys_brk = { .name = "brk", .step = brk_step };
