/*
 * serve: a plugin's socket, served by a thread of its own. Of each plugin, once.
 */
#ifndef BENCH_PLUGIN_SERVE_H
#define BENCH_PLUGIN_SERVE_H

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Listens at `path`, whose old file goes, and begins `serve`, which accepts from *listener. 0, or
 * -1. */
static int serve_start(const char *path, int *listener, void *(*serve)(void *))
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	pthread_t thread;
	sigset_t all, before;
	int err;

	if (strlen(path) >= sizeof(name.sun_path))
		return -1;
	strcpy(name.sun_path, path);
	unlink(path);
	*listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*listener < 0 || bind(*listener, (struct sockaddr *)&name, sizeof(name)) ||
	    listen(*listener, 4))
		return -1;
	/* QEMU's signals are for QEMU's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, NULL, serve, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err ? -1 : 0;
}

#endif
