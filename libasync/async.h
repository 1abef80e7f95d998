/*
 * async: coroutines whose every system call is an entry in a shared-memory ring. This header is
 * the manual.
 *
 * main() already runs inside the first coroutine. A call that has to wait suspends only the
 * coroutine that makes it; the thread goes on with another one, looks at the completion queue at
 * every switch (two loads), and parks in the kernel only when there is nothing left to do. There
 * is one thread per process, unless it asks for more (async_executors), so code between two calls
 * that may wait is never interrupted by another coroutine: no locks are needed for it.
 *
 *	static int64_t serve(void *arg)
 *	{
 *		int fd = (int)(intptr_t)arg;
 *		char buf[512];
 *		int64_t n;
 *
 *		while ((n = async_recv(fd, buf, sizeof(buf), 0)) > 0)
 *			async_send_all(fd, buf, (size_t)n);
 *		return async_close(fd);
 *	}
 *
 *	while ((fd = async_accept(listener, NULL, NULL, 0)) >= 0)
 *		async_group_spawn(&group, serve, (void *)(intptr_t)fd);
 *
 * Results. Every call answers a count, a descriptor or 0, or a negative errno (uapi/errno.h).
 * There is no errno variable.
 *
 * Being stopped. A coroutine can be cancelled (async_cancel, async_group_cancel) or run out of
 * time (async_deadline). Then the call it waits in is withdrawn from the kernel, and only when the
 * kernel has let go of its buffers does it return, with -ECANCELED or -ETIME. (If the operation
 * finished first, its true result is returned.) From then on every call that could wait returns
 * that error at once, so that a coroutine ends soon however it is written, and runs its clean-up
 * on the way. Clean-up that has to wait itself is put between async_shield_begin and _end. Calls
 * marked "always" below are done regardless.
 *
 * Memory. A coroutine is a stack of async_config.stack_bytes with a guard page below; only the
 * pages it touches cost memory, its control block (well under a page) lives at the top. Stacks
 * of finished coroutines are kept and used again. Do not pass the address of a local variable to
 * someone who may use it after the coroutine ended; groups make that easy.
 *
 * On Linux the same calls stand on its own io_uring, and a C library is there besides. The ring
 * is made before main, of the best kind the kernel has; LIBASYNC_RING=sqpoll, defer, coop or
 * plain in the environment asks for another kind. Without io_uring the program ends with status
 * 127 and says why. async_syscall, async_pipe, async_bind, async_listen and the calls about
 * options and names of sockets are system calls made on the spot: one that blocks blocks the
 * thread. Only the threads of main and of async_executors may use the library, and a child after
 * fork may not. A file
 * that includes async.h leaves out <fcntl.h>, <sys/socket.h>, <sys/stat.h>, <sys/uio.h>,
 * <netinet/in.h> and <poll.h>: what they define is here.
 *
 * A floating-point register keeps its value over every call; the rounding mode belongs to the
 * thread. A program on riscv64 that needs none is cheaper with -mabi=lp64 (docs/abi.md).
 */
#ifndef LIBASYNC_ASYNC_H
#define LIBASYNC_ASYNC_H

#include "async_core.h"
#include "uapi/fs.h"
#include "uapi/socket.h"

/* ---- Coroutines ------------------------------------------------------------------------------ */

/* typedef int64_t (*async_fn)(void *arg); */

/* Makes a coroutine that will run fn(arg), behind those already runnable. NULL: no memory for its
 * stack, or the caller was told to stop. The handle must be given to async_join or async_detach
 * exactly once. May wait. */
struct async_co *async_spawn(async_fn fn, void *arg);

/* Waits for the end of `co` and releases it; its result goes to *result when that is not NULL.
 * 0; or the caller's own -ECANCELED or -ETIME: then `co` is still to be joined. */
int async_join(struct async_co *co, int64_t *result);

/* Nobody will join: `co` releases itself at its end. */
void async_detach(struct async_co *co);

/* Tells `co` to stop (see above). Does not wait for it. Harmless when it already ended. */
void async_cancel(struct async_co *co);

/* Lets every other runnable coroutine run first. Inline; the whole switch is in async_core.h. */
/* void async_yield(void); */

/* The running coroutine. */
/* struct async_co *async_self(void); */

/* 0, -ECANCELED or -ETIME: what a waiting call would answer the caller now. */
/* int async_stopped(void); */

/* The running coroutine's priority, 0 (most urgent) to 7, SLUICE_PRIORITY_NORMAL at the start; a
 * new coroutine has its maker's. What it submits from then on carries it (uapi/sluice.h,
 * Priorities); on Linux it stays in the process. Neither waits. 0, or -EINVAL for more than 7. */
int async_set_priority(unsigned priority);
/* unsigned async_priority(void); */

/* Waits until one (all) of `count` coroutines ended; they remain to be joined. The index of the
 * first that ended (0 for all), or the caller's own -ECANCELED or -ETIME. count is at most
 * ASYNC_WAIT_MAX, else -EINVAL. */
#define ASYNC_WAIT_MAX 16
int async_wait_any(struct async_co *const *cos, unsigned count);
int async_wait_all(struct async_co *const *cos, unsigned count);

/* ---- Groups: coroutines that do not outlive the block that started them ---------------------- */

/* struct async_group lives in the caller's frame: init, spawn any number, wait. */
void async_group_init(struct async_group *group);

/* As async_spawn, for a coroutine that belongs to `group` and is released with its end.
 * 0, -ENOMEM, or the caller's own -ECANCELED or -ETIME. */
int async_group_spawn(struct async_group *group, async_fn fn, void *arg);

/* Tells every member to stop. */
void async_group_cancel(struct async_group *group);

/* Waits (always) until no member is left. When the caller itself is told to stop, the members are
 * told, too, and the wait goes on; its error is then returned. Otherwise the first negative result
 * of a member, or 0. Must be called before `group` goes out of scope. */
int async_group_wait(struct async_group *group);

/* ---- Time ------------------------------------------------------------------------------------ */

#define ASYNC_MS 1000000ull
#define ASYNC_S 1000000000ull

/* Monotonic nanoseconds. Never waits. */
uint64_t async_now_ns(void);
/* Nanoseconds since 1970. May wait. Negative errno if the machine does not know. */
int64_t async_wall_ns(void);

/* 0 after `ns`, or -ECANCELED or -ETIME earlier. */
int async_sleep(uint64_t ns);

/* A time limit for everything the caller does between begin and end; nests, the caller's frame
 * holds it. When the time is over, calls answer -ETIME. _end says whether that happened. */
void async_deadline_begin(struct async_scope *scope, uint64_t ns);
bool async_deadline_end(struct async_scope *scope);

/* Between these two, what happened or happens outside (cancel, outer deadlines) does not stop the
 * caller. */
void async_shield_begin(struct async_scope *scope);
void async_shield_end(struct async_scope *scope);

/* ---- Coroutines among themselves ------------------------------------------------------------- */

/* All are plain structs, zero-initialised ones are ready for use; owned by whoever declares them;
 * nobody may wait on one that goes away. Waiters are woken in order of arrival. Calls answer 0, or
 * the caller's own -ECANCELED or -ETIME, and then had no effect. */

/* Mutual exclusion across calls that wait. async_mutex_unlock hands over, never waits. */
int async_mutex_lock(struct async_mutex *mutex);
bool async_mutex_trylock(struct async_mutex *mutex);
void async_mutex_unlock(struct async_mutex *mutex);

/* Counting: take waits while the count is zero. sem->count may be set before first use. */
int async_sem_take(struct async_sem *sem);
void async_sem_give(struct async_sem *sem);

/* A latch: wait returns at once when it is set; set wakes all. */
int async_event_wait(struct async_event *event);
void async_event_set(struct async_event *event);
void async_event_clear(struct async_event *event);

/* A queue of values of one size, in an array of the caller's: `slots` holds `capacity` (at least 1)
 * values of `size` bytes. Sending waits while it is full, receiving while it is empty. After close,
 * send answers -EPIPE, and receive hands out what is left, then -EPIPE. */
void async_chan_init(struct async_chan *chan, void *slots, uint32_t size, uint32_t capacity);
int async_chan_send(struct async_chan *chan, const void *value);
int async_chan_recv(struct async_chan *chan, void *value);
void async_chan_close(struct async_chan *chan);
/* -EAGAIN instead of waiting. */
int async_chan_trysend(struct async_chan *chan, const void *value);
int async_chan_tryrecv(struct async_chan *chan, void *value);

/* ---- Files and devices ----------------------------------------------------------------------- */

/* As their POSIX namesakes. read and write use the file's own position. Inline, in async_core.h: */
/* int64_t async_read(int fd, void *buf, size_t len); */
/* int64_t async_write(int fd, const void *buf, size_t len); */
/* int64_t async_pread(int fd, void *buf, size_t len, uint64_t off); */
/* int64_t async_pwrite(int fd, const void *buf, size_t len, uint64_t off, int rw_flags); */

/* off ~0 = the file's own position; rw_flags: RWF_* (uapi/fs.h). */
int64_t async_readv(int fd, const struct iovec *iov, unsigned count, uint64_t off, int rw_flags);
int64_t async_writev(int fd, const struct iovec *iov, unsigned count, uint64_t off, int rw_flags);
/* Writes everything, however many pieces it takes: len, or -errno (and some part is written). */
int64_t async_write_all(int fd, const void *buf, size_t len);

/* What was written to fd is on the disk. */
int async_fsync(int fd);
int async_fdatasync(int fd);
/* mode: FALLOC_FL_*; PUNCH_HOLE | KEEP_SIZE discards on a disk. */
int async_fallocate(int fd, int mode, uint64_t off, uint64_t len);
/* A descriptor; mode: the permissions of a file that is made. */
int async_openat(int dir, const char *path, int flags, unsigned mode);
static inline int async_open(const char *path, int flags)
{
	return async_openat(AT_FDCWD, path, flags, 0);
}
/* Always. Operations of other coroutines that still wait on fd end with -ECANCELED. */
int async_close(int fd);
/* mask: what is wanted, STATX_*; with AT_EMPTY_PATH and "" of the descriptor `dir` itself. */
int async_statx(int dir, const char *path, int flags, unsigned mask, struct statx *out);
/* fds[0] reads what fds[1] writes. flags: O_CLOEXEC, O_NONBLOCK. */
int async_pipe(int fds[2], int flags);
/* Poll bits of which at least one is or becomes true (uapi/socket.h: POLLIN, ...). */
int async_poll(int fd, uint32_t events);

/* ---- Sockets --------------------------------------------------------------------------------- */

/* As their POSIX namesakes. */
int async_socket(int domain, int type, int protocol);
int async_bind(int fd, const void *addr, socklen_t addr_len);
int async_listen(int fd, int backlog);
int async_connect(int fd, const void *addr, socklen_t addr_len);
/* A new connection's descriptor; addr and addr_len may be NULL. */
int async_accept(int fd, void *addr, socklen_t *addr_len, int flags);
/* As their POSIX namesakes. Inline, in async_core.h: */
/* int64_t async_recv(int fd, void *buf, size_t len, int flags); */
/* int64_t async_send(int fd, const void *buf, size_t len, int flags); */
/* Sends everything: len, or -errno. */
int64_t async_send_all(int fd, const void *buf, size_t len);
/* Receives exactly len bytes: len; less when the peer ended; or -errno. */
int64_t async_recv_all(int fd, void *buf, size_t len);
/* As their POSIX namesakes. */
int64_t async_sendmsg(int fd, const struct msghdr *msg, int flags);
int64_t async_recvmsg(int fd, struct msghdr *msg, int flags);
int async_shutdown(int fd, int how);
int async_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
/* The option's length, or -errno. */
int async_getsockopt(int fd, int level, int name, void *value, socklen_t len);
/* As their POSIX namesakes. */
int async_getsockname(int fd, void *addr, socklen_t *addr_len);
int async_getpeername(int fd, void *addr, socklen_t *addr_len);

/* Sends all of out[0..out_len), then receives into in: one linked pair of entries, one switch, and
 * the receive does not start before the peer took the data, so `in` may be `out`. Result as
 * async_recv; an error of either half. out_len may be 0. Inline, in async_core.h: */
/* int64_t async_exchange(int fd, const void *out, size_t out_len, void *in, size_t in_len); */

/* The TCP port that `text` names in decimal, 1 to 65535; 0 when it names none. */
uint16_t async_port(const char *text);
/* A listening TCP socket on `port`, all addresses: IPv6 with IPv4 mapped into it, or IPv4 alone
 * where there is no IPv6. A descriptor or -errno. */
int async_listen_tcp(uint16_t port, int backlog);

/* ---- Streams: one request, many answers ------------------------------------------------------ */

/*
 * A multishot operation as an iterator. The stream lives in the caller's frame; exactly one
 * coroutine calls next and end. Answers that arrive while nobody asks are kept. When the kernel
 * ends a multishot by itself (it ran out of buffers or queue), next starts it again once what was
 * kept is handed out.
 *
 *	struct async_stream conns;
 *	async_accept_each(&conns, listener, 0);
 *	while ((fd = async_stream_next(&conns, NULL)) >= 0)
 *		...
 *	async_stream_end(&conns);
 */
/* flags: SOCK_* for the new descriptors. Nothing is submitted before the first next. */
void async_accept_each(struct async_stream *stream, int fd, int flags);
/* Received bytes arrive in buffers of `pool`. */
void async_recv_each(struct async_stream *stream, int fd, struct async_bufs *pool);
/* The next answer: a descriptor; or a count, *buf being where the bytes are (give it back with
 * async_bufs_put); 0 at the end of a connection; or -errno. buf may be NULL for descriptors. */
int64_t async_stream_next(struct async_stream *stream, void **buf);
/* Always: withdraws the request and waits until the kernel has let go; closes or gives back what
 * was kept. */
void async_stream_end(struct async_stream *stream);

/* Takes connections from `listener`, each into a coroutine that calls run(fd) and closes `fd`
 * behind it; at most `most` are served at a time, the rest waits. When memory or descriptors run
 * out it goes on with the next connection that ends. Returns only when there is no going on: the
 * error of accept, or -ECANCELED if the caller is stopped; the connections are cancelled then, and
 * have ended. The listener stays the caller's. */
int async_serve(int listener, uint32_t most, void (*run)(int fd));

/* A ring of `count` (power of two, at most 32768) buffers of `size` bytes that the kernel picks
 * from. 0 or -errno; the library chooses the group's number. fini: no stream uses it any more. */
int async_bufs_init(struct async_bufs *bufs, uint32_t count, uint32_t size);
void async_bufs_put(struct async_bufs *bufs, void *buf);
void async_bufs_fini(struct async_bufs *bufs);

/* ---- Programs -------------------------------------------------------------------------------- */

/* Starts the program at `path`: its pid, or -errno. argv ends with NULL; so does envp, which may be
 * NULL itself: then the environment is empty. Its descriptors 0 to fd_count - 1 are ours of `fds`
 * (-1: none), and it has no others but its ring's; at most ASYNC_PROGRAM_FDS. */
#define ASYNC_PROGRAM_FDS 64u
int async_program_start(const char *path, const char *const argv[], const char *const envp[],
			const int32_t *fds, unsigned fd_count);
/* Waits until the program we started as `pid` has ended, and takes note of it, once: 0, or -errno
 * (-ECHILD: there is none). *status, which may be NULL: its exit status, or minus the number of the
 * signal that ended it. */
int async_program_wait(int pid, int *status);

/* A file in memory without a name in any folder: a descriptor, or -errno. `name` is for who looks
 * at it from outside; flags: MFD_* (uapi/mman.h). It begins empty; async_pwrite makes it longer. */
int async_memfd(const char *name, unsigned flags);

/* ---- Any system call ------------------------------------------------------------------------- */

/* nr: SYS_* (uapi/syscall.h). The full 64-bit result, or -errno. */
int64_t async_syscall(uint16_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		      uint64_t a5);

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Fresh zeroed pages, or NULL. populate: touched now, so that no page fault happens later.
 * Unmapping: always. */
void *async_pages_alloc(size_t bytes, bool populate);
void async_pages_free(void *pages, size_t bytes);
/* Small objects, 16-byte aligned, not zeroed; NULL when memory ends. alloc may wait; free does only
 * for an object above 16 KiB while the submission queue is full. */
void *async_alloc(size_t bytes);
void async_free(void *ptr);

/* ---- Text ------------------------------------------------------------------------------------ */

/* To descriptor 1, up to 1,000 bytes per call, in one write. The count written or -errno. */
int async_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- Running coroutines ---------------------------------------------------------------------- */

/* Makes stacks for `count` coroutines now and touches their first `depth` bytes, so that later
 * spawns neither wait nor fault. 0 or -ENOMEM. */
int async_prepare(unsigned count, uint32_t depth);

/*
 * Several executors. A program that has asked for them runs its coroutines on `count` threads (0:
 * as many as there are processors for programs), each with a ring of its own. A coroutine that is
 * runnable may be taken by an executor that has nothing to do, oldest first: so code between two
 * calls that may wait runs beside that of other coroutines, and what they share needs a mutex or
 * atomics. The calls of this library may be used from all of them. A coroutine stays where it is
 * while it sleeps, inside a deadline, while a stream of its is open, and while it is pinned.
 *
 * async_executors: once, from main; the number there are now, 1 if nothing changed, or -errno
 * (-EBUSY: there are several already, or async_notices is on without async_preempt; -ENOMEM,
 * -EAGAIN; on Linux before 6.7 -EOPNOTSUPP). At most ASYNC_EXECUTORS_MAX. async_executor: the
 * number of that which runs the caller, from 0. async_pin: the caller, and what it spawns from then
 * on, stays where it is, or may go again. Buffers (async_bufs) belong to the executor that made
 * them: whoever uses them is pinned there. Neither of these waits but async_executors.
 *
 * A thread-local variable of the program is the executor's, not the coroutine's, begins as zeros on
 * all but the first, and its address must not be kept over a call that waits.
 */
#define ASYNC_EXECUTORS_MAX 16u
int async_executors(unsigned count);
unsigned async_executor(void);
void async_pin(bool stay);

/* Always: ends the process with `status`. Returning from main does the same. */
_Noreturn void async_exit(int status);

/*
 * Completions by user interrupt (docs/uintr.md). async_notices: once, from main before anything was
 * started. 1: from now on the program sleeps in its own mode, and wakes the kernel core by a store:
 * no traps; or, where the machine lacks them, upcalls interrupt it. 0: this program did not ask for
 * user interrupts, or its ring has no poller; everything goes on as before. Or -errno.
 *
 * async_compute: fn(arg) as a computation that takes long: while it runs, completions and timers
 * interrupt it, and the coroutines that waited for them run first. fn calls nothing of this
 * library. Without notices it is a plain call.
 */
int async_notices(void);
/* Behind async_notices() == 1: `fn` serves identity `id` (2 to 63; uapi/notice.h) from now on,
 * inside the executor's sleep or inside async_compute. Integer code that takes no time; it may call
 * async_event_set and async_sem_give. NULL: nobody does, and what comes stays pending. */
void async_notice_handle(uint32_t id, void (*fn)(uint32_t id));
int64_t async_compute(int64_t (*fn)(void *arg), void *arg);

/*
 * Preemption (docs/uintr.md). async_preempt: once, from main before anything was started, in a
 * program all of whose files are compiled with -DASYNC_PREEMPT (-EINVAL otherwise): from now on a
 * coroutine that computes makes way, without a word in it, for whoever is woken with at least its
 * priority (async_set_priority), and at the end of each quantum for the next of its priority.
 * Runnable coroutines go by priority; who was passed over ASYNC_AGE_MAX times goes first once.
 * With several executors (async_executors, behind this call) each does so for itself; who was made
 * to wait goes on where it was, others may be taken.
 * 0; -EINVAL also for a quantum of 0 or above 1,000 s; -EBUSY: again, or something was started;
 * -EOPNOTSUPP: on Linux, and where there is no clock. Every file then counts two calls here as
 * places where other coroutines may run: any. What coroutines share (a C library's malloc too) is
 * used between async_no_preempt_begin and _end, which nest and cost a few instructions; calls that
 * wait switch in between, too. A stack holds one interrupt more: about 1 KiB.
 */
#define ASYNC_AGE_MAX 64u
int async_preempt(uint64_t quantum_us);

static inline struct async_co *async_no_preempt_begin(void)
{
	struct async_co *me = async_here()->self;

	me->held++;
	__asm__ volatile("" ::: "memory");
	return me;
}

static inline void async_no_preempt_end(void)
{
	__asm__ volatile("" ::: "memory");
	if (!--async_here()->self->held) {
		__asm__ volatile("" ::: "memory");
		if (ring_unlikely(async_here()->late))
			async_preempt_late();
	}
}

/* Counts since start, for tests and benches. */
/* const struct async_stats *async_stats(void); in async_core.h */

/* Settings. A program may change them at any time; they hold from then on. */
struct async_config {
	uint32_t stack_bytes; /* of coroutines made from now on; default 32 KiB */
	uint64_t spin_ns;     /* idle: look at the completion queue for so long before parking */
};
extern struct async_config async_config;

#ifdef ASYNC_PREEMPT
#include "async_held.h"
#elif !defined(LIBASYNC_INTERNAL_H)
/* preempt.c asks whether any file of the program is without. */
__attribute__((section("async_unheld"), used)) static const char async_unheld_file = 1;
#endif

#endif
