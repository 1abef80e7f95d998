/*
 * program (Linux): starts programs and waits for their ends, as native.c does on Sluice.
 *
 * A program is started by a plain call that returns when it runs, or could not be run. Its end is
 * awaited by an entry that polls a descriptor of it (pidfd_open, Linux 5.3): WAITID is an operation
 * since 6.7 only.
 */
#define _GNU_SOURCE
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libasync/internal.h"

/* Where descriptors wait while those below it are being given their places. */
#define ASIDE 512
#define LINUX_PIDFD_OPEN 434 /* the same on every machine */

/* In the order in which the new program sees it: all aside, then each to its place, the rest
 * shut. */
static int program_fds(posix_spawn_file_actions_t *actions, const int32_t *fds, unsigned count)
{
	int err = 0;

	for (unsigned i = 0; i < count && !err; i++)
		if (fds[i] >= 0)
			err = posix_spawn_file_actions_adddup2(actions, fds[i], ASIDE + (int)i);
	for (unsigned i = 0; i < count && !err; i++)
		err = fds[i] < 0 ? posix_spawn_file_actions_addclose(actions, (int)i) :
				   posix_spawn_file_actions_adddup2(actions, ASIDE + (int)i,
								    (int)i);
	return err ? err : posix_spawn_file_actions_addclosefrom_np(actions, (int)count);
}

int async_program_start(const char *path, const char *const argv[], const char *const envp[],
			const int32_t *fds, unsigned fd_count)
{
	static const char *const none[] = { NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int err = async_stopped();

	if (err)
		return err;
	if (fd_count > ASYNC_PROGRAM_FDS)
		return -EINVAL;
	err = posix_spawn_file_actions_init(&actions);
	if (err)
		return -err;
	err = program_fds(&actions, fds, fd_count);
	if (!err)
		err = posix_spawn(&pid, path, &actions, NULL, (char *const *)argv,
				  (char *const *)(envp ? envp : none));
	posix_spawn_file_actions_destroy(&actions);
	return err ? -err : (int)pid;
}

int async_program_wait(int pid, int *status)
{
	long fd = syscall(LINUX_PIDFD_OPEN, pid, 0);
	int res, how;

	if (fd < 0)
		return -ECHILD;
	res = async_poll((int)fd, POLLIN);
	async_close((int)fd);
	if (res < 0)
		return res;
	if (waitpid(pid, &how, 0) != pid)
		return -ECHILD;
	if (status)
		*status = WIFEXITED(how) ? WEXITSTATUS(how) : -WTERMSIG(how);
	return 0;
}
