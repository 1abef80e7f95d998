/*
 * notice_pingpong [ROUNDS [CORE]]: two programs (the second runs on CORE), a page of shared memory,
 * and notices both ways.
 *
 * The parent starts itself as a child and gives it two descriptors: the memory, and an endpoint by
 * which the child tells it. Through that endpoint the child offers one of its own. From then on a
 * round trip is two stores to memory and two to doorbells: with user interrupts (SLUICE_UINTR=1)
 * the kernel has no part in it; without them the same program goes on by the kernel's wake-ups.
 */
#include <stdio.h>
#include <string.h>

#include "libasync/notice.h"
#include "uapi/mman.h"
#include "uapi/wait.h"

#define ID 1u
#define ROUNDS "1000"

/* A notice only says "look here". */
struct shared {
	uint64_t ready;
	uint64_t ping __attribute__((aligned(64)));
	uint64_t pong __attribute__((aligned(64)));
};

static struct ring *ring;
static struct shared *shared;
static uint32_t core = SLUICE_ANY_CORE; /* of the child */

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static void say(const char *text)
{
	ring_fill(ring_sqe(ring), IORING_OP_WRITE, 1, ~0ull, at(text), (uint32_t)strlen(text), 0,
		  0);
	if (ring_submit(ring) || ring_wait(ring, 1))
		ring_die(ring, "notice_pingpong: no console\n");
	ring_advance(ring, 1);
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	say("notice_pingpong: ");
	say(what);
	ring_die(ring, "\n");
}

static void noticed(uint32_t id)
{
	(void)id;
}

static void wait_until(const uint64_t *word, uint64_t value)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value)
		notice_wait(ring);
}

static void put(uint64_t *word, uint64_t value, const struct notice_sender *to)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	notice_send(ring, to);
}

static void begin(int memory)
{
	int64_t page = ring_syscall(ring, SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
				    (uint64_t)memory, 0);

	must(page > 0, "no shared memory");
	shared = (struct shared *)(uintptr_t)page;
	must(notice_start(ring) >= 0, "not a receiver");
	notice_handle(ring, ID, noticed);
}

/* ---- the child: descriptor 3 is the memory, 4 the parent's endpoint */

static int child(uint64_t rounds)
{
	struct notice_sender parent;

	begin(3);
	must(!notice_connect(ring, 4, &parent), "the child cannot connect");
	must(!notice_call(ring, SLUICE_NOTICE_OFFER, 4, ID, NULL), "the child cannot offer");
	put(&shared->ready, 1, &parent);
	for (uint64_t i = 1; i <= rounds; i++) {
		wait_until(&shared->ping, i);
		put(&shared->pong, i, &parent);
	}
	return 0;
}

/* ---- the parent */

static int64_t start_child(char **argv, int memory, int endpoint, const char *rounds)
{
	int32_t fds[] = { 0, 1, 2, memory, endpoint };
	const char *words[] = { argv[0], "child", rounds, NULL };
	const char *environment[] = { "SLUICE_UINTR=1", NULL };
	struct sluice_spawn ask = {
		.size = sizeof(ask),
		.fd_count = 5,
		.path = at(argv[0]),
		.argv = at(words),
		.envp = notice_direct ? at(environment) : 0,
		.fds = at(fds),
		.user_core = core,
		.home = SLUICE_ANY_CORE,
	};
	int64_t pid;

	ring_fill(ring_sqe(ring), IORING_OP_SPAWN, 0, 0, at(&ask), sizeof(ask), 0, 0);
	if (ring_submit(ring) || ring_wait(ring, 1))
		return -EIO;
	pid = ring_cqe(ring)->res;
	ring_advance(ring, 1);
	return pid;
}

static void await_child(int64_t pid)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);

	ring_fill(sqe, IORING_OP_WAITID, (int32_t)pid, 0, 0, P_PID, 0, 0);
	sqe->file_index = WEXITED;
	must(!ring_submit(ring) && !ring_wait(ring, 1) && !ring_cqe(ring)->res,
	     "the child is not waited for");
	ring_advance(ring, 1);
}

static int parent(char **argv, uint64_t rounds, const char *rounds_text)
{
	int64_t memory = ring_syscall(ring, SYS_memfd_create, at("pingpong"), 0, 0, 0, 0, 0);
	struct notice_sender to;
	uint64_t from, ticks;
	int64_t pid;
	char line[128];
	int own, other;

	if (!rounds)
		return 2;
	must(memory >= 0 && !ring_syscall(ring, SYS_ftruncate, (uint64_t)memory, 4096, 0, 0, 0, 0),
	     "no memory file");
	begin((int)memory);
	own = notice_endpoint(ring, ID);
	pid = start_child(argv, (int)memory, own, rounds_text);
	must(own >= 0 && pid > 0, "no child");
	wait_until(&shared->ready, 1);
	other = notice_call(ring, SLUICE_NOTICE_TAKE, own, 0, NULL);
	must(other >= 0 && !notice_connect(ring, other, &to), "the parent cannot connect");
	ASYNC_MARK(0x30); /* for the counting plugin: from here */
	from = async_ticks_read();
	for (uint64_t i = 1; i <= rounds; i++) {
		put(&shared->ping, i, &to);
		wait_until(&shared->pong, i);
	}
	ticks = async_ticks_read() - from;
	ASYNC_MARK(0x31); /* to here */
	snprintf(line, sizeof(line), "bench: pingpong=%s rounds=%llu ns=%llu\n",
		 notice_direct ? "direct" : "kernel", (unsigned long long)rounds,
		 ring_start_info->time_hz >= 1000000
			 ? (unsigned long long)(ticks * 1000 /
						(ring_start_info->time_hz / 1000000) / rounds)
			 : 0);
	say(line);
	await_child(pid);
	return 0;
}

static uint64_t number(const char *text)
{
	uint64_t n = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		n = n * 10 + (uint64_t)(*text - '0');
	return n;
}

int ring_main(struct ring *native, int argc, char **argv)
{
	bool is_child = argc == 3 && argv[1][0] == 'c';
	const char *rounds = is_child ? argv[2] : argc > 1 ? argv[1] : ROUNDS;

	ring = native;
	if (is_child)
		return child(number(rounds));
	if (argc > 2)
		core = (uint32_t)number(argv[2]);
	return parent(argv, number(rounds), rounds);
}
