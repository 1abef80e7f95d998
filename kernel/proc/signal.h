/*
 * signal: what a process and its threads keep of signals, and what the op families ask of it
 * (docs/signals.md). Home core only, unless said.
 */
#ifndef PROC_SIGNAL_H
#define PROC_SIGNAL_H

#include "sched/op.h"
#include "sched/thread.h"
#include "uapi/sigframe.h"

struct process;
struct user_thread;

#define SIGNAL_NODES 60u /* signals with their details that a process keeps */

/* What is told about a signal. */
struct signal_info {
	uint32_t signo;
	int32_t code;
	uint32_t pid;
	uint64_t value; /* sent: the value; CHLD: the status; a fault: the address */
};

struct signal_node {
	struct list link; /* free, or of the queue of a thread or process */
	struct signal_info info;
};

struct signal_queue {
	uint64_t bits; /* pending */
	struct list nodes;
};

/* Of a process that has asked for signals; one frame. */
struct signals {
	struct sigaction_in action[SIGNALS]; /* of signal n at n - 1 */
	struct signal_queue pending;
	struct list free;
	struct waitlist waiters; /* rt_sigtimedwait, rt_sigsuspend */
	uaddr_t trampoline;	 /* where a handler returns to, 0: not made yet */
	struct signal_node node[SIGNAL_NODES];
};
_Static_assert(sizeof(struct signals) <= PAGE_SIZE, "the signals of a process are one frame");

enum signal_stop { SIGNAL_STOPPED, SIGNAL_FAULT, SIGNAL_RETURN };

/* Of a thread. */
struct signal_thread {
	uint64_t mask;
	struct signal_queue pending;
	struct signal_stack alt;
	uint64_t saved_mask; /* rt_sigsuspend: what the frame gives back */
	bool saved;
	bool order_out;	 /* order_mail is under way */
	bool cancelling; /* its call was asked to end for a signal */
	bool broken;	 /* its call answered -EINTR for one: it may begin again */
	bool again;	 /* ... with the handler's consent */
	uint64_t first_arg; /* of that call */
	struct mail order_mail; /* from home to its core and back */
	bool busy;		/* on the way back: it was in a call */

	/* thread's core, until stop_mail is posted */
	struct mail stop_mail;
	enum signal_stop why;
	struct arch_exit fault;
	struct signal_info fault_info;
};

/* The process's signals, made if there were none. NULL: no memory, or not on this machine. */
struct signals *signals_get(struct process *p);
/* Its end; a thread's birth and end. */
void signals_free(struct process *p);
void signal_thread_init(struct user_thread *t);
void signal_thread_fini(struct user_thread *t);

/* Sends a signal to a process, or to one thread of it (`t`). 0, -EAGAIN (no room for its details,
 * which it asks to keep), -ENOSYS (nobody can be stopped). */
int signal_send(struct process *p, struct user_thread *t, const struct signal_info *info);
/* What the thread blocks from now on: what is pending may come. */
void signal_mask_set(struct user_thread *t, uint64_t mask);
/* Is the thread, parked in its trap, on its alternate stack? */
bool signal_is_on_alt(const struct user_thread *t);
/* Takes a pending signal of the set. False: there is none. */
bool signal_take(struct user_thread *t, uint64_t set, struct signal_info *info);
void signal_info_fill(struct siginfo_out *out, const struct signal_info *info);
/* The action of signal `signo`, 1 to 64. */
void signal_action_set(struct signals *s, struct process *p, uint32_t signo,
		       const struct sigaction_in *to);
/* Maps the page that handlers return to, unless it is there. 0 or -ENOMEM. */
must_use int signal_trampoline(struct process *p, struct signals *s);

/*
 * On the thread's core, from its trap: it is parked, and the home core decides. A fault: false if
 * nobody handles any (nothing was done).
 */
must_use bool signal_fault(struct user_thread *t, const struct signal_info *info,
			   const struct arch_exit *exit);
void signal_return(struct user_thread *t);
/* struct thread.stopped */
void signal_stopped(struct thread *t);

#endif
