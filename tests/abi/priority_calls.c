/*
 * Does every way to ask for a priority hold: in an entry, in one whose ioprio has flags, for a
 * ring; is what is no priority refused; and do entries of one batch run in the order of theirs?
 */
#include "tests/abi/lib/say.h"
#include "uapi/socket.h"

static int64_t nop(uint16_t ioprio)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring_native);

	ring_fill(sqe, IORING_OP_NOP, -1, 0, 0, 0, 0, 0);
	sqe->ioprio = ioprio;
	return say_wait();
}

static int64_t ring_priority(uint64_t at, uint32_t ioprio)
{
	return ring_syscall(&ring_native, SYS_io_uring_register, (uint64_t)ring_native.fd,
			    SLUICE_REGISTER_PRIORITY, at, ioprio, 0, 0);
}

static void values(void)
{
	static const uint16_t wrong[] = {
		1, 7, 1 << 3, 4u << 13, 7u << 13 | 4, 0xffff, 2u << 13 | 1u << 3 | 4, 1u << 12,
	};
	unsigned refused = 0, taken = 0;

	for (unsigned class = IOPRIO_CLASS_RT; class <= IOPRIO_CLASS_IDLE; class ++)
		for (unsigned level = 0; level < 8; level++)
			taken += nop((uint16_t)(class << IOPRIO_CLASS_SHIFT | level)) == 0;
	say_is("every class and level", taken, 24);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		refused += nop(wrong[i]) == -EINVAL;
	say_is("and nothing else", refused, sizeof(wrong) / sizeof(*wrong));
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		refused -= ring_priority(0, wrong[i]) == -EINVAL;
	say_is("for a ring too", refused, 0);
	say_is("no pointer", ring_priority(64, 0), -EINVAL);
}

/* Flags keep their meaning: a multishot stays one, and a flag that an opcode has not is refused. */
static void flags_below(void)
{
	struct io_uring_sqe *sqe;

	for (unsigned priority = 0; priority < SLUICE_PRIORITIES; priority++) {
		uint16_t ioprio = sluice_ioprio(priority, 1);
		int64_t want[2] = { -ENOTSOCK, -EINVAL };

		for (unsigned i = 0; i < 2; i++) {
			sqe = ring_sqe(&ring_native);
			ring_fill(sqe, IORING_OP_RECV, 1, 0, (uint64_t)(uintptr_t)&want, 8, 0, 0);
			sqe->ioprio = (uint16_t)(ioprio | IORING_RECVSEND_POLL_FIRST |
						 (i ? IORING_RECVSEND_BUNDLE : 0));
			say_is("flags below a priority", say_wait(), want[i]);
		}
	}
	sqe = ring_sqe(&ring_native);
	ring_fill(sqe, IORING_OP_RECV, 1, 0, (uint64_t)(uintptr_t)&sqe, 8, 0, 0);
	sqe->ioprio = 3u << SLUICE_IOPRIO_HIGH_SHIFT;
	say_is("a level without a class", say_wait(), -EINVAL);
}

/* The entries' user_data in the order of their completions, as decimal digits. */
static int64_t order(const uint16_t *ioprio, const uint8_t *link, unsigned count)
{
	int64_t digits = 0;

	for (unsigned i = 0; i < count; i++) {
		struct io_uring_sqe *sqe = ring_sqe(&ring_native);

		ring_fill(sqe, IORING_OP_NOP, -1, 0, 0, 0, 0, i + 1);
		sqe->ioprio = ioprio[i];
		if (link && link[i])
			sqe->flags = IOSQE_IO_LINK;
	}
	ring_submit(&ring_native);
	if (ring_wait(&ring_native, count))
		ring_die(&ring_native, "FAIL priority_calls: the doorbell failed\n");
	for (unsigned i = 0; i < count; i++) {
		const struct io_uring_cqe *cqe = ring_cqe_at(&ring_native, i);

		digits = digits * 10 + (cqe->res ? 0 : (int64_t)cqe->user_data);
	}
	ring_advance(&ring_native, count);
	return digits;
}

static void orders(void)
{
	const uint16_t idle7 = sluice_ioprio(7, 0), idle6 = sluice_ioprio(6, 0);
	const uint16_t be5 = sluice_ioprio(5, 0), be4 = sluice_ioprio(4, 0);
	const uint16_t rt0 = sluice_ioprio(0, 0);
	const uint16_t mixed[] = { idle7, idle6, idle7, be5, 0, rt0 };
	const uint16_t members[] = { 0, 0, be4 };
	const uint8_t links[] = { 1, 0, 0 };

	say_is("the urgent before the rest, equals as they came", order(mixed, NULL, 6), 564213);
	say_is("another entry runs between the members of a chain", order(members, links, 3), 132);
	say_is("a ring of less priority", ring_priority(0, idle6), 0);
	say_is("lets it pass before them", order(members, links, 3), 312);
	say_is("and is normal again", ring_priority(0, 0), 0);
	say_is("with all that is in it", order(members, links, 3), 132);
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	(void)ring, (void)argc, (void)argv;
	values();
	flags_below();
	orders();
	return say_verdict();
}
