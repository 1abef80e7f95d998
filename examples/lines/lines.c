/*
 * lines FILE...: counts the lines of all files, at the same time.
 *
 * An ordinary program that uses libasync beside its C library: one coroutine per file, and every
 * read of it an entry of the ring.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <async.h>

struct file {
	const char *name;
	uint64_t lines;
};

static int64_t count(void *arg)
{
	struct file *file = arg;
	char buf[4096];
	int fd = async_open(file->name, O_RDONLY);
	int64_t n;

	if (fd < 0)
		return fd;
	while ((n = async_read(fd, buf, sizeof(buf))) > 0)
		for (const char *p = buf; (p = memchr(p, '\n', (size_t)(buf + n - p))); p++)
			file->lines++;
	async_close(fd);
	return n;
}

int main(int argc, char **argv)
{
	struct file *files = calloc((size_t)argc, sizeof(*files));
	struct async_group group;
	uint64_t total = 0;
	int err = files ? 0 : -ENOMEM;

	async_group_init(&group);
	for (int i = 1; i < argc && !err; i++) {
		files[i].name = argv[i];
		err = async_group_spawn(&group, count, &files[i]);
	}
	if (!err)
		err = async_group_wait(&group);
	if (err) {
		fprintf(stderr, "lines: %s\n", strerror(-err));
		return 1;
	}
	for (int i = 1; i < argc; i++) {
		printf("%llu %s\n", (unsigned long long)files[i].lines, files[i].name);
		total += files[i].lines;
	}
	printf("%llu total\n", (unsigned long long)total);
	free(files);
	return 0;
}
