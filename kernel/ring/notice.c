/*
 * notice: NOTICE: receivers, endpoints, doorbells (uapi/notice.h). The mechanism is sched/inbox.
 *
 *   ACT --done at once--> finished
 *    |  REGISTER: --mail to the thread's core and back--> ACT
 *    +- WAIT: nothing there --> parked on the receiver's waiters --told--> ACT
 *    +- RING: it has moved --> parked until it is home --> ACT
 *
 * The receiver that an entry is about is the thread it comes from (ring_caller); on rings that are
 * nobody's, the first. It belongs to the home core of its process; so do its endpoints (they are
 * files). CONNECT changes the address space of the caller and runs on that one's home core, the
 * others where the receiver lives. A receiver's memory is type-stable, and kept while an endpoint
 * names it.
 */
#include "ring/internal.h"

#include "mm/frames.h"
#include "mm/pool.h"
#include "ring/notice.h"
#include "sched/inbox.h"
#include "uapi/notice.h"
#include "uapi/fs.h"

#define RECEIVERS_PER_CORE 128u
#define ENDPOINTS_PER_CORE 256u

/* ---- body ------------------------------------------------------------------------------------ */

struct notice_op {
	uint64_t off, addr;
	int32_t fd;
	uint8_t command;
};

struct receiver {
	void *pool;	    /* the pool's while it is free: what is behind survives the receiver */
	struct inbox inbox;
	/* home core only */
	struct user_thread *thread; /* NULL: gone */
	struct waitlist waiters;    /* WAIT ops */
	struct op *registering;
	uint32_t endpoints;
	bool moving; /* `mail` is under way */
	/* who sent it */
	struct mail mail;
	uaddr_t handler;
	struct pin area; /* its struct sluice_upcall, of len 0: none. While `thread` */
};

struct endpoint {
	struct file file;
	struct receiver *to;
	uint32_t id;
	_Atomic uint32_t revoked;
	struct file *_Atomic offered; /* an endpoint of somebody else's, referenced; or NULL */
};

static struct pool receiver_pools[CORES_MAX], endpoint_pools[CORES_MAX];

void notices_init(unsigned core)
{
	pool_init(&receiver_pools[core], "receivers", sizeof(struct receiver), RECEIVERS_PER_CORE);
	pool_init(&endpoint_pools[core], "endpoints", sizeof(struct endpoint), ENDPOINTS_PER_CORE);
}

/* ---- states ---------------------------------------------------------------------------------- */

enum notice_state { NOTICE_ACT, NOTICE_REGISTERED };
static const char *const notice_state_names[] = { "act", "registered" };

/* ---- check ----------------------------------------------------------------------------------- */

static int notice_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct notice_op *no = op_body(op, struct notice_op);
	bool has_fd = false, has_off = false, has_addr = false;

	if (sqe->ioprio || sqe->rw_flags || sqe->buf_index || sqe->splice_fd_in || sqe->addr3 ||
	    sqe->__pad2[0] || (sqe->flags & IOSQE_FIXED_FILE))
		return -EINVAL;
	switch (sqe->len) {
	case SLUICE_NOTICE_REGISTER: has_off = has_addr = true; break;
	case SLUICE_NOTICE_CREATE: has_off = true; break;
	case SLUICE_NOTICE_CONNECT: has_fd = has_addr = true; break;
	case SLUICE_NOTICE_POST: has_fd = true; break;
	case SLUICE_NOTICE_WAIT: has_off = has_addr = true; break;
	case SLUICE_NOTICE_ENABLE: has_off = true; break;
	case SLUICE_NOTICE_REVOKE: has_fd = true; break;
	case SLUICE_NOTICE_RING: has_fd = has_off = true; break;
	case SLUICE_NOTICE_WAKER: has_addr = true; break;
	case SLUICE_NOTICE_OFFER: has_fd = has_off = true; break;
	case SLUICE_NOTICE_TAKE: has_fd = true; break;
	case SLUICE_NOTICE_DEVICE: has_fd = has_off = true; break;
	default: return -EINVAL;
	}
	if ((!has_fd && sqe->fd != -1) || (!has_off && sqe->off) || (!has_addr && sqe->addr))
		return -EINVAL;
	no->command = (uint8_t)sqe->len;
	no->fd = sqe->fd;
	no->off = sqe->off;
	no->addr = sqe->addr;
	return 0;
}

/* ---- helpers: receivers ---------------------------------------------------------------------- */

static void notice_receiver_free(struct receiver *rc)
{
	if (!rc->thread && !rc->endpoints && !rc->moving)
		pool_free(&receiver_pools[rc->inbox.home], rc);
}

/* Something came and the kernel was asked, or its thread does not run. Home core. */
static void notice_told(struct inbox *ib)
{
	struct receiver *rc = container_of(ib, struct receiver, inbox);

	if (!rc->thread)
		return;
	atomic_store_explicit(&ib->upcall.asked, false, memory_order_relaxed);
	waitlist_wake_all(&rc->waiters);
	if (ib->direct || upcall_wakes(ib))
		enter_interrupt(rc->thread);
}

/* Back from the thread's core. */
static void notice_attached(struct mail *m)
{
	struct receiver *rc = container_of(m, struct receiver, mail);
	struct op *op = rc->registering;

	rc->moving = false;
	rc->registering = NULL;
	if (op)
		op_wake(op);
	notice_receiver_free(rc);
}

/* On the thread's core, and so while it is not in user mode. */
static void notice_attach(struct mail *m)
{
	struct receiver *rc = container_of(m, struct receiver, mail);

	uint32_t run;

	if (thread_follow(&rc->thread->thread, m))
		return;
	if (rc->thread->thread.state == THREAD_DEAD)
		inbox_close(&rc->inbox);
	else
		inbox_attach(&rc->inbox, rc->area.len ? pin_view(&rc->area, 0, &run) : NULL);
	rc->inbox.upcall.handler = rc->handler;
	if (rc->inbox.direct && rc->handler)
		arch_user_vector(&rc->thread->thread.user, rc->handler);
	m->deliver = notice_attached;
	mailbox_post(rc->inbox.home, m);
}

static struct user_thread *notice_thread(struct op *op)
{
	struct user_thread *t = ring_caller(op->ring);

	return t ? t : op_process(op)->first;
}

static struct receiver *notice_receiver(struct op *op)
{
	struct user_thread *t = notice_thread(op);

	return t ? t->receiver : NULL;
}

/* The handler and, for upcalls, the area that the program names. */
static int notice_register_check(struct op *op, const struct notice_op *no)
{
	struct aspace *as = op_aspace(op);
	uint64_t leaf = PTE_V | PTE_X;

	if (no->off && (!no->addr || no->off % sizeof(struct sluice_upcall)))
		return -EINVAL;
	if (no->addr && ((no->addr & 3) || aspace_fault(as, no->addr, ACCESS_EXEC) ||
			 (aspace_leaf(as, no->addr) & leaf) != leaf))
		return -EFAULT;
	return 0;
}

/* What the program shares begins with the registration that makes the receiver. */
static int notice_area(struct op *op, struct receiver *rc, uaddr_t at)
{
	int64_t n;

	rc->area.len = 0;
	if (!at)
		return 0;
	n = pin_user(op_aspace(op), at, sizeof(struct sluice_upcall), ACCESS_WRITE, &rc->area);
	return n < 0 ? (int)n : 0;
}

static enum step notice_register(struct op *op, struct notice_op *no)
{
	struct user_thread *t = notice_thread(op);
	struct receiver *rc;
	int err = notice_register_check(op, no);

	if (err)
		return op_finish(op, err);
	if (!t)
		return op_finish(op, -ESRCH);
	rc = t->receiver;
	if (rc && rc->moving)
		return op_finish(op, -EBUSY);
	if (!rc) {
		rc = pool_alloc(&receiver_pools[this_core()->index]);
		if (!rc)
			return op_finish(op, -ENOMEM);
		inbox_init(&rc->inbox, &t->thread, this_core()->index, notice_told);
		err = notice_area(op, rc, no->off);
		if (err) {
			pool_free(&receiver_pools[this_core()->index], rc);
			return op_finish(op, err);
		}
		rc->thread = t;
		rc->endpoints = 0;
		waitlist_init(&rc->waiters);
		t->receiver = rc;
	}
	rc->handler = no->addr;
	rc->registering = op;
	rc->moving = true;
	rc->mail.deliver = notice_attach;
	mailbox_post(thread_core(&t->thread), &rc->mail);
	op->state = NOTICE_REGISTERED;
	return op_park_alone(op);
}

void notice_thread_gone(struct user_thread *t)
{
	struct receiver *rc = t->receiver;

	if (!rc)
		return;
	t->receiver = NULL;
	rc->thread = NULL;
	waitlist_wake_all(&rc->waiters); /* entries of a ring that outlives it */
	pin_release(&rc->area);
	notice_receiver_free(rc);
}

static enum step notice_wait(struct op *op, struct notice_op *no)
{
	struct receiver *rc = notice_receiver(op);
	uint64_t got;

	if (!rc)
		return op_finish(op, -ENXIO);
	if (rc->inbox.direct)
		return op_finish(op, -EOPNOTSUPP);
	if (op->flags & OP_CANCELLED)
		return op_finish(op, -ECANCELED);
	got = inbox_take(&rc->inbox, no->off);
	if (!got)
		return op_park(op, &rc->waiters);
	return op_finish(op, user_write(op_aspace(op), no->addr, &got, sizeof(got)));
}

static int notice_enable(struct op *op, const struct notice_op *no)
{
	struct receiver *rc = notice_receiver(op);

	if (!rc)
		return -ENXIO;
	if (rc->inbox.direct || rc->inbox.upcall.area)
		return -EOPNOTSUPP;
	if (no->off & 1)
		return -EINVAL;
	inbox_enable(&rc->inbox, no->off);
	return 0;
}

int64_t notice_alarm(struct user_thread *t, uint64_t ns)
{
	struct inbox *ib = t->thread.inbox;
	nsec_t now = arch_time_ns();

	if (!ib || !ib->upcall.area)
		return -ENXIO;
	inbox_alarm_set(ib, ns > NSEC_NEVER - now ? NSEC_NEVER : now + ns);
	return 0;
}

/* ---- helpers: endpoints ---------------------------------------------------------------------- */

static void endpoint_free(struct file *f)
{
	struct endpoint *ep = container_of(f, struct endpoint, file);
	struct receiver *rc = ep->to;
	struct file *offered = atomic_load(&ep->offered);

	if (offered)
		file_put(offered);
	pool_free(&endpoint_pools[f->core], ep);
	rc->endpoints--;
	notice_receiver_free(rc);
}

static const struct file_ops endpoint_ops = { .name = "notice", .free = endpoint_free };

/* A new endpoint of the caller, with its first reference. */
static int endpoint_make(struct op *op, const struct notice_op *no, struct endpoint **out)
{
	struct receiver *rc = notice_receiver(op);
	struct endpoint *ep;

	if (!no->off || no->off >= SLUICE_NOTICE_IDS)
		return -EINVAL;
	if (!rc)
		return -ENXIO;
	ep = pool_alloc(&endpoint_pools[this_core()->index]);
	if (!ep)
		return -ENFILE;
	file_init(&ep->file, &endpoint_ops, S_IFREG, FILE_STREAM);
	ep->to = rc;
	ep->id = (uint32_t)no->off;
	atomic_store(&ep->revoked, 0);
	atomic_store(&ep->offered, NULL);
	rc->endpoints++;
	*out = ep;
	return 0;
}

static int notice_create(struct op *op, const struct notice_op *no)
{
	struct endpoint *ep;
	int fd = endpoint_make(op, no, &ep);

	if (fd)
		return fd;
	fd = op_fd_install(op, &ep->file, 0, false);
	file_put(&ep->file); /* the descriptor holds it; without one this frees it */
	return fd;
}

static struct endpoint *notice_endpoint(struct op *op, int fd, int *err)
{
	struct file *f = fd_get(op_process(op), fd);

	*err = f ? 0 : -EBADF;
	if (f && f->ops != &endpoint_ops) {
		file_put(f);
		*err = -EINVAL;
		f = NULL;
	}
	return f ? container_of(f, struct endpoint, file) : NULL;
}

static int notice_post(struct op *op, const struct notice_op *no)
{
	int err;
	struct endpoint *ep = notice_endpoint(op, no->fd, &err);

	if (err)
		return err;
	if (atomic_load(&ep->revoked) || !inbox_post(&ep->to->inbox, ep->id))
		err = -EPIPE;
	file_put(&ep->file);
	return err;
}

static int notice_connect(struct op *op, const struct notice_op *no)
{
	struct sluice_doorbell bell = { 0 };
	int err;
	struct endpoint *ep = notice_endpoint(op, no->fd, &err);
	struct wire *w = NULL;

	if (err)
		return err;
	bell.id = ep->id;
	if (atomic_load(&ep->revoked))
		err = -EPIPE;
	else if (ep->to->inbox.direct || (ep->to->inbox.upcall.area && ARCH_STORES_TRAP))
		err = wire_make(&ep->to->inbox, op_aspace(op), ep, &w);
	if (w)
		bell.page = w->at;
	/* a revocation that came between is seen here, or finds the wire */
	atomic_thread_fence(memory_order_seq_cst);
	if (!err && atomic_load(&ep->revoked)) {
		if (w)
			wire_cut(w);
		err = -EPIPE;
	}
	if (!err)
		err = user_write(op_aspace(op), no->addr, &bell, sizeof(bell));
	file_put(&ep->file);
	return err;
}

static int notice_revoke(struct op *op, const struct notice_op *no)
{
	int err;
	struct endpoint *ep = notice_endpoint(op, no->fd, &err);

	if (err)
		return err;
	if (ep->to != notice_receiver(op)) {
		err = -EPERM;
	} else {
		atomic_store(&ep->revoked, 1);
		atomic_thread_fence(memory_order_seq_cst);
		wires_cut(&ep->to->inbox, ep);
	}
	file_put(&ep->file);
	return err;
}

static int notice_offer(struct op *op, const struct notice_op *no)
{
	int err;
	struct endpoint *at = notice_endpoint(op, no->fd, &err), *mine;
	struct file *none = NULL;

	if (err)
		return err;
	err = endpoint_make(op, no, &mine);
	/* an endpoint that waits at itself would never end */
	if (!err && (at->to == mine->to || atomic_load(&at->revoked) ||
		     !atomic_compare_exchange_strong(&at->offered, &none, &mine->file))) {
		err = at->to == mine->to ? -EINVAL : none ? -EBUSY : -EPIPE;
		file_put(&mine->file);
	}
	file_put(&at->file);
	return err;
}

static int notice_take(struct op *op, const struct notice_op *no)
{
	int res;
	struct endpoint *ep = notice_endpoint(op, no->fd, &res);
	struct file *f;

	if (res)
		return res;
	if (ep->to != notice_receiver(op)) {
		file_put(&ep->file);
		return -EPERM;
	}
	f = atomic_exchange(&ep->offered, NULL);
	res = f ? op_fd_install(op, f, 0, false) : -EAGAIN;
	if (f)
		file_put(f);
	file_put(&ep->file);
	return res;
}

/* ---- helpers: devices ------------------------------------------------------------------------ */

static int notice_device(struct op *op, const struct notice_op *no)
{
	struct receiver *rc = notice_receiver(op);
	struct file *f = fd_get(op_process(op), no->fd);
	uint32_t irq = 0;
	struct inbox_source *s = f && f->ops->source ? f->ops->source(f, &irq) : NULL;
	int err = 0;

	if (!irq)
		err = f ? -ENOTTY : -EBADF;
	else if (!rc)
		err = -ENXIO;
	else if (no->off >= SLUICE_NOTICE_IDS)
		err = -EINVAL;
	else if (no->off)
		err = inbox_source_attach(s, &rc->inbox, irq, (uint32_t)no->off);
	else
		inbox_source_detach(s);
	if (f)
		file_put(f);
	return err;
}

/* ---- helpers: rings -------------------------------------------------------------------------- */

static enum step notice_ring(struct op *op, const struct notice_op *no)
{
	struct receiver *rc = notice_receiver(op);
	struct file *f = fd_get(op_process(op), no->fd);
	struct ring *r = f && f->ops == &ring_file_ops ? container_of(f, struct ring, file) : NULL;
	int err = 0;

	if (!r)
		err = f ? -EINVAL : -EBADF;
	else if (!rc)
		err = -ENXIO;
	else if (r->proc != op_process(op))
		err = -EPERM;
	else if (no->off >= SLUICE_NOTICE_IDS)
		err = -EINVAL;
	else if (ring_park_until_home(op, f))
		return STEP_PARKED;
	else if (op->flags & OP_CANCELLED)
		err = -ECANCELED;
	else {
		r->notice = no->off ? &rc->inbox : NULL;
		r->notice_id = (uint32_t)no->off;
		r->watchers &= ~RING_NOTICE;
		r->watchers |= no->off ? RING_NOTICE : 0;
	}
	if (f)
		file_put(f);
	return op_finish(op, err);
}

/* The tail is stored. Pairs with the program that arms the word and then looks at the tail. */
void notice_completions(struct core *c, struct ring *r)
{
	_Atomic uint32_t *word = &r->shared->notify;

	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(word, memory_order_relaxed) != SLUICE_NOTIFY_ARMED ||
	    atomic_exchange_explicit(word, 0, memory_order_relaxed) != SLUICE_NOTIFY_ARMED)
		return;
	c->count->notices++;
	inbox_post(r->notice, r->notice_id);
}

static int notice_waker(struct op *op, const struct notice_op *no)
{
	struct sluice_doorbell bell = { 0 };
	struct wire *w;
	struct inbox *waker = waker_inbox(this_core());
	int err = waker ? wire_make(waker, op_aspace(op), waker, &w) : 0;

	if (err)
		return err;
	if (waker) {
		bell.page = w->at;
		bell.id = WAKER_ID;
	}
	return user_write(op_aspace(op), no->addr, &bell, sizeof(bell));
}

/* ---- step ------------------------------------------------------------------------------------ */

static enum step notice_act(struct op *op)
{
	struct notice_op *no = op_body(op, struct notice_op);

	switch (no->command) {
	case SLUICE_NOTICE_REGISTER:
		return notice_register(op, no);
	case SLUICE_NOTICE_CREATE:
		return op_finish(op, notice_create(op, no));
	case SLUICE_NOTICE_CONNECT:
		return op_finish(op, notice_connect(op, no));
	case SLUICE_NOTICE_POST:
		return op_finish(op, notice_post(op, no));
	case SLUICE_NOTICE_WAIT:
		return notice_wait(op, no);
	case SLUICE_NOTICE_ENABLE:
		return op_finish(op, notice_enable(op, no));
	case SLUICE_NOTICE_REVOKE:
		return op_finish(op, notice_revoke(op, no));
	case SLUICE_NOTICE_RING:
		return notice_ring(op, no);
	case SLUICE_NOTICE_OFFER:
		return op_finish(op, notice_offer(op, no));
	case SLUICE_NOTICE_TAKE:
		return op_finish(op, notice_take(op, no));
	case SLUICE_NOTICE_WAKER:
		return op_finish(op, notice_waker(op, no));
	case SLUICE_NOTICE_DEVICE:
		return op_finish(op, notice_device(op, no));
	}
	op_corrupt(op);
}

static enum step notice_step(struct op *op)
{
	switch ((enum notice_state)op->state) {
	case NOTICE_ACT:
		return notice_act(op);
	case NOTICE_REGISTERED: {
		struct receiver *rc = notice_receiver(op);

		if (rc && rc->registering == op)
			return op_park_alone(op);
		if (!rc)
			return op_finish(op, 0);
		return op_finish(op, rc->inbox.direct	? SLUICE_NOTICE_DIRECT
				     : rc->area.len ? SLUICE_NOTICE_UPCALLS
						    : 0);
	}
	}
	op_corrupt(op);
}

static int notice_cancel(struct op *op)
{
	if (op->state == NOTICE_REGISTERED)
		return -EALREADY; /* it is about to end */
	op_wake(op);
	return 0;
}

const struct op_row row_notice = {
	.name = "notice",
	.body_size = sizeof(struct notice_op),
	.place = OP_PLACE_HOME,
	.state_count = 2,
	.state_names = notice_state_names,
	.check = notice_check,
	.step = notice_step,
	.cancel = notice_cancel,
};
