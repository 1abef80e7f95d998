/*
 * spawn: SPAWN starts a program of the initrd as a child, WAITID waits for a child's end.
 *
 *   SPAWN:  BEGIN --> GATHER, a long step --request to the child's home core--> WAIT --it came
 *           back--> done with the pid
 *   WAITID: LOOK --a child has ended--> done;  LOOK --none yet--> parked on child_waiters --> LOOK
 *
 * Both run on the parent's home core. The request is a block of frames with everything the other
 * core needs; it cannot be cancelled. The program is loaded there by a long step of an op of that
 * core's own, which makes way between pieces.
 */
#include "fs/fs.h"
#include "mm/frames.h"
#include "ring/internal.h"
#include "sched/preempt.h"
#include "uapi/wait.h"

#define REQUEST_ORDER 2u
#define REQUEST_BYTES ((uint32_t)PAGE_SIZE << REQUEST_ORDER)
#define STRINGS_MAX 64u
#define STRINGS_AT_ONCE 16u /* between two windows */

/* ---- bodies */

struct spawn_request {
	struct mail mail;
	struct op *op;
	struct process *child; /* NULL: `result` says why */
	int result;
	bool back;
	uint8_t priority; /* of the op */
	struct process_spec spec;
	char path[FS_PATH_MAX];
	const char *argv[STRINGS_MAX + 1], *envp[STRINGS_MAX + 1];
	struct file *files[SLUICE_SPAWN_FDS_MAX];
	uint32_t text_len;
	char text[];
};

struct spawn_op {
	uaddr_t at;
	struct spawn_request *request;
};

struct waitid_op {
	uaddr_t info;
	uint32_t which, options;
	int32_t id;
};

/* ---- SPAWN: states, check */

enum spawn_state { SPAWN_BEGIN, SPAWN_GATHER, SPAWN_WAIT };
static const char *const spawn_state_names[] = { "begin", "gather", "wait" };

static int spawn_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct spawn_op *sp = op_body(op, struct spawn_op);

	if (sqe->ioprio || sqe->fd || sqe->off || sqe->rw_flags || sqe->buf_index ||
	    sqe->file_index || sqe->addr3 || (op->sqe_flags & IOSQE_FIXED_FILE) ||
	    sqe->len != sizeof(struct sluice_spawn))
		return -EINVAL;
	sp->at = sqe->addr;
	sp->request = NULL;
	return 0;
}

/* ---- SPAWN: helpers */

/* A NULL-terminated array of strings of the program; at 0: none. */
static int spawn_strings(struct aspace *as, struct spawn_request *rq, uaddr_t at, const char **out)
{
	uint32_t room_all = REQUEST_BYTES - (uint32_t)sizeof(*rq);
	uint64_t each;

	for (uint32_t i = 0; at; i++, at += sizeof(each)) {
		if (i % STRINGS_AT_ONCE == STRINGS_AT_ONCE - 1 && preempt_may())
			preempt_here();
		uint32_t room = room_all - rq->text_len;
		int len = user_read(as, at, &each, sizeof(each));

		if (len || !each)
			return len;
		if (i == STRINGS_MAX || !room)
			return -E2BIG;
		len = user_read_string(as, each, rq->text + rq->text_len, room);
		if (len < 0)
			return len == -ENAMETOOLONG ? -E2BIG : len;
		out[i] = rq->text + rq->text_len;
		rq->text_len += (uint32_t)len + 1;
	}
	return 0;
}

static int spawn_files(struct op *op, struct spawn_request *rq, const struct sluice_spawn *ask)
{
	for (uint32_t i = 0; i < ask->fd_count; i++) {
		int32_t fd;
		int err = user_read(op_aspace(op), ask->fds + i * sizeof(fd), &fd, sizeof(fd));

		if (err)
			return err;
		rq->spec.file_count = i + 1;
		if (fd == -1)
			continue;
		rq->files[i] = fd_get(op_process(op), fd);
		if (!rq->files[i])
			return -EBADF;
		if (rq->files[i]->ops == &ring_file_ops)
			return -EINVAL; /* a ring is its process's own */
	}
	return 0;
}

static int spawn_gather(struct op *op, struct spawn_op *sp, struct spawn_request *rq)
{
	struct aspace *as = op_aspace(op);
	struct sluice_spawn ask;
	int err = user_read(as, sp->at, &ask, sizeof(ask));

	if (err)
		return err;
	if (ask.size != sizeof(ask) || ask.fd_count > SLUICE_SPAWN_FDS_MAX)
		return -EINVAL;
	err = user_read_string(as, ask.path, rq->path, sizeof(rq->path));
	if (err < 0)
		return err;
	if (preempt_may())
		preempt_here();
	rq->argv[0] = rq->path;
	err = spawn_strings(as, rq, ask.argv, rq->argv);
	if (!err)
		err = spawn_strings(as, rq, ask.envp, rq->envp);
	if (!err)
		err = spawn_files(op, rq, &ask);
	if (err)
		return err;
	rq->spec.path = rq->path;
	rq->spec.argv = rq->argv;
	rq->spec.envp = rq->envp;
	rq->spec.files = rq->files;
	rq->spec.parent = op_process(op);
	rq->spec.user_core = ask.user_core;
	rq->spec.home = ask.home;
	return process_place(rq->spec.user_core, &rq->spec.home);
}

static void spawn_end(struct spawn_request *rq)
{
	for (uint32_t i = 0; i < rq->spec.file_count; i++)
		if (rq->files[i])
			file_put(rq->files[i]);
	frame_put(arch_direct_paddr(rq));
}

/* Home again: the child is the parent's before the news of its end can come. */
static void spawn_back(struct mail *m)
{
	struct spawn_request *rq = container_of(m, struct spawn_request, mail);

	if (rq->child)
		process_adopt(rq->spec.parent, rq->child);
	rq->back = true;
	op_wake(rq->op);
}

static void spawn_load(struct spawn_request *rq)
{
	rq->result = process_spawn(&rq->spec, &rq->child);
	if (rq->child)
		rq->result = (int)rq->child->pid;
	rq->mail.deliver = spawn_back;
	mailbox_post(rq->spec.parent->home, &rq->mail);
}

/* The loading as an op of the core's own: a long step, which nothing waits for but the mail. */
static enum step load_step(struct op *op)
{
	spawn_load(op_body(op, struct spawn_op)->request);
	return op_finish(op, 0);
}

static const struct op_row row_load = {
	.name = "spawn_load",
	.body_size = sizeof(struct spawn_op),
	.preemptible = 1,
	.state_count = 1,
	.state_names = (const char *const[]){ "load" },
	.step = load_step,
};

static void spawn_there(struct mail *m)
{
	struct spawn_request *rq = container_of(m, struct spawn_request, mail);
	struct op *op = op_alloc(this_core());

	if (!op) {
		spawn_load(rq); /* all in one */
		return;
	}
	op->row = &row_load;
	op->opcode = IORING_OP_SPAWN;
	op->state = 0;
	op->flags = OP_LONG;
	op->user_data = 0; /* nobody is told */
	op->priority = rq->priority;
	op_body(op, struct spawn_op)->request = rq;
	op_run_later(op);
}

/* ---- SPAWN: step */

static enum step spawn_step(struct op *op)
{
	struct spawn_op *sp = op_body(op, struct spawn_op);
	struct spawn_request *rq = sp->request;
	paddr_t block;
	int res;

	switch ((enum spawn_state)op->state) {
	case SPAWN_BEGIN:
		return op_goto_long(op, SPAWN_GATHER);
	case SPAWN_GATHER:
		block = frame_alloc(REQUEST_ORDER);
		if (!block)
			return op_finish(op, -ENOMEM);
		rq = arch_direct(block);
		memset(rq, 0, REQUEST_BYTES);
		rq->op = op;
		rq->priority = op->priority;
		res = spawn_gather(op, sp, rq);
		if (res) {
			spawn_end(rq);
			return op_finish(op, res);
		}
		sp->request = rq;
		rq->mail.deliver = spawn_there;
		mailbox_post(rq->spec.home, &rq->mail);
		return op_goto(op, SPAWN_WAIT);
	case SPAWN_WAIT:
		if (!rq->back)
			return op_park_alone(op);
		res = rq->result;
		spawn_end(rq);
		return op_finish(op, res);
	}
	op_corrupt(op);
}

const struct op_row row_spawn = {
	.name = "spawn",
	.body_size = sizeof(struct spawn_op),
	.place = OP_PLACE_HOME,
	.preemptible = 1,
	.state_count = 3,
	.state_names = spawn_state_names,
	.check = spawn_check,
	.step = spawn_step,
};

/* ---- WAITID ---------------------------------------------------------------------------------- */

#define WAIT_OPTIONS (WNOHANG | WSTOPPED | WEXITED | WCONTINUED | WNOWAIT)

static int waitid_check(struct op *op, const struct io_uring_sqe *sqe)
{
	struct waitid_op *w = op_body(op, struct waitid_op);

	if (sqe->ioprio || sqe->addr || sqe->waitid_flags || sqe->buf_index || sqe->addr3 ||
	    (op->sqe_flags & IOSQE_FIXED_FILE))
		return -EINVAL;
	w->which = sqe->len;
	w->id = sqe->fd;
	w->options = sqe->file_index;
	w->info = sqe->off;
	if ((w->options & ~WAIT_OPTIONS) || !(w->options & (WSTOPPED | WEXITED | WCONTINUED)))
		return -EINVAL;
	if (w->which != P_ALL && (w->which != P_PID || w->id <= 0))
		return -EINVAL;
	return 0;
}

/* An ended child that is asked for; NULL with *any: there are such children, and they live. */
static struct process *waitid_find(struct process *p, const struct waitid_op *w, bool *any)
{
	*any = false;
	list_for_each(pos, &p->children) {
		struct process *child = list_item(pos, struct process, child_link);

		if (w->which == P_PID && child->pid != (uint32_t)w->id)
			continue;
		*any = true;
		if (child->ended && (w->options & WEXITED))
			return child;
	}
	return NULL;
}

/* Nobody stops here, so only ends are told. */
static int waitid_tell(struct op *op, const struct waitid_op *w, const struct process *child)
{
	struct wait_info info = { 0 };

	if (!w->info)
		return 0;
	if (child) {
		bool killed = child->exit_status & 0x7f;

		info.si_signo = SIGCHLD;
		info.si_code = killed ? CLD_KILLED : CLD_EXITED;
		info.si_pid = (int32_t)child->pid;
		info.si_status = killed ? child->exit_status & 0x7f : child->exit_status >> 8;
	}
	return user_write(op_aspace(op), w->info, &info, sizeof(info));
}

static enum step waitid_step(struct op *op)
{
	struct waitid_op *w = op_body(op, struct waitid_op);
	struct process *p = op_process(op), *child;
	bool any;
	int res;

	if (op->flags & OP_CANCELLED)
		return op_finish(op, -ECANCELED);
	child = waitid_find(p, w, &any);
	if (!any)
		return op_finish(op, -ECHILD);
	if (!child && !(w->options & WNOHANG))
		return op_park(op, &p->child_waiters);
	res = waitid_tell(op, w, child);
	if (child && !res && !(w->options & WNOWAIT))
		process_reap(child);
	return op_finish(op, res);
}

static int waitid_cancel(struct op *op)
{
	op_wake(op);
	return 0;
}

const struct op_row row_waitid = {
	.name = "waitid",
	.body_size = sizeof(struct waitid_op),
	.place = OP_PLACE_HOME,
	.state_count = 1,
	.state_names = (const char *const[]){ "look" },
	.check = waitid_check,
	.step = waitid_step,
	.cancel = waitid_cancel,
};
