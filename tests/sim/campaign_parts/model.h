/*
 * model: what a random program may see. Every entry it submits has a record here; every completion
 * it reaps is judged against that record and its neighbours. A judgement is about sets: several
 * outcomes are admissible whenever two things race, one is when they cannot.
 *
 *   act_any (acts.c, disk.c, streams.c) fills a record
 *       --model_submit--> SUBMITTED --model_reap--> judged, free
 *
 * What is judged for every operation:
 *   - each entry is answered by exactly one last CQE, and by none that nobody asked for;
 *   - members of a chain answer in order; behind a broken soft link every one is -ECANCELED, or
 *     silent if the one that broke it was to answer only then;
 *   - an entry with IO_DRAIN answers after everything submitted before it, and nothing submitted
 *     behind it answers while something submitted before it has not;
 *   - -ECANCELED only if something was asked to end it, and everything that was ends in the end;
 *   - no timeout is early; what says it was removed is cancelled, what was not is not missed.
 * What depends on the operation (bytes, streams) is judged by the `judge` its record names.
 *
 * All of this lives in the host's memory, outside the machine, and runs on the fiber of the
 * program.
 */
#ifndef TESTS_SIM_CAMPAIGN_MODEL_H
#define TESTS_SIM_CAMPAIGN_MODEL_H

#include "lib/prog.h"
#include "uapi/errno.h"
#include "uapi/fs.h"
#include "uapi/mman.h"
#include "uapi/socket.h"
#include "uapi/syscall.h"
#include "uapi/time.h"

#define RECS 64u
#define REC_BYTES 8192u /* of memory that belongs to a record */
#define RINGS 3u	/* the native one, and two that the program makes and closes */
#define SHARE 16384u	/* bytes of the disk that are a program's own */
#define BLOCK 512u
#define ENDS 6u		/* sockets */
#define PROGRAMS 4u
#define BUFS 8u		/* provided buffers of the native ring's group */
#define BUF_BYTES 700u
#define GROUP 7u

struct side;
struct rec;

typedef void judge_fn(struct side *s, struct rec *r, const struct io_uring_cqe *cqe);

enum fate {
	FATE_OPEN,   /* it begins by itself, or what it waits for went well */
	FATE_BEHIND, /* the member before it has not answered yet */
	FATE_DOOMED, /* that broke the chain */
	FATE_EITHER, /* nobody can tell: memory of a member before it was taken away */
};

struct rec {
	uint64_t id;	 /* user_data; 0: free */
	uint64_t serial; /* order of submission in the program */
	struct io_uring_sqe sqe;
	judge_fn *judge; /* of the operation; NULL: res 0 or an error that was asked for */
	uint8_t ring;
	uint8_t fate;
	uint8_t stops;	 /* cancellations that may have meant it */
	bool endless;	 /* only a cancellation needs to end it */
	/* its memory was taken away or shut: -EFAULT may be, its bytes say nothing */
	bool torn;
	bool guarded;	 /* a link timeout follows */
	bool was_behind; /* another member of its chain */
	bool broke;	 /* link timeouts: what it guarded broke the chain */
	bool hushes;	 /* it breaks the chain, or what it guarded did, and all behind is silent */
	bool must_fire;	 /* ... and nobody but the timeout can have ended it */
	bool removed;	 /* a cancellation said that it has ended this one */
	bool broad;	 /* a cancellation that may mean anything on its ring */
	uint8_t shots;	 /* CQEs so far */
	bool retired;	 /* its ring died with it: its memory may be written for a while */
	bool unheld;	 /* neither linked nor behind a drain: it begins when it is taken */
	struct rec *before, *after; /* in its chain, while they are out */
	nsec_t since;	 /* when it was submitted */
	nsec_t ns;	 /* timeouts: how long, at least */
	uint32_t cq_seen; /* CQEs reaped from its ring before it was submitted */
	/* disk */
	uint64_t off;
	uint32_t len;
	uint16_t stamp;	 /* of a write */
	struct rec_write {
		uint64_t begun; /* of the write this read is linked behind; 0: none */
		uint64_t off;
		uint32_t len;
	} behind;
	/* streams */
	struct end *end;
	/* ASYNC_CANCEL and its like: the record it names, by id */
	uint64_t target;
};

struct ring_side {
	struct sim_prog view; /* the program, looking at this ring */
	bool open;
	uaddr_t ring_at, sqes_at;
	uint64_t ring_len, sqes_len;
	uint32_t reaped;
};

/* One direction of a connection, known to both its ends. Bytes are byte_of(stream, index). */
struct stream {
	uint32_t seed;
	uint64_t sent;	 /* certainly in */
	uint64_t sent_max; /* with what is under way, or lost from sight */
	uint64_t got;
	bool closing;	 /* its sender has done something that ends it, or may be killed */
	bool reset;	 /* its end may come before its bytes */
};

struct conn {
	struct stream dir[2]; /* 0: from who connected */
	uint8_t prog[2];      /* whose ends they are */
	bool accepted;
};

struct end {
	int fd; /* -1: none */
	bool listener, connected, closing, shut, eof;
	bool wild;	      /* an operation was lost from sight: all that is left is to close */
	bool lost;	      /* ... which may still look its descriptor up: that stays open */
	unsigned users;	      /* records that name it */
	struct conn *conn;    /* NULL: not known yet */
	uint8_t side;	      /* which direction it sends */
	uint8_t early[4];     /* the first bytes of a connection nobody has named yet */
	uint32_t early_len;
	struct rec *send, *recv, *accept;
};

/* A byte of the disk: what it may be. */
#define CANDIDATES 6u
struct cell {
	struct {
		uint16_t stamp;	 /* 0: zero */
		uint64_t begun, ended; /* of the write; ended 0: not yet, or never seen */
		uint64_t gone;	 /* when another write took its place; 0: it has not */
	} can[CANDIDATES];
	uint8_t count;
	bool any; /* too many to tell */
};

/* A program and all that is known of it. Outlives it. */
struct side {
	struct sim_prog *p;
	unsigned index, programs;
	bool mixed, mortal; /* mortal: it may be killed at any moment */
	bool ended;
	struct process *proc;
	struct ring_side rings[RINGS];
	struct rec recs[RECS];
	uint64_t serials, clock; /* clock: order of submissions and completions */
	unsigned out;
	uaddr_t mem, small; /* REC_BYTES for each record; a page of small things */
	/* descriptors */
	int disk_fd;
	int stale[32]; /* to be closed when there is room for an entry */
	unsigned stale_count;
	bool has_files, has_bufs;
	bool apart[RECS]; /* the record's memory is not what was registered any more */
	/* the native ring's buffer group */
	uaddr_t group_at, group_mem;
	bool has_group;
	uint16_t group_tail;
	bool with_kernel[BUFS];
	uint16_t group_taken; /* CQEs that named a buffer, and buffers of operations lost */
	struct end ends[ENDS];
	struct end *listening;
	uint16_t stamps;
	struct cell cells[SHARE];
};

extern struct side sides[PROGRAMS];
extern struct campaign_world {
	unsigned programs;
	bool disk_fails;
	bool few_ops; /* the pool runs empty, and cuts chains: there are none */
} world;

/* Ends the run as failed: the words, then what the record was. */
noreturn_fn void model_fail(const struct side *s, const struct rec *r,
			    const struct io_uring_cqe *cqe, const char *why);
#define model_check(s, r, cqe, cond)                                                               \
	do {                                                                                       \
		if (!(cond))                                                                       \
			model_fail(s, r, cqe, #cond);                                              \
	} while (0)

/* ---- model.c */

/* Prints what every program waits for. */
void model_show(void);

/* A free record; NULL: none, or the ring's SQ is full. It is not submitted yet. */
struct rec *model_record(struct side *s, unsigned ring);
/* Puts `count` entries into their ring as one chain (links are set already), and shows them. */
void model_submit(struct side *s, struct rec **chain, unsigned count, bool show);
/* Takes one CQE of the ring, if there is one, and judges it. */
bool model_reap(struct side *s, unsigned ring);
/* Something was submitted, or done, that may end the record: what it says is remembered. */
void model_stop(struct rec *r);
/* The ring's last descriptor is closed: nothing of it is seen any more. */
void model_ring_died(struct side *s, unsigned ring);
/* The record's memory in the program. */
uaddr_t rec_mem(const struct side *s, const struct rec *r);
struct rec *rec_find(struct side *s, uint64_t id);
bool ring_has_endless(const struct side *s, unsigned ring);

/* ---- bytes.c: the disk */

/* All is zero. */
void bytes_begin(struct side *s);
void bytes_write_begin(struct side *s, struct rec *r);
/* `moved` bytes are there; what was meant beyond them may be there. */
void bytes_write_end(struct side *s, struct rec *r, uint32_t moved);
void bytes_read_judge(struct side *s, struct rec *r, const uint8_t *data, uint32_t len);
/* Is the disk, in the end, what it may be? */
void bytes_judge_disk(struct side *s, const uint8_t *share);
uint8_t byte_of(uint32_t seed, uint64_t index);

/* ---- acts.c, disk.c, streams.c: random entries */

/* Fills a record with something to do. False: nothing came to mind. */
bool act_any(struct side *s, struct rec *r);
bool disk_act(struct side *s, struct rec *r);
bool stream_act(struct side *s, struct rec *r);
/* The record is out, and its answer will never be seen. */
void stream_lost(struct rec *r);
/* It has been answered for the last time. */
void stream_done(struct rec *r);
void acts_begin(struct side *s);
void streams_begin(struct side *s);
/* Between submissions: memory, registrations, rings. */
void act_aside(struct side *s);
/* A ring of the program's own. */
bool ring_side_make(struct side *s, unsigned ring);
void ring_side_close(struct side *s, unsigned ring);
/* ASYNC_CANCEL of everything on the ring. */
void act_cancel_all(struct side *s, struct rec *r);
/* The descriptor is to be closed: what is marked as possibly ended by it. */
void act_fd_closes(struct side *s, int fd);
/* Makes the record a LINK_TIMEOUT. */
void act_guard(struct side *s, struct rec *r);
/* The descriptor is nobody's: an entry of the native ring will close it. */
void act_drop_fd(struct side *s, int fd);
/* Makes the record that entry. False: nothing to close. */
bool act_close_stale(struct side *s, struct rec *r);
/* The buffer a CQE names, given back to nobody: its memory. */
uaddr_t group_take(struct side *s, struct rec *r, const struct io_uring_cqe *cqe);
void group_provide(struct side *s);

#endif
