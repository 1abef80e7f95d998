/*
 * coretop: what every core does, as a table that is drawn again and again.
 *
 * usage: coretop [-l] [-i MS] [-n TABLES]
 *
 * Opens /dev/cores and /dev/rings anew each time (a report is as of its opening), and shows what
 * has changed since the last one. The first line of a report names its columns; a column of the
 * table names its source, so that a new one is a line in `columns`, and one the kernel does not
 * have is left empty. -l draws over the last table, for a terminal; without it tables follow each
 * other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libasync/async.h"

#define ROWS_MAX 65 /* the names, 64 cores */
#define CELLS_MAX 32
#define TEXT_MAX 16384

/* A report, cut into cells; row 0 holds the names. */
struct report {
	unsigned rows;
	char *cell[ROWS_MAX][CELLS_MAX];
	char text[TEXT_MAX + 1];
};

enum show {
	TEXT,  /* as it is */
	RATE,  /* change per second */
	SHARE, /* change in nanoseconds, as a share of the time that went by */
	AGE,   /* nanoseconds, as microseconds */
};

struct column {
	const char *title;
	int width; /* negative: to the left */
	const char *source;
	enum show show;
};

static const struct column core_columns[] = {
	{"core", 4, "core", TEXT},	      {" role", -17, "role", TEXT},
	{"state", -7, "state", TEXT},	      {"busy", 6, "busy_ns", SHARE},
	{"polls/s", 9, "turns", RATE},	      {"sqes/s", 9, "sqes", RATE},
	{"steps/s", 9, "steps", RATE},	      {"parks/s", 8, "parks", RATE},
	{"traps/s", 8, "traps", RATE},	      {"mailq", 6, "mails_peak", TEXT},
	{"runq", 5, "ops_peak", TEXT},	      {"ready", 6, "threads", TEXT},
	{"ops", 5, "ops", TEXT},	      {"age us", 7, "behind_ns", AGE},
	{"moves", 6, "moves", TEXT},
};

static const struct column ring_columns[] = {
	{"ring", 4, "ring", TEXT},	   {" program", -15, "name", TEXT},
	{"pid", 5, "pid", TEXT},	   {"on core", 8, "core", TEXT},
	{"waiting", 8, "waiting", TEXT},   {"in flight", 10, "in_flight", TEXT},
	{"unseen", 7, "unseen", TEXT},	   {"age us", 7, "behind_ns", AGE},
};

/* The screen being written. */
static char screen[TEXT_MAX];
static size_t screen_len;
static const char *line_end = "\n";

static __attribute__((format(printf, 1, 2))) void put(const char *format, ...)
{
	size_t room = sizeof(screen) - screen_len;
	__builtin_va_list args;
	int n;

	__builtin_va_start(args, format);
	n = vsnprintf(screen + screen_len, room, format, args);
	__builtin_va_end(args);
	if (n > 0)
		screen_len += (size_t)n < room ? (size_t)n : room - 1;
}

/* 0, or -errno of the read. */
static int report_read(struct report *r, const char *path)
{
	int64_t n;
	int fd = async_open(path, O_RDONLY);

	if (fd < 0)
		return fd;
	n = async_pread(fd, r->text, TEXT_MAX, 0);
	async_close(fd);
	if (n < 0)
		return (int)n;
	r->text[n] = '\0';
	memset(r->cell, 0, sizeof(r->cell));
	r->rows = 0;
	for (char *at = r->text; *at && r->rows < ROWS_MAX; r->rows++) {
		for (unsigned i = 0; *at && *at != '\n'; i++) {
			if (i < CELLS_MAX)
				r->cell[r->rows][i] = at;
			at += strcspn(at, " \n");
			if (*at == ' ')
				*at++ = '\0';
		}
		if (*at)
			*at++ = '\0';
	}
	return 0;
}

/* The cell of `row` below the name, NULL if the report has no such column. */
static const char *cell_of(const struct report *r, unsigned row, const char *name)
{
	for (unsigned i = 0; i < CELLS_MAX && r->cell[0][i]; i++)
		if (!strcmp(r->cell[0][i], name))
			return r->cell[row][i];
	return NULL;
}

static uint64_t number_of(const struct report *r, unsigned row, const char *name)
{
	const char *cell = cell_of(r, row, name);

	return cell ? strtoull(cell, NULL, 10) : 0;
}

static void cell_show(const struct column *col, const struct report *now,
		      const struct report *before, unsigned row, uint64_t ns)
{
	const char *cell = cell_of(now, row, col->source);
	uint64_t value, was;
	char text[24];

	if (!cell) {
		put("%*s", col->width, "");
		return;
	}
	value = strtoull(cell, NULL, 10);
	was = row < before->rows ? number_of(before, row, col->source) : value;
	value = value > was ? value - was : 0; /* two numbers of a report may differ in age */
	switch (col->show) {
	case TEXT:
		snprintf(text, sizeof(text), "%s%s",
			 col->width < 0 && col->title[0] == ' ' ? " " : "", cell);
		break;
	case RATE:
		snprintf(text, sizeof(text), "%llu",
			 (unsigned long long)(ns ? value * 1000000 / (ns / 1000 + 1) : 0));
		break;
	case SHARE:
		value = ns && value < ns ? value * 1000 / ns : 1000;
		snprintf(text, sizeof(text), "%u.%u%%", (unsigned)value / 10, (unsigned)value % 10);
		break;
	case AGE:
		snprintf(text, sizeof(text), "%llu",
			 (unsigned long long)(strtoull(cell, NULL, 10) / 1000));
		break;
	}
	put("%*s", col->width, text);
}

/* The row behind `row` in the order of the numbers called `name`, the first one behind 0; 0: none.
 * Rings lie in the report as they lie on their cores, and would jump when one moves. */
static unsigned row_after(const struct report *r, unsigned row, const char *name)
{
	uint64_t last = number_of(r, row, name), least = UINT64_MAX;
	unsigned next = 0;

	for (unsigned i = 1; i < r->rows; i++) {
		uint64_t n = number_of(r, i, name);
		bool behind = !row || n > last || (n == last && i > row);

		if (behind && n < least) {
			least = n;
			next = i;
		}
	}
	return next;
}

static void table_show(const struct column *cols, unsigned count, const struct report *now,
		       const struct report *before, uint64_t ns)
{
	for (unsigned i = 0; i < count; i++)
		put("%*s", cols[i].width, cols[i].title);
	put("%s", line_end);
	for (unsigned row = row_after(now, 0, cols->source); row;
	     row = row_after(now, row, cols->source)) {
		for (unsigned i = 0; i < count; i++)
			cell_show(&cols[i], now, before, row, ns);
		put("%s", line_end);
	}
}

#define COUNT(columns) (sizeof(columns) / sizeof((columns)[0]))

int main(int argc, char **argv)
{
	static struct report cores[2], rings;
	unsigned long ms = 1000, tables = 0;
	bool live = false;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-l")) {
			live = true;
		} else if (i + 1 < argc && !strcmp(argv[i], "-i")) {
			ms = strtoul(argv[++i], NULL, 10);
		} else if (i + 1 < argc && !strcmp(argv[i], "-n")) {
			tables = strtoul(argv[++i], NULL, 10);
		} else {
			async_printf("usage: coretop [-l] [-i MS] [-n TABLES]\n");
			return 2;
		}
	}
	if (live)
		line_end = "\x1b[K\n";
	if (report_read(&cores[0], "/dev/cores"))
		return 1;
	for (unsigned long n = 1; !tables || n <= tables; n++) {
		struct report *now = &cores[n % 2], *before = &cores[(n - 1) % 2];
		uint64_t ns;

		if (async_sleep(ms * ASYNC_MS) || report_read(now, "/dev/cores") ||
		    report_read(&rings, "/dev/rings"))
			return 1;
		ns = number_of(now, 1, "time_ns");
		screen_len = 0;
		put("%scoretop: up %llu.%llu s", live ? "\x1b[H" : "",
		    (unsigned long long)(ns / 1000000000),
		    (unsigned long long)(ns / 100000000 % 10));
		ns -= number_of(before, 1, "time_ns");
		put(", over the last %llu ms%s", (unsigned long long)(ns / 1000000), line_end);
		table_show(core_columns, COUNT(core_columns), now, before, ns);
		put("%s", line_end);
		table_show(ring_columns, COUNT(ring_columns), &rings, &rings, 0);
		put("%s", live ? "\x1b[J" : line_end);
		if (async_write_all(1, screen, screen_len) < 0)
			return 1;
	}
	return 0;
}
