/*
 * What if a program posts to a receiver as fast as it can, or a receiver never claims what comes?
 * Their neighbour, a receiver that shares a hart with the flooded one, goes on as before: for each
 * of its rounds (a nap and a notice to itself) the hart comes to the kernel a few times, whatever
 * the flooder does. That is counted, not timed: when the host holds a hart up, it does nothing
 * meanwhile; but each slice that the flooded one has more is a turn, and so is each interrupt. The
 * receiver sees the rate, can mask it, and can revoke it. Asked of programs with user interrupts
 * and of plain ones.
 *
 * boot: policy=static
 * boot: spin_us=0
 */
#include "libasync/notice.h"
#include "tests/abi/lib/cores.h"
#include "uapi/mman.h"
#include "uapi/time.h"
#include "uapi/wait.h"

#define SELF "/bin/t_notice_flood"
#define ID 5u
#define OWN_ID 9u
#define ROUNDS 60u
#define TURNS_MAX 20u /* for a round, besides those in which something is heard; 3 to 11 are met */
#define BOOK_FD 3u
#define ENDPOINT_FD 4u

enum phase { QUIET, FLOOD, MASKED, DEAF, REVOKED, OVER };

static struct book {
	uint32_t phase; /* the neighbour's */
	_Alignas(64) uint32_t ready, seen; /* the receiver's: the phase that it is in */
	uint32_t direct;		   /* reached without the kernel */
	uint64_t heard;			   /* handlers that ran */
	_Alignas(64) uint32_t paged; /* the flooder's: it stores */
	uint64_t beats, posts, refused;
} *book;

static struct ring *ring;

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static uint64_t get(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void set(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static enum phase phase_now(void)
{
	return (enum phase)__atomic_load_n(&book->phase, __ATOMIC_ACQUIRE);
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	say_true(what, false);
	if (book)
		__atomic_store_n(&book->phase, OVER, __ATOMIC_RELEASE);
	ring_die(ring, "notice_flood: that was all\n");
}

static void book_map(uint64_t fd)
{
	int64_t page =
		ring_syscall(ring, SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	must(page > 0, "no shared memory");
	book = (struct book *)(uintptr_t)page;
}

static int64_t nop(void)
{
	ring_fill(ring_sqe(ring), IORING_OP_NOP, -1, 0, 0, 0, 0, 0);
	return say_wait();
}

/* So long that it gives its hart away. */
static int64_t nap(void)
{
	struct __kernel_timespec t = { .tv_nsec = 200000 };

	return ring_syscall(ring, SYS_nanosleep, at(&t), 0, 0, 0, 0, 0);
}

/* Itself as `role`, as a child with the book and, if there is one, an endpoint. */
static int64_t start(const char *role, int book_fd, int endpoint, const char *kind, uint32_t core)
{
	int32_t fds[] = { 0, 1, 2, book_fd, endpoint };
	const char *words[] = { SELF, role, kind, NULL }, *environment[] = { kind, NULL };
	struct sluice_spawn ask = {
		.size = sizeof(ask),
		.fd_count = endpoint < 0 ? 4 : 5,
		.path = at(SELF),
		.argv = at(words),
		.envp = at(environment),
		.fds = at(fds),
		.user_core = core,
		.home = SLUICE_ANY_CORE,
	};

	ring_fill(ring_sqe(ring), IORING_OP_SPAWN, 0, 0, at(&ask), sizeof(ask), 0, 0);
	return say_wait();
}

static bool ended_well(int64_t pid)
{
	static struct wait_info info;
	struct io_uring_sqe *sqe = ring_sqe(ring);

	ring_fill(sqe, IORING_OP_WAITID, (int32_t)pid, at(&info), 0, P_PID, 0, 0);
	sqe->file_index = WEXITED;
	return !say_wait() && info.si_code == CLD_EXITED && !info.si_status;
}

static uint32_t core_now(void)
{
	uint32_t core = 0, node;

	ring_syscall(ring, SYS_getcpu, at(&core), at(&node), 0, 0, 0, 0);
	return core;
}

/* ---- the one that floods --------------------------------------------------------------------- */

static int flooder(void)
{
	struct notice_sender to;
	enum phase phase;

	must(!notice_connect(ring, ENDPOINT_FD, &to), "the flooder cannot connect");
	book->paged = to.page != NULL;
	while ((phase = phase_now()) != OVER) {
		if (phase == QUIET && !to.page)
			nop(); /* a beat costs the same */
		else if (phase != QUIET && to.page)
			notice_store(to.page, to.id);
		else if (phase != QUIET &&
			 notice_call(ring, SLUICE_NOTICE_POST, to.fd, 0, NULL) == -EPIPE)
			set(&book->refused, book->refused + 1);
		if (phase != QUIET)
			set(&book->posts, book->posts + 1);
		for (uint32_t i = 0; i < 20; i++)
			async_relax();
		set(&book->beats, book->beats + 1);
	}
	return 0;
}

/* ---- the one that is flooded ----------------------------------------------------------------- */

static void note(uint32_t id)
{
	(void)id;
	set(&book->heard, book->heard + 1);
}

/* Notices are off on the way in and out. */
static void receive(enum phase phase, int fd)
{
	if (phase == MASKED)
		notice_handle(ring, ID, NULL);
	else
		notice_handle(ring, ID, note);
	if (phase == REVOKED)
		must(!notice_revoke(ring, fd), "the receiver cannot revoke");
	if (phase != DEAF) /* what came before is served before the phase begins */
		notice_on();
	__atomic_store_n(&book->seen, phase, __ATOMIC_RELEASE);
	while (phase_now() == phase) /* computes: it wants its share of the hart in any phase */
		async_relax();
	notice_off();
}

static int receiver(const char *kind)
{
	int64_t child;
	int fd;

	must(notice_start(ring) >= 0, "not a receiver");
	fd = notice_endpoint(ring, ID);
	must(fd >= 0, "no endpoint");
	child = start("flooder", BOOK_FD, fd, kind, 3 - core_now());
	must(child > 0, "no flooder");
	book->direct = notice_direct;
	__atomic_store_n(&book->ready, 1, __ATOMIC_RELEASE);
	for (enum phase phase; (phase = phase_now()) != OVER;)
		receive(phase, fd);
	return !ended_well(child);
}

/* ---- the neighbour --------------------------------------------------------------------------- */

static struct notice_sender self;

/* What the kernel counted of posts: stores that it decoded, or, among others, operations. */
static uint64_t counted(void)
{
	return (uint64_t)text_counter(book->paged ? "wire_faults" : "sqes");
}

static void own(uint32_t id)
{
	(void)id;
}

/* What came to pass while the neighbour made its rounds in a phase. */
struct seen {
	uint64_t heard, posts, refused, turns, rounds;
};

/* Of this hart. */
static uint64_t turns_now(void)
{
	static struct core cores[CORES_MAX];
	uint32_t core = core_now();

	(void)look(cores);
	return cores[core].turns;
}

/* Has the flooder posted, and the receiver heard what it is to hear? The host may delay either. */
static bool has_come(enum phase phase, const struct seen *before)
{
	return phase == QUIET || (get(&book->posts) > before->posts &&
				  (phase != FLOOD || get(&book->heard) > before->heard));
}

static struct seen rounds(enum phase phase)
{
	struct seen s;

	__atomic_store_n(&book->phase, phase, __ATOMIC_RELEASE);
	while (__atomic_load_n(&book->seen, __ATOMIC_ACQUIRE) != phase)
		nop();
	for (uint64_t from = get(&book->beats); get(&book->beats) < from + 2;)
		nop(); /* the flooder has seen it as well */
	s = (struct seen){ get(&book->heard), get(&book->posts), get(&book->refused), turns_now(),
			   0 };
	for (; s.rounds < ROUNDS || !has_come(phase, &s); s.rounds++) {
		uint64_t count = notice_counts[OWN_ID];

		must(!nap(), "a nap");
		notice_send(ring, &self);
		while (notice_counts[OWN_ID] == count)
			notice_wait(ring);
	}
	s = (struct seen){ get(&book->heard) - s.heard, get(&book->posts) - s.posts,
			   get(&book->refused) - s.refused, turns_now() - s.turns, s.rounds };
	say("rounds ");
	say_number((int64_t)s.rounds);
	say(", turns ");
	say_number((int64_t)s.turns);
	say(", posts ");
	say_number((int64_t)s.posts);
	say(", heard ");
	say_number((int64_t)s.heard);
	say(", refused ");
	say_number((int64_t)s.refused);
	say("\n");
	return s;
}

static bool goes_on(const struct seen *s)
{
	return s->turns <= s->rounds * TURNS_MAX + s->heard;
}

static void neighbour(const char *kind, int book_fd)
{
	struct seen s;
	uint64_t before;
	int64_t child;

	*book = (struct book){ .seen = OVER };
	child = start("receiver", book_fd, -1, kind, core_now());
	must(child > 0, "no receiver");
	while (!__atomic_load_n(&book->ready, __ATOMIC_ACQUIRE))
		nop();
	say(kind);
	say("\n");
	s = rounds(QUIET);
	before = counted();
	say_is("nothing is heard before the flood", (int64_t)s.heard, 0);
	say_true("nor is the neighbour held up", goes_on(&s));
	s = rounds(FLOOD);
	say_true("the receiver sees the flood", s.posts > 0 && s.heard > 0);
	say_true("and no more than was posted", s.heard <= s.posts + 2);
	say_true("and the kernel's counters show it, where it is asked",
		 book->direct || counted() - before >= s.heard);
	say_true("its neighbour goes on beside it", goes_on(&s));
	s = rounds(MASKED);
	say_true("masked, nothing is heard", s.posts > 0 && !s.heard);
	say_true("and the neighbour goes on", goes_on(&s));
	s = rounds(DEAF);
	say_true("nobody claims, and the sender goes on", s.posts > 0 && !s.heard);
	say_true("and the neighbour", goes_on(&s));
	s = rounds(REVOKED);
	say_true("revoked, the flood reaches nobody", s.posts > 0 && !s.heard);
	say_true("who posts by the ring is told", !s.refused || s.refused + 2 >= s.posts);
	say_true("and the neighbour goes on still", goes_on(&s));
	__atomic_store_n(&book->phase, OVER, __ATOMIC_RELEASE);
	say_true("both end well", ended_well(child));
}

int ring_main(struct ring *r, int argc, char **argv)
{
	int64_t fd;

	ring = r;
	if (argc > 2) {
		book_map(BOOK_FD);
		return argv[1][0] == 'f' ? flooder() : receiver(argv[2]);
	}
	fd = ring_syscall(ring, SYS_memfd_create, at("flood"), 0, 0, 0, 0, 0);
	must(!ring_syscall(ring, SYS_ftruncate, (uint64_t)fd, 4096, 0, 0, 0, 0), "no memory");
	book_map((uint64_t)fd);
	must(notice_start(ring) >= 0, "not a receiver");
	notice_handle(ring, OWN_ID, own);
	must(!notice_connect(ring, notice_endpoint(ring, OWN_ID), &self), "not connected");
	neighbour("SLUICE_UINTR=1", (int)fd);
	neighbour("SLUICE_UINTR=0", (int)fd);
	return say_verdict();
}
