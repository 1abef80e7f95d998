/*
 * What if a program submits every opcode with every bit, addresses that are unmapped, wrapping, the
 * kernel's or read-only, descriptors that are none, and does not care for the answers? Each
 * accepted entry ends exactly once, the program lives, nothing leaks.
 *
 * also: 2
 * ends: exit status 0
 * also: 3
 * ends: exit status 0
 * also: 4
 * ends: exit status 0
 */
#include "tests/abi/lib/say.h"
#include "uapi/mman.h"

#define ENTRIES 12000u
#define OUTSTANDING_MAX 200u

static uint64_t seed = 1;
static uint64_t scratch; /* a page that may be written, then a read-only one, then none */
static uint32_t submitted, ended;
static uint8_t ends[ENTRIES + 1]; /* terminal CQEs per entry */
static uint32_t twice, strange;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t address(void)
{
	switch (rnd() % 12) {
	case 0: return 0;
	case 1: return 0xffffffff80200000ull + rnd() % 4096;
	case 2: return ~0ull - rnd() % 64;
	case 3: return (1ull << 38) - rnd() % 64;
	case 4: return rnd();
	case 5: return scratch + 2 * 4096 + rnd() % 4096;
	case 6: return scratch + 4096 + rnd() % 4096;
	case 7: return scratch + 8192 - rnd() % 16;
	case 8: return rnd() % 64; /* small numbers: counts, flags */
	default: return scratch + rnd() % 4096;
	}
}

static uint32_t bits(void)
{
	switch (rnd() % 6) {
	case 0: return 0;
	case 1: return 1u << rnd() % 32;
	case 2: return (uint32_t)rnd() & 0xff;
	case 3: return (uint32_t)rnd();
	case 4: return ~0u;
	default: return rnd() & 1;
	}
}

/* What would end the program, rightly: its own exit, and changes of its memory or of its ring's
 * registered tables under its feet. */
static bool is_harmless(uint16_t nr)
{
	return nr != SYS_exit && nr != SYS_exit_group && nr != SYS_mmap && nr != SYS_munmap &&
	       nr != SYS_mprotect && nr != SYS_madvise && nr != SYS_brk;
}

/* An entry whose every field may be anything. */
static void spoil_all(struct io_uring_sqe *sqe)
{
	uint64_t *word = (uint64_t *)sqe;

	for (unsigned i = 0; i < 8; i++)
		word[i] = rnd() & 1 ? 0 : rnd();
	sqe->opcode = rnd() % 8 ? (uint8_t)(rnd() % 60) : (uint8_t)rnd();
	sqe->flags = rnd() % 4 ? 0 : (uint8_t)rnd();
	sqe->fd = (int32_t)bits();
	sqe->addr = address();
	sqe->off = address();
	sqe->len = bits();
	sqe->rw_flags = rnd() % 2 ? 0 : bits();
}

/* An entry that is right in most fields, so that it passes the first looks and fails late, parks,
 * or works. */
static void spoil_some(struct io_uring_sqe *sqe)
{
	static const uint8_t ops[] = {
		IORING_OP_READ,         IORING_OP_WRITE,        IORING_OP_READV,
		IORING_OP_WRITEV,       IORING_OP_FSYNC,        IORING_OP_POLL_ADD,
		IORING_OP_POLL_REMOVE,  IORING_OP_TIMEOUT,      IORING_OP_TIMEOUT_REMOVE,
		IORING_OP_ASYNC_CANCEL, IORING_OP_ACCEPT,       IORING_OP_CONNECT,
		IORING_OP_SEND,         IORING_OP_RECV,         IORING_OP_SENDMSG,
		IORING_OP_RECVMSG,      IORING_OP_SOCKET,       IORING_OP_BIND,
		IORING_OP_LISTEN,       IORING_OP_SHUTDOWN,     IORING_OP_OPENAT,
		IORING_OP_CLOSE,        IORING_OP_STATX,        IORING_OP_FALLOCATE,
		IORING_OP_READ_FIXED,   IORING_OP_FILES_UPDATE, IORING_OP_URING_CMD,
		IORING_OP_NOP,          IORING_OP_SYSCALL,      IORING_OP_SYSCALL,
		IORING_OP_SYSCALL,
	};
	uint8_t op = ops[rnd() % sizeof(ops)];

	ring_fill(sqe, op, (int32_t)(4 + rnd() % 12), rnd() % 3 ? rnd() % 65536 : address(),
		  address(), (uint32_t)(rnd() % 8192), rnd() % 4 ? 0 : bits(), 0);
	switch (op) {
	case IORING_OP_TIMEOUT:
		sqe->len = 1;
		sqe->off = rnd() % 3;
		sqe->addr = scratch + 64; /* an hour; or whatever a read left there */
		break;
	case IORING_OP_SOCKET:
		sqe->fd = rnd() % 4 ? 2 : 10;
		sqe->off = rnd() % 4 ? 1 : 2;
		sqe->len = 0;
		break;
	case IORING_OP_POLL_ADD:
		sqe->len = rnd() % 2;
		sqe->poll32_events = rnd() % 2 ? 1 : bits();
		break;
	case IORING_OP_OPENAT:
		sqe->addr = (uint64_t)(uintptr_t)(rnd() % 2 ? "/dev/zero" : "/dev/vda");
		sqe->open_flags = rnd() % 3 ? 2 : bits();
		break;
	case IORING_OP_ASYNC_CANCEL:
		sqe->addr = rnd() % (submitted + 1);
		break;
	case IORING_OP_READV:
	case IORING_OP_WRITEV:
		sqe->len = (uint32_t)(rnd() % 4);
		break;
	}
	switch (rnd() % 8) { /* one thing wrong, or unusual */
	case 0: sqe->flags = 1u << rnd() % 8; break;
	case 1: sqe->ioprio = (uint16_t)bits(); break;
	case 2: sqe->buf_index = (uint16_t)bits(); break;
	case 3: sqe->file_index = bits(); break;
	case 4: sqe->addr3 = address(); break;
	}
}

static void spoil(struct io_uring_sqe *sqe, uint64_t user_data)
{
	if (rnd() % 2)
		spoil_all(sqe);
	else
		spoil_some(sqe);
	if (sqe->opcode == IORING_OP_SYSCALL) {
		uint16_t nr = (uint16_t)(rnd() % 512);

		sqe->fd =
			is_harmless(nr) ? nr | (rnd() % 8 ? 0 : (int32_t)bits() << 16) : SYS_getpid;
	} else if ((uint32_t)sqe->fd < 4) {
		/* never the ring itself nor the console: closing those is another test's
		 * question */
		sqe->fd = (int32_t)(4 + rnd() % 20);
	}
	/* behind an endless operation a drain waits for ever, and with it the cancellation that
	 * would end both */
	sqe->flags &= (uint8_t)~IOSQE_IO_DRAIN;
	sqe->user_data = user_data;
}

static void reap(struct ring *ring)
{
	uint32_t n = ring_ready(ring);

	for (uint32_t i = 0; i < n; i++) {
		const struct io_uring_cqe *cqe = ring_cqe_at(ring, i);
		uint64_t who = cqe->user_data;

		if (!who || who > submitted) {
			strange++;
			continue;
		}
		/* a SYSCALL's flags are the upper half of its result, here 0 or all ones; no other
		 * terminal answer has MORE */
		if ((cqe->flags & IORING_CQE_F_MORE) && cqe->flags != ~0u)
			continue;
		twice += ends[who]++ != 0;
		ended++;
	}
	ring_advance(ring, n);
}

static struct io_uring_sqe *next_sqe(struct ring *ring)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = ring_sqe(ring)))
		ring_submit(ring); /* until the kernel core has taken some */
	return sqe;
}

/* The NOP ends a chain that the entry before it may have begun: a failed chain can take its answers
 * with it. */
static void cancel_all(struct ring *ring)
{
	ring_fill(next_sqe(ring), IORING_OP_NOP, -1, 0, 0, 0, 0, ++submitted);
	ring_fill(next_sqe(ring), IORING_OP_ASYNC_CANCEL, -1, 0, 0, 0,
		  IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL, ++submitted);
}

static void storm(struct ring *ring)
{
	while (submitted < ENTRIES - OUTSTANDING_MAX) {
		uint32_t batch = 1 + (uint32_t)(rnd() % 16);

		while (batch--) {
			struct io_uring_sqe *sqe = ring_sqe(ring);

			if (!sqe)
				break;
			spoil(sqe, ++submitted);
		}
		ring_submit(ring);
		reap(ring);
		if (submitted % 64 == 0) {
			cancel_all(ring);
			ring_submit(ring);
			ring_wait(ring, 1);
			reap(ring);
		}
	}
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	const uint64_t anon = MAP_PRIVATE | MAP_ANONYMOUS;
	int64_t at =
		ring_syscall(ring, SYS_mmap, 0, 3 * 4096, PROT_READ | PROT_WRITE, anon, ~0ull, 0);

	if (at < 0 && at > -4096)
		return 2;
	scratch = (uint64_t)at;
	((int64_t *)(uintptr_t)scratch)[8] = 3600;
	ring_syscall(ring, SYS_mprotect, scratch + 4096, 4096, PROT_READ, 0, 0, 0);
	ring_syscall(ring, SYS_munmap, scratch + 8192, 4096, 0, 0, 0, 0);
	seed = 88172645463325252ull * (argc > 1 ? (uint64_t)(argv[1][0] - '0') : 1);

	storm(ring);
	/* no chain reaches our own exit */
	ring_fill(next_sqe(ring), IORING_OP_NOP, -1, 0, 0, 0, 0, ++submitted);
	if (argc > 1)
		return twice || strange; /* with whatever is still in flight */
	/* CQE_SKIP_SUCCESS may hide answers; so this only ends when nothing has come for a while */
	for (unsigned round = 0; round < 50; round++) {
		uint32_t before = ended;

		if (submitted > ENTRIES - 2)
			break;
		cancel_all(ring);
		ring_submit(ring);
		ring_wait(ring, 1);
		reap(ring);
		if (ended == before + 2 && round > 10)
			break;
	}
	say_is("no entry ended twice", twice, 0);
	say_is("no answer without a question", strange, 0);
	say_true("most entries were answered", ended > submitted / 2);
	say_is("and the ring still works", ring_syscall(ring, SYS_getuid, 0, 0, 0, 0, 0, 0), 0);
	return say_verdict();
}
