/*
 * Do the file calls do to a disk what their names say: what is written is read back, by many
 * coroutines at once and in pieces; sizes, ends and wrong requests are answered as they should?
 */
#include <string.h>

#include "lib/async_check.h"

#define BLOCK 4096u
#define AT_ONCE 24

static int disk;

static void fill(char *buf, uint64_t block)
{
	uint64_t x = block * 0x9e3779b97f4a7c15ull + 1;

	for (unsigned i = 0; i < BLOCK; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(buf + i, &x, 8);
	}
}

static int64_t write_read(void *arg)
{
	char *buf = async_alloc(2 * BLOCK);

	CHECK(buf != NULL);
	for (uint64_t block = (uint64_t)(intptr_t)arg; block < 256; block += AT_ONCE) {
		fill(buf, block);
		CHECK_EQ(async_pwrite(disk, buf, BLOCK, block * BLOCK, 0), BLOCK);
	}
	for (uint64_t block = (uint64_t)(intptr_t)arg; block < 256; block += AT_ONCE) {
		fill(buf, block);
		CHECK_EQ(async_pread(disk, buf + BLOCK, BLOCK, block * BLOCK), BLOCK);
		CHECK_EQ(memcmp(buf, buf + BLOCK, BLOCK), 0);
	}
	async_free(buf);
	return 0;
}

static void test_vectors(void)
{
	static char a[BLOCK], b[BLOCK], c[2 * BLOCK];
	struct iovec out[2] = { { a, BLOCK }, { b, BLOCK } };
	struct iovec in[2] = { { c, 512 }, { c + 512, 2 * BLOCK - 512 } };

	fill(a, 7);
	fill(b, 8);
	CHECK_EQ(async_writev(disk, out, 2, 300 * BLOCK, RWF_DSYNC), 2 * BLOCK);
	CHECK_EQ(async_readv(disk, in, 2, 300 * BLOCK, 0), 2 * BLOCK);
	CHECK_EQ(memcmp(c, a, BLOCK), 0);
	CHECK_EQ(memcmp(c + BLOCK, b, BLOCK), 0);
}

static void test_edges(uint64_t size)
{
	char buf[512];

	CHECK_EQ(async_pread(disk, buf, 512, size), 0);
	CHECK_EQ(async_pread(disk, buf, 512, size - 512), 512);
	CHECK_EQ(async_pread(disk, (void *)8, 512, 0), -EFAULT);
	CHECK_EQ(async_pread(1234, buf, 512, 0), -EBADF);
	CHECK_EQ(async_open("/dev/nothing", O_RDONLY), -ENOENT);
	CHECK_EQ(async_fsync(1234), -EBADF);
	CHECK_EQ(async_close(1234), -EBADF);
}

int main(int argc, char **argv)
{
	struct async_group group;
	struct statx st;

	/* on Linux the runner names a file */
	disk = async_open(argc > 1 ? argv[1] : "/dev/vda", O_RDWR);
	CHECK(disk >= 0);
	CHECK_EQ(async_statx(disk, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st), 0);
	CHECK_EQ(st.stx_mode & S_IFMT, argc > 1 ? S_IFREG : S_IFBLK);
	CHECK_EQ(st.stx_size, 16 << 20); /* the runner's disk */
	async_group_init(&group);
	for (intptr_t i = 0; i < AT_ONCE; i++)
		CHECK_EQ(async_group_spawn(&group, write_read, (void *)i), 0);
	CHECK_EQ(async_group_wait(&group), 0);
	test_vectors();
	CHECK_EQ(async_fsync(disk), 0);
	CHECK_EQ(async_fdatasync(disk), 0);
	test_edges(st.stx_size);
	CHECK_EQ(async_close(disk), 0);
	CHECK_EQ(async_pread(disk, &st, 512, 0), -EBADF);
	return async_printf("ok\n") == 3 ? 0 : 1;
}
