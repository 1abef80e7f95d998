/*
 * parts: see parts.h. A slot is a read, or a connection: its two entries have user_data 2 * slot
 * and 2 * slot + 1.
 */
#include "cores_parts/parts.h"

#include <string.h>

#include "uapi/fs.h"
#include "uapi/socket.h"
#include "uapi/syscall.h"

#define READS 16u
#define READ_BYTES 4096u
#define TALKS 8u
#define MESSAGE 64u
#define PROGRAMS 64u
#define SPIN_NS 1000000u /* it has its core for itself */
#define SECTOR 512u
#define PORT 1000u

struct part {
	bool net;
	int fd[READS][2]; /* net: in goes what comes out at the other; disk: [0][0] */
	uaddr_t at;
	uint8_t open[READS]; /* entries on their way */
	uint32_t messages;
};

static struct part parts[PROGRAMS];

bool part_is(const char *load)
{
	return !strcmp(load, "disk") || !strcmp(load, "net") || !strcmp(load, "parts");
}

static int must(int res)
{
	sim_check(res >= 0);
	return res;
}

static int do_op(struct sim_prog *p, uint8_t opcode, int fd, uaddr_t addr, uint64_t off,
		 uint32_t len, uint32_t flags)
{
	struct io_uring_sqe sqe = { .opcode = opcode,
				    .fd = fd,
				    .addr = addr,
				    .off = off,
				    .len = len,
				    .open_flags = flags };

	return must(prog_do(p, &sqe, NULL));
}

static void net_begin(struct sim_prog *p, struct part *part, unsigned number)
{
	struct {
		uint16_t family, port_be;
		uint32_t addr_be;
		uint64_t zero;
	} address = { AF_INET, __builtin_bswap16((uint16_t)(PORT + number)), 0x0100007f, 0 };
	int listener = do_op(p, IORING_OP_SOCKET, AF_INET, 0, SOCK_STREAM, 0, 0);

	prog_write(p, part->at, &address, sizeof(address));
	do_op(p, IORING_OP_BIND, listener, part->at, sizeof(address), 0, 0);
	do_op(p, IORING_OP_LISTEN, listener, 0, 0, TALKS, 0);
	prog_write(p, part->at + PAGE_SIZE, &(uint32_t){ 1 }, sizeof(uint32_t));
	for (unsigned i = 0; i < TALKS; i++) {
		part->fd[i][0] = do_op(p, IORING_OP_SOCKET, AF_INET, 0, SOCK_STREAM, 0, 0);
		sim_check(!prog_call(p, SYS_setsockopt, (uint64_t)part->fd[i][0], IPPROTO_TCP,
				     TCP_NODELAY, part->at + PAGE_SIZE, sizeof(uint32_t), 0));
		do_op(p, IORING_OP_CONNECT, part->fd[i][0], part->at, sizeof(address), 0, 0);
		part->fd[i][1] = do_op(p, IORING_OP_ACCEPT, listener, 0, 0, 0, 0);
	}
}

struct part *part_begin(struct sim_prog *p, const char *load, unsigned number)
{
	struct part *part = &parts[number % PROGRAMS];

	if (!part_is(load))
		return NULL;
	part->net = !strcmp(load, "net") || (!strcmp(load, "parts") && number % 2);
	part->at = prog_map(p, READS * READ_BYTES);
	if (part->net) {
		net_begin(p, part, number);
		return part;
	}
	prog_write(p, part->at, "/dev/vda", 9);
	part->fd[0][0] = do_op(p, IORING_OP_OPENAT, AT_FDCWD, part->at, 0, 0, O_RDWR);
	return part;
}

static void part_ask(struct view *v, struct part *part, unsigned i)
{
	struct io_uring_sqe first = { .opcode = part->net ? IORING_OP_RECV : IORING_OP_READ,
				      .fd = part->net ? part->fd[i][1] : part->fd[0][0],
				      .addr = part->at + i * READ_BYTES,
				      .len = part->net ? MESSAGE : READ_BYTES,
				      .user_data = 2 * i };
	struct io_uring_sqe send = { .opcode = IORING_OP_SEND, .fd = part->fd[i][0],
				     .addr = part->at + i * READ_BYTES + MESSAGE, .len = MESSAGE,
				     .user_data = 2 * i + 1 };

	if (!part->net)
		first.off = sim_below(PART_SECTORS * SECTOR / READ_BYTES) * READ_BYTES;
	view_put(v, &first);
	part->open[i] = 1;
	if (!part->net)
		return;
	view_put(v, &send);
	part->open[i] = 2;
}

static void part_answer(struct view *v, struct io_uring_cqe *cqe)
{
	unsigned slot = (unsigned)cqe->user_data / 2;
	struct part *part = v->owner;

	sim_check(cqe->res == (int32_t)(part->net ? MESSAGE : READ_BYTES) && part->open[slot]);
	if (!--part->open[slot] && part->net)
		part->messages++;
}

uint32_t part_turn(struct view *v, struct part *part, bool over)
{
	uint32_t before = part->messages;
	bool asked = false;

	for (unsigned i = 0; !over && i < (part->net ? TALKS : READS); i++) {
		if (part->open[i])
			continue;
		part_ask(v, part, i);
		asked = true;
	}
	if (asked)
		view_show(v);
	v->owner = part;
	if (v->under_way)
		view_await(v, SPIN_NS, part_answer);
	return part->messages - before;
}
