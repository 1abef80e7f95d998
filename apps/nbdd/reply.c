/*
 * reply: what goes back to a client, and the one who sends it.
 *
 * Replies of one connection must not interleave, so one worker at a time is its sender: it takes
 * all that is queued, sends it as one message, and repeats until the queue is empty. The others
 * leave their reply in the queue and end.
 */
#include "conn.h"

#define BATCH SLOTS

/* A reply's head ends where the slot's buffer begins. */
static uint8_t *reply_head(struct slot *slot, uint32_t len)
{
	slot->head = (uint8_t *)slot_buf(slot) - len;
	slot->head_len = len;
	slot->data = slot_buf(slot);
	slot->data_len = 0;
	return slot->head;
}

static uint8_t *reply_chunk(uint8_t *p, const struct slot *slot, uint16_t type, uint32_t len)
{
	p = be32_put(p, NBD_STRUCTURED_REPLY_MAGIC);
	p = be16_put(p, NBD_REPLY_FLAG_DONE);
	p = be16_put(p, type);
	p = be64_put(p, slot->req.cookie);
	return be32_put(p, len);
}

static uint8_t *reply_simple(uint8_t *p, const struct slot *slot, uint32_t error)
{
	p = be32_put(p, NBD_SIMPLE_REPLY_MAGIC);
	p = be32_put(p, error);
	return be64_put(p, slot->req.cookie);
}

/* With structured replies agreed on, what could have carried data must say its errors in them. */
void reply_status(struct slot *slot, uint32_t error)
{
	bool chunk = slot->conn->structured && (slot->req.type == NBD_CMD_READ ||
						slot->req.type == NBD_CMD_BLOCK_STATUS);
	uint8_t *p;

	if (!chunk) {
		reply_simple(reply_head(slot, NBD_SIMPLE_REPLY_BYTES), slot, error);
		return;
	}
	p = reply_head(slot, NBD_CHUNK_BYTES + 6);
	p = reply_chunk(p, slot, NBD_REPLY_TYPE_ERROR, 6);
	p = be32_put(p, error);
	be16_put(p, 0); /* no message */
}

void reply_data(struct slot *slot, const char *data, uint32_t len)
{
	uint8_t *p;

	if (slot->conn->structured) {
		p = reply_head(slot, NBD_CHUNK_BYTES + 8);
		p = reply_chunk(p, slot, NBD_REPLY_TYPE_OFFSET_DATA, len + 8);
		be64_put(p, slot->req.off);
	} else {
		reply_simple(reply_head(slot, NBD_SIMPLE_REPLY_BYTES), slot, 0);
	}
	slot->data = data;
	slot->data_len = len;
}

/* The extents of the request's range: as many as fit a page, one if the client wants one. */
void reply_extents(struct slot *slot)
{
	const struct request *req = &slot->req;
	uint32_t max = req->flags & NBD_CMD_FLAG_REQ_ONE ? 1 : 512;
	uint8_t *end = (uint8_t *)slot->buf;
	uint64_t off = req->off, left = req->len;
	uint8_t *p;

	for (uint32_t i = 0; i < max && left; i++) {
		uint64_t len = left;
		uint32_t state = export_status(slot->conn->ex, off, &len);

		end = be32_put(end, (uint32_t)len);
		end = be32_put(end, state);
		off += len;
		left -= len;
	}
	p = reply_head(slot, NBD_CHUNK_BYTES + 4);
	slot->data_len = (uint32_t)(end - (uint8_t *)slot->buf);
	p = reply_chunk(p, slot, NBD_REPLY_TYPE_BLOCK_STATUS, 4 + slot->data_len);
	be32_put(p, 1); /* base:allocation's number */
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
		if (n) {
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
