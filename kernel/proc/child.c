/*
 * child: processes that a program started, from their birth to the wait that takes them away.
 *
 *   process_adopt --> among the parent's children --exit_mail--> ended --process_reap--> slot free
 *                       the parent dies first: nobody's; its slot is free when it ends
 *
 * Who is whose child belongs to the parent's home core, which a child knows from birth and tells of
 * its end by one message. Nothing of an ended child is left but its slot of the table of processes.
 */
#include "proc/internal.h"

#include "uapi/errno.h"
#include "uapi/signal.h"

/* On the parent's home core, behind the message that said the child was born. */
static void child_ended(struct mail *m)
{
	struct process *p = container_of(m, struct process, exit_mail);

	if (!p->parent) {
		process_slot_free(p);
		return;
	}
	p->ended = true;
	if (atomic_load_explicit(&p->parent->signals, memory_order_relaxed)) {
		struct signal_info info = { .signo = SIGNAL_CHLD, .pid = p->pid };

		info.code = p->exit_status & 0x7f ? CLD_KILLED : CLD_EXITED;
		info.value = (uint64_t)(p->exit_status & 0x7f ?: p->exit_status >> 8);
		(void)!signal_send(p->parent, NULL, &info);
	}
	waitlist_wake_all(&p->parent->child_waiters);
}

void child_tell(struct process *p)
{
	p->exit_mail.deliver = child_ended;
	mailbox_post(p->parent_home, &p->exit_mail);
}

void process_adopt(struct process *parent, struct process *child)
{
	child->parent = parent;
	list_push_back(&parent->children, &child->child_link);
}

void process_reap(struct process *child)
{
	list_remove(&child->child_link);
	process_slot_free(child);
}

void children_orphan(struct process *parent)
{
	struct list *pos;

	while ((pos = list_pop_front(&parent->children))) {
		struct process *child = list_item(pos, struct process, child_link);

		child->parent = NULL;
		if (child->ended)
			process_slot_free(child);
	}
}

static bool core_plays(uint32_t core, uint32_t roles)
{
	return core < CORES_MAX && cores[core] && core_has_role(cores[core], roles);
}

int process_place(uint32_t user_core, uint32_t *home)
{
	if (*home == PROCESS_ANY_CORE)
		*home = core_is_home(this_core()) ? this_core()->index :
						    core_with_role(ROLE_SERVES)->index;
	if ((user_core != PROCESS_ANY_CORE && !core_plays(user_core, ROLE_MAY_RUN)) ||
	    !core_plays(*home, ROLE_SERVES) || !core_is_home(cores[*home]))
		return -EINVAL;
	return 0;
}
