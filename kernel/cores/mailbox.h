/*
 * mailbox: the only way one core changes another core's state.
 *
 * A mailbox belongs to the core that empties it. Any core may post; only the owner takes. Posting
 * never blocks and never fails: the node is part of the object that is posted, so there is nothing
 * to run out of. A node is in at most one mailbox.
 */
#ifndef CORES_MAILBOX_H
#define CORES_MAILBOX_H

#include "base/types.h"

struct mail {
	struct mail *next;
	/* Runs on the owner's core, in its turn; the node may be posted again from inside. Must not
	 * block. */
	void (*deliver)(struct mail *m);
};

struct mailbox {
	/* any core, atomic; the push (release) pairs with the exchange (acquire) in mailbox_take */
	struct mail *_Atomic newest;
	char pad[CACHE_LINE - sizeof(void *)];
};

struct core;

/* Runs every mail that was there when it was called; returns how many. Owner only; the first part
 * of a turn. */
unsigned mailbox_deliver(struct core *c);

/* Posts to core `index` and rings its doorbell if it may be asleep. Posting to the own core is
 * legal. */
void mailbox_post(unsigned index, struct mail *m);

#endif
