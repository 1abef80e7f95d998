/*
 * request: see request.h. A `struct text` is a piece of the head; nothing is copied but the path.
 */
#include "request.h"

#include <string.h>

struct text {
	const char *at;
	uint32_t len;
};

struct fields {
	uint32_t hosts;
	bool close, keep, body;
};

/* ---- where a head ends ---- */

/* One line, without its CR LF. 1 at the empty line that ends the head. */
static int32_t find_line(struct request_scan *scan, uint32_t len)
{
	if (scan->lines == 0 && len > REQUEST_LINE_MAX)
		return -414;
	if (len == 0 && scan->lines)
		return 1;
	if (len)
		scan->lines++;
	else
		scan->begin = scan->next; /* an empty line before the first is ignored: 9112, 2.2 */
	return 0;
}

int32_t request_find_end(struct request_scan *scan, const char *bytes, uint32_t len)
{
	while (scan->next < len) {
		uint32_t at = scan->next++;
		int32_t found;

		if (at >= REQUEST_BYTES_MAX)
			return scan->lines ? -431 : -414;
		if (bytes[at] != '\n')
			continue;
		if (at == scan->line_start || bytes[at - 1] != '\r')
			return -400;
		found = find_line(scan, at - 1 - scan->line_start);
		if (found)
			return found < 0 ? found : (int32_t)scan->next;
		scan->line_start = scan->next;
	}
	if (scan->lines == 0 && len - scan->line_start > REQUEST_LINE_MAX + 1)
		return -414;
	if (len >= REQUEST_BYTES_MAX)
		return -431;
	return 0;
}

/* ---- pieces of text ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Token characters: RFC 9110, 5.6.2. */
static bool is_token(struct text t)
{
	for (uint32_t i = 0; i < t.len; i++) {
		unsigned char c = (unsigned char)t.at[i];

		if ((c | 32) >= 'a' && (c | 32) <= 'z')
			continue;
		if ((c < '0' || c > '9') && (!c || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return t.len > 0;
}

static bool text_is(struct text t, const char *word)
{
	return t.len == strlen(word) && memcmp(t.at, word, t.len) == 0;
}

/* `word` in small letters; `t` in any. */
static bool text_is_any_case(struct text t, const char *word)
{
	if (t.len != strlen(word))
		return false;
	for (uint32_t i = 0; i < t.len; i++) {
		char c = t.at[i];

		if ((c >= 'A' && c <= 'Z' ? c | 32 : c) != word[i])
			return false;
	}
	return true;
}

/* Splits off what lies before the first `end`, which is dropped; all of it when there is none. */
static struct text text_take(struct text *rest, char end)
{
	const char *stop = memchr(rest->at, end, rest->len);
	struct text piece = { rest->at, stop ? (uint32_t)(stop - rest->at) : rest->len };
	uint32_t used = piece.len + (stop ? 1 : 0);

	rest->at += used;
	rest->len -= used;
	return piece;
}

static struct text text_trim(struct text t)
{
	while (t.len && (*t.at == ' ' || *t.at == '\t'))
		t.at++, t.len--;
	while (t.len && (t.at[t.len - 1] == ' ' || t.at[t.len - 1] == '\t'))
		t.len--;
	return t;
}

/* ---- the target ---- */

static int hex(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One character of a path, decoded; -1 when it is none. */
static int path_char(struct text *t)
{
	int high, low, c = (unsigned char)*t->at++;

	t->len--;
	if (c == '%') {
		high = t->len >= 2 ? hex(t->at[0]) : -1;
		low = t->len >= 2 ? hex(t->at[1]) : -1;
		if (high < 0 || low < 0)
			return -1;
		t->at += 2;
		t->len -= 2;
		c = high * 16 + low;
	}
	return c < 32 || c == 127 ? -1 : c;
}

/* Whether a part of the path is "..": the root would be left. */
static bool path_climbs(const char *path)
{
	for (const char *p = path; (p = strstr(p, "/..")) != NULL; p += 3) {
		if (p[3] == '/' || p[3] == 0)
			return true;
	}
	return false;
}

/* origin-form or absolute-form (RFC 9112, 3.2). The status. */
static uint16_t parse_target(struct request *req, struct text target)
{
	uint32_t len = 0;

	target = text_take(&target, '?');
	if (target.len > 7 && text_is_any_case((struct text){ target.at, 7 }, "http://")) {
		const char *slash = memchr(target.at + 7, '/', target.len - 7);

		if (!slash)
			slash = target.at + 6; /* no path: any single slash will do */
		target.len -= (uint32_t)(slash - target.at);
		if (slash == target.at + 6)
			target.len = 1;
		target.at = slash;
	}
	if (!target.len || *target.at != '/')
		return 400;
	while (target.len) {
		int c = path_char(&target);

		if (c < 0 || c == '#')
			return 400;
		if (len == sizeof(req->path) - 1)
			return 414;
		req->path[len++] = (char)c;
	}
	req->path[len] = 0;
	return path_climbs(req->path) ? 400 : 200;
}

/* ---- lines ---- */

/* "HTTP/1.x". The status; a client of version 1.0 sets *old. */
static uint16_t parse_version(struct text version, bool *old)
{
	if (version.len != 8 || memcmp(version.at, "HTTP/", 5) != 0 || version.at[6] != '.' ||
	    !is_digit(version.at[5]) || !is_digit(version.at[7]))
		return 400;
	*old = version.at[7] == '0';
	return version.at[5] == '1' ? 200 : 505;
}

static uint16_t parse_first_line(struct request *req, struct text line, bool *old)
{
	struct text method = text_take(&line, ' ');
	struct text target = text_take(&line, ' ');
	uint16_t status;

	if (!is_token(method) || !target.len)
		return 400;
	req->head = text_is(method, "HEAD");
	status = parse_version(line, old);
	if (status != 200)
		return status;
	if (!req->head && !text_is(method, "GET"))
		return 405;
	return parse_target(req, target);
}

static void parse_connection(struct fields *fields, struct text list)
{
	while (list.len) {
		struct text word = text_trim(text_take(&list, ','));

		fields->close |= text_is_any_case(word, "close");
		fields->keep |= text_is_any_case(word, "keep-alive");
	}
}

/* False when the line is not a field. */
static bool parse_field(struct fields *fields, struct text line)
{
	struct text name = text_take(&line, ':');
	struct text value = text_trim(line);

	/* a name that was not ended by a colon took the whole line */
	if (!is_token(name) || name.at + name.len == line.at)
		return false;
	for (uint32_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.at[i];

		if ((c < 32 && c != '\t') || c == 127)
			return false;
	}
	if (text_is_any_case(name, "host")) {
		fields->hosts++;
	} else if (text_is_any_case(name, "connection")) {
		parse_connection(fields, value);
	} else if (text_is_any_case(name, "content-length")) {
		for (uint32_t i = 0; i < value.len; i++) {
			if (!is_digit(value.at[i]))
				return false;
			fields->body |= value.at[i] != '0';
		}
		return value.len > 0;
	} else if (text_is_any_case(name, "transfer-encoding")) {
		fields->body = true;
	}
	return true;
}

void request_parse(struct request *req, const char *bytes, uint32_t begin, uint32_t len)
{
	struct text rest = { bytes + begin, len - begin - 2 }; /* without the empty line */
	struct text line = text_take(&rest, '\n');
	struct fields fields = { 0 };
	bool old = false;

	req->head = req->keep_said = false;
	req->close = true;
	line.len--; /* the CR */
	req->status = parse_first_line(req, line, &old);
	while (rest.len) {
		line = text_take(&rest, '\n');
		line.len--;
		if (!parse_field(&fields, line)) {
			req->status = 400;
			return;
		}
	}
	if (req->status == 400 || req->status == 505)
		return;
	/* RFC 9112, 3.2: exactly one Host from version 1.1 on. A body is nothing we would read. */
	if (fields.hosts > 1 || (!old && !fields.hosts) || (fields.body && req->status == 200)) {
		req->status = 400;
		return;
	}
	req->close = fields.body || fields.close || (old && !fields.keep);
	req->keep_said = old && !req->close;
}
