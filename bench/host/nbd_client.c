/*
 * nbd_client PORT EXPORT fill BYTES SEED
 * nbd_client PORT EXPORT read BYTES SEED DEPTH BLOCKS
 *
 * A client of the NBD protocol (fixed newstyle, simple replies) for 127.0.0.1:PORT. `fill` writes
 * BYTES of a pattern that depends on SEED and the place; `read` reads BLOCKS 4 KiB blocks at random
 * places of these, DEPTH requests under way, and compares every byte. The same arguments give the
 * same stream of requests.
 *
 * `read` says "steady" after a warm-up, waits for a line, reads, says "done", waits for a line, and
 * ends.
 *
 * The protocol: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host.h"

#define BLOCK	    4096u
#define FILL_BYTES  65536u
#define DEPTH_MAX   256u
#define WARM_BLOCKS 500u

#define MAGIC_INIT	    0x4e42444d41474943ull
#define MAGIC_OPTION	    0x49484156454f5054ull
#define MAGIC_OPTION_REPLY  0x3e889045565a9ull
#define MAGIC_REQUEST	    0x25609513u
#define MAGIC_REPLY	    0x67446698u
#define FLAG_FIXED_NEWSTYLE 1u
#define FLAG_NO_ZEROES	    2u
#define OPTION_GO	    7u
#define REPLY_ACK	    1u
#define REPLY_INFO	    3u
#define COMMAND_READ	    0u
#define COMMAND_WRITE	    1u
#define COMMAND_DISCONNECT  2u

struct option {
	uint64_t magic;
	uint32_t option, length;
} __attribute__((packed));

struct option_reply {
	uint64_t magic;
	uint32_t option, type, length;
} __attribute__((packed));

struct request {
	uint32_t magic;
	uint16_t flags, type;
	uint64_t cookie, offset;
	uint32_t length;
} __attribute__((packed));

struct reply {
	uint32_t magic, error;
	uint64_t cookie;
} __attribute__((packed));

static int server;
static uint64_t seed;

static char input[1u << 18];
static size_t input_at, input_end;

static void put(const void *data, size_t size)
{
	for (const char *p = data; size;) {
		ssize_t n = send(server, p, size, MSG_NOSIGNAL);

		if (n <= 0)
			die("send: %s", strerror(errno));
		p += n;
		size -= (size_t)n;
	}
}

static void get(void *data, size_t size)
{
	char *to = data;

	while (size) {
		size_t part = input_end - input_at;

		if (!part) {
			ssize_t n = recv(server, input, sizeof(input), 0);

			if (n <= 0)
				die("receive: %s", n ? strerror(errno) : "closed by the server");
			input_at = 0;
			input_end = (size_t)n;
			continue;
		}
		if (part > size)
			part = size;
		memcpy(to, input + input_at, part);
		input_at += part;
		to += part;
		size -= part;
	}
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x7fb5d329728ea185ull;
	x ^= x >> 27;
	x *= 0x81dadef4bc2dd44dull;
	return x ^ x >> 33;
}

static void pattern_fill(void *data, uint64_t offset, size_t size)
{
	uint64_t *words = data;

	for (size_t i = 0; i < size / 8; i++)
		words[i] = mix(seed ^ (offset / 8 + i));
}

static void server_open(uint16_t port)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = 20 };
	int one = 1;

	server = socket(AF_INET, SOCK_STREAM, 0);
	if (server < 0 || connect(server, (struct sockaddr *)&name, sizeof(name)))
		die("connect: %s", strerror(errno));
	setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

/* Shakes hands and chooses `export`; gives its size. */
static uint64_t server_choose(const char *export)
{
	struct {
		uint64_t init, option;
		uint16_t flags;
	} __attribute__((packed)) hello;
	uint32_t length = (uint32_t)strlen(export);
	struct option go = { htobe64(MAGIC_OPTION), htobe32(OPTION_GO), htobe32(4 + length + 2) };
	uint32_t flags = htobe32(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES),
		 name_length = htobe32(length);
	uint16_t no_requests = 0;
	struct option_reply reply;
	uint64_t size = 0;
	char info[4096];

	get(&hello, sizeof(hello));
	if (be64toh(hello.init) != MAGIC_INIT || be64toh(hello.option) != MAGIC_OPTION ||
	    !(be16toh(hello.flags) & FLAG_FIXED_NEWSTYLE))
		die("this is no NBD server of the fixed newstyle");
	put(&flags, sizeof(flags));
	put(&go, sizeof(go));
	put(&name_length, sizeof(name_length));
	put(export, length);
	put(&no_requests, sizeof(no_requests));
	for (;;) {
		get(&reply, sizeof(reply));
		length = be32toh(reply.length);
		if (be64toh(reply.magic) != MAGIC_OPTION_REPLY || length > sizeof(info))
			die("the server's answer makes no sense");
		get(info, length);
		if (be32toh(reply.type) == REPLY_ACK)
			return size;
		if (be32toh(reply.type) != REPLY_INFO)
			die("export %s is refused: %#x", export, be32toh(reply.type));
		if (length == 12 && info[0] == 0 && info[1] == 0) {
			memcpy(&size, info + 2, sizeof(size));
			size = be64toh(size);
		}
	}
}

static void request_put(uint16_t type, uint64_t cookie, uint64_t offset, uint32_t length)
{
	struct request request = { htobe32(MAGIC_REQUEST), 0,
				   htobe16(type),	   cookie,
				   htobe64(offset),	   htobe32(length) };

	put(&request, sizeof(request));
}

/* The cookie of the next reply. */
static uint64_t reply_get(void)
{
	struct reply reply;

	get(&reply, sizeof(reply));
	if (be32toh(reply.magic) != MAGIC_REPLY)
		die("a reply begins with %#x", be32toh(reply.magic));
	if (reply.error)
		die("a request failed: error %u", be32toh(reply.error));
	return reply.cookie;
}

static void fill(uint64_t bytes)
{
	static uint64_t data[FILL_BYTES / 8];

	for (uint64_t at = 0; at < bytes; at += FILL_BYTES) {
		uint32_t part = bytes - at < FILL_BYTES ? (uint32_t)(bytes - at) : FILL_BYTES;

		pattern_fill(data, at, part);
		request_put(COMMAND_WRITE, at, at, part);
		put(data, part);
		if (reply_get() != at)
			die("an answer to a question that was not asked");
	}
}

static uint64_t under_way[DEPTH_MAX]; /* offset of each request; ~0: none */
static uint64_t requests;

static void read_ask(uint64_t slot, uint64_t bytes)
{
	under_way[slot] = mix(seed + 0x51ce + requests++) % (bytes / BLOCK) * BLOCK;
	request_put(COMMAND_READ, slot, under_way[slot], BLOCK);
}

/* Takes one answer; gives its slot. */
static uint64_t read_take(void)
{
	static uint64_t want[BLOCK / 8], got[BLOCK / 8];
	uint64_t slot = reply_get();

	if (slot >= DEPTH_MAX || under_way[slot] == ~0ull)
		die("an answer to a question that was not asked");
	get(got, BLOCK);
	pattern_fill(want, under_way[slot], BLOCK);
	if (memcmp(want, got, BLOCK))
		die("the block at %llu is not what was written",
		    (unsigned long long)under_way[slot]);
	under_way[slot] = ~0ull;
	return slot;
}

static void read_blocks(uint64_t bytes, uint64_t depth, uint64_t blocks)
{
	uint64_t asked = 0;

	for (; asked < depth && asked < blocks; asked++)
		read_ask(asked, bytes);
	for (uint64_t done = 0; done < blocks; done++) {
		uint64_t slot = read_take();

		if (asked < blocks) {
			read_ask(slot, bytes);
			asked++;
		}
	}
}

int main(int argc, char **argv)
{
	bool reads = argc == 8 && !strcmp(argv[3], "read");
	uint64_t bytes, size, begin, depth, blocks;

	if (!reads && (argc != 6 || strcmp(argv[3], "fill")))
		die("usage: nbd_client PORT EXPORT fill BYTES SEED | read BYTES SEED DEPTH BLOCKS");
	bytes = number(argv[4], BLOCK, 1ull << 40) / BLOCK * BLOCK;
	seed = mix(number(argv[5], 0, UINT64_MAX));
	memset(under_way, 0xff, sizeof(under_way));
	server_open((uint16_t)number(argv[1], 1, 65535));
	size = server_choose(argv[2]);
	if (size < bytes)
		die("export %s has %llu bytes only", argv[2], (unsigned long long)size);
	if (reads) {
		depth = number(argv[6], 1, DEPTH_MAX);
		blocks = number(argv[7], 1, 1000000000);
		read_blocks(bytes, depth, WARM_BLOCKS);
		meet("steady");
		begin = now_ns();
		read_blocks(bytes, depth, blocks);
		begin = now_ns() - begin;
		printf("blocks %llu seconds %.3f per_second %.0f\n", (unsigned long long)blocks,
		       (double)begin / 1e9, (double)blocks * 1e9 / (double)begin);
		meet("done");
	} else {
		fill(bytes);
	}
	request_put(COMMAND_DISCONNECT, 0, 0, 0);
	close(server);
	return 0;
}
