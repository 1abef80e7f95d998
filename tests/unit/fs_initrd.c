/*
 * Is an archive read as its writers mean it, and is a damaged one refused before anybody trusts it?
 */
#include "lib/unit.h"

#include "fs/initrd.c"

static char archive[4096];
static size_t archive_len;

static void archive_add(const char *name, uint32_t mode, const char *data, uint32_t size)
{
	archive_len += (size_t)sprintf(
		archive + archive_len, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		7, mode, 0, 0, 1, 1000, size, 0, 0, 0, 0, (unsigned)strlen(name) + 1, 0);
	archive_len += (size_t)sprintf(archive + archive_len, "%s", name) + 1;
	archive_len = align_up(archive_len, (size_t)4);
	memcpy(archive + archive_len, data, size);
	archive_len = align_up(archive_len + size, (size_t)4);
}

static void archive_make(void)
{
	memset(archive, 0, sizeof(archive));
	archive_len = 0;
	archive_add("./bin", S_IFDIR | 0755, "", 0);
	archive_add("./bin/echod", S_IFREG | 0755, "first", 5);
	archive_add("/etc/empty", S_IFREG | 0644, "", 0);
	archive_add("bin/echod", S_IFREG | 0755, "second", 6);
	archive_add("link", S_IFLNK | 0777, "bin/echod", 9);
	archive_add("TRAILER!!!", 0, "", 0);
}

/* Reads `len` bytes, from memory that ends right behind them: a look further is the sanitizer's to
 * report. */
static bool archive_load(const char *bytes, size_t len)
{
	char *copy = malloc(len);

	memcpy(copy, bytes, len);
	arch_boot.initrd = (struct arch_range){ arch_direct_paddr(copy), len };
	entry_count = 0;
	initrd_init();
	for (uint32_t i = 0; i < entry_count; i++) {
		unsigned sum = (unsigned)strlen(entries[i].name);

		for (uint32_t k = 0; k < entries[i].size; k++)
			sum += (unsigned char)entries[i].data[k];
		assert_true(sum < UINT32_MAX);
	}
	free(copy);
	return entry_count != 0;
}

static void is_read(void **state)
{
	size_t len;
	const char *data;

	(void)state;
	archive_make();
	arch_boot.initrd = (struct arch_range){ arch_direct_paddr(archive), archive_len };
	initrd_init();
	assert_int_equal(entry_count, 5);
	data = initrd_find("/bin/echod", &len);
	assert_int_equal(len, 6);
	assert_memory_equal(data, "second", 6);
	assert_non_null(initrd_find("etc/empty", &len));
	assert_int_equal(len, 0);
	assert_null(initrd_find("/bin", &len));
	assert_null(initrd_find("/link", &len));
	assert_null(initrd_find("/bin/echo", &len));
	assert_true(initrd_has_below("etc"));
	assert_false(initrd_has_below("et"));
	assert_false(initrd_has_below("bin/echod"));
}

/* Every length but the whole: cut anywhere, it is refused. */
static void truncated_is_refused(void **state)
{
	(void)state;
	archive_make();
	for (size_t len = 1; len + 15 < archive_len; len++)
		assert_false(archive_load(archive, len));
	assert_true(archive_load(archive, archive_len));
}

static void foreign_is_refused(void **state)
{
	static const char elf[200] = "\177ELF", old[200] = "070707", gz[200] = "\037\213";

	(void)state;
	assert_false(archive_load(elf, sizeof(elf)));
	assert_false(archive_load(old, sizeof(old)));
	assert_false(archive_load(gz, sizeof(gz)));
}

/* What if any bytes are wrong? Refused or read, but never beyond its end. */
static void damage_is_survived(void **state)
{
	unsigned refused = 0;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		archive_make();
		for (unsigned k = 0; k < 1 + i % 4; k++)
			archive[unit_random() % archive_len] = (char)unit_random();
		refused += !archive_load(archive, archive_len);
	}
	assert_in_range(refused, 1000, 2999);
}

static int setup(void **state)
{
	(void)state;
	unit_kernel(64, 2, "map=0:kernel+io+net,1:user");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_read),
		cmocka_unit_test(truncated_is_refused),
		cmocka_unit_test(foreign_is_refused),
		cmocka_unit_test(damage_is_survived),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
