/*
 * register: io_uring_setup and io_uring_register as rows of the system-call table, registered
 * files, and the FILES_UPDATE operation. Codes that this kernel does not serve answer -EINVAL by
 * name of their number, as an older Linux would.
 *
 * Runs on the ring's core. A ring that has moved is called home for it, since the call runs there.
 */
#include "ring/bufs.h"

#include "mm/frames.h"
#include "uapi/errno.h"
#include "uapi/fs.h"

#define FILES_MAX 4096u
#define PROBE_OPS_MAX 256u

/* ---- registered files ------------------------------------------------------------------------ */

/*
 * A slot is changed by the ring's core and by whoever makes a file for it (ACCEPT and SOCKET: the
 * net core), so each change is one exchange: what was there is let go by the one who took it out.
 * Who looks a file up has no handle: it takes a reference if the file is alive, and looks again.
 * The table itself goes only when no other core is at work on it (bufs.h).
 */

/* Puts a handle of `f` into the slot (NULL: empties it). False: it was empty. */
static bool slot_put(struct file *_Atomic *slot, struct file *f)
{
	struct file *was;

	if (f)
		file_handle_add(f);
	/* release pairs with ring_fixed_file, acquire with the putting of what was there */
	was = atomic_exchange_explicit(slot, f, memory_order_acq_rel);
	if (was)
		file_handle_drop(was);
	return was;
}

struct file *ring_fixed_file(struct ring *r, int32_t slot)
{
	struct file *f;

	if (slot < 0 || (uint32_t)slot >= r->file_count)
		return NULL;
	for (;;) {
		f = atomic_load_explicit(&r->files[slot], memory_order_acquire);
		if (!f)
			return NULL;
		if (!file_get_live(f))
			continue; /* it has just been taken out */
		if (likely(atomic_load_explicit(&r->files[slot], memory_order_acquire) == f))
			return f;
		file_put(f);
	}
}

/* Puts the file of descriptor `fd` into the slot (-1: empties it). A ring may not hold itself or
 * another ring: -EBADF. */
static int slot_set(struct ring *r, uint32_t slot, int32_t fd)
{
	struct file *f;

	if (fd == IORING_REGISTER_FILES_SKIP)
		return 0;
	if (fd == -1) {
		slot_put(&r->files[slot], NULL);
		return 0;
	}
	f = fd_get(r->proc, fd);
	if (!f)
		return -EBADF;
	if (f->ops == &ring_file_ops) {
		file_put(f);
		return -EBADF;
	}
	slot_put(&r->files[slot], f);
	file_put(f);
	return 0;
}

/* Order of the block that holds `count` slots; it is on the program's account. */
static unsigned files_order(uint32_t count)
{
	unsigned order = 0;

	while ((PAGE_SIZE << order) < count * sizeof(struct file *))
		order++;
	return order;
}

void ring_files_drop(struct ring *r)
{
	struct file *_Atomic *files = atomic_exchange(&r->files, NULL);

	if (!files)
		return;
	looks_wait(r);
	for (uint32_t i = 0; i < r->file_count; i++)
		slot_put(&files[i], NULL);
	frame_put(arch_direct_paddr((const void *)files));
	aspace_uncharge(r->as, 1ull << files_order(r->file_count));
	r->file_count = 0;
}

static int files_register(struct ring *r, uaddr_t fds, uint32_t count, bool sparse)
{
	paddr_t block;
	int err = 0;

	if (r->files)
		return -EBUSY;
	if (!count || count > FILES_MAX)
		return count ? -EMFILE : -EINVAL;
	if (aspace_charge(r->as, 1ull << files_order(count)))
		return -ENOMEM;
	block = frame_alloc(files_order(count));
	if (!block) {
		aspace_uncharge(r->as, 1ull << files_order(count));
		return -ENOMEM;
	}
	memset(arch_direct(block), 0, count * sizeof(struct file *));
	r->file_count = count;
	/* another core may put files there from now on */
	atomic_store(&r->files, arch_direct(block));
	for (uint32_t i = 0; i < count && !err && !sparse; i++) {
		int32_t fd;

		err = user_read(r->as, fds + i * sizeof(fd), &fd, sizeof(fd));
		if (!err)
			err = slot_set(r, i, fd);
	}
	if (err)
		ring_files_drop(r);
	return err;
}

/* Updates slots [off, off+count), at most `max` of them; the number done, or the first error if
 * none was. */
static int files_update(struct ring *r, uint32_t off, uaddr_t fds, uint32_t count, uint32_t max)
{
	uint32_t done = 0;
	int err = 0;

	if (!r->files)
		return -ENXIO;
	if (off > r->file_count || count > r->file_count - off)
		return -EINVAL;
	for (; done < count && !err; done += !err) {
		int32_t fd;

		if (done == max)
			return (int)done;
		err = user_read(r->as, fds + done * sizeof(fd), &fd, sizeof(fd));
		if (!err)
			err = slot_set(r, off + done, fd);
	}
	return done ? (int)done : err;
}

/* Any slot that is empty: its number, or -ENFILE. */
static int slot_claim(struct file *_Atomic *files, uint32_t count, struct file *f)
{
	file_handle_add(f);
	for (uint32_t i = 0; i < count; i++) {
		struct file *none = NULL;

		if (!atomic_load_explicit(&files[i], memory_order_relaxed) &&
		    atomic_compare_exchange_strong_explicit(&files[i], &none, f,
							    memory_order_acq_rel,
							    memory_order_relaxed))
			return (int)i;
	}
	file_handle_drop(f);
	return -ENFILE;
}

static int fixed_install(struct ring *r, struct file *f, uint32_t slot)
{
	struct file *_Atomic *files = atomic_load(&r->files);

	if (!files)
		return -ENXIO;
	if (slot == IORING_FILE_INDEX_ALLOC)
		return slot_claim(files, r->file_count, f);
	if (slot > r->file_count)
		return -EINVAL;
	slot_put(&files[slot - 1], f);
	return 0;
}

int op_fd_install(struct op *op, struct file *f, uint32_t slot, bool cloexec)
{
	bool counted;
	int res;

	if (!slot)
		return fd_install(op->ring->proc, f, 0, cloexec);
	counted = look_begin(op->ring);
	res = fixed_install(op->ring, f, slot);
	look_end(op->ring, counted);
	return res;
}

static int fixed_close(struct ring *r, uint32_t slot)
{
	struct file *_Atomic *files = atomic_load(&r->files);

	if (!files)
		return -ENXIO;
	if (slot >= r->file_count)
		return -EINVAL;
	return slot_put(&files[slot], NULL) ? 0 : -EBADF;
}

int op_fixed_close(struct op *op, uint32_t slot)
{
	bool counted = look_begin(op->ring);
	int res = fixed_close(op->ring, slot);

	look_end(op->ring, counted);
	return res;
}

/* ---- FILES_UPDATE as an operation: UPDATE, some slots a time --> done with their number ------ */

#define FILES_AT_ONCE 64u

struct files_update_op {
	uaddr_t fds;
	uint32_t off, count, done;
};

static int files_update_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct files_update_op *fu = op_body(op, struct files_update_op);

	if ((sqe->flags & (IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT)) || sqe->rw_flags ||
	    sqe->splice_fd_in || !sqe->len || sqe->off > UINT32_MAX)
		return -EINVAL;
	fu->fds = sqe->addr;
	fu->off = (uint32_t)sqe->off;
	fu->count = sqe->len;
	fu->done = 0;
	return 0;
}

static enum step files_update_step(struct op *op)
{
	struct files_update_op *fu = op_body(op, struct files_update_op);

	bool counted = look_begin(op->ring); /* it may have moved since the last piece */
	int n = files_update(op->ring, fu->off + fu->done, fu->fds + fu->done * sizeof(int32_t),
			     fu->count - fu->done, FILES_AT_ONCE);

	look_end(op->ring, counted);
	if (n < 0)
		return op_finish(op, fu->done ? (int32_t)fu->done : n);
	fu->done += (uint32_t)n;
	if ((uint32_t)n < FILES_AT_ONCE || fu->done == fu->count || (op->flags & OP_CANCELLED))
		return op_finish(op, (int32_t)fu->done);
	return op_pause(op);
}

const struct op_row row_files_update = {
	.name = "files_update",
	.body_size = sizeof(struct files_update_op),
	.preemptible = 1,
	.state_count = 1,
	.state_names = (const char *const[]){ "update" },
	.check = files_update_check,
	.step = files_update_step,
};

/* ---- io_uring_register ----------------------------------------------------------------------- */

static int register_probe(struct ring *r, uaddr_t at, uint32_t count)
{
	struct io_uring_probe head = { .last_op = IORING_OP_SYSCALL };
	int err;

	if (count > PROBE_OPS_MAX)
		return -EINVAL;
	count = min_of(count, (uint32_t)IORING_OP_SYSCALL + 1);
	head.ops_len = (uint8_t)count;
	err = user_write(r->as, at, &head, sizeof(head));
	for (uint32_t i = 0; i < count && !err; i++) {
		struct io_uring_probe_op op = { .op = (uint8_t)i,
						.flags = op_table[i] ? IO_URING_OP_SUPPORTED : 0 };

		err = user_write(r->as, at + sizeof(head) + i * sizeof(op), &op, sizeof(op));
	}
	return err;
}

static int register_files_update(struct ring *r, uaddr_t at, uint32_t count)
{
	struct io_uring_files_update up;
	int err = user_read(r->as, at, &up, sizeof(up));

	if (err)
		return err;
	return up.resv ? -EINVAL : files_update(r, up.offset, up.fds, count, count);
}

static int register_files2(struct ring *r, uaddr_t at, uint32_t size)
{
	struct io_uring_rsrc_register reg;
	int err;

	if (size != sizeof(reg))
		return -EINVAL;
	err = user_read(r->as, at, &reg, sizeof(reg));
	if (err)
		return err;
	if (reg.resv2 || (reg.flags & ~IORING_RSRC_REGISTER_SPARSE) || reg.tags)
		return -EINVAL; /* tags are not offered: IORING_FEAT_RSRC_TAGS is clear */
	return files_register(r, reg.data, reg.nr, reg.flags & IORING_RSRC_REGISTER_SPARSE);
}

static int register_pbuf(struct ring *r, uint32_t code, uaddr_t at, uint32_t count)
{
	struct io_uring_buf_reg reg;
	struct io_uring_buf_status status;
	int err;

	if (count != 1)
		return -EINVAL;
	if (code == IORING_REGISTER_PBUF_STATUS) {
		err = user_read(r->as, at, &status, sizeof(status));
		if (!err)
			err = ring_group_head(r, (uint16_t)status.buf_group, &status.head);
		return err ? err : user_write(r->as, at, &status, sizeof(status));
	}
	err = user_read(r->as, at, &reg, sizeof(reg));
	if (err)
		return err;
	return code == IORING_REGISTER_PBUF_RING ? ring_group_register(r, &reg)
						 : ring_group_unregister(r, reg.bgid);
}

static int register_enable(struct ring *r)
{
	if (!(r->slow & RING_SLOW_DISABLED))
		return -EBADFD;
	r->slow &= (uint8_t)~RING_SLOW_DISABLED;
	return 0;
}

static int register_code(struct ring *r, uint32_t code, uaddr_t at, uint32_t count)
{
	switch (code) {
	case IORING_REGISTER_BUFFERS:
		return ring_bufs_register(r, at, count);
	case IORING_UNREGISTER_BUFFERS:
		if (at || count)
			return -EINVAL;
		if (!r->bufs)
			return -ENXIO;
		ring_bufs_drop(r);
		return 0;
	case IORING_REGISTER_FILES:
		return files_register(r, at, count, false);
	case IORING_UNREGISTER_FILES:
		if (at || count)
			return -EINVAL;
		if (!r->files)
			return -ENXIO;
		ring_files_drop(r);
		return 0;
	case IORING_REGISTER_FILES_UPDATE:
		return register_files_update(r, at, count);
	case IORING_REGISTER_FILES2:
		return register_files2(r, at, count);
	case IORING_REGISTER_PROBE:
		return register_probe(r, at, count);
	case IORING_REGISTER_ENABLE_RINGS:
		return at || count ? -EINVAL : register_enable(r);
	case IORING_REGISTER_PBUF_RING:
	case IORING_UNREGISTER_PBUF_RING:
	case IORING_REGISTER_PBUF_STATUS:
		return register_pbuf(r, code, at, count);
	case SLUICE_REGISTER_PRIORITY:
		return at ? -EINVAL : ring_set_priority(this_core(), r, count);
	default:
		return -EINVAL;
	}
}

static enum step sys_register_step(struct op *op, const struct sys_args *args)
{
	struct file *f = fd_get(op_process(op), (int)args->a[0]);
	struct ring *r;
	int res;

	if (!f)
		return op_finish(op, -EBADF);
	r = container_of(f, struct ring, file);
	if (f->ops != &ring_file_ops)
		res = -EOPNOTSUPP;
	else if (f->core != this_core()->index)
		res = -EXDEV;
	else if (ring_park_until_home(op, f))
		return STEP_PARKED;
	else
		res = op->flags & OP_CANCELLED ? -ECANCELED :
						 register_code(r, (uint32_t)args->a[1], args->a[2],
							       (uint32_t)args->a[3]);
	if (f->ops == &ring_file_ops)
		ring_settle(r);
	file_put(f);
	return op_finish(op, res);
}

static int register_cancel(struct op *op)
{
	op_wake(op);
	return 0;
}

static enum step sys_setup_step(struct op *op, const struct sys_args *args)
{
	struct io_uring_params params;
	int res = user_read(op_aspace(op), args->a[1], &params, sizeof(params));

	if (res)
		return op_finish(op, res);
	res = ring_setup(op_process(op), (uint32_t)args->a[0], &params);
	if (res >= 0 && user_write(op_aspace(op), args->a[1], &params, sizeof(params))) {
		(void)fd_close(op_process(op), res);
		res = -EFAULT;
	}
	return op_finish(op, res);
}

const struct sys_row sys_io_uring_setup = { .name = "io_uring_setup", .step = sys_setup_step };
const struct sys_row sys_io_uring_register = {
	.name = "io_uring_register",
	.step = sys_register_step,
	.cancel = register_cancel,
};
