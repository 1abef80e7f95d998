/*
 * Does a program that is started get its words and exactly the descriptors it was given, and is its
 * end told once, by exit or by signal, while other coroutines go on? What does a file in memory
 * keep?
 */
#include "lib/async_check.h"

#include <string.h>

#define STATUS 7
#define SIGNAL_ILL 4

static const char *self;
static uint64_t turns;
static bool waited;

/* ---- the program: "echo" passes descriptor 0 on to 2, once; "die" ends by a signal ---- */

static int child(const char *what, const char *word)
{
	char text[16];
	int64_t n;

	if (!strcmp(what, "die"))
		__builtin_trap();
	n = async_read(0, text, sizeof(text));
	if (n != (int64_t)strlen(word) || memcmp(text, word, (size_t)n))
		return 1;
	/* one of the parent's; 1 is nobody's on Sluice, and may be our ring's on Linux */
	if (async_write(6, "x", 1) != -EBADF || async_write(2, text, (size_t)n) != n)
		return 2;
	return STATUS;
}

/* ---- the parent ---- */

static int64_t others_go_on(void *arg)
{
	(void)arg;
	for (; !waited; turns++)
		async_yield();
	return 0;
}

static void test_words_and_descriptors(void)
{
	const char *const words[] = { self, "echo", "hello", NULL };
	int there[2], back[2], pid, status = -1;
	struct async_co *co;
	char text[16];

	CHECK_EQ(async_pipe(there, 0), 0);
	CHECK_EQ(async_pipe(back, 0), 0);
	CHECK(there[0] <= 6 && back[1] >= 6); /* 6 is open here */
	pid = async_program_start(self, words, NULL, (int32_t[]){ there[0], -1, back[1] }, 3);
	CHECK(pid > 0);
	co = async_spawn(others_go_on, NULL);
	CHECK(co != NULL);
	async_yield();
	CHECK_EQ(async_write(there[1], "hello", 5), 5);
	CHECK_EQ(async_read(back[0], text, sizeof(text)), 5);
	CHECK(!memcmp(text, "hello", 5));
	CHECK_EQ(async_program_wait(pid, &status), 0);
	waited = true;
	CHECK_EQ(status, STATUS);
	CHECK_EQ(async_join(co, NULL), 0);
	CHECK(turns > 1);
	/* told once */
	CHECK_EQ(async_program_wait(pid, &status), -ECHILD);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(async_close(there[i]), 0);
		CHECK_EQ(async_close(back[i]), 0);
	}
}

static void test_signal(void)
{
	const char *const words[] = { self, "die", "x", NULL };
	int pid = async_program_start(self, words, NULL, NULL, 0), status = 0;

	CHECK(pid > 0);
	CHECK_EQ(async_program_wait(pid, &status), 0);
	CHECK_EQ(status < 0, 1);
	CHECK(status == -SIGNAL_ILL || status == -5); /* what a trap instruction is */
}

/* One of two is waited for, and the other one has ended before it. */
static void test_one_of_two(void)
{
	const char *const die[] = { self, "die", "x", NULL }, *const echo[] = { self, "echo",
										"hello", NULL };
	int there[2], back[2], first, second, status = -1;
	char text[16];

	CHECK_EQ(async_pipe(there, 0), 0);
	CHECK_EQ(async_pipe(back, 0), 0);
	first = async_program_start(self, die, NULL, NULL, 0);
	second = async_program_start(self, echo, NULL,
				     (int32_t[]){ there[0], -1, back[1] }, 3);
	CHECK(first > 0 && second > 0 && first != second);
	CHECK_EQ(async_sleep(20 * ASYNC_MS), 0);
	CHECK_EQ(async_write(there[1], "hello", 5), 5);
	CHECK_EQ(async_read(back[0], text, sizeof(text)), 5);
	CHECK_EQ(async_program_wait(second, &status), 0);
	CHECK_EQ(status, STATUS);
	CHECK_EQ(async_program_wait(first, &status), 0);
	CHECK(status < 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(async_close(there[i]), 0);
		CHECK_EQ(async_close(back[i]), 0);
	}
}

static void test_refused(void)
{
	const char *const words[] = { "/nowhere", NULL };

	CHECK_EQ(async_program_start("/nowhere", words, NULL, NULL, 0), -ENOENT);
	CHECK_EQ(async_program_start(self, words, NULL, NULL, ASYNC_PROGRAM_FDS + 1), -EINVAL);
	CHECK_EQ(async_program_wait(999999, NULL), -ECHILD);
}

static void test_memory_file(void)
{
	int fd = async_memfd("kept", 0);
	char text[8] = { 0 };

	CHECK(fd >= 0);
	CHECK_EQ(async_pread(fd, text, sizeof(text), 0), 0);
	CHECK_EQ(async_pwrite(fd, "abc", 3, 4, 0), 3);
	CHECK_EQ(async_pread(fd, text, sizeof(text), 0), 7);
	CHECK(!memcmp(text, "\0\0\0\0abc", 7));
	CHECK_EQ(async_close(fd), 0);
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return child(argv[1], argv[2]);
	self = argv[0];
	test_words_and_descriptors();
	test_signal();
	test_one_of_two();
	test_refused();
	test_memory_file();
	return async_printf("ok\n") == 3 ? 0 : 1;
}
