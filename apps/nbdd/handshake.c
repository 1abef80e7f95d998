/*
 * handshake: fixed newstyle negotiation: option after option, until the client chose an export or
 * leaves.
 *
 * An option that makes no sense gets the protocol's error and the client may go on; a message
 * that cannot be parsed at all, or one past all measure, ends the connection. Export "" is the
 * first one.
 */
#include <string.h>

#include "conn.h"

#define OPTION_MAX (NBD_NAME_MAX + 1024u)
#define ALLOCATION "base:allocation"
#define ALLOCATION_ID 1u

struct option {
	uint32_t code;
	uint32_t len;
	uint8_t data[OPTION_MAX];
};

/* More options, please; and how an exchange ends. */
enum { OPTION_MORE = 0, OPTION_CHOSEN = 1 };

/* ---- replies ---- */

static int option_reply(struct conn *conn, const struct option *opt, uint32_t type,
			const void *data, uint32_t len)
{
	uint8_t out[20 + 512];
	uint8_t *p = out;
	int64_t n;

	p = be64_put(p, NBD_OPT_REPLY_MAGIC);
	p = be32_put(p, opt->code);
	p = be32_put(p, type);
	p = be32_put(p, len);
	memcpy(p, data, len);
	n = async_send_all(conn->fd, out, 20 + len);
	return n < 0 ? (int)n : OPTION_MORE;
}

static int option_answer(struct conn *conn, const struct option *opt, uint32_t type)
{
	return option_reply(conn, opt, type, "", 0);
}

/* ---- exports ---- */

static struct export *handshake_find(const uint8_t *name, uint32_t len)
{
	if (!len)
		return &exports[0];
	for (unsigned i = 0; i < export_count; i++)
		if (strlen(exports[i].name) == len && memcmp(exports[i].name, name, len) == 0)
			return &exports[i];
	return NULL;
}

static uint16_t handshake_flags(const struct conn *conn, const struct export *ex)
{
	uint32_t flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |
			 NBD_FLAG_CAN_MULTI_CONN;

	if (ex->read_only)
		flags |= NBD_FLAG_READ_ONLY;
	else
		flags |= NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES;
	if (conn->structured)
		flags |= NBD_FLAG_SEND_DF;
	return (uint16_t)flags;
}

/* ---- options ---- */

static int option_export_name(struct conn *conn, const struct option *opt)
{
	uint8_t out[10 + 124] = { 0 };
	uint8_t *p = out;
	int64_t n;

	conn->ex = handshake_find(opt->data, opt->len);
	if (!conn->ex || conn->extended)
		return -ENOENT; /* this option has no error reply */
	p = be64_put(p, conn->ex->size);
	be16_put(p, handshake_flags(conn, conn->ex));
	n = async_send_all(conn->fd, out, conn->no_zeroes ? 10 : sizeof(out));
	return n < 0 ? (int)n : OPTION_CHOSEN;
}

static int option_list(struct conn *conn, const struct option *opt)
{
	uint8_t out[64];
	int err = 0;

	if (opt->len)
		return option_answer(conn, opt, NBD_REP_ERR_INVALID);
	for (unsigned i = 0; i < export_count && !err; i++) {
		uint32_t len = (uint32_t)strlen(exports[i].name);

		memcpy(be32_put(out, len), exports[i].name, len);
		err = option_reply(conn, opt, NBD_REP_SERVER, out, 4 + len);
	}
	return err ? err : option_answer(conn, opt, NBD_REP_ACK);
}

static int info_export(struct conn *conn, const struct option *opt, const struct export *ex)
{
	uint8_t out[12];
	uint8_t *p = be16_put(out, NBD_INFO_EXPORT);

	p = be64_put(p, ex->size);
	be16_put(p, handshake_flags(conn, ex));
	return option_reply(conn, opt, NBD_REP_INFO, out, sizeof(out));
}

static int info_block_size(struct conn *conn, const struct option *opt, const struct export *ex)
{
	uint8_t out[14];
	uint8_t *p = be16_put(out, NBD_INFO_BLOCK_SIZE);

	p = be32_put(p, ex->block_min);
	p = be32_put(p, 4096);
	be32_put(p, NBD_PAYLOAD_MAX);
	return option_reply(conn, opt, NBD_REP_INFO, out, sizeof(out));
}

static int info_text(struct conn *conn, const struct option *opt, uint16_t type, const char *text)
{
	uint8_t out[2 + 128];
	size_t len = strlen(text);

	if (len > 128)
		len = 128;
	memcpy(be16_put(out, type), text, len);
	return option_reply(conn, opt, NBD_REP_INFO, out, (uint32_t)(2 + len));
}

static int info_one(struct conn *conn, const struct option *opt, const struct export *ex,
		    uint16_t type)
{
	switch (type) {
	case NBD_INFO_NAME:
		return info_text(conn, opt, type, ex->name);
	case NBD_INFO_DESCRIPTION:
		return info_text(conn, opt, type, ex->description);
	case NBD_INFO_BLOCK_SIZE:
		return info_block_size(conn, opt, ex);
	}
	return 0; /* the export's size is sent anyway; what we do not know we do not say */
}

/* name length u32, name, count u16, count types u16 */
static int option_info(struct conn *conn, const struct option *opt)
{
	struct export *ex;
	uint32_t name_len, count;
	const uint8_t *types;
	int err;

	if (opt->len < 6)
		return option_answer(conn, opt, NBD_REP_ERR_INVALID);
	name_len = be32_get(opt->data);
	if (name_len > opt->len - 6)
		return option_answer(conn, opt, NBD_REP_ERR_INVALID);
	count = be16_get(opt->data + 4 + name_len);
	types = opt->data + 6 + name_len;
	if (opt->len != 6 + name_len + 2 * count)
		return option_answer(conn, opt, NBD_REP_ERR_INVALID);
	ex = handshake_find(opt->data + 4, name_len);
	if (!ex)
		return option_answer(conn, opt, NBD_REP_ERR_UNKNOWN);
	err = info_export(conn, opt, ex);
	for (uint32_t i = 0; i < count && !err; i++)
		err = info_one(conn, opt, ex, be16_get(types + 2 * i));
	if (!err)
		err = option_answer(conn, opt, NBD_REP_ACK);
	if (err || opt->code == NBD_OPT_INFO)
		return err;
	/* metadata chosen for another export does not hold for this one */
	if (conn->ex != ex)
		conn->allocation = false;
	conn->ex = ex;
	return OPTION_CHOSEN;
}

static int option_headers(struct conn *conn, const struct option *opt)
{
	if (opt->len)
		return option_answer(conn, opt, NBD_REP_ERR_INVALID);
	if (opt->code == NBD_OPT_EXTENDED_HEADERS)
		conn->extended = true;
	else if (conn->extended) /* there is no way back */
		return option_answer(conn, opt, NBD_REP_ERR_EXT_HEADER_REQD);
	conn->structured = true;
	return option_answer(conn, opt, NBD_REP_ACK);
}

static int option_starttls(struct conn *conn, const struct option *opt)
{
	static const char why[] = "this server does not speak TLS";

	return option_reply(conn, opt, NBD_REP_ERR_UNSUP, why, sizeof(why) - 1);
}

static int meta_context_reply(struct conn *conn, const struct option *opt)
{
	uint8_t out[4 + sizeof(ALLOCATION) - 1];
	bool set = opt->code == NBD_OPT_SET_META_CONTEXT;

	memcpy(be32_put(out, set ? ALLOCATION_ID : 0), ALLOCATION, sizeof(ALLOCATION) - 1);
	return option_reply(conn, opt, NBD_REP_META_CONTEXT, out, sizeof(out));
}

/* Does a query name our one context? A list also answers to the namespace alone. */
static bool meta_context_match(const struct option *opt, const uint8_t *query, uint32_t len)
{
	if (len == sizeof(ALLOCATION) - 1 && memcmp(query, ALLOCATION, len) == 0)
		return true;
	return opt->code == NBD_OPT_LIST_META_CONTEXT && len == 5 && memcmp(query, "base:", 5) == 0;
}

/* `count` queries, each length u32 and text: 1 if one matches, 0 if none, -EINVAL if malformed. */
static int meta_context_queries(const struct option *opt, const uint8_t *p, uint32_t count)
{
	const uint8_t *end = opt->data + opt->len;
	int found = 0;

	while (count--) {
		uint32_t len;

		if (end - p < 4)
			return -EINVAL;
		len = be32_get(p);
		p += 4;
		if (len > (uint64_t)(end - p))
			return -EINVAL;
		found |= meta_context_match(opt, p, len);
		p += len;
	}
	return p == end ? found : -EINVAL;
}

/* name length u32, name, count u32, queries */
static int option_meta_context(struct conn *conn, const struct option *opt)
{
	bool set = opt->code == NBD_OPT_SET_META_CONTEXT;
	struct export *ex;
	uint32_t name_len, count;
	int found, err = 0;

	if (set)
		conn->allocation = false;
	if (!conn->structured || opt->len < 8)
		return option_answer(conn, opt, NBD_REP_ERR_INVALID);
	name_len = be32_get(opt->data);
	if (name_len > opt->len - 8)
		return option_answer(conn, opt, NBD_REP_ERR_INVALID);
	count = be32_get(opt->data + 4 + name_len);
	found = meta_context_queries(opt, opt->data + 8 + name_len, count);
	if (found < 0)
		return option_answer(conn, opt, NBD_REP_ERR_INVALID);
	ex = handshake_find(opt->data + 4, name_len);
	if (!ex)
		return option_answer(conn, opt, NBD_REP_ERR_UNKNOWN);
	if (found || (!set && !count))
		err = meta_context_reply(conn, opt);
	if (set && found) {
		conn->allocation = true;
		conn->ex = ex;
	}
	return err ? err : option_answer(conn, opt, NBD_REP_ACK);
}

static int option_act(struct conn *conn, const struct option *opt)
{
	switch (opt->code) {
	case NBD_OPT_EXPORT_NAME:
		return option_export_name(conn, opt);
	case NBD_OPT_ABORT:
		option_answer(conn, opt, NBD_REP_ACK);
		return -ECONNABORTED;
	case NBD_OPT_LIST:
		return option_list(conn, opt);
	case NBD_OPT_INFO:
	case NBD_OPT_GO:
		return option_info(conn, opt);
	case NBD_OPT_STARTTLS:
		return option_starttls(conn, opt);
	case NBD_OPT_STRUCTURED_REPLY:
	case NBD_OPT_EXTENDED_HEADERS:
		return option_headers(conn, opt);
	case NBD_OPT_LIST_META_CONTEXT:
	case NBD_OPT_SET_META_CONTEXT:
		return option_meta_context(conn, opt);
	}
	return option_answer(conn, opt, NBD_REP_ERR_UNSUP);
}

/* ---- the conversation ---- */

/* One option. Too long a one is skipped and refused, up to a limit. */
static int option_recv(struct conn *conn, struct option *opt)
{
	uint8_t head[16];
	int err = conn_recv(conn, head, sizeof(head));

	if (err)
		return err;
	if (be64_get(head) != NBD_OPT_MAGIC)
		return -EPROTO;
	opt->code = be32_get(head + 8);
	opt->len = be32_get(head + 12);
	if (opt->len <= OPTION_MAX)
		return conn_recv(conn, opt->data, opt->len);
	if (opt->len > NBD_PAYLOAD_MAX || opt->code == NBD_OPT_EXPORT_NAME)
		return -EMSGSIZE;
	err = conn_skip(conn, opt->len);
	return err ? err : -E2BIG;
}

static int handshake_greet(struct conn *conn)
{
	uint8_t out[18];
	uint8_t flags[4];
	uint32_t chosen;
	int64_t n;
	int err;

	be16_put(be64_put(be64_put(out, NBD_MAGIC), NBD_OPT_MAGIC),
		 NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	n = async_send_all(conn->fd, out, sizeof(out));
	if (n < 0)
		return (int)n;
	err = conn_recv(conn, flags, sizeof(flags));
	if (err)
		return err;
	chosen = be32_get(flags);
	conn->fixed = chosen & NBD_FLAG_FIXED_NEWSTYLE;
	conn->no_zeroes = chosen & NBD_FLAG_NO_ZEROES;
	return chosen & ~(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES) ? -EPROTO : 0;
}

int handshake(struct conn *conn)
{
	struct option *opt = async_alloc(sizeof(*opt));
	int err;

	if (!opt)
		return -ENOMEM;
	err = handshake_greet(conn);
	while (err == OPTION_MORE) {
		err = option_recv(conn, opt);
		if (err == -E2BIG)
			err = option_answer(conn, opt, NBD_REP_ERR_TOO_BIG);
		else if (!err && !conn->fixed && opt->code != NBD_OPT_EXPORT_NAME)
			err = -EPROTO; /* plain newstyle knows no other option */
		else if (!err)
			err = option_act(conn, opt);
	}
	async_free(opt);
	return err == OPTION_CHOSEN ? 0 : err;
}
