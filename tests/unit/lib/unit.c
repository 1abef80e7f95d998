/*
 * unit: the machine that unit tests run on, and what they share.
 */
#include "lib/unit.h"

#ifdef CONFIG_COVERAGE
#include <gcov.h>
#endif
#include <fcntl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/hosted/hosted.h"
#include "base/cmdline.h"
#include "cores/core.h"
#include "mm/frames.h"

static uint64_t frames_before;

void unit_machine(unsigned mib, unsigned cores_wanted)
{
	struct hosted_options o = { .cores = cores_wanted, .ram_bytes = (uint64_t)mib << 20 };

	if (hosted_machine_init(&o))
		exit(1);
	hosted_cpu_enter(0);
}

void unit_kernel(unsigned mib, unsigned cores_wanted, const char *cmdline)
{
	unit_machine(mib, cores_wanted);
	if (cmdline_init(cmdline))
		exit(1);
	frames_init();
	if (cores_init())
		exit(1);
	unit_be_core(0);
}

void unit_be_core(unsigned index)
{
	hosted_cpu_self = &hosted_cpus[index];
	arch_core_set(cores[index]);
}

int unit_frames_before(void **state)
{
	(void)state;
	frames_before = frames_free_count();
	return 0;
}

int unit_frames_after(void **state)
{
	uint64_t now = frames_free_count();

	(void)state;
	if (now != frames_before)
		fprintf(stderr, "frames free: %llu before, %llu after\n",
			(unsigned long long)frames_before, (unsigned long long)now);
	return now == frames_before ? 0 : -1;
}

bool unit_program_reads(uint64_t va, void *dst, size_t n)
{
	struct iovec to = { dst, n }, from = { (void *)va, n };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)n;
}

bool unit_program_writes(uint64_t va, const void *src, size_t n)
{
	struct iovec from = { (void *)(uintptr_t)src, n }, to = { (void *)va, n };

	return process_vm_writev(getpid(), &from, 1, &to, 1, 0) == (ssize_t)n;
}

uint64_t unit_random(void)
{
	static uint64_t s = 88172645463325252ull;

	/* xorshift64 (Marsaglia, "Xorshift RNGs", 2003, with the triple 13, 7, 17) */
	s ^= s << 13;
	s ^= s >> 7;
	s ^= s << 17;
	return s;
}

int unit_in_child(int (*fn)(const void *arg), const void *arg)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		status = fn(arg);
#ifdef CONFIG_COVERAGE
		__gcov_dump(); /* _exit leaves out what atexit would do */
#endif
		_exit(status);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}
