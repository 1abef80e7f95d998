/*
 * ending: more threads than the first, and the end of one of them while its process goes on. Like
 * the end of a process (death.c) a state machine on the home core that needs no memory:
 *
 *   LIVES --process_thread_end--> STOPPING --dead, order back--> LEAVING
 *                        gone <--back-- BARRIER <--slot empty, not in enter--+
 *
 * The barrier drives every wake that is still under way to the thread's core ahead of itself, as
 * at the end of a process. That end waits for those whose own has begun (p->threads_ending).
 */
#include "proc/internal.h"

#include "base/panic.h"
#include "uapi/errno.h"

enum thread_stage { THREAD_LIVES, THREAD_STOPPING, THREAD_LEAVING, THREAD_BARRIER };

/* ---- birth */

int process_thread_make(struct process *p, const struct thread_spec *spec, struct user_thread **out)
{
	if (p->state != PROCESS_ALIVE || atomic_load(&p->dying))
		return -EAGAIN;
	return thread_create(p, spec, out);
}

void process_thread_start(struct user_thread *t)
{
	t->proc->threads_live++;
	t->proc->threads_running++;
	thread_start(&t->thread);
}

struct user_thread *process_thread_find(struct process *p, uint32_t tid)
{
	list_for_each(pos, &p->threads) {
		struct user_thread *t = list_item(pos, struct user_thread, sibling);

		if (t->tid == tid && !t->stage && !t->dead)
			return t;
	}
	return NULL;
}

/* ---- end */

static void thread_gone(struct user_thread *t)
{
	struct process *p = t->proc;

	if (p->state == PROCESS_ALIVE)
		process_hooks.thread_ended(t);
	thread_free(t);
	p->threads_ending--;
	death_advance(p);
}

void thread_advance(struct user_thread *t)
{
	switch ((enum thread_stage)t->stage) {
	case THREAD_LIVES:
		return;
	case THREAD_STOPPING:
		if (!t->dead || !t->order_back)
			return;
		t->stage = THREAD_LEAVING;
		/* fall through */
	case THREAD_LEAVING:
		if (process_hooks.thread_quiesce(t))
			return;
		t->stage = THREAD_BARRIER;
		t->order_back = false;
		thread_order_barrier(t);
		return;
	case THREAD_BARRIER:
		if (t->order_back)
			thread_gone(t);
		return;
	}
}

void process_thread_end(struct process *p, struct user_thread *t, int32_t wait_status)
{
	if (p->threads_live == 1) {
		process_kill(p, p->first ? wait_status : p->first_status);
		return;
	}
	if (t->stage || p->state != PROCESS_ALIVE)
		return;
	if (t == p->first) {
		p->first = NULL;
		p->first_status = wait_status;
	}
	p->threads_live--;
	p->threads_ending++;
	t->stage = THREAD_STOPPING;
	thread_order_death(t);
}

/* ---- pokes */

static void poke_arrives(struct mail *m)
{
	struct user_thread *t = container_of(m, struct user_thread, mail);

	t->poked = false;
	if (t->stage == THREAD_LEAVING)
		thread_advance(t);
}

/* One that is still in the mailbox when the thread is gone would meet a stranger; the barrier's way
 * back stands behind it. */
void thread_poke(struct user_thread *t)
{
	if (t->poked || t->stage != THREAD_LEAVING)
		return;
	t->poked = true;
	t->mail.deliver = poke_arrives;
	mailbox_post(t->proc->home, &t->mail);
}
