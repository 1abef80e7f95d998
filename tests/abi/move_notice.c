/*
 * What if receivers and senders change their hart every 300 us, and tell each other by stores to
 * doorbells that now lead here, now there, now nowhere? Pairs of programs hand a notice to and fro:
 * a lost one is missed, one too many is counted, and one that comes to a stranger is of an identity
 * that the stranger does not use. Timers ring for programs that sleep while they move; and
 * receivers that end while notices are on their way leave nothing for those who get their
 * mailboxes.
 *
 * env: SLUICE_UINTR=1
 * boot: shuffle_us=300
 * also: SLUICE_UINTR=1 2
 * ends: exit status 0
 */
#include "libasync/notice.h"
#include "tests/abi/lib/say.h"
#include "uapi/wait.h"

#define ROUNDS 200u
#define SLEEPS 60u
#define VICTIMS 4u
#define ENDS_AFTER 40u /* notices that a victim takes before it goes */
#define SELF "/bin/t_move_notice"

static struct ring *ring;
static uint32_t own; /* identity, of both programs of a pair */

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static void must(bool good, const char *what)
{
	if (!good) {
		say_true(what, false);
		ring_die(ring, "move_notice: that was all\n");
	}
}

static void note(uint32_t id)
{
	(void)id;
}

static void begin(void)
{
	must(notice_start(ring) >= 0, "not a receiver");
	for (uint32_t id = 1; id < SLUICE_NOTICE_IDS; id++)
		notice_handle(ring, id, note);
}

/* Nothing that was not for us; `want` of what was. */
static bool counts_are(uint64_t want)
{
	bool good = notice_counts[own] == want;

	for (uint32_t id = 1; id < SLUICE_NOTICE_IDS; id++)
		good &= id == own || !notice_counts[id];
	return good;
}

/* With notices on now and then, so that they interrupt. */
static void await(uint64_t count)
{
	if (notice_direct && count % 3 == 0) {
		notice_on();
		for (uint32_t i = 0; i < 2000 && notice_counts[own] < count; i++)
			async_relax();
		notice_off();
	}
	while (notice_counts[own] < count)
		notice_wait(ring);
}

/* ---- the child: descriptor 3 is the parent's endpoint. A victim goes early. */

static int child(bool victim)
{
	struct notice_sender parent;

	begin();
	must(!notice_connect(ring, 3, &parent), "the child cannot connect");
	must(!notice_call(ring, SLUICE_NOTICE_OFFER, 3, own, NULL), "the child cannot offer");
	notice_send(ring, &parent);
	for (uint64_t i = 1; i <= (victim ? ENDS_AFTER : ROUNDS); i++) {
		await(i);
		if (!victim && !counts_are(i))
			return 3;
		if (!victim)
			notice_send(ring, &parent);
	}
	return 0;
}

/* ---- the parent */

static int64_t start(const char *how, const char *id, int endpoint)
{
	int32_t fds[] = { 0, 1, 2, endpoint };
	const char *words[] = { SELF, id, how, NULL };
	const char *environment[] = { "SLUICE_UINTR=1", NULL };
	struct sluice_spawn ask = {
		.size = sizeof(ask),
		.fd_count = 4,
		.path = at(SELF),
		.argv = at(words),
		.envp = at(environment),
		.fds = at(fds),
		.user_core = SLUICE_ANY_CORE,
		.home = SLUICE_ANY_CORE,
	};
	int64_t pid;

	ring_fill(ring_sqe(ring), IORING_OP_SPAWN, 0, 0, at(&ask), sizeof(ask), 0, 0);
	while ((pid = say_wait()) == -EINTR)
		;
	return pid;
}

static struct wait_info info;

static bool ended(int64_t pid, uint32_t options)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);

	info.si_pid = 0;
	ring_fill(sqe, IORING_OP_WAITID, (int32_t)pid, at(&info), 0, P_PID, 0, 0);
	sqe->file_index = WEXITED | options;
	must(!say_wait(), "no such child");
	return info.si_pid;
}

static bool was_well(void)
{
	return info.si_code == CLD_EXITED && !info.si_status;
}

static int64_t meet(const char *how, const char *id, int endpoint,
		    struct notice_sender *to)
{
	uint64_t before = notice_counts[own];
	int64_t pid = start(how, id, endpoint);
	int other;

	must(pid > 0, "no child");
	while (notice_counts[own] == before)
		notice_wait(ring);
	other = notice_call(ring, SLUICE_NOTICE_TAKE, endpoint, 0, NULL);
	must(other >= 0 && !notice_connect(ring, other, to), "the parent cannot connect");
	return pid;
}

static bool pair(const char *id, int endpoint)
{
	uint64_t base = notice_counts[own] + 1;
	struct notice_sender to;
	int64_t pid = meet("child", id, endpoint, &to);
	bool good = true;

	for (uint64_t i = 1; i <= ROUNDS && good; i++) {
		notice_send(ring, &to);
		await(base + i);
		good = counts_are(base + i);
	}
	return good && ended(pid, 0) && was_well();
}

/* It is told faster than it takes; how many come is its mailbox's business, but it must end. */
static bool victims(const char *id, int endpoint)
{
	bool good = true;

	for (uint32_t n = 0; n < VICTIMS && good; n++) {
		struct notice_sender to;
		int64_t pid = meet("victim", id, endpoint, &to);

		do
			for (uint32_t i = 0; i < (to.page ? 10u : 1u); i++)
				notice_send(ring, &to);
		while (!ended(pid, WNOHANG));
		good = was_well();
		ring_syscall(ring, SYS_close, (uint64_t)to.fd, 0, 0, 0, 0, 0);
	}
	return good;
}

static bool sleeps(void)
{
	uint64_t us = ring_start_info->time_hz / 1000000;
	bool good = true;

	for (uint32_t i = 0; i < SLEEPS && notice_direct && good; i++) {
		uint64_t until = async_ticks_read() + (50 + i) * us;

		notice_timer(until);
		while (notice_counts[0] <= i)
			notice_wait(ring);
		good = async_ticks_read() >= until;
	}
	return good;
}

int ring_main(struct ring *r, int argc, char **argv)
{
	const char *id = argc > 1 ? argv[1] : "1";
	int endpoint;

	ring = r;
	own = (uint32_t)(*id - '0');
	if (argc > 2)
		return child(argv[2][0] == 'v');
	begin();
	endpoint = notice_endpoint(ring, own);
	say_true("each notice comes once, to its own", pair(id, endpoint));
	say_true("timers ring", sleeps());
	say_true("receivers end", victims(id, endpoint));
	say_true("and nobody else hears of it", counts_are(notice_counts[own]));
	return say_verdict();
}
