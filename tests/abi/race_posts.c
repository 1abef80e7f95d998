/*
 * What if a notice comes just when its receiver falls asleep, wakes, traps, masks or unmasks it, is
 * in no mailbox, or ends? None is lost, each comes once, and none comes to a stranger. A caller
 * posts to receivers that do these things at random moments, and counts (tests/abi/lib/race.h).
 *
 *   plain   one receiver: computes, falls asleep, traps
 *   masked  the same; it masks its identity before it answers, and unmasks it while the next comes
 *   away    16 receivers on one hart, which has 7 mailboxes; they sleep in the kernel, too
 *   exits   receivers that end while they are told: by themselves, inside their handler, by a fault
 *
 * `t_race_posts plain 1000000 masked 1000000` asks so often; `make race` asks all of it.
 *
 * env: SLUICE_UINTR=1
 * boot: policy=static
 */
#include "tests/abi/lib/race.h"
#include "tests/abi/lib/text.h"
#include "uapi/mman.h"
#include "uapi/wait.h"

#ifndef ALL
#define SELF "/bin/t_race_posts"
#define ALL "plain", "500", "masked", "500", "away", "480", "exits", "3000"
#endif
#define AWAY 16u
#define WITNESSES 2u
#define BOOK_FD 4 /* in a child: 3 is the caller's endpoint, this the memory */

static struct ring *ring;
static struct race_book *book;

static int64_t call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
	return ring_syscall(ring, nr, a0, a1, a2, a3, a4, 0);
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	say_true(what, false);
	if (book)
		book->over = 1;
	ring_die(ring, "race_posts: that was all\n");
}

static void book_map(int fd)
{
	int64_t at = call(SYS_mmap, 0, RACE_BOOK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			  (uint64_t)fd);

	must(at > 0, "no shared memory");
	book = (struct race_book *)(uintptr_t)at;
}

/* ---- a receiver ------------------------------------------------------------------------------ */

static struct race_lane *lane;
static uint32_t own; /* its identity; its lane is one less */
static bool shut;    /* `own` is masked */
static uint64_t heard;

static void note(uint32_t id)
{
	heard++;
	if (!lane)
		return;
	if (shut && id == own)
		lane->wrong++;
	if (id == own && lane->leave == 2) /* from inside the handler, as it is told again */
		ring_exit(ring, 0);
}

static void receiver_overdue(uint32_t id)
{
	(void)id;
	if (book->over)
		ring_exit(ring, 1);
	if (!race_is_late(&lane->told, notice_counts[own] + 1))
		return;
	lane->lost++;
	book->over = 1; /* nobody will post it again */
}

static void begin(notice_fn overdue)
{
	must(notice_start(ring) >= 0, "not a receiver");
	for (uint32_t id = 1; id < SLUICE_NOTICE_IDS; id++)
		notice_handle(ring, id, note);
	notice_handle(ring, 0, overdue);
}

static void receiver_leave(void)
{
	volatile uint32_t *volatile nowhere = NULL;

	if (lane->leave == 2) { /* note does it */
		notice_on();
		for (;;)
			async_relax();
	}
	race_pause(race_random(2000));
	if (lane->leave == 3)
		*nowhere = 1;
	ring_exit(ring, 0);
}

/* Between two notices; `answer` is made at a random moment of it. */
static void receiver_live(const struct notice_sender *caller, bool masks, bool naps)
{
	struct { int64_t sec, nsec; } nap = { 0, 20000 };
	uint32_t way = race_random(4);

	if (masks && race_random(8)) {
		notice_handle(ring, own, NULL);
		shut = true;
		if (way & 1)
			notice_on();
	}
	race_post(ring, caller, &lane->answered);
	if (way & 2)
		race_pause(race_random(300));
	if (!race_random(4)) /* a trap, in and out, while it comes */
		ring_enter(ring, 0, 0, 0, NULL, 0);
	if (naps && !race_random(8))
		call(SYS_nanosleep, race_at(&nap), 0, 0, 0, 0);
	if (shut) {
		notice_off();
		shut = false;
		notice_handle(ring, own, note);
	}
}

static int receiver(const char *how, uint64_t posts)
{
	struct notice_sender caller;
	bool masks = text_same(how, "masked"), naps = text_same(how, "away");

	book_map(BOOK_FD);
	lane = &book->lanes[own - 1];
	race_seed += own * 7919u;
	begin(receiver_overdue);
	must(!notice_connect(ring, 3, &caller), "the receiver cannot connect");
	must(!notice_call(ring, SLUICE_NOTICE_OFFER, 3, own, NULL), "the receiver cannot offer");
	race_post(ring, &caller, &lane->answered);
	for (uint64_t i = 1; i <= posts; i++) {
		enum race_way way;

		do
			way = race_await(ring, &notice_counts[own], i,
					 race_random(2) * race_random(2000), &lane->told);
		while (notice_counts[own] < i);
		lane->met[way]++;
		if (lane->leave)
			receiver_leave();
		lane->wrong += notice_counts[own] != i;
		receiver_live(&caller, masks, naps);
	}
	for (uint32_t id = 1; id < SLUICE_NOTICE_IDS; id++)
		lane->wrong += id != own && notice_counts[id];
	return 0;
}

/* ---- the caller ------------------------------------------------------------------------------ */

static struct {
	struct notice_sender to;
	uint64_t base; /* answers of those who had the lane before */
	int64_t pid;
} others[RACE_LANES];

static uint64_t lost, stuck, heard_then;
static uint32_t book_fd, endpoints[RACE_LANES], lanes_used;

/* Who has answered and was not heard? If nobody has, somebody else waits in vain, and will say. */
static void caller_overdue(uint32_t id)
{
	(void)id;
	for (uint32_t i = 0; i < lanes_used; i++)
		lost += race_is_late(&book->lanes[i].answered,
				     notice_counts[i + 1] - others[i].base + 1);
	stuck = heard == heard_then ? stuck + 1 : 0;
	heard_then = heard;
	must(!book->over, "a receiver has lost a notice");
	must(stuck < 6, "nothing goes on");
}

static int64_t start(uint32_t i, const char *how, uint64_t posts, uint32_t core)
{
	int32_t fds[] = { 0, 1, 2, (int32_t)endpoints[i], (int32_t)book_fd };
	const char *words[] = { SELF, how, text_digits(posts), text_digits(i + 1), NULL };
	const char *environment[] = { "SLUICE_UINTR=1", NULL };
	struct sluice_spawn ask = {
		.size = sizeof(ask),
		.fd_count = 5,
		.path = race_at(SELF),
		.argv = race_at(words),
		.envp = race_at(environment),
		.fds = race_at(fds),
		.user_core = core,
		.home = SLUICE_ANY_CORE,
	};

	ring_fill(ring_sqe(ring), IORING_OP_SPAWN, 0, 0, race_at(&ask), sizeof(ask), 0, 0);
	return say_wait();
}

static void caller_await(uint32_t i, uint64_t answers)
{
	while (notice_counts[i + 1] < others[i].base + answers)
		race_await(ring, &notice_counts[i + 1], others[i].base + answers,
			   race_random(2) * 500, NULL);
}

/* A receiver in lane `i`, which has answered once. */
static void meet(uint32_t i, const char *how, uint64_t posts, uint32_t core)
{
	int other;

	book->lanes[i] = (struct race_lane){ 0 };
	others[i].base = notice_counts[i + 1];
	others[i].pid = start(i, how, posts, core);
	must(others[i].pid > 0, "no receiver");
	caller_await(i, 1);
	other = notice_call(ring, SLUICE_NOTICE_TAKE, (int)endpoints[i], 0, NULL);
	must(other >= 0, "nobody offered");
	must(!notice_connect(ring, other, &others[i].to), "the caller cannot connect");
}

static struct wait_info info;

static void wait_fill(uint32_t i, uint32_t options)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);

	info.si_pid = 0;
	ring_fill(sqe, IORING_OP_WAITID, (int32_t)others[i].pid, race_at(&info), 0, P_PID, 0, 0);
	sqe->file_index = WEXITED | options;
}

/* It has ended: what leads to it leads nowhere, and goes. */
static bool part(uint32_t i)
{
	bool good = notice_call(ring, SLUICE_NOTICE_POST, others[i].to.fd, 0, NULL) == -EPIPE;

	if (others[i].to.page) {
		notice_send(ring, &others[i].to);
		good &= !call(SYS_munmap, race_at((const void *)others[i].to.page), 4096, 0, 0, 0);
	}
	return good & !call(SYS_close, (uint64_t)others[i].to.fd, 0, 0, 0, 0);
}

static void say_counted(const char *what, uint64_t n, const char *of)
{
	say(what);
	say_number((int64_t)n);
	say(of);
}

/* `posts` of them, spread over `n` receivers; each is told again when it has answered. */
static void race(const char *how, uint64_t posts, uint32_t n, uint32_t core)
{
	uint64_t each = (posts + n - 1) / n, wrong = 0, ended = 0, sum = 0, met[RACE_WAYS] = { 0 };

	for (uint32_t i = 0; i < n; i++)
		meet(i, how, each, core);
	lanes_used = n;
	for (uint32_t i = 0; i < n; i++)
		race_post(ring, &others[i].to, &book->lanes[i].told);
	for (uint64_t left = n * (each - 1); left;) {
		uint64_t before = heard;

		for (uint32_t i = 0; i < n; i++) {
			struct race_lane *l = &book->lanes[i];
			uint64_t answers = notice_counts[i + 1] - others[i].base;

			wrong += answers > l->told.count + 1;
			if (answers <= l->told.count || l->told.count == each)
				continue;
			race_post(ring, &others[i].to, &l->told);
			left--;
		}
		if (left)
			race_await(ring, &heard, before + 1, race_random(2) * 500, NULL);
	}
	for (uint32_t i = 0; i < n; i++) {
		struct race_lane *l = &book->lanes[i];

		caller_await(i, each + 1);
		wait_fill(i, 0);
		ended += !say_wait() && info.si_code == CLD_EXITED && !info.si_status;
		wrong += l->wrong + !part(i) + (l->answered.count != each + 1);
		wrong += notice_counts[i + 1] - others[i].base != each + 1;
		lost += l->lost;
		sum += l->told.count;
		for (uint32_t w = 0; w < RACE_WAYS; w++)
			met[w] += l->met[w];
	}
	lanes_used = 0;
	say(how);
	say_counted(": ", sum, " posts, ");
	say_counted("", met[RACE_COMPUTING], " found the receiver computing, ");
	say_counted("", met[RACE_ASLEEP], " asleep\n");
	say_is("notices lost", (int64_t)lost, 0);
	say_is("doubled, early or strange", (int64_t)wrong, 0);
	say_is("receivers that ended well", (int64_t)ended, n);
	say_is("posts that found their receiver", (int64_t)(met[0] + met[1]), (int64_t)(n * each));
}

/* Posts while lane 0's receiver ends; how many. */
static uint64_t flood(uint32_t manner)
{
	uint64_t n = 0;

	book->lanes[0].leave = manner;
	if (!others[0].to.page) { /* by the ring, which one entry at a time uses */
		do {
			notice_send(ring, &others[0].to);
			wait_fill(0, WNOHANG);
			n++;
		} while (!say_wait() && !info.si_pid);
		return n;
	}
	wait_fill(0, 0);
	must(!ring_submit(ring), "the doorbell failed");
	do {
		notice_send(ring, &others[0].to);
		race_pause(race_random(50));
		n++;
	} while (!ring_ready(ring));
	must(!ring_cqe(ring)->res, "no such child");
	ring_advance(ring, 1);
	return n;
}

/* Lives of a few answers each. Others, who are told nothing, watch what comes to them. */
static void exits(uint64_t posts, uint64_t lives)
{
	uint64_t sum = 0, wrong = 0, ended = 0, life;

	for (uint32_t i = 1; i <= WITNESSES; i++)
		meet(i, "witness", 1, SLUICE_ANY_CORE);
	for (life = 0; life < lives || sum < posts; life++) {
		uint32_t manner = 1 + (uint32_t)life % 3, answers = race_random(4);

		meet(0, "exits", ~0ull >> 1, SLUICE_ANY_CORE);
		lanes_used = 1;
		for (uint64_t k = 2; k < 2 + answers; k++) {
			race_post(ring, &others[0].to, &book->lanes[0].told);
			caller_await(0, k);
		}
		lanes_used = 0;
		sum += answers + flood(manner);
		ended += manner == 3 ? info.si_code == CLD_KILLED && info.si_status == 11
				     : info.si_code == CLD_EXITED && !info.si_status;
		wrong += book->lanes[0].wrong + !part(0);
		lost += book->lanes[0].lost;
	}
	for (uint32_t i = 1; i <= WITNESSES; i++) {
		race_post(ring, &others[i].to, &book->lanes[i].told);
		caller_await(i, 2);
		wait_fill(i, 0);
		wrong += say_wait() || info.si_code != CLD_EXITED || info.si_status;
		wrong += book->lanes[i].wrong + !part(i);
	}
	say_counted("exits: ", sum, " posts to ");
	say_counted("", life, " receivers that ended meanwhile\n");
	say_is("notices lost", (int64_t)lost, 0);
	say_is("strange, or not refused behind the end", (int64_t)wrong, 0);
	say_is("receivers that ended as they should", (int64_t)ended, (int64_t)life);
}

static void caller(const char *how, uint64_t posts)
{
	uint32_t core = 0, node;

	if (text_same(how, "exits")) {
		exits(posts, posts < 3000 ? 3 : posts / 1000); /* each manner */
	} else if (text_same(how, "away")) {
		must(!call(SYS_getcpu, race_at(&core), race_at(&node), 0, 0, 0), "no core");
		race(how, posts, AWAY, core == 1 ? 2 : 1);
	} else {
		race(how, posts, 1, SLUICE_ANY_CORE);
	}
}

int ring_main(struct ring *r, int argc, char **argv)
{
	static const char *const all[] = { ALL };
	static const char name[] = "race";

	ring = r;
	if (argc > 3 && argv[3][0] >= '1' && argv[3][0] <= '9' && argc == 4) {
		own = (uint32_t)text_number(argv[3]);
		return receiver(argv[1], text_number(argv[2]));
	}
	book_fd = (uint32_t)call(SYS_memfd_create, race_at(name), 0, 0, 0, 0);
	must(!call(SYS_ftruncate, book_fd, RACE_BOOK_BYTES, 0, 0, 0), "no shared memory");
	book_map((int)book_fd);
	begin(caller_overdue);
	for (uint32_t i = 0; i < RACE_LANES; i++) {
		int fd = notice_endpoint(ring, i + 1);

		must(fd >= 0, "no endpoint");
		endpoints[i] = (uint32_t)fd;
	}
	if (argc > 1)
		for (int i = 1; i + 1 < argc; i += 2)
			caller(argv[i], text_number(argv[i + 1]));
	else
		for (uint32_t i = 0; i < sizeof(all) / sizeof(all[0]); i += 2)
			caller(all[i], text_number(all[i + 1]));
	return say_verdict();
}
