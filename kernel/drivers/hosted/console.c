/*
 * console: stdin and stdout of this process as the console device.
 *
 *   stdin, SIGINT/SIGTERM --> the console's thread --> ring of bytes, attention -->
 *   owner core's poller --> console_take
 *   console_write --> (drivers/console.c) --> console_dev.write --> stdout, never more than it takes without waiting
 *
 * The first SIGINT, SIGTERM or SIGHUP asks for an orderly end, as Ctrl-X does; the second ends the
 * process at once. A full ring stops reading stdin until the owner core has made room, so nothing
 * that was typed or piped is lost.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "arch/hosted/hosted.h"
#include "base/print.h"
#include "drivers/console.h"
#include "drivers/hosted/hosted_drivers.h"

#define INPUT_BYTES 4096u /* power of two */

static struct {
	/* the console's thread stores, the owner core loads (tail), and the other way round
	 * (head) */
	_Atomic uint32_t head, tail;
	_Atomic uint32_t full;	    /* the thread waits for room */
	_Atomic uint32_t attention; /* asked for an orderly end */
	char bytes[INPUT_BYTES];
} input;

static struct termios tty_before;

/* ---- owner core ------------------------------------------------------------------------------ */

static size_t hosted_console_write(struct console_dev *d, const char *text, size_t len)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
	ssize_t n;

	(void)d;
	if (poll(&out, 1, 0) != 1)
		return 0;
	if (out.revents & (POLLERR | POLLNVAL))
		return len; /* nobody reads any more: the words are lost, the kernel goes on */
	/* what a pipe that says POLLOUT takes at once: pipe(7), PIPE_BUF */
	n = write(STDOUT_FILENO, text, min_of(len, 4096ul));
	return n > 0 ? (size_t)n : 0;
}

static unsigned console_poll(struct device_poller *p)
{
	uint32_t head = atomic_load_explicit(&input.head, memory_order_relaxed);
	/* pairs with input_push */
	uint32_t tail = atomic_load_explicit(&input.tail, memory_order_acquire);
	unsigned done = 0;

	(void)p;
	if (unlikely(atomic_load_explicit(&input.attention, memory_order_relaxed)) &&
	    atomic_exchange(&input.attention, 0)) {
		console_take("\x18", 1);
		done++;
	}
	if (tail != head) {
		uint32_t at = head & (INPUT_BYTES - 1), len = min_of(tail - head, INPUT_BYTES - at);

		console_take(input.bytes + at, len);
		atomic_store_explicit(&input.head, head + len, memory_order_release);
		if (atomic_exchange(&input.full, 0))
			hosted_word_wake(&input.full);
		done += len;
	}
	return done + console_drain();
}

static bool console_arm(struct device_poller *p)
{
	(void)p;
	/* input needs no look: its doorbell is remembered */
	atomic_thread_fence(memory_order_seq_cst);
	return console_has_output();
}

static struct device_poller console_poller = { .poll = console_poll, .arm = console_arm };
static struct console_dev hosted_console = { .name = "hosted", .write = hosted_console_write };

/* ---- the console's thread -------------------------------------------------------------------- */

/* Pairs with console_poll. Waits for room. */
static void input_push(const char *text, size_t len)
{
	while (len) {
		uint32_t tail = atomic_load_explicit(&input.tail, memory_order_relaxed);
		uint32_t room = INPUT_BYTES -
				(tail - atomic_load_explicit(&input.head, memory_order_acquire));
		uint32_t at = tail & (INPUT_BYTES - 1), piece = min_of(room, INPUT_BYTES - at);

		if (!room) {
			atomic_store(&input.full, 1);
			if (tail - atomic_load(&input.head) == INPUT_BYTES)
				hosted_word_wait(&input.full, 1);
			continue;
		}
		if (piece > len)
			piece = (uint32_t)len;
		memcpy(input.bytes + at, text, piece);
		atomic_store_explicit(&input.tail, tail + piece, memory_order_release);
		arch_doorbell(hosted_console.core);
		text += piece;
		len -= piece;
	}
}

static void *console_thread(void *arg)
{
	struct pollfd fds[2] = { { .fd = (int)(intptr_t)arg, .events = POLLIN },
				 { .fd = STDIN_FILENO, .events = POLLIN } };
	bool asked = false;

	for (;;) {
		struct signalfd_siginfo info;
		char text[512];
		ssize_t n;

		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents && read(fds[0].fd, &info, sizeof(info)) == sizeof(info)) {
			if (asked)
				arch_poweroff(128 + (int)info.ssi_signo);
			asked = true;
			atomic_store(&input.attention, 1);
			arch_doorbell(hosted_console.core);
		}
		if (fds[1].revents) {
			n = read(STDIN_FILENO, text, sizeof(text));
			if (n > 0)
				input_push(text, (size_t)n);
			else if (n == 0 || errno != EINTR)
				fds[1].fd = -1; /* end of input */
		}
	}
}

/* ---- start ----------------------------------------------------------------------------------- */

static void tty_restore(void)
{
	tcsetattr(STDIN_FILENO, TCSANOW, &tty_before);
}

/* Keys arrive one by one and unseen; Ctrl-C stays a signal. Not when we are a background job, which
 * the terminal would stop. */
static void tty_prepare(void)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &tty_before) || tcgetpgrp(STDIN_FILENO) != getpgrp())
		return;
	t = tty_before;
	t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	if (!tcsetattr(STDIN_FILENO, TCSANOW, &t))
		hosted_at_poweroff(tty_restore);
}

void hosted_console_init(unsigned core)
{
	sigset_t quit;
	int fd;

	sigemptyset(&quit);
	sigaddset(&quit, SIGINT);
	sigaddset(&quit, SIGTERM);
	sigaddset(&quit, SIGHUP);
	fd = signalfd(-1, &quit, SFD_CLOEXEC);
	tty_prepare();
	hosted_console.core = core;
	device_poller_add(core, &console_poller);
	console_attach(&hosted_console);
	hosted_thread_start("console", console_thread, (void *)(intptr_t)fd);
	kprint("console: this terminal; Ctrl-X or Ctrl-C ends the machine in order\n");
}
