/*
 * sys_time: clocks and sleeps.
 *
 *   nanosleep: ACT --armed, parked alone--> WAIT --timer fired: 0; cancelled: -ECANCELED--> done
 *
 * The clocks are the machine's one monotonic counter; wall time is that plus the time at boot. The
 * process's home core.
 */
#include "ring/internal.h"
#include "ring/sys.h"
#include "uapi/errno.h"
#include "uapi/time.h"

#define NS_PER_S 1000000000ull

/* ---- clocks */

static int clock_now(uint64_t id, nsec_t *ns)
{
	*ns = arch_time_ns();
	switch (id) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_TAI:
		*ns += arch_wall_boot_ns();
		return 0;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
		return 0;
	default: /* CPU time is not kept per process */
		return -EINVAL;
	}
}

static enum step clock_gettime_step(struct op *op, const struct sys_args *args)
{
	struct __kernel_timespec ts;
	nsec_t ns;
	int err = clock_now((uint32_t)args->a[0], &ns);

	if (err)
		return op_finish(op, err);
	ts.tv_sec = (int64_t)(ns / NS_PER_S);
	ts.tv_nsec = (int64_t)(ns % NS_PER_S);
	return op_finish(op, user_write(op_aspace(op), args->a[1], &ts, sizeof(ts)));
}

const struct sys_row sys_clock_gettime = { .name = "clock_gettime",
					   .step = clock_gettime_step,
					   .anywhere = true };

static enum step clock_getres_step(struct op *op, const struct sys_args *args)
{
	uint64_t hz = arch_user_time_hz();
	struct __kernel_timespec ts = { .tv_nsec = hz && hz < NS_PER_S ? (int64_t)(NS_PER_S / hz)
								       : 1 };
	nsec_t ns;
	int err = clock_now((uint32_t)args->a[0], &ns);

	if (err || !args->a[1])
		return op_finish(op, err);
	return op_finish(op, user_write(op_aspace(op), args->a[1], &ts, sizeof(ts)));
}

const struct sys_row sys_clock_getres = { .name = "clock_getres",
					  .step = clock_getres_step,
					  .anywhere = true };

static enum step gettimeofday_step(struct op *op, const struct sys_args *args)
{
	nsec_t ns = arch_time_ns() + arch_wall_boot_ns();
	int64_t tv[2] = { (int64_t)(ns / NS_PER_S), (int64_t)(ns % NS_PER_S / 1000) };
	int32_t zone[2] = { 0, 0 };
	int err = 0;

	if (args->a[0])
		err = user_write(op_aspace(op), args->a[0], tv, sizeof(tv));
	if (!err && args->a[1])
		err = user_write(op_aspace(op), args->a[1], zone, sizeof(zone));
	return op_finish(op, err);
}

const struct sys_row sys_gettimeofday = { .name = "gettimeofday",
					  .step = gettimeofday_step,
					  .anywhere = true };

/* ---- sleeps */

enum { SLEEP_ACT, SLEEP_WAIT };

static void sleep_fire(struct timer *t)
{
	struct sys_op *sys = container_of(t, struct sys_op, timer);

	op_wake(container_of((char *)sys, struct op, body[0]));
}

static enum step sleep_step(struct op *op, uaddr_t at, uint32_t timeout_flags)
{
	struct sys_op *sys = sys_op_of(op);
	nsec_t ns;
	int err;

	if (op->state == SLEEP_WAIT) {
		if (op->flags & OP_CANCELLED) {
			timer_disarm(&sys->timer); /* cancelled before it came to wait */
			return op_finish(op, -ECANCELED);
		}
		return timer_is_armed(&sys->timer) ? op_park_alone(op) : op_finish(op, 0);
	}
	err = timespec_read(op_aspace(op), at, &ns);
	if (err)
		return op_finish(op, err);
	timer_init(&sys->timer, sleep_fire);
	timer_arm(&sys->timer, timeout_deadline(ns, timeout_flags));
	return op_goto(op, SLEEP_WAIT);
}

static int sleep_cancel(struct op *op)
{
	timer_disarm(&sys_op_of(op)->timer);
	op_wake(op);
	return 0;
}

static enum step nanosleep_step(struct op *op, const struct sys_args *args)
{
	return sleep_step(op, args->a[0], 0);
}

const struct sys_row sys_nanosleep = {
	.name = "nanosleep",
	.step = nanosleep_step,
	.cancel = sleep_cancel,
};

static enum step clock_nanosleep_step(struct op *op, const struct sys_args *args)
{
	uint32_t id = (uint32_t)args->a[0];
	bool wall = id == CLOCK_REALTIME || id == CLOCK_TAI;

	if (!wall && id != CLOCK_MONOTONIC && id != CLOCK_BOOTTIME)
		return op_finish(op, id == CLOCK_THREAD_CPUTIME_ID ? -EINVAL : -EOPNOTSUPP);
	if (args->a[1] & ~(uint64_t)TIMER_ABSTIME)
		return op_finish(op, -EINVAL);
	return sleep_step(op, args->a[2],
			  args->a[1] & TIMER_ABSTIME ?
				  IORING_TIMEOUT_ABS | (wall ? IORING_TIMEOUT_REALTIME : 0) :
				  0);
}

const struct sys_row sys_clock_nanosleep = {
	.name = "clock_nanosleep",
	.step = clock_nanosleep_step,
	.cancel = sleep_cancel,
};
