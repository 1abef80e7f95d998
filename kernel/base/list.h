/*
 * list: intrusive doubly linked lists. A node that is on no list points at itself, so that
 * removing it twice is harmless and "is it on a list" is one compare. No locking: the owner of the
 * object that holds the head is the only core that touches it.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/types.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}

/* Is this node on some list? (the same question, asked of a node) */
static inline bool list_is_linked(const struct list *n)
{
	return n->next != n;
}

static inline void list_insert_between(struct list *n, struct list *before, struct list *after)
{
	n->prev = before;
	n->next = after;
	before->next = n;
	after->prev = n;
}

static inline void list_push_back(struct list *head, struct list *n)
{
	list_insert_between(n, head->prev, head);
}

static inline void list_push_front(struct list *head, struct list *n)
{
	list_insert_between(n, head, head->next);
}

static inline void list_remove(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->next = n->prev = n;
}

/* Oldest node, unlinked; NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *head)
{
	struct list *n = head->next;

	if (n == head)
		return NULL;
	list_remove(n);
	return n;
}

/* Oldest node, unlinked, of a list that the caller knows not to be empty. */
static inline struct list *list_take_front(struct list *head)
{
	struct list *n = head->next;

	list_remove(n);
	return n;
}

/* Moves every node of `from` behind those of `to`; `from` is empty afterwards. */
static inline void list_append_all(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_item(node, type, member) container_of(node, type, member)
#define list_for_each(pos, head)                                                                   \
	for (struct list *pos = (head)->next; pos != (head); pos = pos->next)
/* Safe against removal of `pos` itself inside the loop. */
#define list_for_each_safe(pos, head)                                                              \
	for (struct list *pos = (head)->next, *pos##_next = pos->next; pos != (head);              \
	     pos = pos##_next, pos##_next = pos->next)

#endif
