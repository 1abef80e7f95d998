/*
 * b_window PATH ARGUMENT...: what does a whole program cost, its start and its end included? It is
 * run once, between two marks, as the peer's `mark window` does there; its status is told.
 */
#include "libasync/async.h"

#include "lib/guest.h"

int main(int argc, char **argv)
{
	static const int console[] = { 0, 1, 2 };
	int pid, status = -1;

	if (argc < 2) {
		async_printf("usage: b_window PATH ARGUMENT...\n");
		return 2;
	}
	ASYNC_MARK(GUEST_MARK_BEGIN);
	pid = async_program_start(argv[1], (const char *const *)argv + 1, NULL, console, 3);
	if (pid >= 0 && async_program_wait(pid, &status))
		status = -1;
	ASYNC_MARK(GUEST_MARK_END);
	async_printf("bench: status=%d\n", status);
	return status != 0;
}
