/*
 * death: how a process ends. A state machine on its home core, driven by messages alone, so that it
 * needs neither memory nor a stack when there may be none left:
 *
 *   ALIVE --die_mail--> STOPPING --threads dead, orders back, rings empty--> BARRIER --all back-->
 *                        |   ^                SHEDDING (some pages, and a mail to itself) --> gone
 *                        +---+ a thread died, an order came back, an operation finished (process_poke)
 *
 * Nothing of the process is freed before its last operation has left the devices.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/print.h"
#include "base/trace.h"
#include "proc/internal.h"
#include "sched/inbox.h"

enum death_stage { DEATH_NONE, DEATH_STOPPING, DEATH_BARRIER, DEATH_SHEDDING };

static void death_print(const struct process *p, int32_t status)
{
	if (!(status & 0x7f))
		kprint("%s: exit status %d\n", p->name, status >> 8 & 0xff);
	else if (p->reason[0])
		kprint("%s: killed by signal %d (%s)\n", p->name, status & 0x7f, p->reason);
	else
		kprint("%s: killed by signal %d\n", p->name, status & 0x7f);
}

static void death_finish(struct process *p)
{
	void (*exited)(struct process *p, void *arg) = p->exited;
	int32_t status = p->exit_status;

	aspace_put(p->as);
	trace_event(TRACE_PROC, 1, p->pid, (uint32_t)status);
	if (p->parent_home == PROCESS_ANY_CORE)
		death_print(p, status);
	if (exited)
		exited(p, p->exited_arg);
	children_orphan(p);
	process_gone(p);
	if (p->parent_home == PROCESS_ANY_CORE) {
		process_slot_free(p);
		boot_exited(status);
		return;
	}
	child_tell(p);
	boot_exited(0); /* what became of it is its parent's business */
}

/* Its pages, piece by piece: there may be a machine full of them. */
static void death_sheds(struct mail *m)
{
	struct process *p = container_of(m, struct process, die_mail);

	if (aspace_shed(p->as, &p->shed_at))
		mailbox_post(p->home, m);
	else
		death_finish(p);
}

static void death_sheds_first(struct process *p)
{
	threads_free(p);
	signals_free(p);
	fds_close_all(p);
	process_hooks.rings_free(p);
	fds_free(p);
	wires_drop(p->as);
	p->stage = DEATH_SHEDDING;
	p->shed_at = 0;
	p->die_mail.deliver = death_sheds;
	death_sheds(&p->die_mail);
}

void death_advance(struct process *p)
{
	unsigned left;

	switch ((enum death_stage)p->stage) {
	case DEATH_NONE:
		return; /* a thread ended by itself, or faulted before its process heard of it */
	case DEATH_STOPPING:
		left = process_hooks.quiesce(p);
		if (left || p->threads_running || p->threads_ending || p->mails_out)
			return;
		p->stage = DEATH_BARRIER;
		threads_barrier(p);
		break;
	case DEATH_BARRIER:
		break;
	case DEATH_SHEDDING:
		return;
	}
	if (!p->mails_out)
		death_sheds_first(p);
}

static void death_begins(struct mail *m)
{
	struct process *p = container_of(m, struct process, die_mail);

	p->state = PROCESS_DYING;
	p->exit_status = atomic_load(&p->dying_status);
	p->stage = DEATH_STOPPING;
	threads_kill(p);
	death_advance(p);
}

static void death_poked(struct mail *m)
{
	struct process *p = container_of(m, struct process, poke_mail);

	p->poked = false;
	death_advance(p);
}

void death_init(struct process *p)
{
	p->die_mail.deliver = death_begins;
	p->poke_mail.deliver = death_poked;
}

/* A poke that is still in the mailbox when the process is gone would meet a stranger; the barrier's
 * way back stands behind it. */
void process_poke(struct process *p)
{
	if (p->poked || p->stage != DEATH_STOPPING)
		return;
	p->poked = true;
	mailbox_post(p->home, &p->poke_mail);
}

void process_kill(struct process *p, int32_t wait_status)
{
	if (atomic_exchange(&p->dying, 1))
		return;
	atomic_store(&p->dying_status, wait_status);
	mailbox_post(p->home, &p->die_mail);
}

void process_kill_because(struct process *p, unsigned signo, const char *fmt, ...)
{
	va_list args;

	if (atomic_exchange(&p->dying, 1))
		return;
	va_start(args, fmt);
	vsnprintf(p->reason, sizeof(p->reason), fmt, args);
	va_end(args);
	atomic_store(&p->dying_status, (int32_t)signo);
	mailbox_post(p->home, &p->die_mail);
}
