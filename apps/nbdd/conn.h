/*
 * conn: one client: its socket, what it negotiated, its requests in flight, its replies.
 *
 *   reader coroutine: handshake, then request after request; per request a slot and a worker
 *   worker coroutine: does it, puts its reply on the connection's queue; whoever finds nobody
 *                     sending sends all that is queued, as many replies per message as there are
 *
 * A connection has SLOTS requests in flight at most; the reader stops reading until one is free.
 * Its slots with their buffers (committed when first touched) are a pool that is used again by
 * the next connection.
 */
#ifndef NBDD_CONN_H
#define NBDD_CONN_H

#include "export.h"
#include "libasync/async.h"
#include "proto.h"

#define CONNS_MAX 16u
#define SLOTS 32u
#define SLOT_BYTES (256u << 10) /* longer payloads get a buffer of their own */
#define LARGE_AT_ONCE 2u
#define HEAD_BYTES 64u /* longest reply without payload */
#define CONN_IN_BYTES 1024u

struct request {
	uint16_t flags;
	uint16_t type;
	uint64_t cookie;
	uint64_t off;
	uint64_t len; /* at most NBD_PAYLOAD_MAX of what has a payload, once it is checked */
};

struct slot {
	struct slot *next; /* free list, or queue of replies */
	struct conn *conn;
	struct request req;
	char *buf;	 /* SLOT_BYTES, page-aligned; the page before it is the slot's, too */
	char *large;	 /* buffer for this request alone, with its page before it; NULL: buf */
	uint32_t status; /* NBD_E*, 0 */
	/* the reply: `head_len` bytes that end where `data` begins, or apart from it */
	uint8_t *head;
	uint32_t head_len, data_len;
	const char *data;
};

struct pool {
	struct pool *next;
	char *pages;
	struct slot slots[SLOTS];
};

struct conn {
	int fd;
	struct export *ex;
	bool fixed, no_zeroes, allocation;
	bool structured; /* what carries data or extents is answered in chunks */
	bool extended;	 /* and so is everything; lengths have 64 bits */
	bool broken; /* a reply could not be sent: no more are tried */
	bool sending;
	struct pool *pool;
	struct slot *free;
	struct async_sem free_count;
	struct slot *replies, **replies_tail;
	struct async_group workers;
	uint32_t in_head, in_tail;
	char in[CONN_IN_BYTES]; /* received and not yet consumed */
};

extern struct export exports[EXPORTS_MAX];
extern unsigned export_count;
extern struct async_sem large_room;

/* Receives exactly `len` bytes. 0, -EPIPE when the client ended, or -errno. */
int conn_recv(struct conn *conn, void *buf, size_t len);
/* Receives and forgets. */
int conn_skip(struct conn *conn, uint64_t len);

/* handshake.c: until the client chose an export: 0, conn->ex set; or -errno: hang up. */
int handshake(struct conn *conn);

/* serve.c: requests until the client leaves. */
void serve(struct conn *conn);

/* reply.c: prepares a slot's reply ... */
void reply_status(struct slot *slot, uint32_t error);
void reply_data(struct slot *slot, const char *data, uint32_t len);
void reply_extents(struct slot *slot);
/* ... and sends it, or leaves it to whoever is sending. The slot is free afterwards. */
void reply_send(struct slot *slot);

/* pool.c: CONNS_MAX at most; NULL: no memory. */
struct pool *pool_get(void);
void pool_put(struct pool *pool);
/* Makes and touches `count` pools. */
int pool_prepare(unsigned count);

struct slot *slot_get(struct conn *conn);
void slot_put(struct slot *slot);
/* A buffer for the request's payload is at slot_buf: false when there is no memory. */
bool slot_reserve(struct slot *slot);
char *slot_buf(struct slot *slot);

#endif
