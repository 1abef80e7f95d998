/*
 * serve: the transmission phase: takes requests off the wire, checks them, gives each to a worker.
 *
 * The reader receives a write's payload itself (it must, to find the next request), into the
 * worker's buffer, or straight into a memory export. A request that is refused has its payload
 * skipped and gets the protocol's error; a bad magic number cannot be recovered from and ends the
 * connection.
 */
#include "conn.h"

/* ---- workers ---- */

static uint32_t serve_error(int err)
{
	switch (-err) {
	case 0:
		return 0;
	case EPERM:
	case EROFS:
	case EACCES:
		return NBD_EPERM;
	case ENOMEM:
		return NBD_ENOMEM;
	case EINVAL:
		return NBD_EINVAL;
	case ENOSPC:
		return NBD_ENOSPC;
	}
	return NBD_EIO;
}

static void work_read(struct slot *slot)
{
	const struct request *req = &slot->req;
	const char *data;
	int err = slot_reserve(slot) ? 0 : -ENOMEM;

	if (!err)
		err = export_read(slot->conn->ex, slot_buf(slot), req->off, (uint32_t)req->len,
				  &data);
	if (err)
		reply_status(slot, serve_error(err));
	else
		reply_data(slot, data, (uint32_t)req->len);
}

static int work_other(struct slot *slot)
{
	const struct request *req = &slot->req;
	struct export *ex = slot->conn->ex;
	bool fua = req->flags & NBD_CMD_FLAG_FUA;

	switch (req->type) {
	case NBD_CMD_WRITE:
		return export_write_end(ex, slot_buf(slot), req->off, (uint32_t)req->len, fua);
	case NBD_CMD_FLUSH:
		return export_flush(ex);
	case NBD_CMD_TRIM:
		return export_trim(ex, req->off, req->len, fua);
	case NBD_CMD_WRITE_ZEROES:
		return export_zero(ex, req->off, req->len, fua);
	}
	return -EINVAL;
}

static int64_t work(void *arg)
{
	struct slot *slot = arg;

	if (slot->status)
		reply_status(slot, slot->status);
	else if (slot->req.type == NBD_CMD_READ)
		work_read(slot);
	else if (slot->req.type == NBD_CMD_BLOCK_STATUS)
		reply_extents(slot);
	else
		reply_status(slot, serve_error(work_other(slot)));
	reply_send(slot);
	return 0;
}

/* ---- checks ---- */

/* Do `len` bytes follow the request? */
static bool serve_has_payload(const struct conn *conn, const struct request *req)
{
	return conn->extended ? req->flags & NBD_CMD_FLAG_PAYLOAD_LEN : req->type == NBD_CMD_WRITE;
}

static uint32_t serve_flags_known(const struct conn *conn, uint16_t type)
{
	switch (type) {
	case NBD_CMD_WRITE:
		return NBD_CMD_FLAG_FUA | (conn->extended ? NBD_CMD_FLAG_PAYLOAD_LEN : 0);
	case NBD_CMD_READ:
		return NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_DF;
	case NBD_CMD_WRITE_ZEROES:
		return NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE;
	case NBD_CMD_BLOCK_STATUS:
		return NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_REQ_ONE;
	}
	return NBD_CMD_FLAG_FUA;
}

static bool serve_is_write(uint16_t type)
{
	return type == NBD_CMD_WRITE || type == NBD_CMD_TRIM || type == NBD_CMD_WRITE_ZEROES;
}

/* NBD_E* of a request that cannot be done, else 0. */
static uint32_t serve_check(const struct conn *conn, const struct request *req)
{
	const struct export *ex = conn->ex;
	bool payload = req->type == NBD_CMD_READ || req->type == NBD_CMD_WRITE;

	if (req->type > NBD_CMD_BLOCK_STATUS || req->type == 5 ||
	    req->flags & ~serve_flags_known(conn, req->type))
		return NBD_EINVAL;
	if (req->type == NBD_CMD_WRITE && !serve_has_payload(conn, req))
		return NBD_EINVAL;
	if (req->flags & NBD_CMD_FLAG_DF && !conn->structured)
		return NBD_EINVAL;
	if (req->type == NBD_CMD_BLOCK_STATUS && !conn->allocation)
		return NBD_EINVAL;
	if (req->type == NBD_CMD_FLUSH)
		return req->off || req->len ? NBD_EINVAL : 0;
	if (serve_is_write(req->type) && ex->read_only)
		return NBD_EPERM;
	if (!req->len || (payload && req->len > NBD_PAYLOAD_MAX))
		return NBD_EINVAL;
	if (req->off > ex->size || req->len > ex->size - req->off)
		return serve_is_write(req->type) ? NBD_ENOSPC : NBD_EINVAL;
	if (payload && (req->off | req->len) & (ex->block_min - 1))
		return NBD_EINVAL;
	return 0;
}

/* ---- the reader ---- */

/* What follows a request: a write's data, or skipped when it is refused. Extended, its length has
 * 64 bits, and one past all measure is not waited for. */
static int serve_payload(struct conn *conn, struct slot *slot)
{
	const struct request *req = &slot->req;

	if (conn->extended && req->len > NBD_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (!slot->status && !slot_reserve(slot))
		slot->status = NBD_ENOMEM;
	if (slot->status)
		return conn_skip(conn, req->len);
	return conn_recv(conn,
			 export_write_begin(conn->ex, slot_buf(slot), req->off, (uint32_t)req->len),
			 req->len);
}

/* One request: 0, or an error that ends the connection. The slot is used up. */
static int serve_one(struct conn *conn, struct slot *slot)
{
	struct request *req = &slot->req;
	bool ext = conn->extended;
	uint8_t wire[NBD_EXTENDED_REQUEST_BYTES];
	int err = conn_recv(conn, wire, ext ? NBD_EXTENDED_REQUEST_BYTES : NBD_REQUEST_BYTES);

	if (!err && be32_get(wire) != (ext ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC))
		err = -EPROTO;
	if (!err) {
		req->flags = be16_get(wire + 4);
		req->type = be16_get(wire + 6);
		req->cookie = be64_get(wire + 8);
		req->off = be64_get(wire + 16);
		req->len = ext ? be64_get(wire + 24) : be32_get(wire + 24);
		if (req->type == NBD_CMD_DISC)
			err = -ESHUTDOWN;
	}
	if (!err) {
		slot->status = serve_check(conn, req);
		if (serve_has_payload(conn, req))
			err = serve_payload(conn, slot);
	}
	if (err) {
		slot_put(slot);
		return err;
	}
	if (async_group_spawn(&conn->workers, work, slot))
		work(slot); /* no memory for a worker: the reader does it */
	return 0;
}

void serve(struct conn *conn)
{
	async_group_init(&conn->workers);
	while (!conn->broken && serve_one(conn, slot_get(conn)) == 0)
		;
	async_group_wait(&conn->workers);
}
