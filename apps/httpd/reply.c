/*
 * reply: see reply.h. A file is opened for each request; what is small is read right behind its
 * head, so that head and body, and the answers to requests that came together, leave in one send.
 */
#include "reply.h"

#include <string.h>

#include "libasync/async.h"

#define ROOT_MAX 256u
#define DATE_LEN 29u /* "Sun, 06 Nov 1994 08:49:37 GMT": RFC 9110, 5.6.7 */

static char root[ROOT_MAX];
static uint32_t root_len;

/* ---- the date ---- */

static int64_t date_base_ns; /* 1970 to the zero of async_now_ns; 0: nobody knows */
static int64_t date_second;  /* the one date_text shows */
static char date_text[DATE_LEN];

static void date_put(uint32_t at, uint64_t number, uint32_t digits)
{
	while (digits-- > 0) {
		date_text[at + digits] = (char)('0' + number % 10);
		number /= 10;
	}
}

/* Counts years and months off: once a second is seldom enough for a loop. */
static void date_write(uint64_t second)
{
	static const char week[] = "ThuFriSatSunMonTueWed"; /* 1970 began with a Thursday */
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static const uint8_t lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	uint64_t day = second / 86400, year = 1970, month = 0, weekday = day % 7;

	for (;; year++) {
		bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

		if (day >= 365u + leap) {
			day -= 365u + leap;
			continue;
		}
		for (; day >= lengths[month] + (month == 1 && leap ? 1u : 0u); month++)
			day -= lengths[month] + (month == 1 && leap ? 1u : 0u);
		break;
	}
	memcpy(date_text, "Day, 00 Mon 0000 00:00:00 GMT", DATE_LEN);
	memcpy(date_text, week + weekday * 3, 3);
	memcpy(date_text + 8, names + month * 3, 3);
	date_put(5, day + 1, 2);
	date_put(12, year, 4);
	date_put(17, second / 3600 % 24, 2);
	date_put(20, second / 60 % 60, 2);
	date_put(23, second % 60, 2);
}

/* ---- heads ---- */

static void put(struct out *out, const char *text, uint32_t len)
{
	memcpy(out->bytes + out->len, text, len);
	out->len += len;
}

static void put_text(struct out *out, const char *text)
{
	put(out, text, (uint32_t)strlen(text));
}

static void put_number(struct out *out, uint64_t number)
{
	char digits[20];
	uint32_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	put(out, digits + at, sizeof(digits) - at);
}

static const char *status_text(uint16_t status)
{
	static const struct {
		uint16_t status;
		const char *text;
	} texts[] = {
		{ 200, "200 OK" },
		{ 400, "400 Bad Request" },
		{ 404, "404 Not Found" },
		{ 405, "405 Method Not Allowed" },
		{ 414, "414 URI Too Long" },
		{ 431, "431 Request Header Fields Too Large" },
		{ 503, "503 Service Unavailable" },
		{ 505, "505 HTTP Version Not Supported" },
	};

	for (uint32_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].status == status)
			return texts[i].text;
	}
	return "500 Internal Server Error";
}

static const char *content_type(const char *path)
{
	static const char *const types[][2] = {
		{ ".html", "text/html; charset=utf-8" },
		{ ".txt", "text/plain; charset=utf-8" },
		{ ".css", "text/css; charset=utf-8" },
		{ ".js", "text/javascript; charset=utf-8" },
		{ ".json", "application/json" },
		{ ".svg", "image/svg+xml" },
		{ ".png", "image/png" },
		{ ".jpg", "image/jpeg" },
		{ ".ico", "image/x-icon" },
	};
	uint32_t len = (uint32_t)strlen(path);

	for (uint32_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint32_t end = (uint32_t)strlen(types[i][0]);

		if (len > end && strcmp(path + len - end, types[i][0]) == 0)
			return types[i][1];
	}
	return "application/octet-stream";
}

static void put_head(struct out *out, const struct request *req, uint16_t status, const char *type,
		     uint64_t size)
{
	put_text(out, "HTTP/1.1 ");
	put_text(out, status_text(status));
	if (date_base_ns) {
		int64_t second = (date_base_ns + (int64_t)async_now_ns()) / (int64_t)ASYNC_S;

		if (second != date_second)
			date_write((uint64_t)(date_second = second));
		put_text(out, "\r\nDate: ");
		put(out, date_text, DATE_LEN);
	}
	put_text(out, "\r\nContent-Type: ");
	put_text(out, type);
	put_text(out, "\r\nContent-Length: ");
	put_number(out, size);
	if (status == 405)
		put_text(out, "\r\nAllow: GET, HEAD");
	if (req->close)
		put_text(out, "\r\nConnection: close");
	else if (req->keep_said)
		put_text(out, "\r\nConnection: keep-alive");
	put_text(out, "\r\n\r\n");
}

static void put_error(struct out *out, const struct request *req, uint16_t status)
{
	const char *text = status_text(status);

	put_head(out, req, status, "text/plain; charset=utf-8", strlen(text) + 1);
	if (!req->head) {
		put_text(out, text);
		put_text(out, "\n");
	}
}

/* ---- bodies ---- */

int reply_flush(struct out *out)
{
	struct async_scope limit;
	int64_t n = 0;

	if (out->len) {
		async_deadline_begin(&limit, SEND_NS);
		n = async_send_all(out->fd, out->bytes, out->len);
		async_deadline_end(&limit);
	}
	out->len = 0;
	return n < 0 ? (int)n : 0;
}

/* Reads all of a file behind its head, sending whenever the buffer is full. A file that does not
 * keep to its size ends the connection: the client was promised that many bytes. */
static int put_file(struct out *out, int fd, uint64_t size)
{
	uint64_t done = 0;

	while (done < size) {
		uint64_t room = OUT_BYTES - out->len;
		int64_t n;

		if (!room) {
			n = reply_flush(out);
			if (n)
				return (int)n;
			continue;
		}
		n = async_pread(fd, out->bytes + out->len, room < size - done ? room : size - done,
				done);
		if (n <= 0)
			return n ? (int)n : -EIO;
		out->len += (uint32_t)n;
		done += (uint64_t)n;
	}
	return 0;
}

/* ---- a request ---- */

/* The descriptor of the file that `req` names, and its size; or -errno. */
static int open_file(const struct request *req, char *path, uint64_t *size)
{
	uint32_t len = (uint32_t)strlen(req->path);
	struct statx st;
	int fd, err;

	memcpy(path, root, root_len);
	memcpy(path + root_len, req->path, len + 1);
	if (req->path[len - 1] == '/')
		memcpy(path + root_len + len, "index.html", sizeof("index.html"));
	fd = async_open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fd;
	err = async_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE | STATX_TYPE, &st);
	if (!err && (st.stx_mode & S_IFMT) != S_IFREG)
		err = -EISDIR;
	if (err) {
		async_close(fd);
		return err;
	}
	*size = st.stx_size;
	return fd;
}

static bool is_ours(int err)
{
	return err == -ENOMEM || err == -ENFILE || err == -EMFILE || err == -EIO || err == -EAGAIN;
}

int reply_add(struct out *out, const struct request *req)
{
	char path[ROOT_MAX + REQUEST_PATH_MAX + sizeof("index.html")];
	uint64_t size = 0;
	int fd = -1, err = 0;

	if (out->len + REPLY_HEAD_MAX > OUT_BYTES && (err = reply_flush(out)))
		return err;
	if (req->status != 200) {
		put_error(out, req, req->status);
		return 0;
	}
	fd = open_file(req, path, &size);
	if (fd == -ECANCELED || fd == -ETIME)
		return fd;
	if (fd < 0) {
		put_error(out, req, is_ours(fd) ? 503 : 404);
		return 0;
	}
	/* an answer that fits into one send does not begin in the one before */
	if (out->len + REPLY_HEAD_MAX + size > OUT_BYTES && REPLY_HEAD_MAX + size <= OUT_BYTES)
		err = reply_flush(out);
	if (!err) {
		put_head(out, req, 200, content_type(path), size);
		err = req->head ? 0 : put_file(out, fd, size);
	}
	async_close(fd);
	return err;
}

int reply_init(const char *folder)
{
	struct statx st;
	int64_t now;
	int err;

	root_len = (uint32_t)strlen(folder);
	if (folder[0] != '/' || root_len >= ROOT_MAX)
		return -EINVAL;
	err = async_statx(AT_FDCWD, folder, 0, STATX_TYPE, &st);
	if (err)
		return err;
	if ((st.stx_mode & S_IFMT) != S_IFDIR)
		return -ENOTDIR;
	memcpy(root, folder, root_len);
	while (root_len && root[root_len - 1] == '/')
		root_len--;
	now = async_wall_ns();
	date_base_ns = now > 0 ? now - (int64_t)async_now_ns() : 0;
	return 0;
}
