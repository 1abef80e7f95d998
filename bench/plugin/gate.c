/*
 * gate: lets the devices of a QEMU 7.2 under -icount go on only while the guest sleeps, so that
 * what they bring comes at the same instruction in each run, and together: all that was ready by
 * then.
 *
 * Under -icount one thread runs all harts. Beside it QEMU's main thread answers for disk, network
 * and serial port whenever the host gives it a processor, so how many answers a guest finds at
 * once is the host's doing. This library is loaded before QEMU (LD_PRELOAD) and stands between the
 * two: a main thread that comes back from waiting for something to do waits on, until every hart
 * sleeps (the harts' thread waits on its condition), then looks again, and does all of it; whoever
 * it wakes runs after that. A machine whose harts do not sleep for PATIENCE_S passes the gate, and
 * says so.
 *
 * It is a plugin, too (the same file): so it learns which thread is the harts'.
 *
 *	-plugin gate.so[,ctl=SOCKET]
 *
 * ctl is for who plays the far end of the network or the serial port. Until they have said "go" for
 * the first time the gate is open: harts that wait for each other, as the firmware's do at the
 * start, take turns only when the main thread makes them. Then it is shut, with an answer "still",
 * when the guest sleeps and nothing woke it in PASSES passes of QEMU's main thread (a pass takes
 * the guest's clock to the machine's next timer), until the next "go". What was sent before "go" is
 * there at once, what the guest sent is there at "still", and no time of the guest's passes between
 * them.
 *
 * Owner of everything below: lock.
 */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "serve.h"

#define EXPORT __attribute__((visibility("default")))

/* docs/devel/tcg-plugins.rst, as in count.c */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_info;
typedef void (*trans_fn)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
enum { INLINE_ADD_U64 = 0 };
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, trans_fn fn);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *counter,
					      uint64_t by);
EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc,
			       char **argv);

#define PATIENCE_S 20
#define PASSES	   32

typedef int (*wait_fn)(pthread_cond_t *, pthread_mutex_t *);
typedef int (*wake_fn)(pthread_cond_t *);
typedef int (*poll_fn)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static const pthread_cond_t *asleep_on; /* what the harts' thread waits on; NULL: it runs */
static bool known;			/* the harts' thread has run */
static bool played;			/* somebody plays the far end */
static bool going;			/* and has said go */
static unsigned idle_passes;
static uint64_t executed, executed_seen; /* blocks of the guest's code; the harts' thread counts */
static int listener = -1;
static _Thread_local bool runs_harts;

static wait_fn real_wait;
static wake_fn real_broadcast, real_signal;
static poll_fn real_ppoll;

__attribute__((constructor)) static void gate_find(void)
{
	real_wait = (wait_fn)dlsym(RTLD_NEXT, "pthread_cond_wait");
	real_broadcast = (wake_fn)dlsym(RTLD_NEXT, "pthread_cond_broadcast");
	real_signal = (wake_fn)dlsym(RTLD_NEXT, "pthread_cond_signal");
	real_ppoll = (poll_fn)dlsym(RTLD_NEXT, "ppoll");
}

static void asleep_set(const pthread_cond_t *cond)
{
	pthread_mutex_lock(&lock);
	asleep_on = cond;
	real_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

EXPORT int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	int err;

	if (!runs_harts)
		return real_wait(cond, mutex);
	asleep_set(cond);
	err = real_wait(cond, mutex);
	asleep_set(NULL);
	return err;
}

/* Who is woken sleeps no longer, even before it has noticed. */
static void gate_woken(const pthread_cond_t *cond)
{
	pthread_mutex_lock(&lock);
	if (asleep_on == cond)
		asleep_on = NULL;
	pthread_mutex_unlock(&lock);
}

EXPORT int pthread_cond_broadcast(pthread_cond_t *cond)
{
	gate_woken(cond);
	return real_broadcast(cond);
}

EXPORT int pthread_cond_signal(pthread_cond_t *cond)
{
	gate_woken(cond);
	return real_signal(cond);
}

/* Until every hart sleeps. Lock held. */
static void gate_wait(void)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += PATIENCE_S;
	while (!asleep_on)
		if (pthread_cond_timedwait(&changed, &lock, &end) == ETIMEDOUT) {
			fprintf(stderr, "gate: no sleep for %u s\n", PATIENCE_S);
			return;
		}
}

/* Until there is a reason to go on: something of `fds`, or a pass that may bring something. */
static int gate_pass(struct pollfd *fds, nfds_t count, const sigset_t *mask)
{
	static const struct timespec now;
	int found;

	for (;;) {
		gate_wait();
		found = real_ppoll(fds, count, &now, mask);
		if (!played)
			return found;
		if (executed != executed_seen)
			idle_passes = 0;
		executed_seen = executed;
		if (idle_passes++ < PASSES)
			return found;
		going = false;
		real_broadcast(&changed);
		while (!going)
			real_wait(&changed, &lock);
		idle_passes = 0;
	}
}

EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		 const sigset_t *mask)
{
	int found;

	if (!known || getpid() != gettid() || (listener >= 0 && !played))
		return real_ppoll(fds, count, timeout, mask);
	if (!played)
		real_ppoll(fds, count, timeout, mask);
	pthread_mutex_lock(&lock);
	found = gate_pass(fds, count, mask);
	pthread_mutex_unlock(&lock);
	return found;
}

static void *serve(void *unused)
{
	char word[8];

	(void)unused;
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			return NULL;
		while (read(fd, word, sizeof(word)) > 0) {
			pthread_mutex_lock(&lock);
			played = going = true;
			idle_passes = 0;
			real_broadcast(&changed);
			while (going)
				real_wait(&changed, &lock);
			pthread_mutex_unlock(&lock);
			if (write(fd, "still\n", 6) != 6)
				break;
		}
		pthread_mutex_lock(&lock);
		played = false;
		going = true;
		real_broadcast(&changed);
		pthread_mutex_unlock(&lock);
		close(fd);
	}
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	runs_harts = true;
	known = true;
	qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &executed, 1);
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++)
		if (strncmp(argv[i], "ctl=", 4) || serve_start(argv[i] + 4, &listener, serve)) {
			fprintf(stderr, "gate: cannot do with %s\n", argv[i]);
			return -1;
		}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	return 0;
}
