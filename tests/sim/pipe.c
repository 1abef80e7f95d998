/*
 * Is a pipe a pipe when everything comes at once: are records of at most PIPE_BUF bytes whole and
 * there exactly once, or not at all when they were withdrawn; does every waiting end wake; and what
 * if an end is closed, or its program dies, in the middle?
 *
 * A program holds both ends, several writes and one read in flight. A record names itself and its
 * length, and its bytes are a function of its name; the reader takes the stream in pieces of any
 * length and checks every byte.
 */
#include <string.h>

#include "lib/prog.h"
#include "uapi/errno.h"
#include "uapi/fs.h"
#include "uapi/syscall.h"

#define WRITES 6u
#define RECORDS 250u
#define RECORD_MAX 4096u /* PIPE_BUF */
#define READ_MAX 20000u
#define HEAD 4u
#define READER 1000000u /* user_data above those of records: the read, cancellations */
#define CANCEL 2000000u

enum fate { UNSENT, FLYING, SENT, WITHDRAWN, BROKEN };

struct pipe_side {
	int fd[2];
	uaddr_t buf;		    /* WRITES slots of a record, then the read's */
	uint8_t fate[RECORDS];
	uint8_t seen[RECORDS];
	uint16_t slot[WRITES];	    /* the record in it, plus 1; 0: free */
	uint32_t next, flying, cancels;
	bool reading, reader_gone, ended;
	bool lazy; /* reads so seldom that the pipe fills */
	uint32_t want;
	uint8_t stream[RECORD_MAX + READ_MAX]; /* not yet whole */
	uint32_t held;
};

static uint32_t record_len(uint32_t id)
{
	uint32_t x = id * 2654435761u >> 12;

	return id % 5 ? HEAD + x % 200 : HEAD + x % (RECORD_MAX - HEAD + 1);
}

static uint8_t record_byte(uint32_t id, uint32_t i)
{
	uint32_t len = record_len(id);

	return (uint8_t)(i < 2 ? id >> 8 * i : i < HEAD ? len >> 8 * (i - 2) : id * 31 + i * 7);
}

static void record_send(struct sim_prog *p, struct pipe_side *s, unsigned slot)
{
	uint32_t id = s->next++, len = record_len(id), cut = (uint32_t)sim_below(len);
	uaddr_t at = s->buf + slot * 2 * RECORD_MAX, vec = at + RECORD_MAX;
	struct iovec iov[3] = { { (void *)(uintptr_t)at, cut },
				{ (void *)(uintptr_t)at, 0 },
				{ (void *)(uintptr_t)(at + cut), len - cut } };
	struct io_uring_sqe sqe = { .opcode = IORING_OP_WRITE, .fd = s->fd[1], .addr = at,
				    .len = len, .off = (uint64_t)-1, .user_data = id };
	uint8_t bytes[RECORD_MAX];

	for (uint32_t i = 0; i < len; i++)
		bytes[i] = record_byte(id, i);
	prog_write(p, at, bytes, len);
	if (sim_chance(3)) {
		prog_write(p, vec, iov, sizeof(iov));
		sqe.opcode = IORING_OP_WRITEV;
		sqe.addr = vec;
		sqe.len = 3;
	}
	sim_check(prog_sqe(p, &sqe));
	s->slot[slot] = (uint16_t)(id + 1);
	s->fate[id] = FLYING;
	s->flying++;
}

static void read_send(struct sim_prog *p, struct pipe_side *s)
{
	s->want = 1 + (uint32_t)sim_below(sim_chance(2) ? 64 : READ_MAX);
	sim_check(prog_sqe(p, &(struct io_uring_sqe){ .opcode = IORING_OP_READ,
						      .fd = s->fd[0],
						      .addr = s->buf + WRITES * 2 * RECORD_MAX,
						      .len = s->want,
						      .off = (uint64_t)-1,
						      .user_data = READER }));
	s->reading = true;
}

static void cancel_send(struct sim_prog *p, struct pipe_side *s)
{
	unsigned slot = (unsigned)sim_below(WRITES + 1);
	uint64_t whom = slot == WRITES ? READER : s->slot[slot] - 1ull;

	if (slot < WRITES && !s->slot[slot])
		return;
	sim_check(prog_sqe(p, &(struct io_uring_sqe){ .opcode = IORING_OP_ASYNC_CANCEL,
						      .addr = whom,
						      .user_data = CANCEL }));
	s->cancels++;
}

/* Whole records leave the stream. */
static void stream_judge(struct pipe_side *s)
{
	uint32_t at = 0;

	while (s->held - at >= HEAD) {
		uint32_t id = s->stream[at] | (uint32_t)s->stream[at + 1] << 8, len;

		sim_check(id < s->next && !s->seen[id]);
		len = record_len(id);
		if (s->held - at < len)
			break;
		for (uint32_t i = 0; i < len; i++)
			sim_check(s->stream[at + i] == record_byte(id, i));
		sim_check(s->fate[id] == SENT || s->fate[id] == FLYING);
		s->seen[id] = 1;
		at += len;
	}
	memmove(s->stream, s->stream + at, s->held - at);
	s->held -= at;
}

static void read_ended(struct sim_prog *p, struct pipe_side *s, int32_t res)
{
	sim_check(s->reading);
	s->reading = false;
	if (res == -ECANCELED)
		return;
	if (!res)
		s->ended = true;
	sim_check(res >= 0 && (uint32_t)res <= s->want);
	prog_read(p, s->buf + WRITES * 2 * RECORD_MAX, s->stream + s->held, (size_t)res);
	s->held += (uint32_t)res;
	stream_judge(s);
}

static void write_ended(struct pipe_side *s, uint32_t id, int32_t res)
{
	unsigned slot = 0;

	sim_check(id < s->next && s->fate[id] == FLYING);
	while (s->slot[slot] != id + 1)
		sim_check(++slot < WRITES);
	s->slot[slot] = 0;
	s->flying--;
	if (res == -ECANCELED) {
		s->fate[id] = WITHDRAWN;
		sim_check(!s->seen[id]);
		return;
	}
	if (res == -EPIPE) {
		s->fate[id] = BROKEN;
		sim_check(s->reader_gone && !s->seen[id]);
		return;
	}
	sim_check(res == (int32_t)record_len(id));
	s->fate[id] = SENT;
}

static void take(struct sim_prog *p, struct pipe_side *s, bool wait)
{
	struct io_uring_cqe cqe;

	if (wait)
		prog_wait_cqe(p, &cqe);
	else if (!prog_cqe(p, &cqe))
		return;
	if (cqe.user_data == READER) {
		read_ended(p, s, cqe.res);
	} else if (cqe.user_data == CANCEL) {
		sim_check(!cqe.res || cqe.res == -ENOENT || cqe.res == -EALREADY);
		s->cancels--;
	} else {
		write_ended(s, (uint32_t)cqe.user_data, cqe.res);
	}
}

static void side_begin(struct sim_prog *p, struct pipe_side *s)
{
	memset(s, 0, sizeof(*s));
	s->lazy = sim_chance(2);
	s->buf = prog_map(p,
			  (WRITES * 2 * RECORD_MAX + READ_MAX + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1));
	sim_check(!prog_do(p, &(struct io_uring_sqe){ .opcode = IORING_OP_PIPE, .addr = s->buf },
			   NULL));
	prog_read(p, s->buf, s->fd, sizeof(s->fd));
}

static void act(struct sim_prog *p, struct pipe_side *s, bool cancels)
{
	unsigned slot = (unsigned)sim_below(WRITES);

	if (!s->slot[slot] && s->next < RECORDS && !s->reader_gone)
		record_send(p, s, slot);
	if (!s->reading && !s->reader_gone && sim_chance(s->lazy ? 100 : 2))
		read_send(p, s);
	if (cancels && sim_chance(4) && s->cancels < 8)
		cancel_send(p, s);
	if (!sim_chance(3))
		prog_submit(p);
	take(p, s, false);
}

static void quiet(struct sim_prog *p, struct pipe_side *s, bool reads)
{
	while (s->flying || s->cancels || (s->reading && !reads)) {
		if (reads && !s->reading && !s->ended)
			read_send(p, s);
		prog_submit(p);
		take(p, s, true);
	}
}

static int32_t shut(struct sim_prog *p, int fd)
{
	return (int32_t)prog_call(p, SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0);
}

static bool all_seen(const struct pipe_side *s)
{
	for (uint32_t i = 0; i < RECORDS; i++)
		if (s->fate[i] == SENT && !s->seen[i])
			return false;
	return true;
}

/* Everything that was sent arrives, then the end of file does. */
static void drained(struct sim_prog *p)
{
	static struct pipe_side sides[4];
	static unsigned used;
	struct pipe_side *mine = &sides[used++ % 4];
	bool cancels = sim_chance(2);

	side_begin(p, mine);
	while (mine->next < RECORDS) {
		act(p, mine, cancels);
		if (sim_chance(50))
			mine->lazy = sim_chance(2);
	}
	quiet(p, mine, true);
	while (cancels && !all_seen(mine)) { /* so that a read waits when the end comes */
		if (!mine->reading)
			read_send(p, mine);
		prog_submit(p);
		take(p, mine, true);
	}
	if (cancels && !mine->reading)
		read_send(p, mine);
	prog_submit(p);
	for (uint64_t n = sim_below(40); n; n--)
		prog_pause(p);
	if (mine->reading) { /* the close must find nothing of ours */
		sim_check(prog_sqe(p, &(struct io_uring_sqe){ .opcode = IORING_OP_CLOSE,
							      .fd = mine->fd[1],
							      .user_data = CANCEL }));
		mine->cancels++;
	} else {
		sim_check(!shut(p, mine->fd[1]));
	}
	while (!mine->ended) {
		if (!mine->reading)
			read_send(p, mine);
		prog_submit(p);
		take(p, mine, true);
	}
	while (mine->cancels)
		take(p, mine, true);
	sim_check(!mine->held);
	for (uint32_t i = 0; i < RECORDS; i++)
		sim_check(mine->seen[i] == (mine->fate[i] == SENT));
	sim_check(!shut(p, mine->fd[0]));
}

static void drained_test(void)
{
	sim_spawn(drained, NULL, 1, 0);
	sim_spawn(drained, NULL, 1, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

static void drained_alone(void)
{
	sim_spawn(drained, NULL, 0, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

/* The reading end is closed in the middle: its read is cancelled, the writes break. */
static void broken(struct sim_prog *p)
{
	static struct pipe_side sides[4];
	static unsigned used;
	struct pipe_side *s = &sides[used++ % 4];

	side_begin(p, s);
	for (uint64_t n = 20 + sim_below(200); n && s->next < RECORDS; n--)
		act(p, s, true);
	s->reader_gone = true;
	sim_check(prog_sqe(p, &(struct io_uring_sqe){ .opcode = IORING_OP_CLOSE,
						      .fd = s->fd[0],
						      .user_data = CANCEL }));
	s->cancels++;
	prog_submit(p);
	quiet(p, s, false);
	sim_check(shut(p, s->fd[0]) == -EBADF);
	sim_check(prog_do(p, &(struct io_uring_sqe){ .opcode = IORING_OP_WRITE, .fd = s->fd[1],
						     .addr = s->buf, .len = 8,
						     .off = (uint64_t)-1 }, NULL) == -EPIPE);
	if (sim_chance(2))
		sim_check(!shut(p, s->fd[1]));
}

static void broken_test(void)
{
	sim_spawn(broken, NULL, 1, 0);
	sim_spawn(broken, NULL, 1, 0);
	sim_finish();
	sim_check(!sim_failed_programs());
}

/* Programs end with everything in flight, by themselves or killed. */
static void careless(struct sim_prog *p)
{
	static struct pipe_side sides[8];
	static unsigned used;
	struct pipe_side *s = &sides[used++ % 8];

	side_begin(p, s);
	for (uint64_t n = sim_below(300); n && s->next < RECORDS; n--)
		act(p, s, true);
}

static void careless_test(void)
{
	struct process *p[4];

	for (unsigned i = 0; i < 4; i++)
		p[i] = sim_spawn(careless, NULL, 1 + i % 2, 0);
	for (unsigned i = 0; i < 2; i++) {
		sim_for(sim_below(2000000));
		sim_kill(p[i]);
	}
	sim_finish();
}

int main(void)
{
	static const struct sim_test tests[] = {
		{ .name = "pipe drained", .run = drained_test, .cores = 2 },
		{ .name = "pipe drained, mixed core", .run = drained_alone, .cores = 1 },
		{ .name = "pipe broken in the middle", .run = broken_test, .cores = 2 },
		{ .name = "pipe of programs that die", .run = careless_test, .cores = 3 },
	};

	return sim_main(tests, array_count(tests));
}
