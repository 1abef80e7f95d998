/*
 * b_steps: what is the longest that each operation holds its core? Asks every operation of the
 * table for the most that it takes (tables of operations, tests/boot/test_steps.py and
 * bench/steps.py, say which it forgot), and after each question reads from /dev/steps whose longest
 * stretch has grown:
 *
 *   bench: case=WHAT kind=op|mail|timer name=NAME longest=NS
 *
 * Every row is told in the first of them, with longest=0 as long as it never ran. `b_steps end`,
 * a child of the first: ends with much memory and much in flight.
 *
 * For a machine of one hart that was booted with trace=steps. What is asked is to be large, and the
 * answers are not looked at, but for those of what must have worked for the rest to mean anything.
 */
#include "lib/guest.h"

#include <stdio.h>
#include <string.h>

#include "uapi/fs.h"
#include "uapi/mman.h"
#include "uapi/notice.h"
#include "uapi/socket.h"
#include "uapi/time.h"
#include "uapi/wait.h"

#define MIB (1ull << 20)
#define LARGE (64 * MIB) /* of memory */
#define PIPE (64u << 10)
#define MANY 2000u /* in flight: half of the pool, less what else there is */
#define VECS 1024u
#define ROWS_MAX 256u
#define PORT 4713

static struct ring *ring;
static char *memory; /* LARGE, populated */

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static void need(bool good, const char *what)
{
	char text[96];

	if (good)
		return;
	snprintf(text, sizeof(text), "b_steps: failed: %s\n", what);
	ring_die(ring, text);
}

static int64_t call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		    uint64_t a5)
{
	return ring_syscall(ring, nr, a0, a1, a2, a3, a4, a5);
}

/* One more entry, submitted when the queue is full. */
static struct io_uring_sqe *more(void)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);

	if (sqe)
		return sqe;
	need(!ring_submit(ring), "submitting");
	sqe = ring_sqe(ring);
	need(sqe, "a free entry");
	return sqe;
}

/* So many answers; the last one. */
static int32_t answers(unsigned count)
{
	int32_t res = 0;

	need(!ring_submit(ring), "submitting");
	while (count) {
		unsigned n = count < 64 ? count : 64;

		need(!ring_wait(ring, n), "waiting");
		res = ring_cqe_at(ring, n - 1)->res;
		ring_advance(ring, n);
		count -= n;
	}
	return res;
}

static int32_t ask(uint8_t opcode, int fd, uint64_t off, uint64_t addr, uint32_t len,
		   uint32_t flags)
{
	ring_fill(more(), opcode, fd, off, addr, len, flags, 0);
	return answers(1);
}

static char *pages(uint64_t bytes, uint64_t flags)
{
	int64_t got = call(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | flags, ~0ull, 0);

	need(got > 0 || got < -4095, "memory");
	return (char *)(uintptr_t)got;
}

static int opened(const char *path, uint32_t flags)
{
	int fd = ask(IORING_OP_OPENAT, AT_FDCWD, 0, at(path), 0, flags);

	need(fd >= 0, path);
	return fd;
}

/* ---- what has grown -------------------------------------------------------------------------- */

static struct {
	char kind[8], name[32];
	unsigned long long longest;
	bool told;
} rows[ROWS_MAX];
static unsigned row_count;

static unsigned row_of(const char *kind, const char *name)
{
	unsigned i = 0;

	while (i < row_count && (strcmp(rows[i].kind, kind) || strcmp(rows[i].name, name)))
		i++;
	need(i < ROWS_MAX, "so many rows");
	if (i == row_count) {
		snprintf(rows[i].kind, sizeof(rows[i].kind), "%s", kind);
		snprintf(rows[i].name, sizeof(rows[i].name), "%s", name);
		row_count++;
	}
	return i;
}

static void asked(const char *what)
{
	static char text[16384];
	int fd = opened("/dev/steps", O_RDONLY);
	int n = ask(IORING_OP_READ, fd, 0, at(text), sizeof(text) - 1, 0);
	char kind[8], name[32], *line = text;
	unsigned long long count, longest;
	int used;

	need(n > 0 && n < (int)sizeof(text) - 1, "/dev/steps (trace=steps)");
	ask(IORING_OP_CLOSE, fd, 0, 0, 0, 0);
	text[n] = 0;
	for (; sscanf(line, "%7s %31s %llu %llu\n%n", kind, name, &count, &longest, &used) == 4;
	     line += used) {
		unsigned i = row_of(kind, name);

		if (rows[i].told && longest <= rows[i].longest)
			continue;
		rows[i].told = true;
		rows[i].longest = longest;
		guest_say(ring, "bench: case=%s kind=%s name=%s longest=%llu\n", what, kind, name,
			  longest);
	}
}

/* ---- transfers ------------------------------------------------------------------------------- */

static struct iovec vecs[VECS];

/* So many pieces of `each` bytes of the large memory, a page apart. */
static void vectors(unsigned count, size_t each)
{
	for (unsigned i = 0; i < count; i++)
		vecs[i] = (struct iovec){ memory + i * 4096ull, each };
}

static void transfers_of(const char *path, uint32_t flags, uint32_t bytes)
{
	int fd = opened(path, flags);
	char what[64];

	if ((flags & O_ACCMODE) != O_WRONLY)
		ask(IORING_OP_READ, fd, 0, at(memory + 1), bytes, 0);
	if ((flags & O_ACCMODE) != O_RDONLY)
		ask(IORING_OP_WRITE, fd, 0, at(memory + 1), bytes, 0);
	ask(IORING_OP_READ_FIXED, fd, 0, at(memory + 1), bytes, 0);
	ask(IORING_OP_WRITE_FIXED, fd, 0, at(memory + 1), bytes, 0);
	vectors(VECS, 4096);
	ask(IORING_OP_READV, fd, 0, at(vecs), VECS, 0);
	ask(IORING_OP_WRITEV, fd, 0, at(vecs), VECS, 0);
	vectors(VECS, 1);
	ask(IORING_OP_READV, fd, 0, at(vecs), VECS, 0);
	ask(IORING_OP_WRITEV, fd, 0, at(vecs), VECS, 0);
	vectors(VECS, 0);
	ask(IORING_OP_READV, fd, 0, at(vecs), VECS, 0);
	ask(IORING_OP_WRITEV, fd, 0, at(vecs), VECS, 0);
	ask(IORING_OP_FSYNC, fd, 0, 0, 0, 0);
	ask(IORING_OP_CLOSE, fd, 0, 0, 0, 0);
	snprintf(what, sizeof(what), "%s,%u", path, bytes);
	asked(what);
}

static void piped(void)
{
	int32_t ends[2];

	for (unsigned round = 0; round < 3; round++) {
		size_t each = round == 0 ? PIPE / VECS : round == 1 ? 4 : 4096;

		need(!ask(IORING_OP_PIPE, 0, 0, at(ends), 0, 0), "a pipe");
		ask(IORING_OP_WRITE, ends[1], 0, at(memory + 1), PIPE, 0);
		ask(IORING_OP_READ, ends[0], 0, at(memory + 1), PIPE, 0);
		vectors(VECS, each);
		if (each * VECS <= PIPE) {
			ask(IORING_OP_WRITEV, ends[1], 0, at(vecs), VECS, 0);
			ask(IORING_OP_READV, ends[0], 0, at(vecs), VECS, 0);
		}
		ask(IORING_OP_WRITE_FIXED, ends[1], 0, at(memory + 1), PIPE, 0);
		ask(IORING_OP_READ_FIXED, ends[0], 0, at(memory + 1), PIPE, 0);
		ask(IORING_OP_CLOSE, ends[0], 0, 0, 0, 0);
		ask(IORING_OP_CLOSE, ends[1], 0, 0, 0, 0);
	}
	asked("pipe,64KiB");
}

static void memfiles(void)
{
	int fd = (int)call(SYS_memfd_create, at("steps"), 0, 0, 0, 0, 0);
	uint64_t map;

	need(fd >= 0, "a memory file");
	ask(IORING_OP_WRITE, fd, 0, at(memory), LARGE / 2, 0);
	ask(IORING_OP_READ, fd, 0, at(memory), LARGE / 2, 0);
	ask(IORING_OP_WRITE_FIXED, fd, 0, at(memory), (uint32_t)MIB, 0);
	ask(IORING_OP_READ_FIXED, fd, 0, at(memory), (uint32_t)MIB, 0);
	ask(IORING_OP_READ, fd, 1, at(memory), 32767, 0);
	ask(IORING_OP_WRITE, fd, 1, at(memory), 32767, 0);
	for (size_t each = 4; each <= 4096; each *= 32) {
		vectors(VECS, each);
		ask(IORING_OP_WRITEV, fd, 0, at(vecs), VECS, 0);
		ask(IORING_OP_READV, fd, 0, at(vecs), VECS, 0);
	}
	asked("memory_file,32MiB");
	map = (uint64_t)call(SYS_mmap, 0, LARGE / 2, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_POPULATE, (uint64_t)fd, 0);
	asked("mmap_of_a_memory_file,32MiB");
	call(SYS_munmap, map, LARGE / 2, 0, 0, 0, 0);
	ask(IORING_OP_FALLOCATE, fd, 0, LARGE / 2, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0);
	ask(IORING_OP_WRITE, fd, 0, at(memory), LARGE / 2, 0);
	asked("fallocate,32MiB");
	ask(IORING_OP_FTRUNCATE, fd, 0, 0, 0, 0);
	asked("ftruncate,32MiB");
	ask(IORING_OP_WRITE, fd, 0, at(memory), LARGE / 2, 0);
	ask(IORING_OP_CLOSE, fd, 0, 0, 0, 0);
	asked("last_close_of_a_memory_file,32MiB");
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void mappings(void)
{
	const uint64_t fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	int64_t heap = call(SYS_brk, 0, 0, 0, 0, 0, 0);
	char *range = pages(LARGE, MAP_POPULATE);
	uint64_t from = at(range);

	asked("mmap_populate,64MiB");
	call(SYS_mprotect, from, LARGE, PROT_READ, 0, 0, 0);
	call(SYS_mprotect, from, LARGE, PROT_READ | PROT_WRITE, 0, 0, 0);
	asked("mprotect,64MiB");
	call(SYS_madvise, from, LARGE / 4, MADV_DONTNEED, 0, 0, 0);
	asked("madvise,16MiB");
	need(call(SYS_mmap, from, LARGE, PROT_READ | PROT_WRITE, fixed, ~0ull, 0) == (int64_t)from,
	     "MAP_FIXED");
	asked("mmap_fixed,48MiB_of_64");
	for (unsigned i = 0; i < 900; i++) /* regions that cannot be one */
		call(SYS_mmap, from + i * 65536, 4096, i & 1 ? PROT_READ : PROT_NONE, fixed, ~0ull,
		     0);
	asked("mmap_fixed,900_regions");
	call(SYS_mprotect, from, LARGE, PROT_READ, 0, 0, 0);
	asked("mprotect,900_regions");
	call(SYS_madvise, from, LARGE, MADV_DONTNEED, 0, 0, 0);
	call(SYS_munmap, from, LARGE, 0, 0, 0, 0);
	asked("munmap,900_regions");
	call(SYS_munmap, at(pages(LARGE, MAP_POPULATE)), LARGE, 0, 0, 0, 0);
	asked("munmap,64MiB");
	call(SYS_munmap, at(pages(64ull << 30, 0)), 64ull << 30, 0, 0, 0, 0);
	asked("munmap,64GiB_untouched");
	need(call(SYS_brk, (uint64_t)heap + LARGE, 0, 0, 0, 0, 0) == heap + (int64_t)LARGE,
	     "a heap");
	for (uint64_t i = 0; i < LARGE; i += 4096)
		*(volatile char *)(uintptr_t)((uint64_t)heap + i) = 1;
	asked("brk_grows,64MiB");
	call(SYS_brk, (uint64_t)heap, 0, 0, 0, 0, 0);
	asked("brk_shrinks,64MiB");
	call(SYS_getrandom, at(memory), MIB, 0, 0, 0, 0);
	asked("getrandom,1MiB");
	call(SYS_getrandom, at(memory), 4096, 0, 0, 0, 0);
	asked("getrandom,4096");
}

/* ---- many in flight -------------------------------------------------------------------------- */

static uint32_t word, other_word;

static void waiting(unsigned count, int fd)
{
	for (unsigned i = 0; i < count; i++)
		if (fd < 0)
			ring_fill_futex_wait(more(), &word, 0, 1);
		else
			ring_fill(more(), IORING_OP_POLL_ADD, fd, 0, 0, 0, POLLIN, 1);
	need(!ring_submit(ring), "submitting many");
}

static void many(void)
{
	struct __kernel_timespec far = { .tv_sec = 3600 }, soon = { .tv_nsec = 1000000 };
	int32_t ends[2];

	waiting(MANY, -1);
	ring_fill_futex_wake(more(), &word, MANY, 0);
	answers(MANY + 1);
	waiting(MANY, -1);
	ring_fill_syscall(more(), SYS_futex, at(&word), 1, MANY, 0, 0, 0, 0);
	answers(MANY + 1);
	waiting(MANY, -1);
	ring_fill_syscall(more(), SYS_futex, at(&word), 3, 1, MANY, at(&other_word), 0, 0);
	answers(2);
	ring_fill_syscall(more(), SYS_futex, at(&other_word), 1, MANY, 0, 0, 0, 0);
	answers(MANY);
	asked("futex_wake,2000");
	waiting(MANY, -1);
	ring_fill(more(), IORING_OP_ASYNC_CANCEL, -1, 0, 0, 0, IORING_ASYNC_CANCEL_ANY, 0);
	answers(MANY + 1);
	waiting(MANY, -1); /* all of one user_data, none of which matches */
	for (unsigned i = 0; i < 4; i++)
		ask(IORING_OP_ASYNC_CANCEL, -1, 0, 2 + i, 0, 0);
	ask(IORING_OP_POLL_REMOVE, -1, 0, 3, 0, 0);
	ask(IORING_OP_TIMEOUT_REMOVE, -1, 0, 3, 0, 0);
	ring_fill(more(), IORING_OP_ASYNC_CANCEL, -1, 0, 1, 0, IORING_ASYNC_CANCEL_ALL, 0);
	answers(MANY + 1);
	asked("async_cancel,2000");
	need(!ask(IORING_OP_PIPE, 0, 0, at(ends), 0, 0), "a pipe");
	waiting(MANY, ends[0]);
	ask(IORING_OP_WRITE, ends[1], 0, at(memory), 1, 0);
	answers(MANY);
	asked("write_for_2000_polls");
	ask(IORING_OP_READ, ends[0], 0, at(memory), 1, 0);
	for (unsigned i = 0; i < MANY; i++)
		ring_fill(more(), IORING_OP_READ, ends[0], 0, at(memory), 1, 0, 0);
	ring_fill(more(), IORING_OP_WRITE, ends[1], 0, at(memory), PIPE, 0, 0);
	answers(MANY + 1);
	asked("write_for_2000_reads");
	ask(IORING_OP_READ, ends[0], 0, at(memory), PIPE, 0);
	waiting(MANY / 2, ends[0]);
	for (unsigned i = 0; i < MANY / 2; i++)
		ring_fill(more(), IORING_OP_READ, ends[0], 0, at(memory), 1, 0, 0);
	ring_fill(more(), IORING_OP_CLOSE, ends[0], 0, 0, 0, 0, 0);
	answers(MANY + 1);
	ask(IORING_OP_CLOSE, ends[1], 0, 0, 0, 0);
	asked("close,2000_waiting");
	for (unsigned i = 0; i < MANY; i++)
		ring_fill(more(), IORING_OP_TIMEOUT, -1, 0, at(&far), 1, 0, 1);
	ring_fill(more(), IORING_OP_NOP, -1, 0, 0, 0, 0, 0);
	answers(MANY + 1);
	asked("nop,2000_timeouts_that_count");
	for (unsigned i = 0; i < MANY; i++)
		ring_fill(more(), IORING_OP_TIMEOUT, -1, 0, at(&soon), 0, 0, 1);
	answers(MANY);
	asked("timeout,2000_at_once");
	for (unsigned i = 0; i < 400; i++) { /* a chain, which breaks at its first member */
		ring_fill(more(), i ? IORING_OP_NOP : IORING_OP_READ, -1, 0, 0, 0, 0, 0);
		ring->sqes[(ring->sq_next - 1) & ring->sq_mask].flags = i < 399 ? IOSQE_IO_LINK : 0;
	}
	answers(400);
	for (unsigned i = 0; i < 400; i++) {
		ring_fill(more(), IORING_OP_NOP, -1, 0, 0, 0, 0, 0);
		ring->sqes[(ring->sq_next - 1) & ring->sq_mask].flags = i < 399 ? IOSQE_IO_LINK : 0;
	}
	answers(400);
	asked("chain,400");
	ring_fill(more(), IORING_OP_READ, 0, 0, at(memory), 1, 0, 1);
	ring->sqes[(ring->sq_next - 1) & ring->sq_mask].flags = IOSQE_IO_LINK;
	ring_fill(more(), IORING_OP_LINK_TIMEOUT, -1, 0, at(&soon), 1, 0, 2);
	answers(2);
	asked("link_timeout");
}

/* ---- paths, descriptors, registrations ------------------------------------------------------- */

static void names(void)
{
	static char path[4096];
	static struct statx st;

	memset(path, '/', sizeof(path));
	memcpy(path + 240, "bin/b_steps", 12); /* FS_PATH_MAX is 256 */
	for (unsigned k = 0; k < 2; k++) {
		ask(IORING_OP_OPENAT, AT_FDCWD, 0, at(path), 0, O_RDONLY);
		ask(IORING_OP_STATX, AT_FDCWD, at(&st), at(path), 0xfff, 0);
		call(SYS_newfstatat, (uint64_t)AT_FDCWD, at(path), at(memory), 0, 0, 0);
		call(SYS_faccessat, (uint64_t)AT_FDCWD, at(path), 0, 0, 0, 0);
		call(SYS_readlinkat, (uint64_t)AT_FDCWD, at(path), at(memory), 4096, 0, 0);
		memset(path, 'x', sizeof(path) - 1);
	}
	ask(IORING_OP_STATX, AT_FDCWD, at(&st), at("/bin/b_none"), 0xfff, 0);
	ask(IORING_OP_STATX, AT_FDCWD, at(&st), at("/bin"), 0xfff, 0);
	call(SYS_fstat, 0, at(memory), 0, 0, 0, 0);
	call(SYS_getcwd, at(memory), 4096, 0, 0, 0, 0);
	asked("paths");
	opened("/dev/counters", O_RDONLY);
	opened("/dev/cores", O_RDONLY);
	opened("/dev/rings", O_RDONLY);
	asked("open_of_a_report");
}

static int64_t registered(uint32_t code, uint64_t arg, uint32_t count)
{
	return call(SYS_io_uring_register, (uint64_t)ring->fd, code, arg, count, 0, 0);
}

static void registrations(void)
{
	static int32_t fds[4096];
	struct io_uring_buf_reg group = { .ring_addr = at(memory),
					  .ring_entries = 32768,
					  .bgid = 1 };
	struct io_uring_params params = { .flags = IORING_SETUP_CQSIZE, .cq_entries = 65536 };
	int64_t fd;

	registered(IORING_REGISTER_PROBE, at(memory), 256);
	need(!registered(IORING_REGISTER_FILES, at(fds), 4096), "4096 files");
	asked("io_uring_register,4096_files");
	ask(IORING_OP_FILES_UPDATE, -1, 0, at(fds), 4096, 0);
	asked("files_update,4096");
	registered(IORING_UNREGISTER_FILES, 0, 0);
	need(!registered(IORING_REGISTER_PBUF_RING, at(&group), 1), "32768 buffers");
	registered(IORING_UNREGISTER_PBUF_RING, at(&group), 1);
	asked("io_uring_register,32768_provided");
	registered(IORING_UNREGISTER_BUFFERS, 0, 0);
	vecs[0] = (struct iovec){ memory, LARGE };
	need(!registered(IORING_REGISTER_BUFFERS, at(vecs), 1), "a buffer of 64 MiB");
	registered(IORING_UNREGISTER_BUFFERS, 0, 0);
	asked("io_uring_register,64MiB_in_one_buffer");
	vectors(VECS, 4096);
	registered(IORING_REGISTER_BUFFERS, at(vecs), VECS);
	registered(IORING_UNREGISTER_BUFFERS, 0, 0);
	asked("io_uring_register,1024_buffers");
	vecs[0] = (struct iovec){ memory, MIB };
	need(!registered(IORING_REGISTER_BUFFERS, at(vecs), 1), "a buffer");
	fd = call(SYS_io_uring_setup, 32768, at(&params), 0, 0, 0, 0);
	need(fd >= 0, "a large ring");
	asked("io_uring_setup,32768");
	call(SYS_mmap, 0, 64 + 65536ull * 16, PROT_READ | PROT_WRITE, MAP_SHARED, (uint64_t)fd, 0);
	asked("mmap_of_a_ring,1MiB");
	ask(IORING_OP_CLOSE, (int)fd, 0, 0, 0, 0);
	asked("close,large_ring");
}

/* ---- sockets --------------------------------------------------------------------------------- */

static void sockets(void)
{
	struct sockaddr_in here = { .sin_family = AF_INET,
				    .sin_port = (uint16_t)(PORT << 8 | PORT >> 8),
				    .sin_addr.s_addr = __builtin_bswap32(INADDR_LOOPBACK) };
	struct msghdr m = { .msg_iov = vecs, .msg_iovlen = VECS };
	int listener = ask(IORING_OP_SOCKET, AF_INET, SOCK_STREAM, 0, 0, 0), client, server;
	struct io_uring_sqe *sqe;

	need(listener >= 0, "a socket");
	ask(IORING_OP_BIND, listener, sizeof(here), at(&here), 0, 0);
	need(!ask(IORING_OP_LISTEN, listener, 0, 0, 8, 0), "listen");
	client = ask(IORING_OP_SOCKET, AF_INET, SOCK_STREAM, 0, 0, 0);
	need(!ask(IORING_OP_CONNECT, client, sizeof(here), at(&here), 0, 0), "connect");
	server = ask(IORING_OP_ACCEPT, listener, 0, 0, 0, 0);
	need(server >= 0, "accept");
	asked("connect_and_accept");
	for (unsigned round = 0; round < 4; round++) {
		ring_fill(more(), IORING_OP_SEND, client, 0, at(memory), (uint32_t)MIB, 0, 0);
		ring_fill(more(), IORING_OP_RECV, server, 0, at(memory + 2 * MIB), (uint32_t)MIB,
			  MSG_WAITALL, 0);
		answers(2);
	}
	asked("send_and_recv,1MiB");
	vectors(VECS, 4096);
	for (unsigned round = 0; round < 2; round++) {
		ring_fill(more(), IORING_OP_SENDMSG, client, 0, at(&m), 1, MSG_WAITALL, 0);
		ring_fill(more(), IORING_OP_RECVMSG, server, 0, at(&m), 1, MSG_WAITALL, 0);
		answers(2);
		vectors(VECS, 8);
	}
	asked("sendmsg_and_recvmsg,1024_pieces");
	sqe = more();
	ring_fill(sqe, IORING_OP_URING_CMD, client, SOCKET_URING_OP_SETSOCKOPT, 0, 0, 0, 0);
	sqe->level = SOL_TCP;
	sqe->optname = TCP_NODELAY;
	sqe->optlen = 4;
	sqe->optval = at(&word);
	answers(1);
	call(SYS_getsockname, (uint64_t)client, at(memory), at(memory + 64), 0, 0, 0);
	call(SYS_getpeername, (uint64_t)client, at(memory), at(memory + 64), 0, 0, 0);
	ring_fill(more(), IORING_OP_SEND, client, 0, at(memory), 65000, 0, 0);
	answers(1);
	ask(IORING_OP_SHUTDOWN, client, 0, 0, 2, 0);
	ask(IORING_OP_CLOSE, client, 0, 0, 0, 0);
	ask(IORING_OP_CLOSE, server, 0, 0, 0, 0);
	ask(IORING_OP_CLOSE, listener, 0, 0, 0, 0);
	client = ask(IORING_OP_SOCKET, AF_INET, SOCK_DGRAM, 0, 0, 0);
	ask(IORING_OP_BIND, client, sizeof(here), at(&here), 0, 0);
	ask(IORING_OP_CONNECT, client, sizeof(here), at(&here), 0, 0);
	ring_fill(more(), IORING_OP_SEND, client, 0, at(memory), 65000, 0, 0);
	ring_fill(more(), IORING_OP_RECV, client, 0, at(memory), 65000, 0, 0);
	answers(2);
	ask(IORING_OP_CLOSE, client, 0, 0, 0, 0);
	asked("datagram,65000");
}

/* ---- processes, threads, calls --------------------------------------------------------------- */

static void thread_ends(struct ring_thread *t)
{
	ring_thread_exit(&t->ring, 0);
}

static void spawned(const char *path, const char *argument, const char *what)
{
	static char text[60][48];
	const char *argv[] = { path, argument, NULL }, *envp[65] = { NULL };
	struct wait_info info;
	struct io_uring_sqe *sqe;
	int pid;

	for (unsigned i = 0; i < 60; i++) {
		memset(text[i], 'x', sizeof(text[i]) - 1);
		text[i][1] = '=';
		envp[i] = text[i];
	}
	pid = ask(IORING_OP_SPAWN, 0, 0,
		  at(&(struct sluice_spawn){ .size = sizeof(struct sluice_spawn),
					     .path = at(path),
					     .argv = at(argv),
					     .envp = at(envp),
					     .user_core = SLUICE_ANY_CORE,
					     .home = SLUICE_ANY_CORE }),
		  sizeof(struct sluice_spawn), 0);
	need(pid > 0, path);
	sqe = more();
	ring_fill(sqe, IORING_OP_WAITID, pid, at(&info), 0, P_PID, 0, 0);
	sqe->file_index = WEXITED;
	answers(1);
	asked(what);
}

static void processes(void)
{
	static char stack[16384] __attribute__((aligned(16)));
	static struct ring_thread thread;

	spawned("/bin/large", "x", "spawn,16MiB");
	spawned("/bin/b_steps", "end", "end_of_a_program,64MiB_2000_in_flight");
	ring_thread_init(&thread, thread_ends, NULL, stack, sizeof(stack), 0, SLUICE_ANY_CORE);
	ring_fill_thread(more(), &thread, 0);
	answers(1);
	ring_fill_futex_wait(more(), &thread.tid, thread.tid, 0);
	answers(1);
	asked("thread");
}

static void calls(void)
{
	static const uint16_t plain[] = {
		SYS_dup, SYS_fcntl, SYS_lseek, SYS_sched_yield, SYS_getpid, SYS_gettid, SYS_getppid,
		SYS_getuid, SYS_rt_sigpending, SYS_rt_sigprocmask, SYS_sigaltstack,
		SYS_rt_sigaction, SYS_set_tid_address, SYS_sched_setaffinity, SYS_clone, SYS_clone3,
		SYS_fadvise64, SYS_set_robust_list, SYS_get_robust_list, SYS_getpriority,
		SYS_setpriority,
	};
	struct __kernel_timespec soon = { .tv_nsec = 1000 };
	struct { int32_t fd; int16_t events, revents; } *polled = (void *)memory;

	for (unsigned i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		call(plain[i], 0, 0, 0, 8, 0, 0);
	call(SYS_dup3, 0, 60, 0, 0, 0, 0);
	call(SYS_mkdirat, (uint64_t)AT_FDCWD, at("/bin"), 0755, 0, 0, 0);
	memset(memory, 0, 128);
	memory[0] = 2; /* descriptor 1 */
	call(SYS_pselect6, 2, 0, at(memory), 0, at(&soon), 0);
	call(SYS_ioctl, 0, 0x5401, 0, 0, 0, 0);
	call(SYS_clock_gettime, CLOCK_MONOTONIC, at(memory), 0, 0, 0, 0);
	call(SYS_clock_getres, CLOCK_MONOTONIC, at(memory), 0, 0, 0, 0);
	call(SYS_gettimeofday, at(memory), 0, 0, 0, 0, 0);
	call(SYS_nanosleep, at(&soon), 0, 0, 0, 0, 0);
	call(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, at(&soon), 0, 0, 0);
	call(SYS_uname, at(memory), 0, 0, 0, 0, 0);
	call(SYS_sysinfo, at(memory), 0, 0, 0, 0, 0);
	call(SYS_prlimit64, 0, 7, 0, at(memory), 0, 0);
	call(SYS_getcpu, at(memory), at(memory + 8), 0, 0, 0, 0);
	call(SYS_sched_getaffinity, 0, 128, at(memory), 0, 0, 0);
	call(SYS_rt_sigsuspend, at(memory), 4, 0, 0, 0, 0);
	call(SYS_rt_sigtimedwait, at(memory), 0, at(&soon), 4, 0, 0);
	call(SYS_rt_sigqueueinfo, 9999, 10, at(memory), 0, 0, 0);
	call(SYS_kill, 9999, 10, 0, 0, 0, 0);
	call(SYS_tkill, 9999, 10, 0, 0, 0, 0);
	call(SYS_tgkill, 9999, 9999, 10, 0, 0, 0);
	memset(memory, 0, 4096);
	call(SYS_riscv_hwprobe, at(memory), 64, 0, 0, 0, 0);
	for (unsigned i = 0; i < 4096; i++) {
		polled[i].fd = 1;
		polled[i].events = POLLIN;
	}
	for (unsigned n = 64; n <= 4096; n *= 4)
		call(SYS_ppoll, at(memory), n, at(&(struct __kernel_timespec){ 0 }), 0, 0, 0);
	ask(IORING_OP_NOTICE, -1, 0, 0, SLUICE_NOTICE_REGISTER, 0);
	ask(IORING_OP_NOTICE, -1, 1, 0, SLUICE_NOTICE_CREATE, 0);
	asked("calls");
}

static int end(void)
{
	memory = pages(LARGE, MAP_POPULATE);
	waiting(MANY, -1);
	return 0;
}

int ring_main(struct ring *native, int argc, char **argv)
{
	struct iovec buffer;

	ring = native;
	if (argc > 1 && !strcmp(argv[1], "end"))
		return end();
	memory = pages(LARGE, MAP_POPULATE);
	buffer = (struct iovec){ memory, LARGE / 4 };
	need(!registered(IORING_REGISTER_BUFFERS, at(&buffer), 1), "a registered buffer");
	asked("start");
	transfers_of("/dev/zero", O_RDWR, (uint32_t)MIB);
	transfers_of("/dev/null", O_RDWR, (uint32_t)MIB);
	transfers_of("/dev/random", O_RDWR, (uint32_t)MIB);
	transfers_of("/bin/large", O_RDONLY, (uint32_t)(16 * MIB));
	transfers_of("/dev/vda", O_RDWR, (uint32_t)MIB);
	piped();
	memfiles();
	mappings();
	many();
	names();
	registrations();
	sockets();
	processes();
	calls();
	return 0;
}
