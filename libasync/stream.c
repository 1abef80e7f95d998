/*
 * stream: multishot operations as iterators, and the buffer rings that feed a receiving one.
 *
 *   idle --next--> running --answer with MORE--> running
 *    ^                |
 *    +--last answer---+      (next starts it again once what was kept is handed out)
 *
 * Answers are kept in a ring of the stream's own. A receiving stream cannot outgrow it: each answer
 * holds one of the pool's buffers. An accepting one that is half full is paused (cancelled, started
 * again by a later next); connections that still overtake the pause beyond its room are closed.
 *
 * Answers come from the executor's turn; from its first entry to its end the stream's coroutine is
 * pinned there.
 */
#include "crew.h"
#include "uapi/mman.h"

#define STREAM_ACCEPT_KEPT 256u
#define BUFS_COUNT_MAX 32768u

static uint64_t stream_tag(const struct async_stream *stream, enum async_tag tag)
{
	return (uint64_t)(uintptr_t)stream | tag;
}

void async_accept_each(struct async_stream *stream, int fd, int flags)
{
	*stream = (struct async_stream){ .fd = fd, .flags = flags };
	stream->kept_size = STREAM_ACCEPT_KEPT;
}

void async_recv_each(struct async_stream *stream, int fd, struct async_bufs *pool)
{
	*stream = (struct async_stream){ .fd = fd, .bufs = pool };
	stream->kept_size = pool->count * 2; /* a power of two above count + 1 */
}

/* ---- answers, from the executor ---- */

static void stream_wake(struct async_stream *stream)
{
	struct async_co *co = stream->waiter;

	if (co && co->state == ASYNC_IN_QUEUE)
		async_ready(co);
}

/* Needs an SQE and does without when there is none: the next answer tries again. */
static void stream_pause(struct async_stream *stream)
{
	struct io_uring_sqe *sqe;

	if (!stream->running || stream->cancelling)
		return;
	sqe = ring_sqe(&async_here()->ring);
	if (!sqe)
		return;
	ring_fill(sqe, IORING_OP_ASYNC_CANCEL, -1, 0, stream_tag(stream, ASYNC_TAG_STREAM), 0, 0,
		  stream_tag(stream, ASYNC_TAG_CANCEL_STREAM));
	async_here()->stats.cancels++;
	stream->cancelling = true;
	stream->pausing = true;
}

/* No room to keep a new connection: closes it. */
static void stream_refuse(int32_t fd)
{
	struct io_uring_sqe *sqe = fd >= 0 ? ring_sqe(&async_here()->ring) : NULL;

	if (sqe)
		ring_fill(sqe, IORING_OP_CLOSE, fd, 0, 0, 0, 0, ASYNC_TAG_NONE);
}

void async_stream_answer(struct async_stream *stream, int32_t res, uint32_t flags)
{
	uint32_t mask = stream->kept_size - 1;

	if (!(flags & IORING_CQE_F_MORE))
		stream->running = false;
	if (stream->bufs && flags & IORING_CQE_F_BUFFER)
		stream->bufs->held++;
	if (stream->kept_count == stream->kept_size) {
		stream_refuse(res);
		return;
	}
	stream->kept[(stream->kept_head + stream->kept_count++) & mask] =
		(struct async_answer){ res, flags };
	if (!stream->bufs && stream->kept_count >= stream->kept_size / 2)
		stream_pause(stream);
	stream_wake(stream);
}

void async_stream_cancelled(struct async_stream *stream)
{
	stream->cancelling = false;
	stream_wake(stream);
}

/* ---- the iterator ---- */

static int stream_start(struct async_stream *stream)
{
	struct async_io io;
	struct io_uring_sqe *sqe;

	if (!stream->pinned)
		crew_pin();
	stream->pinned = true;
	if (!stream->kept)
		stream->kept = async_alloc(stream->kept_size * sizeof(*stream->kept));
	if (!stream->kept)
		return async_stopped() ? async_stopped() : -ENOMEM;
	sqe = async_io_begin(&io);
	if (!sqe)
		return io.res;
	if (stream->bufs) {
		ring_fill(sqe, IORING_OP_RECV, stream->fd, 0, 0, 0, 0,
			  stream_tag(stream, ASYNC_TAG_STREAM));
		async_ask_priority(sqe, IORING_OP_RECV, io.co);
		sqe->ioprio |= IORING_RECV_MULTISHOT;
		sqe->flags = IOSQE_BUFFER_SELECT;
		sqe->buf_group = stream->bufs->group;
	} else {
		ring_fill(sqe, IORING_OP_ACCEPT, stream->fd, 0, 0, 0, (uint32_t)stream->flags,
			  stream_tag(stream, ASYNC_TAG_STREAM));
		async_ask_priority(sqe, IORING_OP_ACCEPT, io.co);
		sqe->ioprio |= IORING_ACCEPT_MULTISHOT;
	}
	stream->running = true;
	stream->pausing = false;
	return 0;
}

static struct async_answer stream_take(struct async_stream *stream)
{
	struct async_answer answer = stream->kept[stream->kept_head & (stream->kept_size - 1)];

	stream->kept_head++;
	stream->kept_count--;
	return answer;
}

static void *stream_buf(const struct async_stream *stream, const struct async_answer *answer)
{
	if (!stream->bufs || !(answer->flags & IORING_CQE_F_BUFFER))
		return NULL;
	return stream->bufs->data +
	       (size_t)(answer->flags >> IORING_CQE_BUFFER_SHIFT) * stream->bufs->size;
}

/* Waits while every buffer is with a program: the kernel can have none. */
static int bufs_wait(struct async_bufs *bufs)
{
	int err = 0;

	while (!err && bufs->held == bufs->count)
		err = waitq_wait(&bufs->waiters);
	return err;
}

int64_t async_stream_next(struct async_stream *stream, void **buf)
{
	struct async_answer answer;
	int err = 0;

	stream->waiter = async_self();
	for (;;) {
		if (stream->kept_count) {
			answer = stream_take(stream);
			if (answer.res == -ENOBUFS && stream->bufs)
				err = bufs_wait(stream->bufs);
			else if (answer.res != -ECANCELED || !stream->pausing)
				break;
		} else if (async_stopped()) {
			err = async_stopped();
		} else if (stream->running || stream->cancelling) {
			waitq_suspend();
		} else {
			err = stream_start(stream);
		}
		if (err)
			return err;
	}
	if (buf)
		*buf = stream_buf(stream, &answer);
	return answer.res;
}

void async_stream_end(struct async_stream *stream)
{
	struct async_io io = { .co = async_self(), .always = 1 };

	stream->waiter = async_self();
	while (stream->running && !stream->cancelling) {
		async_sqe_reserve(&io, 1);
		stream_pause(stream);
	}
	while (stream->running || stream->cancelling)
		waitq_suspend();
	while (stream->kept_count) {
		struct async_answer answer = stream_take(stream);
		void *buf = stream_buf(stream, &answer);

		if (buf)
			async_bufs_put(stream->bufs, buf);
		else if (!stream->bufs && answer.res >= 0)
			async_close(answer.res);
	}
	async_free(stream->kept);
	stream->kept = NULL;
	if (stream->pinned)
		crew_unpin();
	stream->pinned = false;
}

/* ---- buffer rings ---- */

static uint32_t bufs_groups; /* group numbers given out so far */

static void bufs_offer(struct async_bufs *bufs, uint32_t id)
{
	struct io_uring_buf *slot = &bufs->ring->bufs[bufs->tail & (bufs->count - 1)];

	/* entry 0 shares its last two bytes with the tail: write only the three fields */
	slot->addr = (uint64_t)(uintptr_t)(bufs->data + (size_t)id * bufs->size);
	slot->len = bufs->size;
	slot->bid = (uint16_t)id;
	bufs->tail++;
}

/* Release: pairs with the kernel's acquire when it picks a buffer. */
static void bufs_publish(struct async_bufs *bufs)
{
	__atomic_store_n(&bufs->ring->tail, bufs->tail, __ATOMIC_RELEASE);
}

static int bufs_register(struct async_bufs *bufs, uint32_t code)
{
	struct io_uring_buf_reg reg = {
		.ring_addr = (uint64_t)(uintptr_t)bufs->ring,
		.ring_entries = bufs->count,
		.bgid = bufs->group,
	};

	return (int)async_syscall(SYS_io_uring_register, (uint64_t)async_here()->ring.fd, code,
				  (uint64_t)(uintptr_t)&reg, 1, 0, 0);
}

int async_bufs_init(struct async_bufs *bufs, uint32_t count, uint32_t size)
{
	int err = -ENOMEM;

	if (!count || count > BUFS_COUNT_MAX || (count & (count - 1)) || !size)
		return -EINVAL;
	*bufs = (struct async_bufs){ .count = count,
				     .size = size,
				     .group = (uint16_t)__atomic_fetch_add(&bufs_groups, 1,
									   __ATOMIC_RELAXED) };
	bufs->ring_bytes = (count * sizeof(struct io_uring_buf) + 4095) & ~4095ull;
	bufs->data_bytes = ((size_t)count * size + 4095) & ~4095ull;
	bufs->ring = async_pages_alloc(bufs->ring_bytes, true);
	if (!bufs->ring)
		return err;
	bufs->data = async_pages_alloc(bufs->data_bytes, true);
	if (!bufs->data)
		goto out_ring;
	for (uint32_t i = 0; i < count; i++)
		bufs_offer(bufs, i);
	bufs_publish(bufs);
	err = bufs_register(bufs, IORING_REGISTER_PBUF_RING);
	if (err)
		goto out_data;
	return 0;

out_data:
	async_pages_free(bufs->data, bufs->data_bytes);
out_ring:
	async_pages_free(bufs->ring, bufs->ring_bytes);
	return err;
}

void async_bufs_put(struct async_bufs *bufs, void *buf)
{
	ring_known(bufs);
	bufs_offer(bufs, (uint32_t)((size_t)((char *)buf - bufs->data) / bufs->size));
	bufs_publish(bufs);
	bufs->held--;
	waitq_wake_all(&bufs->waiters);
}

void async_bufs_fini(struct async_bufs *bufs)
{
	struct async_scope shield;

	async_shield_begin(&shield);
	bufs_register(bufs, IORING_UNREGISTER_PBUF_RING);
	async_pages_free(bufs->data, bufs->data_bytes);
	async_pages_free(bufs->ring, bufs->ring_bytes);
	async_shield_end(&shield);
}
