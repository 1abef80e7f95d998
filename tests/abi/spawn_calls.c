/*
 * Does a program that starts another one choose its arguments, descriptors and cores, share pipes
 * and memory with it, and learn of its end once and only once, whatever that end was?
 */
#include "tests/abi/lib/say.h"
#include "uapi/fs.h"
#include "uapi/mman.h"
#include "uapi/wait.h"

#define SELF "/bin/t_spawn_calls"

static struct wait_info info;

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static int64_t call(uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	return ring_syscall(&ring_native, nr, a0, a1, a2, 0, 0, 0);
}

static int64_t spawn(const char *path, const char *word, const int32_t *fds, uint32_t count,
		     uint32_t core)
{
	const char *argv[] = { path, word, NULL };
	struct sluice_spawn ask = {
		.size = sizeof(ask),
		.fd_count = count,
		.path = at(path),
		.argv = at(argv),
		.fds = at(fds),
		.user_core = core,
		.home = SLUICE_ANY_CORE,
	};

	ring_fill(ring_sqe(&ring_native), IORING_OP_SPAWN, 0, 0, at(&ask), sizeof(ask), 0, 0);
	return say_wait();
}

static int64_t wait_for(uint32_t which, int64_t pid, uint32_t options)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring_native);

	ring_fill(sqe, IORING_OP_WAITID, (int)pid, at(&info), 0, which, 0, 0);
	sqe->file_index = options;
	return say_wait();
}

/* What a child does; it has no console unless it was given one. */
static int child(char what)
{
	int *volatile nowhere = (int *)16;
	uint64_t value = 0;
	int64_t addr;

	switch (what) {
	case 'e': /* reads a number, writes one more */
		if (call(SYS_read, 0, at(&value), 8) != 8)
			return 1;
		value++;
		return call(SYS_write, 1, at(&value), 8) == 8 ? 7 : 2;
	case 'f': /* only what it was given is open */
		return call(SYS_fcntl, 0, F_GETFD, 0) == -EBADF &&
				       call(SYS_fcntl, 1, F_GETFD, 0) == 0 ?
			       0 :
			       3;
	case 'm': /* shares pages by descriptor 3 */
		addr = ring_syscall(&ring_native, SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE,
				    MAP_SHARED, 3, 0);
		if (addr < 0)
			return 4;
		while (!__atomic_load_n((uint32_t *)(uintptr_t)addr, __ATOMIC_ACQUIRE))
			async_relax();
		__atomic_store_n((uint32_t *)(uintptr_t)addr + 1, 99, __ATOMIC_RELEASE);
		return 0;
	case 'k': /* writes where it may not */
		*nowhere = 1;
		return 5;
	case 'w': /* waits for ever, unless its pipe ends */
		return (int)call(SYS_read, 0, at(&value), 8);
	}
	return 6;
}

static void pipes(void)
{
	int32_t to[2], from[2], fds[2];
	uint64_t value = 41;
	int64_t pid;

	call(SYS_pipe2, at(to), 0, 0);
	call(SYS_pipe2, at(from), 0, 0);
	fds[0] = to[0];
	fds[1] = from[1];
	pid = spawn(SELF, "e", fds, 2, SLUICE_ANY_CORE);
	say_true("a child has a number", pid > 1);
	call(SYS_close, (uint64_t)to[0], 0, 0);
	call(SYS_close, (uint64_t)from[1], 0, 0);
	say_is("it lives", wait_for(P_PID, pid, WEXITED | WNOHANG), 0);
	say_is("which is no end", info.si_pid, 0);
	say_is("send", call(SYS_write, (uint64_t)to[1], at(&value), 8), 8);
	say_is("receive", call(SYS_read, (uint64_t)from[0], at(&value), 8), 8);
	say_is("it was there", (int64_t)value, 42);
	say_is("its end closes the pipe", call(SYS_read, (uint64_t)from[0], at(&value), 8), 0);
	say_is("wait, leaving it", wait_for(P_ALL, 0, WEXITED | WNOWAIT), 0);
	say_is("wait", wait_for(P_PID, pid, WEXITED), 0);
	say_is("it", info.si_pid, pid);
	say_true("exited with 7", info.si_signo == SIGCHLD && info.si_code == CLD_EXITED &&
					  info.si_status == 7);
	say_is("only once", wait_for(P_PID, pid, WEXITED), -ECHILD);
	say_is("nobody reads", call(SYS_write, (uint64_t)to[1], at(&value), 8), -EPIPE);
	call(SYS_close, (uint64_t)to[1], 0, 0);
	call(SYS_close, (uint64_t)from[0], 0, 0);
}

static void sharing(void)
{
	int32_t fds[4] = { -1, -1, -1, (int32_t)call(SYS_memfd_create, at("x"), 0, 0) };
	uint32_t *page;
	int64_t pid;

	call(SYS_ftruncate, (uint64_t)fds[3], 4096, 0);
	page = (uint32_t *)(uintptr_t)ring_syscall(&ring_native, SYS_mmap, 0, 4096,
						   PROT_READ | PROT_WRITE, MAP_SHARED,
						   (uint64_t)fds[3], 0);
	pid = spawn(SELF, "m", fds, 4, SLUICE_ANY_CORE);
	__atomic_store_n(page, 1, __ATOMIC_RELEASE);
	say_is("wait for the sharer", wait_for(P_PID, pid, WEXITED), 0);
	say_is("it did well", info.si_status, 0);
	say_is("its word is here", __atomic_load_n(page + 1, __ATOMIC_ACQUIRE), 99);
	call(SYS_munmap, at(page), 4096, 0);
	call(SYS_close, (uint64_t)fds[3], 0, 0);
}

static void ends(void)
{
	int32_t fds[2] = { -1, 1 }, pipe[2];
	int64_t pid = spawn(SELF, "f", fds, 2, SLUICE_ANY_CORE);

	say_is("only what is in the list is open",
	       wait_for(P_PID, pid, WEXITED) ? -1 : info.si_status, 0);
	pid = spawn(SELF, "k", fds, 2, SLUICE_ANY_CORE);
	say_is("a child that dies", wait_for(P_ALL, 0, WEXITED), 0);
	say_true("died of signal 11", info.si_pid == pid && info.si_code == CLD_KILLED &&
					      info.si_status == 11);
	say_is("no child", wait_for(P_ALL, 0, WEXITED), -ECHILD);
	say_is("no such program", spawn("/bin/absent", "", fds, 2, SLUICE_ANY_CORE), -ENOENT);
	say_is("no such core", spawn(SELF, "f", fds, 2, 63), -EINVAL);
	say_is("no such descriptor", spawn(SELF, "f", (int32_t[]){ 77 }, 1, SLUICE_ANY_CORE),
	       -EBADF);
	say_is("not my ring", spawn(SELF, "f", &ring_start_info->ring_fd, 1, SLUICE_ANY_CORE),
	       -EINVAL);
	say_is("no program at all", spawn((const char *)16, "f", fds, 2, SLUICE_ANY_CORE), -EFAULT);
	say_is("waiting for nothing in particular", wait_for(P_ALL, 0, 0), -EINVAL);
	call(SYS_pipe2, at(pipe), 0, 0);
	fds[0] = pipe[0];
	pid = spawn(SELF, "w", fds, 2, SLUICE_ANY_CORE);
	call(SYS_close, (uint64_t)pipe[1], 0, 0);
	say_is("the end of a pipe ends a reader",
	       wait_for(P_PID, pid, WEXITED) ? -1 : info.si_status, 0);
	call(SYS_close, (uint64_t)pipe[0], 0, 0);
}

static void many(void)
{
	int32_t fds[1] = { -1 };
	unsigned started = 0, ended = 0;
	int64_t err = 0;

	for (unsigned i = 0; i < 150; i++) {
		err = spawn(SELF, "x", fds, 1, SLUICE_ANY_CORE);
		started += err > 0;
		if (i % 3 == 2)
			while (!wait_for(P_ALL, 0, WEXITED | WNOHANG) && info.si_pid)
				ended++;
	}
	while (!wait_for(P_ALL, 0, WEXITED))
		ended++;
	say_true("many children", started > 20);
	say_is("each ended once", ended, started);
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	(void)ring;
	if (argc > 1)
		return child(argv[1][0]);
	pipes();
	sharing();
	ends();
	many();
	/* one that outlives its parent has nobody to be told, and leaves nothing */
	say_true("an orphan", spawn(SELF, "x", (int32_t[]){ -1 }, 1, SLUICE_ANY_CORE) > 0);
	return say_verdict();
}
