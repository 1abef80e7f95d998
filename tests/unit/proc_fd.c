/*
 * Does a descriptor table give the lowest free number, drop a file with its last handle, and
 * survive a look-up from another core while it is closed? (kernel/proc/fd.c)
 */
#include "lib/unit.h"

#include <errno.h>
#include <pthread.h>

#include "mm/frames.h"
#include "proc/internal.h"

#define FILES 8

static struct process process, *p = &process;
static struct file files[FILES];
static unsigned closed, freed;

static void count_close(struct file *f)
{
	(void)f;
	closed++;
}

static void count_free(struct file *f)
{
	(void)f;
	freed++;
}

static const struct file_ops ops = { .name = "counted", .close = count_close, .free = count_free };

static int before(void **state)
{
	unit_frames_before(state);
	memset(p, 0, sizeof(*p));
	closed = freed = 0;
	for (unsigned i = 0; i < FILES; i++)
		file_init(&files[i], &ops, 0, 0);
	return fds_init(p);
}

static int after(void **state)
{
	fds_close_all(p);
	fds_free(p);
	return unit_frames_after(state);
}

static void lowest(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(fd_install(p, &files[i], 0, false), i);
	assert_int_equal(fd_close(p, 1), 0);
	assert_int_equal(fd_close(p, 3), 0);
	assert_int_equal(fd_install(p, &files[5], 2, false), 3);
	assert_int_equal(fd_install(p, &files[5], 0, false), 1);
	assert_int_equal(fd_install(p, &files[5], 0, false), 5);
	assert_int_equal(fd_install(p, &files[5], 100, false), 100);
	assert_int_equal(fd_install(p, &files[5], 0, false), 6);
	assert_int_equal(fd_install(p, &files[5], -1, false), -EINVAL);
	assert_int_equal(fd_install(p, &files[5], PROCESS_FDS_MAX, false), -EMFILE);
	assert_int_equal(fd_dup(p, 100, 0), 7);
	assert_int_equal(fd_dup(p, 99, 0), -EBADF);
}

static void replaced(void **state)
{
	(void)state;
	assert_int_equal(fd_install(p, &files[0], 0, false), 0);
	assert_int_equal(fd_replace(p, &files[1], 0, true), 0);
	assert_int_equal(closed, 1);
	assert_int_equal(fd_cloexec_get(p, 0), 1);
	assert_int_equal(fd_replace(p, &files[2], 9, false), 9);
	assert_int_equal(fd_install(p, &files[3], 0, false), 1);
	assert_int_equal(fd_replace(p, &files[3], PROCESS_FDS_MAX, false), -EBADF);
	assert_int_equal(fd_replace(p, &files[3], -1, false), -EBADF);
}

static void bad_numbers(void **state)
{
	const int bad[] = { -1, -100, INT32_MIN, PROCESS_FDS_MAX, INT32_MAX, 17 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(fd_get(p, bad[i]));
		assert_int_equal(fd_close(p, bad[i]), -EBADF);
		assert_int_equal(fd_cloexec_get(p, bad[i]), -EBADF);
		assert_int_equal(fd_cloexec_set(p, bad[i], true), -EBADF);
	}
}

static void last_handle(void **state)
{
	struct file *f;

	(void)state;
	assert_int_equal(fd_install(p, &files[0], 0, true), 0);
	assert_int_equal(fd_cloexec_get(p, 0), 1);
	assert_int_equal(fd_dup(p, 0, 0), 1);
	assert_int_equal(fd_cloexec_get(p, 1), 0);
	file_put(&files[0]); /* the maker's reference: two handles are left */
	f = fd_get(p, 0);
	assert_ptr_equal(f, &files[0]);
	assert_int_equal(fd_close(p, 0), 0);
	assert_int_equal(closed, 0);
	assert_int_equal(fd_close(p, 1), 0);
	assert_int_equal(closed, 1);
	assert_int_equal(freed, 0); /* our reference keeps it */
	file_put(f);
	assert_int_equal(freed, 1);
	assert_int_equal(fd_install(p, &files[1], 0, false), 0);
	assert_int_equal(fd_cloexec_get(p, 0), 0); /* a number's mark does not outlive its file */
}

static void full(void **state)
{
	(void)state;
	for (int i = 0; i < PROCESS_FDS_MAX; i++)
		assert_int_equal(fd_install(p, &files[0], 0, false), i);
	assert_int_equal(fd_install(p, &files[1], 0, false), -EMFILE);
	assert_int_equal(atomic_load(&files[1].handles), 0);
	assert_int_equal(atomic_load(&files[1].refs), 1);
	assert_int_equal(fd_close(p, 4000), 0);
	assert_int_equal(fd_install(p, &files[1], 0, false), 4000);
}

static _Atomic bool stop;

static void *look(void *arg)
{
	uint64_t seen = 0;

	(void)arg;
	unit_be_core(1);
	while (!atomic_load(&stop)) {
		struct file *f = fd_get(p, 0);

		if (!f)
			continue;
		if (f < files || f >= files + FILES || !atomic_load(&f->refs))
			abort();
		seen++;
		file_put(f);
	}
	return (void *)seen;
}

static void looked_up_elsewhere(void **state)
{
	pthread_t t;
	void *seen;

	(void)state;
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&t, NULL, look, NULL), 0);
	for (unsigned i = 0; i < 200000; i++) {
		assert_int_equal(fd_install(p, &files[i % FILES], 0, false), 0);
		assert_int_equal(fd_close(p, 0), 0);
	}
	atomic_store(&stop, true);
	pthread_join(t, &seen);
	for (unsigned i = 0; i < FILES; i++) {
		assert_int_equal(atomic_load(&files[i].refs), 1);
		assert_int_equal(atomic_load(&files[i].handles), 0);
	}
}

#define fd_test(f) cmocka_unit_test_setup_teardown(f, before, after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		fd_test(lowest), fd_test(bad_numbers),         fd_test(last_handle),
		fd_test(full),   fd_test(looked_up_elsewhere), fd_test(replaced),
	};

	unit_kernel(64, 2, "");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
