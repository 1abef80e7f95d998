/*
 * socket: TCP and UDP sockets as files.
 *
 * A socket belongs to the net core (file->core): everything here runs there, in steps of operations
 * that the executor forwarded. lwIP calls back in the same core's turn, so there is no lock and
 * nothing changes in the middle of a step.
 *
 *   OPEN --listen--> LISTENING
 *     |--connect--> CONNECTING --SYN answered--> CONNECTED <--accept-- a listener's queue
 *     |                 |                            |
 *     |                 +--refused, timed out--------+--reset, both directions ended--> GONE (no pcb any more)
 *   close() from every state: GONE; lwIP finishes the connection by itself.
 *
 * Data received waits in lwIP's own buffers on `queue`; the window reopens only as the program
 * reads. Data sent is copied once, from the program's pinned pages into segments. Operations that
 * cannot go on park on `readers` or `writers` and are woken by lwIP's callbacks.
 *
 * No lwIP header is needed to include this.
 */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include "sched/file.h"
#include "uapi/socket.h"

struct tcp_pcb;
struct udp_pcb;
struct net_if;
struct pbuf;
struct dgram;

enum sock_state { SOCK_OPEN, SOCK_LISTENING, SOCK_CONNECTING, SOCK_CONNECTED, SOCK_GONE };

/* An address as the program gave it or will get it. */
struct sock_name {
	union {
		struct sockaddr any;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
		char bytes[sizeof(struct sockaddr_storage)];
	};
	uint32_t len; /* bytes that mean something */
};

struct sock {
	struct file file; /* first */

	/* owner core only */
	union {
		/* NULL when GONE, and in a TCP socket before bind or connect made it */
		struct tcp_pcb *tcp;
		struct udp_pcb *udp;
	};
	struct waitlist readers; /* recv, accept */
	struct waitlist writers; /* send, connect */
	union {
		struct {
			/* received pbufs, oldest first, linked through next */
			struct pbuf *head, *tail;
		} queue;
		struct {
			struct dgram *head, *tail;
		} dgrams;
	};
	uint32_t queued;  /* bytes in the queue */
	uint32_t head_off; /* bytes of the queue's head already read */
	/* LISTENING: children nobody has taken; a child's link into it is `sibling` */
	struct list accepted;
	struct list sibling;
	struct sock *listener; /* whose `accepted` holds this one */

	uint8_t type;	  /* SOCK_STREAM, SOCK_DGRAM */
	uint8_t domain;	  /* AF_INET, AF_INET6 */
	uint8_t state;	  /* enum sock_state */
	uint8_t v6only;
	uint8_t eof;	  /* the peer has sent its FIN */
	uint8_t rd_shut, wr_shut;
	uint8_t reuse;
	uint8_t bound;
	uint8_t broadcast;
	uint8_t nodelay, keepalive, keep_count; /* keep_*: 0, lwIP's default */
	uint16_t keep_idle, keep_interval;	/* seconds */
	int16_t error;	  /* errno (positive) to be told once */
	struct linger linger;
	uint32_t sndbuf, rcvbuf;

	/* flow.c: how received segments find this socket */
	struct sock *flow_next;
	struct net_if *flow_if; /* where its segments come in */
	struct tcp_pcb *flow_before;
	uint32_t flow_peer, flow_ports;
	bool flow_known;
	/* flow_send.c: the headers of what it sends, good until then; sums of what does not change
	 * in them */
	nsec_t flow_until;
	uint64_t flow_frame[5];
	uint64_t flow_ip_sum, flow_tcp_sum;

	/* As they were when the connection ended: getpeername of a GONE socket is an error,
	 * getsockname is not. */
	struct sock_name local;
};

/* Pools. Boot. */
void socks_init(void);

extern const struct file_ops sock_file_ops;

static inline struct sock *sock_of(struct file *f)
{
	return f->ops == &sock_file_ops ? container_of(f, struct sock, file) : NULL;
}

/* ---- life; all on the net core, none parks --------------------------------------------------- */

/* -EAFNOSUPPORT, -EPROTONOSUPPORT, -ESOCKTNOSUPPORT, -EINVAL, -ENOBUFS. The caller owns the file's
 * one reference. `type` may carry SOCK_NONBLOCK and SOCK_CLOEXEC. */
must_use int sock_create(int domain, int type, int protocol, struct file **out);
must_use int sock_bind(struct sock *s, const struct sock_name *name);
must_use int sock_listen(struct sock *s, int backlog);
/* Begins to connect: 0 done (UDP), -EINPROGRESS: sock_connect_result tells when `writers` was
 * woken. */
must_use int sock_connect(struct sock *s, const struct sock_name *name);
must_use int sock_connect_result(struct sock *s); /* 0, -EINPROGRESS, or what went wrong */
/* Takes the oldest connection: 0 and a file with one reference, -EAGAIN when there is none (park on
 * readers), -EINVAL. */
must_use int sock_accept(struct sock *s, int type_flags, struct file **out);
must_use int sock_shutdown(struct sock *s, int how);

must_use int sock_name_local(struct sock *s, struct sock_name *out);
must_use int sock_name_peer(struct sock *s, struct sock_name *out);

/* Options in kernel memory: `len` is the size given, and for get the size to fill; get returns the
 * bytes filled. -ENOPROTOOPT, -EINVAL. */
#define SOCK_OPTION_BYTES 16u
must_use int sock_option_set(struct sock *s, int level, int name, const void *value, uint32_t len);
must_use int sock_option_get(struct sock *s, int level, int name, void *value, uint32_t len);

/* ---- data ------------------------------------------------------------------------------------ */

/*
 * One transfer to or from a program's memory, gathered over iov[0..count). `done` counts what has
 * moved and is where the next call goes on.
 */
struct sock_io {
	struct aspace *as;
	const struct iovec *iov;
	uint32_t count;
	uint32_t flags;		/* MSG_PEEK, MSG_MORE, MSG_TRUNC on receive */
	uint64_t done;
	/* receive: filled with the sender; send: where to; NULL: not wanted, connected */
	struct sock_name *name;
	uint32_t out_flags;	/* receive: MSG_TRUNC */
};

/* Bytes moved by this call (> 0), 0 at the end of the stream (an empty datagram too), -EAGAIN (park
 * on readers), or an error. */
must_use int64_t sock_recv(struct sock *s, struct sock_io *io);
/* Bytes taken by this call (> 0, maybe not all: -EAGAIN next time), -EAGAIN (park on writers), or
 * an error. */
must_use int64_t sock_send(struct sock *s, struct sock_io *io);

/*
 * The same for one piece of memory and nothing else to tell (no name, no flags): what RECV, SEND,
 * READ and WRITE mostly are. TCP only; sock_recv_span only when sock_has_data.
 */
must_use int64_t sock_recv_span(struct sock *s, struct aspace *as, uaddr_t at, uint64_t len);
must_use int64_t sock_send_span(struct sock *s, struct aspace *as, uaddr_t at, uint64_t len);

/* May something be received? Bytes, or 1 for a datagram (> 0), 0 at the end of the stream, -EAGAIN,
 * or the error, which is told once. */
must_use int64_t sock_can_recv(struct sock *s);
/* Bytes given to the socket that its peer has not acknowledged. */
uint32_t sock_unsent(const struct sock *s);

static inline bool sock_has_data(const struct sock *s)
{
	return s->queue.head != NULL;
}

static inline bool sock_is_nonblock(const struct sock *s)
{
	return atomic_load_explicit(&s->file.flags, memory_order_relaxed) & FILE_NONBLOCK;
}

#endif
