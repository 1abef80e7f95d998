/*
 * mark NUMBER: executes a mark, begin or end of a window or a stage of boot, for the counting
 * plugin. mark window COMMAND...: a window around a whole command, its exec and its end included.
 * The status is the command's.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"

static int window(char **command)
{
	pid_t child;
	int status;

	PEER_MARK(PEER_MARK_BEGIN);
	child = vfork();
	if (!child) {
		execvp(command[0], command);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		die("%s could not be run", command[0]);
	PEER_MARK(PEER_MARK_END);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "window"))
		return window(argv + 2);
	if (argc != 2)
		die("usage: mark NUMBER | mark window COMMAND...");
	switch (number(argv[1], 0, 0xff)) {
	case PEER_MARK_BEGIN:
		PEER_MARK(PEER_MARK_BEGIN);
		break;
	case PEER_MARK_END:
		PEER_MARK(PEER_MARK_END);
		break;
	case PEER_MARK_INIT:
		PEER_MARK(PEER_MARK_INIT);
		break;
	case PEER_MARK_SHELL:
		PEER_MARK(PEER_MARK_SHELL);
		break;
	default:
		die("mark %s is none of ours", argv[1]);
	}
	return 0;
}
