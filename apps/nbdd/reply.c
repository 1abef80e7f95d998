/*
 * reply: what goes back to a client, and the one who sends it.
 *
 * Replies of one connection must not interleave, so one worker at a time is its sender: it takes
 * all that is queued, sends it as one message, and repeats until the queue is empty. The others
 * leave their reply in the queue and end.
 */
#include "conn.h"

#define BATCH SLOTS
#define EXTENT_BYTES_MAX 4096u

/* A reply's head ends where the slot's buffer begins. */
static uint8_t *reply_head(struct slot *slot, uint32_t len)
{
	slot->head = (uint8_t *)slot_buf(slot) - len;
	slot->head_len = len;
	slot->data = slot_buf(slot);
	slot->data_len = 0;
	return slot->head;
}

/* The head of the one chunk a reply has: `fixed` bytes, to be filled in at what is returned, and
 * `len` more behind them. */
static uint8_t *reply_chunk(struct slot *slot, uint16_t type, uint32_t fixed, uint32_t len)
{
	bool ext = slot->conn->extended;
	uint32_t bytes = ext ? NBD_EXTENDED_CHUNK_BYTES : NBD_CHUNK_BYTES;
	uint8_t *p = reply_head(slot, bytes + fixed);

	p = be32_put(p, ext ? NBD_EXTENDED_REPLY_MAGIC : NBD_STRUCTURED_REPLY_MAGIC);
	p = be16_put(p, NBD_REPLY_FLAG_DONE);
	p = be16_put(p, type);
	p = be64_put(p, slot->req.cookie);
	if (!ext)
		return be32_put(p, fixed + len);
	p = be64_put(p, slot->req.off);
	return be64_put(p, fixed + len);
}

static void reply_simple(struct slot *slot, uint32_t error)
{
	uint8_t *p = reply_head(slot, NBD_SIMPLE_REPLY_BYTES);

	p = be32_put(p, NBD_SIMPLE_REPLY_MAGIC);
	p = be32_put(p, error);
	be64_put(p, slot->req.cookie);
}

/* With structured replies agreed on, what could have carried data must say its errors in them;
 * with extended headers nothing else is said. */
void reply_status(struct slot *slot, uint32_t error)
{
	const struct conn *conn = slot->conn;
	bool chunk = conn->extended ||
		     (conn->structured && (slot->req.type == NBD_CMD_READ ||
					   slot->req.type == NBD_CMD_BLOCK_STATUS));

	if (!chunk)
		reply_simple(slot, error);
	else if (!error)
		reply_chunk(slot, NBD_REPLY_TYPE_NONE, 0, 0);
	else /* the error, and no message */
		be16_put(be32_put(reply_chunk(slot, NBD_REPLY_TYPE_ERROR, 6, 0), error), 0);
}

void reply_data(struct slot *slot, const char *data, uint32_t len)
{
	if (slot->conn->structured)
		be64_put(reply_chunk(slot, NBD_REPLY_TYPE_OFFSET_DATA, 8, len), slot->req.off);
	else
		reply_simple(slot, 0);
	slot->data = data;
	slot->data_len = len;
}

/* The extents of the request's range: as many as fit a page, one if the client wants one. A
 * descriptor is length and state, of 32 bits each or, extended, of 64. */
void reply_extents(struct slot *slot)
{
	const struct request *req = &slot->req;
	bool ext = slot->conn->extended;
	uint32_t max = req->flags & NBD_CMD_FLAG_REQ_ONE ? 1 : EXTENT_BYTES_MAX / (ext ? 16 : 8);
	uint8_t *end = (uint8_t *)slot->buf;
	uint64_t off = req->off, left = req->len;
	uint32_t count, bytes;
	uint8_t *p;

	for (count = 0; count < max && left; count++) {
		uint64_t len = left;
		uint32_t state = export_status(slot->conn->ex, off, &len);

		end = ext ? be64_put(be64_put(end, len), state)
			  : be32_put(be32_put(end, (uint32_t)len), state);
		off += len;
		left -= len;
	}
	bytes = (uint32_t)(end - (uint8_t *)slot->buf);
	p = ext ? reply_chunk(slot, NBD_REPLY_TYPE_BLOCK_STATUS_EXT, 8, bytes)
		: reply_chunk(slot, NBD_REPLY_TYPE_BLOCK_STATUS, 4, bytes);
	p = be32_put(p, 1); /* base:allocation's number */
	if (ext)
		be32_put(p, count);
	slot->data_len = bytes;
}

/* ---- sending ---- */

/* Takes queued replies and lays them out; *count pieces. The taken slots, linked. */
static struct slot *reply_take(struct conn *conn, struct iovec *iov, unsigned *count)
{
	struct slot *first = conn->replies, *slot = first;
	unsigned n = 0;

	for (unsigned i = 0; slot && i < BATCH; i++, slot = slot->next) {
		iov[n].iov_base = slot->head;
		iov[n].iov_len = slot->head_len;
		if ((const char *)slot->head + slot->head_len == slot->data)
			iov[n].iov_len += slot->data_len;
		else if (slot->data_len)
			iov[++n] = (struct iovec){ (void *)(uintptr_t)slot->data, slot->data_len };
		n++;
		conn->replies = slot->next;
		if (!slot->next || i == BATCH - 1) {
			slot->next = NULL;
			break;
		}
	}
	if (!conn->replies)
		conn->replies_tail = &conn->replies;
	*count = n;
	return first;
}

/* Sends all of `iov`, however many pieces the kernel makes of it. */
static int reply_send_iov(int fd, struct iovec *iov, unsigned count)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = count };

	while (msg.msg_iovlen) {
		int64_t n = count == 1 ? async_send(fd, msg.msg_iov->iov_base,
						    msg.msg_iov->iov_len,
						    MSG_WAITALL | MSG_NOSIGNAL) :
					 async_sendmsg(fd, &msg, MSG_WAITALL | MSG_NOSIGNAL);

		if (n <= 0)
			return n ? (int)n : -EPIPE;
		while (msg.msg_iovlen && (uint64_t)n >= msg.msg_iov->iov_len) {
			n -= (int64_t)msg.msg_iov->iov_len;
			msg.msg_iov++;
			msg.msg_iovlen--;
		}
		if (msg.msg_iovlen) {
			msg.msg_iov->iov_base = (char *)msg.msg_iov->iov_base + n;
			msg.msg_iov->iov_len -= (uint64_t)n;
		}
	}
	return 0;
}

void reply_send(struct slot *slot)
{
	struct conn *conn = slot->conn;
	struct iovec iov[2 * BATCH];
	unsigned count;

	slot->next = NULL;
	*conn->replies_tail = slot;
	conn->replies_tail = &slot->next;
	if (conn->sending)
		return;
	conn->sending = true;
	while (conn->replies) {
		struct slot *done = reply_take(conn, iov, &count);

		if (!conn->broken && reply_send_iov(conn->fd, iov, count)) {
			conn->broken = true;
			async_shutdown(conn->fd, SHUT_RDWR); /* ends the reader */
		}
		while (done) {
			struct slot *next = done->next;

			slot_put(done);
			done = next;
		}
	}
	conn->sending = false;
}
