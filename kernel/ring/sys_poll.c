/*
 * sys_poll: ppoll and pselect6.
 *
 *   ACT --the time is read--> LOOK
 *   LOOK at the descriptors in their order, each on its file's core: the op travels there, by a
 *        message to itself first, since an op that is being stepped cannot
 *        --something is ready, or there is no time--> done
 *        --one descriptor: parked on file->pollers, on that core; none: parked alone--> WAIT
 *   WAIT --its time is over, cancelled--> done;  --file_poll_wake--> LOOK
 *
 * Several descriptors can be looked at (a timeout of 0), but not be waited for: that answers
 * -ENOSYS. A signal mask changes nothing while there are no signals. pselect6 goes the same way
 * with the one descriptor that its sets may name; with several it answers -ENOSYS at once.
 */
#include "ring/internal.h"
#include "ring/sys.h"
#include "uapi/errno.h"
#include "uapi/socket.h"

#define POLL_FDS_MAX 1024u
#define POLL_AT_ONCE 64u /* looked at in one step */
#define POLL_ALWAYS (POLLERR | POLLHUP | POLLNVAL)
#define POLL_ANY (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM) /* of a file that never waits */

enum { PPOLL_ACT, PPOLL_WAIT, PPOLL_LOOK };

/* What there is to say of a descriptor, through *bits; false: that can be seen on another core. */
static bool ppoll_see(struct op *op, const struct pollfd *pfd, int16_t *bits)
{
	struct file *f = pfd->fd < 0 ? NULL : fd_get(op_process(op), pfd->fd);

	*bits = pfd->fd < 0 || f ? 0 : POLLNVAL;
	if (!f)
		return true;
	if (op->file)
		file_put(op->file);
	op->file = f; /* the last one seen is the one to wait for */
	if (f->ops->poll && f->core != this_core()->index) {
		return false;
	}
	*bits = (int16_t)((f->ops->poll ? f->ops->poll(f) : POLL_ANY) &
			   ((uint16_t)pfd->events | POLL_ALWAYS));
	return true;
}

static enum step ppoll_end(struct op *op, int32_t res)
{
	timer_disarm(&sys_op_of(op)->wait_timer);
	return op_finish(op, res);
}

/* Nothing is ready. */
static enum step ppoll_wait(struct op *op, uint64_t count)
{
	struct sys_op *sys = sys_op_of(op);

	if (op->flags & OP_CANCELLED)
		return ppoll_end(op, -ECANCELED);
	if (sys->deadline <= arch_time_ns())
		return ppoll_end(op, 0);
	if (count > 1)
		return ppoll_end(op, -ENOSYS);
	if (sys->deadline != NSEC_NEVER)
		timer_arm(&sys->wait_timer, sys->deadline);
	op->state = PPOLL_WAIT;
	sys->index = sys->ready = 0;
	return count && op->file ? op_park(op, &op->file->pollers) : op_park_alone(op);
}

static enum step ppoll_look(struct op *op, const struct sys_args *args)
{
	struct sys_op *sys = sys_op_of(op);

	for (unsigned n = 0; sys->index < args->a[1]; sys->index++, n++) {
		uaddr_t at = args->a[0] + sys->index * sizeof(struct pollfd);
		struct pollfd pfd;
		int err;

		if (n == POLL_AT_ONCE)
			return op_goto_long(op, PPOLL_LOOK);
		err = user_read(op_aspace(op), at, &pfd, sizeof(pfd));
		if (err)
			return ppoll_end(op, err);
		if (!ppoll_see(op, &pfd, &pfd.revents))
			return sys_leave(op, op->file->core);
		err = user_write(op_aspace(op), at + offsetof(struct pollfd, revents), &pfd.revents,
				 sizeof(pfd.revents));
		if (err)
			return ppoll_end(op, err);
		sys->ready += pfd.revents != 0;
	}
	return sys->ready ? ppoll_end(op, (int32_t)sys->ready) : ppoll_wait(op, args->a[1]);
}

static enum step ppoll_step(struct op *op, const struct sys_args *args)
{
	struct sys_op *sys = sys_op_of(op);
	nsec_t ns;
	int err;

	switch (op->state) {
	case PPOLL_ACT:
		if (args->a[1] > POLL_FDS_MAX)
			return op_finish(op, -EINVAL);
		err = args->a[2] ? timespec_read(op_aspace(op), args->a[2], &ns) : 0;
		if (err)
			return op_finish(op, err);
		sys->deadline = args->a[2] ? timeout_deadline(ns, 0) : NSEC_NEVER;
		sys->index = sys->ready = 0;
		sys->leaving = false;
		timer_init(&sys->wait_timer, sys_fire);
		return op_goto(op, PPOLL_LOOK);
	case PPOLL_WAIT:
		timer_disarm(&sys->wait_timer);
		return op_goto(op, PPOLL_LOOK);
	}
	return ppoll_look(op, args);
}

static int ppoll_cancel(struct op *op)
{
	if (sys_op_of(op)->leaving)
		return -EALREADY; /* it ends where it arrives, unless something is ready */
	op_wake(op);
	return 0;
}

/* ---- pselect6 -------------------------------------------------------------------------------- */

#define SELECT_FDS_MAX 1024u /* C libraries' FD_SETSIZE */
#define SELECT_SETS 3u
#define SELECT_NONE UINT16_MAX /* sys->index: no set names a descriptor */

/* What each set asks, and what puts a descriptor into its answer. */
static const uint16_t select_asks[SELECT_SETS] = { POLLIN | POLLRDNORM, POLLOUT | POLLWRNORM,
						   POLLPRI };
static const uint16_t select_says[SELECT_SETS] = { POLLIN | POLLRDNORM | POLLHUP | POLLERR,
						   POLLOUT | POLLWRNORM | POLLERR, POLLPRI };

/* The descriptor that the sets name, through sys->index, and what they ask of it. 0, -ENOSYS (there
 * are several), -EFAULT. */
static int select_read(struct op *op, const struct sys_args *args, uint16_t *asks)
{
	struct sys_op *sys = sys_op_of(op);

	sys->index = SELECT_NONE;
	*asks = 0;
	for (uint64_t at = 0; at < args->a[0]; at += 64)
		for (unsigned set = 0; set < SELECT_SETS; set++) {
			uint64_t word = 0;
			unsigned fd;
			int err = args->a[1 + set] ? user_read(op_aspace(op),
							       args->a[1 + set] + at / 8, &word, 8)
						   : 0;

			if (args->a[0] - at < 64)
				word &= (1ull << (args->a[0] - at)) - 1;
			if (err)
				return err;
			if (!word)
				continue;
			fd = (unsigned)at + (unsigned)__builtin_ctzll(word);
			if ((word & (word - 1)) || (sys->index != SELECT_NONE && sys->index != fd))
				return -ENOSYS;
			sys->index = (uint16_t)fd;
			*asks |= select_asks[set];
		}
	return 0;
}

/* Makes the sets the answer: `bits` is what there is to say of the descriptor. How many say it. */
static int select_write(struct op *op, const struct sys_args *args, uint32_t fd, uint16_t bits)
{
	int count = 0;

	for (uint64_t at = 0; at < args->a[0]; at += 64)
		for (unsigned set = 0; set < SELECT_SETS; set++) {
			uint64_t asked, word = 0;
			int err;

			if (!args->a[1 + set])
				continue;
			err = user_read(op_aspace(op), args->a[1 + set] + at / 8, &asked, 8);
			if (fd / 64 == at / 64 && (asked >> fd % 64 & 1) &&
			    (bits & select_says[set]))
				word = 1ull << fd % 64;
			if (!err)
				err = user_write(op_aspace(op), args->a[1 + set] + at / 8, &word,
						 8);
			if (err)
				return err;
			count += word != 0;
		}
	return count;
}

static enum step select_look(struct op *op, const struct sys_args *args)
{
	struct pollfd pfd = { .fd = -1 };
	uint16_t asks;
	struct sys_op *sys = sys_op_of(op);
	int err = select_read(op, args, &asks);
	enum step v;

	if (err)
		return ppoll_end(op, err);
	if (sys->index != SELECT_NONE)
		pfd = (struct pollfd){ .fd = sys->index, .events = (int16_t)asks };
	if (!ppoll_see(op, &pfd, &pfd.revents))
		return sys_leave(op, op->file->core);
	if (pfd.revents & POLLNVAL)
		return ppoll_end(op, -EBADF);
	err = pfd.revents ? select_write(op, args, (uint32_t)pfd.fd, (uint16_t)pfd.revents) : 0;
	if (err)
		return ppoll_end(op, err);
	v = ppoll_wait(op, pfd.fd >= 0);
	if (v == STEP_DONE && !op->res)
		op->res = select_write(op, args, UINT32_MAX, 0);
	return v;
}

static enum step pselect6_step(struct op *op, const struct sys_args *args)
{
	struct sys_args time = { { 0, 0, args->a[4] } };

	if (op->state == PPOLL_LOOK)
		return select_look(op, args);
	if (args->a[0] > SELECT_FDS_MAX)
		return op_finish(op, -EINVAL);
	return ppoll_step(op, &time); /* reads the time, or disarms it */
}

const struct sys_row sys_pselect6 = {
	.name = "pselect6",
	.step = pselect6_step,
	.cancel = ppoll_cancel,
};

const struct sys_row sys_ppoll = { .name = "ppoll", .step = ppoll_step, .cancel = ppoll_cancel };
