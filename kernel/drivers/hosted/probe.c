/*
 * probe: which devices this process has, and the little they share: threads and words to wait on.
 * Boot core.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/hosted/hosted.h"
#include "drivers/hosted/hosted_drivers.h"
#include "drivers/random.h"

void hosted_thread_start(const char *name, void *(*run)(void *), void *arg)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &attr, run, arg);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		fprintf(stderr, "sluice: cannot start the thread of the %s: %s\n", name,
			strerror(err));
		arch_poweroff(2);
	}
	pthread_setname_np(thread, name);
}

void hosted_word_wait(_Atomic uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void hosted_word_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* The host's random source feeds the pool whenever enough was given out. */
static unsigned rng_poll(struct device_poller *p)
{
	uint8_t seed[64];
	ssize_t n;

	(void)p;
	if (likely(!random_is_hungry()))
		return 0;
	n = getrandom(seed, sizeof(seed), GRND_NONBLOCK);
	if (n <= 0)
		return 0;
	random_add(seed, (size_t)n);
	memset(seed, 0, sizeof(seed));
	return 1;
}

static struct device_poller rng_poller = { .poll = rng_poll };

static unsigned owner_with(uint32_t role)
{
	struct core *c = core_with_role(role);

	return c ? c->index : 0;
}

void drivers_init(void)
{
	uint8_t seed[64];

	if (hosted_sim) {
		hosted_sim->drivers();
		return;
	}
	if (getrandom(seed, sizeof(seed), 0) == sizeof(seed))
		random_add(seed, sizeof(seed));
	device_poller_add(owner_with(ROLE_SERVES), &rng_poller);
	hosted_console_init(owner_with(ROLE_SERVES));
	if (hosted_options.disk)
		hosted_blk_init(owner_with(ROLE_IO));
	hosted_nic_init(owner_with(ROLE_NET));
}
