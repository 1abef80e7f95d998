/*
 * Is an entry ever lost, doubled or overtaken in its chain while its ring goes from core to core
 * every 100 us? 10,000 entries a run: chains of all kinds of members, broken ones among them,
 * guards, drains, multishots; every completion is judged as it comes. And while long members of
 * chains are given to another core besides, wherever they wait to go on?
 *
 * The campaign asks more of less: here only what an order can be known of. And is a program always
 * served that waits by looking only, and rings the doorbell when it is told to? What if a timeout
 * is awake, and has not run, when its ring leaves? Is a ring that is about to leave still offered
 * to the balancer?
 */
#include <string.h>

#include "base/counters.h"
#include "cores/balance.h"
#include "lib/prog.h"
#include "ring/ring.h"
#include "uapi/errno.h"
#include "uapi/fs.h"
#include "uapi/syscall.h"
#include "uapi/time.h"

#define PROGRAMS 2u
#define ENTRIES (10000u / PROGRAMS)
#define WINDOW 48u    /* entries out at a time */
#define CHAIN_MAX 5u
#define MOVE_NS 100000u
#define SHOTS 3u
#define DRAW_LEN 6000u	 /* bytes; both are long steps, and worth giving away in the beginning */
#define COPY_LEN (400u << 10)

enum what {
	NOP,
	FAILING,
	CALL,
	CALL_HOME,
	READ,
	TIMEOUT,
	SHOTS_TIMEOUT,
	GUARDED,
	GUARD,
	DRAW, /* random bytes */
	COPY, /* a large read of a file in memory */
	WHATS
};

/* One entry; its user_data is its index. */
struct entry {
	uint8_t what, flags;
	uint8_t shots;	 /* CQEs so far */
	bool done;
	bool first;	 /* of its chain */
	bool doomed;	 /* a member before it broke the chain */
	uint32_t chain;	 /* index of the first of its chain */
};

static struct side {
	struct sim_prog *p;
	struct process *proc;
	uaddr_t mem;
	int zero, file;
	uint32_t sent, done, low; /* low: the first that is not done */
	struct entry entries[ENTRIES + CHAIN_MAX];
} sides[PROGRAMS];

static bool giving; /* with long members */

static const char *const names[WHATS] = { "nop",   "failing", "call",  "call home",
					  "read",  "timeout", "shots", "guarded",
					  "guard", "draw",    "copy" };

/* ---- sending --------------------------------------------------------------------------------- */

static uaddr_t put_time(struct side *s, uint32_t index, nsec_t ns)
{
	struct __kernel_timespec ts = { .tv_nsec = (int64_t)ns };
	uaddr_t at = s->mem + index % 128 * sizeof(ts);

	prog_write(s->p, at, &ts, sizeof(ts));
	return at;
}

static struct io_uring_sqe fill(struct side *s, uint32_t index, enum what what)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_NOP, .user_data = index };
	struct sluice_syscall_sqe call = { .opcode = IORING_OP_SYSCALL, .user_data = index };

	switch (what) {
	case FAILING:
		sqe.nop_flags = IORING_NOP_INJECT_RESULT;
		sqe.len = (uint32_t)-EIO;
		break;
	case CALL:
	case CALL_HOME: /* which only the home core can answer */
		call.nr = what == CALL ? SYS_getuid : SYS_fcntl;
		call.a0 = (uint64_t)s->zero;
		call.a1 = F_GETFD;
		memcpy(&sqe, &call, sizeof(sqe));
		break;
	case DRAW:
		call.nr = SYS_getrandom;
		call.a0 = s->mem + PAGE_SIZE;
		call.a1 = DRAW_LEN;
		memcpy(&sqe, &call, sizeof(sqe));
		break;
	case READ:
	case COPY:
		sqe.opcode = IORING_OP_READ;
		sqe.fd = what == READ ? s->zero : s->file;
		sqe.addr = s->mem + PAGE_SIZE;
		sqe.len = what == READ ? 8 : COPY_LEN;
		break;
	case TIMEOUT:
	case SHOTS_TIMEOUT:
	case GUARDED:
		sqe.opcode = IORING_OP_TIMEOUT;
		sqe.len = 1;
		sqe.timeout_flags = what == SHOTS_TIMEOUT ? IORING_TIMEOUT_MULTISHOT
							  : IORING_TIMEOUT_ETIME_SUCCESS;
		sqe.off = what == SHOTS_TIMEOUT ? SHOTS : 0;
		sqe.addr =
			put_time(s, index, what == GUARDED ? 900000000 : 1000 + sim_below(90000));
		break;
	case GUARD:
		sqe.opcode = IORING_OP_LINK_TIMEOUT;
		sqe.len = 1;
		sqe.addr = put_time(s, index, 1000 + sim_below(90000));
		break;
	default:
		break;
	}
	return sqe;
}

/* What the next member is: a guarded one has its guard behind it, what answers often stands
 * alone. */
static enum what choose(unsigned place, unsigned length, enum what before)
{
	enum what what = (enum what)sim_below(length == 1 ? GUARDED : SHOTS_TIMEOUT);

	if (before == GUARDED)
		return GUARD;
	if (giving && sim_chance(4))
		return sim_chance(3) ? COPY : DRAW;
	if (place + 1 < length && sim_chance(5))
		return GUARDED;
	return what;
}

static void send_chain(struct side *s)
{
	unsigned length = 1 + (sim_chance(2) ? 0 : (unsigned)sim_below(CHAIN_MAX));
	uint32_t first = s->sent;
	enum what what = NOP;

	for (unsigned i = 0; i < length; i++) {
		struct entry *e = &s->entries[s->sent];
		struct io_uring_sqe sqe;

		what = choose(i, length, i ? what : NOP);
		sqe = fill(s, s->sent, what);
		if (i + 1 < length)
			sqe.flags |= what == GUARDED || !sim_chance(3) ? IOSQE_IO_LINK
								       : IOSQE_IO_HARDLINK;
		if (!i && sim_chance(12))
			sqe.flags |= IOSQE_IO_DRAIN;
		*e = (struct entry){ .what = (uint8_t)what, .flags = sqe.flags, .first = !i,
				     .chain = first };
		sim_check(prog_sqe(s->p, &sqe));
		s->sent++;
	}
}

/* ---- judging --------------------------------------------------------------------------------- */

noreturn_fn static void wrong(const struct side *s, uint32_t index, int32_t res, const char *why)
{
	const struct entry *e = &s->entries[index];

	sim_fail("program %u: entry %u (%s, flags %x, chain from %u) came with %d: not: %s",
		 (unsigned)(s - sides), index, names[e->what], e->flags, e->chain, res, why);
}

static int32_t wanted(const struct entry *e)
{
	static const int32_t results[WHATS] = { [FAILING] = -EIO, [READ] = 8, [TIMEOUT] = -ETIME,
						[SHOTS_TIMEOUT] = -ETIME, [GUARDED] = -ECANCELED,
						[GUARD] = -ETIME, [DRAW] = DRAW_LEN,
						[COPY] = COPY_LEN };

	return e->doomed ? -ECANCELED : results[e->what];
}

/* The upper half of its result is in the flags. */
static bool is_call(const struct entry *e)
{
	return e->what == CALL || e->what == CALL_HOME || e->what == DRAW;
}

static void judge_order(const struct side *s, uint32_t index, int32_t res)
{
	const struct entry *e = &s->entries[index];

	if (!e->first && !s->entries[index - 1].done)
		wrong(s, index, res, "the member before it has answered");
	for (uint32_t i = index; i > s->low; i--)
		if (s->entries[i].flags & IOSQE_IO_DRAIN)
			wrong(s, index, res, "all before a drain has answered");
}

static void judge(struct side *s, const struct io_uring_cqe *cqe)
{
	uint32_t index = (uint32_t)cqe->user_data;
	struct entry *e = &s->entries[index];
	bool more = e->what == SHOTS_TIMEOUT && !e->doomed && e->shots + 1u < SHOTS;

	if (cqe->user_data >= s->sent)
		sim_fail("a completion of nothing: %llx", (unsigned long long)cqe->user_data);
	if (e->done)
		wrong(s, index, cqe->res, "it answers once");
	if (e->what == CALL || e->what == CALL_HOME ? e->doomed != (cqe->res == -ECANCELED) :
						      cqe->res != wanted(e))
		wrong(s, index, cqe->res, "what it was to answer");
	if (!is_call(e) && more != !!(cqe->flags & IORING_CQE_F_MORE))
		wrong(s, index, cqe->res, "as many answers as it was to give");
	judge_order(s, index, cqe->res);
	e->shots++;
	if (more)
		return;
	e->done = true;
	s->done++;
	while (s->low < s->sent && s->entries[s->low].done)
		s->low++;
	if (!(e->flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK)))
		return;
	/* a guard fires, unless what it guards never began; it has ended that by a soft link */
	if (e->what == GUARDED)
		e[1].doomed = e->doomed;
	else
		e[1].doomed = e->doomed || e->what == GUARD ||
			      (e->what == FAILING && !(e->flags & IOSQE_IO_HARDLINK));
}

/* ---- a program ------------------------------------------------------------------------------- */

static void program(struct sim_prog *p)
{
	struct side *s = p->arg;
	struct io_uring_sqe open = { .opcode = IORING_OP_OPENAT, .fd = AT_FDCWD };
	struct io_uring_cqe cqe;

	s->p = p;
	s->mem = prog_map(p, PAGE_SIZE + (giving ? COPY_LEN : PAGE_SIZE));
	prog_write(p, s->mem, "/dev/zero", 10);
	open.addr = s->mem;
	s->zero = prog_do(p, &open, NULL);
	sim_check(s->zero > 2);
	if (giving) {
		s->file = (int)prog_call(p, SYS_memfd_create, s->mem, 0, 0, 0, 0, 0);
		sim_check(!prog_call(p, SYS_ftruncate, (uint64_t)s->file, COPY_LEN, 0, 0, 0, 0));
	}
	while (s->sent < ENTRIES || s->done < s->sent) {
		bool any = false;

		while (s->sent < ENTRIES && s->sent - s->done < WINDOW && !sim_chance(8)) {
			send_chain(s);
			any = true;
		}
		if (any || sim_chance(8))
			prog_submit(p);
		if (s->done == s->sent)
			continue;
		prog_wait_cqe(p, &cqe);
		do
			judge(s, &cqe);
		while (!sim_chance(20) && prog_cqe(p, &cqe));
	}
}

/* ---- moves ----------------------------------------------------------------------------------- */

static nsec_t next_move;
static unsigned asked;

static void move_one(void *arg)
{
	int err = ring_move(arg, 2 * (unsigned)sim_below(3));

	sim_check(!err || err == -EALREADY || err == -EBUSY);
}

/* Every ring of both programs, wherever it is. */
static void move_all(void)
{
	if (arch_time_ns() < next_move)
		return;
	next_move = arch_time_ns() + MOVE_NS;
	for (unsigned i = 0; i < PROGRAMS; i++) {
		struct process *p = sides[i].proc;

		if (p->state != PROCESS_ALIVE || atomic_load(&p->used) != 2)
			continue;
		list_for_each(pos, &p->rings) {
			struct ring *r = list_item(pos, struct ring, sibling);

			if (r->core == RING_NOWHERE)
				continue;
			asked++;
			sim_on_core(r->core, move_one, r);
		}
	}
}

static void moves_with(void (*between)(void))
{
	struct counters sum;

	for (unsigned i = 0; i < PROGRAMS; i++)
		sides[i].proc = sim_spawn(program, &sides[i], 1 + 2 * i, 2 * i);
	sim_between = between;
	sim_finish();
	sim_check(!sim_failed_programs());
	counters_sum(&sum);
	for (unsigned i = 0; i < PROGRAMS; i++)
		sim_check(sides[i].done >= ENTRIES && sides[i].done == sides[i].sent);
	/* they did move: a third is asked to stay, and most of the time nothing is against it */
	if (sum.ring_moves < asked / 2 || asked < 1000)
		sim_fail("%llu moves of %u that were asked for", (unsigned long long)sum.ring_moves,
			 asked);
}

static void moves(void)
{
	moves_with(move_all);
}

/* Whatever a core may give goes to another that serves, at any moment. */
static void give_one(void *arg)
{
	struct core *c = this_core();

	(void)arg;
	op_give(c, (c->index + 2 + 2 * (unsigned)sim_below(2)) % 6, sim_below(100000));
}

static void move_and_give(void)
{
	move_all();
	if (sim_chance(4))
		sim_on_core(2 * (unsigned)sim_below(3), give_one, NULL);
}

static void gives(void)
{
	struct counters sum;

	giving = true;
	moves_with(move_and_give);
	counters_sum(&sum);
	if (sum.ops_given < ENTRIES / 20)
		sim_fail("%llu given away", (unsigned long long)sum.ops_given);
}

/* ---- doorbells ------------------------------------------------------------------------------- */

#define LOOKS_MAX 3000u /* in vain, before somebody should have come */

static bool looks_on; /* it has shown its entry: no move helps it now */

static void looker(struct sim_prog *p)
{
	struct io_uring_sqe nop = { .opcode = IORING_OP_NOP };
	struct io_uring_cqe cqe;

	for (unsigned n = 0; n < 60; n++) {
		unsigned looks = 0;

		for (uint64_t pause = sim_below(300); pause; pause--)
			prog_pause(p); /* so that the poller sleeps, here or there */
		sim_check(prog_sqe(p, &nop));
		prog_submit(p);
		looks_on = true;
		while (!prog_cqe(p, &cqe))
			if (++looks == LOOKS_MAX)
				sim_fail("entry %u: nobody comes", n);
		looks_on = false;
	}
}

/* Now and then, so that the cores sleep meanwhile; who is told to move a ring is awake. */
static void move_seldom(void)
{
	struct process *p = sides[0].proc;

	if (p->state != PROCESS_ALIVE || looks_on || !sim_chance(100))
		return;
	list_for_each(pos, &p->rings) {
		struct ring *r = list_item(pos, struct ring, sibling);

		if (r->core != RING_NOWHERE)
			sim_on_core(r->core, move_one, r);
	}
}

static void doorbells(void)
{
	sides[0].proc = sim_spawn(looker, NULL, 1, 0);
	sim_between = move_seldom;
	sim_finish();
	sim_check(!sim_failed_programs());
}

/* ---- a timeout that is awake ----------------------------------------------------------------- */

#define NAP_NS 1000000u

static int32_t nap_result;
static uint64_t nap_steps; /* on the core that its ring leaves */

static void napper(struct sim_prog *p)
{
	struct __kernel_timespec ts = { .tv_nsec = NAP_NS };
	uaddr_t at = prog_map(p, PAGE_SIZE);
	struct io_uring_sqe sqe = { .opcode = IORING_OP_TIMEOUT, .fd = -1, .addr = at, .len = 1 };
	struct io_uring_cqe cqe;

	prog_write(p, at, &ts, sizeof(ts));
	sim_check(prog_sqe(p, &sqe));
	prog_submit(p);
	prog_wait_cqe(p, &cqe);
	nap_result = cqe.res;
}

static struct op *nap_find(void)
{
	struct ring *r;

	if (list_is_empty(&sides[0].proc->rings))
		return NULL;
	r = list_item(sides[0].proc->rings.next, struct ring, sibling);
	for (unsigned i = 0; i < RING_HASH; i++)
		list_for_each(pos, &r->inflight[i])
			return list_item(pos, struct op, inflight);
	return NULL;
}

static bool nap_begun(void *arg)
{
	(void)arg;
	return nap_find() && nap_find()->life == OP_PARKED;
}

/* Its ring leaves in the same core's next turn, before what is runnable there is run. */
static void nap_disturb(void *arg)
{
	struct op *op = nap_find();

	(void)arg;
	nap_steps = cores[0]->count->steps;
	op_wake(op);
	sim_check(op->life == OP_RUNNABLE && !ring_move(op->ring, 2));
}

static bool nap_moved(void *arg)
{
	(void)arg;
	return nap_find()->ring->core == 2;
}

static void woken_timeout(void)
{
	sides[0].proc = sim_spawn(napper, NULL, 1, 0);
	sim_until(nap_begun, NULL);
	sim_on_core(0, nap_disturb, NULL);
	sim_until(nap_moved, NULL);
	sim_check(cores[0]->count->steps == nap_steps); /* it runs where its ring is */
	sim_finish();
	sim_check(nap_result == -ETIME && !sim_failed_programs());
}

/* ---- a ring that is about to leave ----------------------------------------------------------- */

static bool is_offered(struct core *c, uint64_t id)
{
	struct balance_unit units[BALANCE_UNITS];
	unsigned n = balance_mover(BALANCE_RING)->list(c, units, BALANCE_UNITS);

	while (n--)
		if (units[n].id == id)
			return true;
	return false;
}

/* A pass that comes before it has left must not see it: it would send another one after it. */
static void offer_and_leave(void *arg)
{
	struct ring *r = nap_find()->ring;

	(void)arg;
	sim_check(is_offered(cores[0], r->id));
	sim_check(!ring_move(r, 2));
	sim_check(!is_offered(cores[0], r->id));
}

static void offer_there(void *arg)
{
	(void)arg;
	sim_check(is_offered(cores[2], nap_find()->ring->id));
}

static void offered(void)
{
	sides[0].proc = sim_spawn(napper, NULL, 1, 0);
	sim_until(nap_begun, NULL);
	sim_on_core(0, offer_and_leave, NULL);
	sim_until(nap_moved, NULL);
	sim_on_core(2, offer_there, NULL);
	sim_finish();
	sim_check(!sim_failed_programs());
}

int main(void)
{
	static const struct sim_test tests[] = {
		{ .name = "moves of a ring that is offered",
		  .run = offered,
		  .cores = 5,
		  .cmdline = "policy=static map=0:kernel+net+io,1:user,2:kernel,3:user,4:kernel" },
		{ .name = "moves of a woken timeout",
		  .run = woken_timeout,
		  .cores = 5,
		  .cmdline = "map=0:kernel+net+io,1:user,2:kernel,3:user,4:kernel" },
		{ .name = "moves",
		  .run = moves,
		  .cores = 5,
		  .cmdline = "map=0:kernel+net+io,1:user,2:kernel,3:user,4:kernel",
		  .ops = 512,
		  .seeds = 100 },
		{ .name = "moves and operations given away",
		  .run = gives,
		  .cores = 5,
		  .cmdline = "map=0:kernel+net+io,1:user,2:kernel,3:user,4:kernel",
		  .ops = 512,
		  .seeds = 30 }, /* each copies 400 MiB */
		{ .name = "moves doorbells",
		  .run = doorbells,
		  .cores = 5,
		  .cmdline = "map=0:kernel+net+io,1:user,2:kernel,3:user,4:kernel" },
	};

	return sim_main(tests, array_count(tests));
}
