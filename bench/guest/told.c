/*
 * b_told COUNT GAP_US WAIT_MS ROUNDS CORE HOW...: how does a program learn of a message, and what
 * does that cost it? Another process, on CORE, sends: nothing for WAIT_MS, and then COUNT messages,
 * GAP_US or more apart. Each message is a number in shared memory; HOW says by what its receiver is
 * made to look at it:
 *
 *	uintr		user interrupt, asleep in wfi in its own mode meanwhile
 *	uintr-busy	user interrupt into a computation
 *	word		busy polling: it looks at the number all the time
 *	ring		busy polling of the completion queue, for a read of a pipe
 *	switch		free-polling: two coroutines that compute and yield; a third reads a pipe
 *	park		waiting in the kernel, for a read of a pipe
 *
 * Two lines for each measurement, and marks for the counting plugin around both parts: how=HOW
 * wait_ns=... for the time without messages, how=HOW messages=... ns=... median_ns=... p99_ns=...
 * The clock is the machine's, and the same on all harts.
 */
#include "libasync/async.h"

#include <string.h>

#include "bench/told.h"
#include "lib/guest.h"
#include "libasync/notice.h"
#include "uapi/mman.h"
#include "uapi/wait.h"

#define ID 1u
#define SLICE 100u /* loops of a coroutine that computes, between two switches */

enum how { UINTR, UINTR_BUSY, WORD, RING, SWITCH, PARK, HOWS };
static const char *const names[HOWS] = { "uintr", "uintr-busy", "word", "ring", "switch", "park" };

static struct told *told;
static enum how how;
static uint64_t last;	     /* the message after which a part is over */
static bool over;	     /* SWITCH: the computing coroutines end */
static int pipe_fds[2];

static struct ring *ring(void)
{
	return &async_here()->ring; /* no coroutine uses it while we do */
}

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	ring_die(ring(), what);
}

static bool by_pipe(enum how h)
{
	return h >= RING;
}

/* ---- the receiver ---------------------------------------------------------------------------- */

/* Looks, and notes how long it took. */
static void look(void)
{
	uint64_t number = __atomic_load_n(&told->number, __ATOMIC_ACQUIRE);

	if (number == told->seen)
		return;
	told->took[number % TOLD_MAX] = async_ticks_read() - told->sent;
	ASYNC_MARK(TOLD_MARK_SEEN);
	__atomic_store_n(&told->seen, number, __ATOMIC_RELEASE);
}

static void noticed(uint32_t id)
{
	(void)id;
	look();
}

/* What a receiver computes meanwhile is in functions of their own, so that a profile can leave it
 * out. This loop is left by the handler's store alone. */
__attribute__((noinline)) static void compute_alone(void)
{
	while (__atomic_load_n(&told->seen, __ATOMIC_RELAXED) != last)
		;
}

static void compute(void)
{
	notice_on();
	compute_alone();
	notice_off();
}

/* Between the marks nothing but waiting. */
__attribute__((noinline)) static void word_wait(void)
{
	ASYNC_MARK(RING_MARK_SPIN_BEGIN);
	while (__atomic_load_n(&told->number, __ATOMIC_RELAXED) == told->seen)
		async_relax();
	ASYNC_MARK(RING_MARK_SPIN_END);
}

/* One read of the pipe on the bare ring, its answer spun for or waited for in the kernel. */
static void pipe_wait(void)
{
	struct ring *r = ring();
	char byte;

	ring_fill(ring_sqe(r), IORING_OP_READ, pipe_fds[0], ~0ull, at(&byte), 1, 0, 0);
	must(!ring_submit(r), "b_told: the doorbell failed\n");
	if (how == RING)
		while (!ring_spin(r, 1, UINT64_MAX))
			;
	must(!ring_wait(r, 1) && ring_cqe(r)->res == 1, "b_told: the pipe failed\n");
	ring_advance(r, 1);
}

__attribute__((noinline)) static int64_t compute_in_turns(void *unused)
{
	(void)unused;
	while (!over) {
		for (uint64_t n = SLICE; n; n--)
			__asm__ volatile("" : "+r"(n));
		async_yield();
	}
	return 0;
}

static void switch_receive(void)
{
	struct async_group group;
	char byte;

	over = false;
	async_group_init(&group);
	must(!async_group_spawn(&group, compute_in_turns, NULL) &&
		     !async_group_spawn(&group, compute_in_turns, NULL),
	     "b_told: no coroutines\n");
	while (told->seen != last) {
		must(async_read(pipe_fds[0], &byte, 1) == 1, "b_told: the pipe failed\n");
		look();
	}
	over = true;
	must(!async_group_wait(&group), "b_told: a coroutine failed\n");
}

static void receive(void)
{
	if (how == SWITCH) {
		switch_receive();
		return;
	}
	if (how == UINTR_BUSY) {
		compute();
		return;
	}
	while (told->seen != last) {
		if (how == UINTR)
			notice_wait(ring());
		else if (how == WORD)
			word_wait();
		else
			pipe_wait();
		look();
	}
}

static uint64_t ns_of(uint64_t ticks)
{
	return ticks * 1000u / (ring_start_info->time_hz / 1000000u);
}

/* Both parts: the long wait ends with message 1. */
static void measure(uint32_t count)
{
	uint64_t from, ns;

	from = guest_ns();
	last = 1;
	ASYNC_MARK(GUEST_MARK_BEGIN);
	receive();
	ASYNC_MARK(GUEST_MARK_END);
	ns = guest_ns() - from;
	async_printf("bench: how=%s wait_ns=%llu\n", names[how], (unsigned long long)ns);
	from = guest_ns();
	last = 1 + count;
	__atomic_store_n(&told->ready, 2, __ATOMIC_RELEASE);
	ASYNC_MARK(GUEST_MARK_BEGIN);
	receive();
	ASYNC_MARK(GUEST_MARK_END);
	ns = guest_ns() - from;
	told_sort(told->took + 2, count);
	async_printf("bench: how=%s messages=%u ns=%llu median_ns=%llu p99_ns=%llu\n", names[how],
		     count, (unsigned long long)ns,
		     (unsigned long long)ns_of(told->took[2 + count / 2]),
		     (unsigned long long)ns_of(told->took[2 + count - 1 - count / 100]));
}

/* ---- the sender: descriptor 3 is the memory, 4 the receiver's endpoint or pipe --------------- */

static void pause_ns(uint64_t ns)
{
	struct __kernel_timespec time = { .tv_sec = (int64_t)(ns / ASYNC_S),
					  .tv_nsec = (int64_t)(ns % ASYNC_S) };

	must(!ring_syscall(ring(), SYS_nanosleep, at(&time), 0, 0, 0, 0, 0),
	     "b_told: the sender cannot sleep\n");
}

__attribute__((noinline)) static void seen_wait(uint64_t number)
{
	ASYNC_MARK(RING_MARK_SPIN_BEGIN);
	while (__atomic_load_n(&told->seen, __ATOMIC_ACQUIRE) != number)
		async_relax();
	ASYNC_MARK(RING_MARK_SPIN_END);
}

static void message(uint64_t number, const struct notice_sender *to)
{
	ASYNC_MARK(TOLD_MARK_SENT);
	told->sent = async_ticks_read();
	__atomic_store_n(&told->number, number, __ATOMIC_RELEASE);
	if (to)
		notice_send(ring(), to);
	else if (by_pipe(how))
		must(ring_syscall(ring(), SYS_write, 4, at(""), 1, 0, 0, 0) == 1,
		     "b_told: the sender's pipe failed\n");
	seen_wait(number);
}

static int sender(uint32_t count, uint64_t gap_ns, uint64_t wait_ns)
{
	struct notice_sender receiver, *to = NULL;

	if (how <= UINTR_BUSY) {
		to = &receiver;
		must(!notice_connect(ring(), 4, to), "b_told: the sender cannot connect\n");
	}
	pause_ns(wait_ns);
	message(1, to);
	while (__atomic_load_n(&told->ready, __ATOMIC_ACQUIRE) != 2)
		pause_ns(gap_ns);
	for (uint32_t i = 0; i < count; i++) {
		pause_ns(gap_ns);
		message(2 + i, to);
	}
	return 0;
}

static uint32_t number_of(const char *text)
{
	uint32_t n = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		n = n * 10 + (uint32_t)(*text - '0');
	return n;
}

/* ---- start ----------------------------------------------------------------------------------- */

static void share(int memory)
{
	int64_t page = ring_syscall(ring(), SYS_mmap, 0, sizeof(*told), PROT_READ | PROT_WRITE,
				    MAP_SHARED, (uint64_t)memory, 0);

	must(page > 0, "b_told: no shared memory\n");
	told = (struct told *)(uintptr_t)page;
}

static int64_t sender_start(char **argv, int memory, int by, uint32_t core)
{
	int32_t fds[] = { 0, 1, 2, memory, by };
	const char *words[] = { argv[0], "sender", argv[1], argv[2], argv[3], names[how], NULL };
	struct sluice_spawn ask = {
		.size = sizeof(ask),
		.fd_count = by < 0 ? 4 : 5,
		.path = at(argv[0]),
		.argv = at(words),
		.fds = at(fds),
		.user_core = core,
		.home = SLUICE_ANY_CORE,
	};

	return async_op(IORING_OP_SPAWN, 0, 0, &ask, sizeof(ask), 0);
}

static void sender_end(int64_t pid)
{
	struct ring *r = ring();
	struct io_uring_sqe *sqe = ring_sqe(r);

	ring_fill(sqe, IORING_OP_WAITID, (int32_t)pid, 0, 0, P_PID, 0, 0);
	sqe->file_index = WEXITED;
	must(!ring_submit(r) && !ring_wait(r, 1) && !ring_cqe(r)->res,
	     "b_told: the sender is not waited for\n");
	ring_advance(r, 1);
}

static void round_run(char **argv, uint32_t count, uint32_t core, int endpoint)
{
	int64_t memory = ring_syscall(ring(), SYS_memfd_create, at("told"), 0, 0, 0, 0, 0), pid;
	int by = endpoint;

	must(memory >= 0 && !ring_syscall(ring(), SYS_ftruncate, (uint64_t)memory, sizeof(*told),
					  0, 0, 0, 0),
	     "b_told: no memory file\n");
	share((int)memory);
	memset(told, 0, sizeof(*told)); /* touched before it is timed */
	if (by_pipe(how)) {
		must(!async_pipe(pipe_fds, 0), "b_told: no pipe\n");
		by = pipe_fds[1];
	}
	pid = sender_start(argv, (int)memory, how == WORD ? -1 : by, core);
	must(pid > 0, "b_told: no sender\n");
	measure(count);
	sender_end(pid);
	if (by_pipe(how)) {
		async_close(pipe_fds[0]);
		async_close(pipe_fds[1]);
	}
	async_pages_free(told, sizeof(*told));
	async_close((int)memory);
}

static enum how how_of(const char *name)
{
	for (unsigned i = 0; i < HOWS; i++)
		if (!strcmp(names[i], name))
			return (enum how)i;
	ring_die(ring(), "b_told: unknown way\n");
}

int main(int argc, char **argv)
{
	bool uintr = ring_start_info->flags & SLUICE_START_UINTR;
	uint32_t count, rounds;
	int endpoint = -1;

	if (argc == 6 && !strcmp(argv[1], "sender")) {
		how = how_of(argv[5]);
		share(3);
		return sender(number_of(argv[2]), number_of(argv[3]) * 1000ull,
			      number_of(argv[4]) * 1000000ull);
	}
	count = argc < 7 ? 0 : number_of(argv[1]);
	rounds = argc < 7 ? 0 : number_of(argv[4]);
	if (!count || count > TOLD_MAX - 2 || !rounds) {
		async_printf("usage: b_told COUNT GAP_US WAIT_MS ROUNDS CORE HOW...\n");
		return 2;
	}
	if (uintr) {
		must(notice_start(ring()) == SLUICE_NOTICE_DIRECT,
		     "b_told: no user interrupts here\n");
		notice_handle(ring(), ID, noticed);
		endpoint = notice_endpoint(ring(), ID);
	}
	while (rounds--)
		for (int i = 6; i < argc; i++) {
			how = how_of(argv[i]);
			must(uintr || how > UINTR_BUSY, "b_told: no user interrupts here\n");
			round_run(argv, count, number_of(argv[5]), endpoint);
		}
	return 0;
}
