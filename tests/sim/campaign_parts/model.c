/*
 * model: records, order, and the judgement of what every operation has in common. See model.h.
 */
#include "campaign_parts/model.h"

#include <stdio.h>
#include <string.h>

#include "lib/internal.h"
#include "ring/ring.h"

struct side sides[PROGRAMS];
struct campaign_world world;

#define LINKS (IOSQE_IO_LINK | IOSQE_IO_HARDLINK)

/* What the program waits for, in the order in which it asked. */
static void side_show(const struct side *s)
{
	uint64_t last = 0;

	printf("program %u waits for:\n", s->index);
	for (;;) {
		const struct rec *r = NULL;

		for (unsigned i = 0; i < RECS; i++)
			if (s->recs[i].id && s->recs[i].serial > last &&
			    (!r || s->recs[i].serial < r->serial))
				r = &s->recs[i];
		if (!r)
			return;
		last = r->serial;
		printf("  ring %u user_data %llx op %u flags %x fd %d addr %llx%s%s%s%s\n", r->ring,
		       (unsigned long long)r->id, r->sqe.opcode, r->sqe.flags, r->sqe.fd,
		       (unsigned long long)r->sqe.addr, r->endless ? ", endless" : "",
		       r->before ? ", behind a member" : "", r->stops ? ", to be stopped" : "",
		       r->retired ? ", its ring is closed" : "");
	}
}

/* The kernel's own view of the rings: outside the campaign's judgement, for who reads a failure. */
static void rings_show(const struct process *p)
{
	list_for_each(pos, &p->rings) {
		const struct ring *r = list_item(pos, struct ring, sibling);

		printf("kernel: ring %u core %u kind %u slow %x: %u in flight, %u unbegun, %u ops "
		       "held of %u free\n",
		       r->id, ring_post_core(r), r->kind, r->slow, r->inflight_count,
		       r->unbegun_count, r->ops_held, ops_free_count(cores[ring_post_core(r)]));
	}
}

void model_show(void)
{
	for (unsigned i = 0; i < world.programs; i++)
		if (!sides[i].ended)
			side_show(&sides[i]), rings_show(sides[i].proc);
}

noreturn_fn void model_fail(const struct side *s, const struct rec *r,
			    const struct io_uring_cqe *cqe, const char *why)
{
	sim_fail("program %u ring %u: op %u flags %x user_data %llx: res %d flags %x: not: %s "
		 "(fate %u, stops %u, torn %d, off %llu len %u, ns %llu since %llu now %llu)",
		 s->index, r->ring, r->sqe.opcode, r->sqe.flags, (unsigned long long)r->id,
		 cqe ? cqe->res : 0, cqe ? cqe->flags : 0, why, r->fate, r->stops, r->torn,
		 (unsigned long long)r->sqe.off, r->sqe.len, (unsigned long long)r->ns,
		 (unsigned long long)r->since, (unsigned long long)arch_time_ns());
}

uaddr_t rec_mem(const struct side *s, const struct rec *r)
{
	return s->mem + (uint64_t)(r - s->recs) * REC_BYTES;
}

struct rec *rec_find(struct side *s, uint64_t id)
{
	struct rec *r = &s->recs[id % RECS];

	return id && r->id == id && !r->retired ? r : NULL;
}

bool ring_has_endless(const struct side *s, unsigned ring)
{
	for (unsigned i = 0; i < RECS; i++)
		if (s->recs[i].id && s->recs[i].ring == ring && s->recs[i].endless &&
		    !s->recs[i].guarded)
			return true;
	return false;
}

static bool ring_has_drain(const struct side *s, unsigned ring)
{
	for (unsigned i = 0; i < RECS; i++)
		if (s->recs[i].id && s->recs[i].ring == ring && !s->recs[i].retired &&
		    (s->recs[i].sqe.flags & IOSQE_IO_DRAIN))
			return true;
	return false;
}

/* A cancellation that may mean what is submitted after it, too: it may begin late. */
static bool ring_has_broad(const struct side *s, unsigned ring)
{
	for (unsigned i = 0; i < RECS; i++)
		if (s->recs[i].id && s->recs[i].ring == ring && s->recs[i].broad)
			return true;
	return false;
}

struct rec *model_record(struct side *s, unsigned ring)
{
	unsigned from = (unsigned)sim_below(RECS);

	for (unsigned i = 0; i < RECS; i++) {
		struct rec *r = &s->recs[(from + i) % RECS];

		if (r->id)
			continue;
		memset(r, 0, sizeof(*r));
		r->serial = ++s->clock;
		r->id = r->serial * RECS + (uint64_t)(r - s->recs);
		r->ring = (uint8_t)ring;
		r->sqe.user_data = r->id;
		return r;
	}
	return NULL;
}

static uint32_t sq_free(const struct ring_side *rs)
{
	const struct sim_prog *p = &rs->view;

	return p->start.params.sq_entries -
	       (p->sq_tail - prog_load((struct sim_prog *)p,
				       p->start.sq_ring + p->start.params.sq_off.head));
}

void model_submit(struct side *s, struct rec **chain, unsigned count, bool show)
{
	struct ring_side *rs = &s->rings[chain[0]->ring];
	bool drained = ring_has_drain(s, chain[0]->ring);

	/* nobody has seen them yet: those that find no room are forgotten */
	while (sq_free(rs) < count) {
		prog_submit(&rs->view);
		if (!model_reap(s, chain[0]->ring))
			prog_pause(s->p);
	}
	for (unsigned i = 0; i < count; i++) {
		struct rec *r = chain[i];

		r->since = arch_time_ns();
		r->cq_seen = rs->reaped;
		r->unheld = count == 1 && !drained;
		if (ring_has_broad(s, r->ring))
			model_stop(r);
		if (i) {
			r->before = chain[i - 1];
			chain[i - 1]->after = r;
			r->fate = FATE_BEHIND;
			r->was_behind = true;
		}
		s->out++;
		if (sim_trace_all)
			printf("  program %u submits op %u flags %x fd %d off %llx addr %llx len "
			       "%u, "
			       "user_data %llx\n",
			       s->index, r->sqe.opcode, r->sqe.flags, r->sqe.fd,
			       (unsigned long long)r->sqe.off, (unsigned long long)r->sqe.addr,
			       r->sqe.len, (unsigned long long)r->id);
		sim_check(prog_sqe(&rs->view, &r->sqe));
	}
	if (show)
		prog_submit(&rs->view);
}

void model_stop(struct rec *r)
{
	if (r->stops < 200)
		r->stops++;
}

/* ---- judging --------------------------------------------------------------------------------- */

/* Did it move less than it was asked to, in a way that breaks a soft link? */
static bool is_short(const struct rec *r, int32_t res)
{
	switch (r->sqe.opcode) {
	case IORING_OP_READ:
	case IORING_OP_WRITE:
	case IORING_OP_READ_FIXED:
	case IORING_OP_WRITE_FIXED:
	case IORING_OP_READV:
	case IORING_OP_WRITEV:
		return (uint32_t)res < r->len;
	case IORING_OP_SEND:
	case IORING_OP_SENDMSG:
		return (uint32_t)res < r->len;
	case IORING_OP_RECV:
		return (r->sqe.msg_flags & MSG_WAITALL) && (uint32_t)res < r->len;
	}
	return false;
}

static bool breaks(const struct rec *r, int32_t res)
{
	if (res == -ETIME && r->sqe.opcode == IORING_OP_TIMEOUT &&
	    (r->sqe.timeout_flags & IORING_TIMEOUT_ETIME_SUCCESS))
		return false;
	if (r->sqe.opcode == IORING_OP_LINK_TIMEOUT)
		return false; /* what it guarded, and whether it fired, tell */
	return res < 0 || is_short(r, res);
}

static void judge_common(struct side *s, struct rec *r, const struct io_uring_cqe *cqe);
static void rec_end(struct side *s, struct rec *r, const struct io_uring_cqe *cqe);

/* A member that nobody hears of is cancelled all the same. */
static void rec_hush(struct side *s, struct rec *r)
{
	const struct io_uring_cqe cqe = { .user_data = r->id, .res = -ECANCELED };

	(r->judge ? r->judge : judge_common)(s, r, &cqe);
	rec_end(s, r, &cqe);
}

/* What its end means for the member behind it. Once a chain is broken, all of the rest is. */
static void pass_on(struct side *s, struct rec *r, int32_t res)
{
	struct rec *next = r->after;
	bool broken = breaks(r, res);

	if (!next)
		return;
	next->before = NULL;
	next->fate = FATE_OPEN;
	next->hushes = r->hushes;
	if (r->fate != FATE_DOOMED && broken && (r->sqe.flags & IOSQE_CQE_SKIP_SUCCESS))
		next->hushes = true;
	if (r->fate == FATE_DOOMED)
		next->fate = FATE_DOOMED;
	else if (r->fate == FATE_EITHER ||
		 (r->torn && r->sqe.opcode != IORING_OP_NOP && res >= 0))
		next->fate = FATE_EITHER;
	else if (next->sqe.opcode == IORING_OP_LINK_TIMEOUT) {
		next->broke = broken && !(r->sqe.flags & IOSQE_IO_HARDLINK);
		next->must_fire = res == -ECANCELED && !r->stops;
	} else if (r->broke || (broken && !(r->sqe.flags & IOSQE_IO_HARDLINK))) {
		next->fate = FATE_DOOMED;
	}
	if (next->fate != FATE_DOOMED &&
	    (next->sqe.opcode != IORING_OP_LINK_TIMEOUT || !next->broke))
		next->hushes = false;
	if (next->fate == FATE_DOOMED && next->hushes)
		rec_hush(s, next);
}

static void judge_order(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	/* members that answer nobody when all is well */
	while (r->before && (r->before->sqe.flags & IOSQE_CQE_SKIP_SUCCESS)) {
		struct rec *quiet = r->before;

		while (quiet->before && (quiet->before->sqe.flags & IOSQE_CQE_SKIP_SUCCESS))
			quiet = quiet->before;
		if (quiet->before)
			model_fail(s, r, cqe, "a member before it has answered");
		pass_on(s, quiet, 0);
		quiet->id = 0;
		s->out--;
	}
	if (r->before)
		model_fail(s, r, cqe, "the member before it has answered");
	if (r->fate == FATE_DOOMED && cqe->res != -ECANCELED)
		model_fail(s, r, cqe, "cancelled behind a broken link");
	for (unsigned i = 0; i < RECS; i++) {
		const struct rec *d = &s->recs[i];

		if (!d->id || d->retired || d->ring != r->ring ||
		    !(d->sqe.flags & IOSQE_IO_DRAIN) || d->serial > r->serial)
			continue;
		for (unsigned k = 0; k < RECS; k++) {
			const struct rec *e = &s->recs[k];

			if (e->id && !e->retired && e->ring == r->ring && e->serial < d->serial &&
			    !(e->sqe.flags & IOSQE_CQE_SKIP_SUCCESS))
				model_fail(s, e, cqe,
					   "answered before a drain, and what is behind one");
		}
	}
}

static void judge_cancelled(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	if (cqe->res == -ECANCELED && r->fate < FATE_DOOMED && !r->stops &&
	    r->sqe.opcode != IORING_OP_LINK_TIMEOUT && !r->guarded)
		model_fail(s, r, cqe, r->was_behind ? "somebody asked for its end (behind a member)"
						    : "somebody asked for its end");
}

static void judge_common(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	if (cqe->res == -ECANCELED)
		return;
	model_check(s, r, cqe, cqe->res == 0 || (cqe->res == -EFAULT && r->torn));
}

static void rec_end(struct side *s, struct rec *r, const struct io_uring_cqe *cqe)
{
	pass_on(s, r, cqe->res);
	stream_done(r);
	r->id = 0;
	s->out--;
}

bool model_reap(struct side *s, unsigned ring)
{
	struct ring_side *rs = &s->rings[ring];
	struct io_uring_cqe cqe;
	struct rec *r;

	if (!rs->open || !prog_cqe(&rs->view, &cqe))
		return false;
	rs->reaped++;
	r = &s->recs[cqe.user_data % RECS];
	if (r->id != cqe.user_data || !r->id || r->ring != ring || r->retired)
		sim_fail("program %u ring %u: a completion nobody waits for: user_data %llx res %d "
			 "flags %x", s->index, ring, (unsigned long long)cqe.user_data, cqe.res,
			 cqe.flags);
	judge_order(s, r, &cqe);
	judge_cancelled(s, r, &cqe);
	(r->judge ? r->judge : judge_common)(s, r, &cqe);
	s->clock++;
	if (r->shots < 255)
		r->shots++;
	/* the flags of a system call's answer are the upper half of its result */
	if (r->sqe.opcode == IORING_OP_SYSCALL || !(cqe.flags & IORING_CQE_F_MORE))
		rec_end(s, r, &cqe);
	return true;
}

void model_ring_died(struct side *s, unsigned ring)
{
	s->rings[ring].open = false;
	for (unsigned i = 0; i < RECS; i++) {
		struct rec *r = &s->recs[i];

		if (!r->id || r->ring != ring || r->retired)
			continue;
		stream_lost(r);
		/* the device may write to its memory, or the disk, for a while: both are left
		 * alone */
		r->retired = true;
		s->out--;
	}
}
