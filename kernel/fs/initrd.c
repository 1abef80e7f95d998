/*
 * initrd: the archive of programs and files that came with the kernel, "newc" cpio format: each
 * entry is a header of 110 ASCII bytes ("070701", or "070702" with a checksum, and thirteen numbers
 * of eight hexadecimal digits), the name, the data, name and data each padded to a multiple of
 * four; the entry "TRAILER!!!" ends it. (cpio(5), "New ASCII Format".)
 *
 * Read once at boot into a table of entries; an archive with a single wrong place is refused as a
 * whole, with a sentence that names it. Names and data stay in the archive's memory, which nobody
 * ever writes. Any core.
 */
#include <string.h>

#include "base/print.h"
#include "fs/internal.h"
#include "mm/frames.h"
#include "sched/preempt.h"

#define HEADER_BYTES 110u
#define NAME_MAX_BYTES FS_PATH_MAX
#define ENTRIES_MAX 4096u
#define FIELD_INO 0
#define FIELD_MODE 1
#define FIELD_MTIME 5
#define FIELD_SIZE 6
#define FIELD_NAME_SIZE 11

/* set once at boot */
static struct initrd_entry *entries;
static uint32_t entry_count;

/* One of the header's thirteen numbers. False: not hexadecimal. */
static bool field(const char *header, unsigned index, uint32_t *value)
{
	const char *digit = header + 6 + index * 8;

	*value = 0;
	for (int i = 0; i < 8; i++) {
		char c = digit[i] | 0x20;

		if (digit[i] >= '0' && digit[i] <= '9')
			*value = *value << 4 | (uint32_t)(digit[i] - '0');
		else if (c >= 'a' && c <= 'f')
			*value = *value << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	return true;
}

/* Reads the entry at `at` of `size` bytes; *next is where the one after it begins. NULL, or what is
 * wrong. */
static const char *entry_read(const char *base, uint64_t size, uint64_t at, struct initrd_entry *e,
			      uint64_t *next)
{
	const char *header = base + at;
	uint32_t name_size;
	uint64_t data;

	if (at > size ||
	    size - at < HEADER_BYTES) /* behind the end: it was cut inside the padding */
		return at ? "it ends inside a header, or has no TRAILER!!!"
			  : "it is too short for a cpio archive";
	if (memcmp(header, "070701", 6) && memcmp(header, "070702", 6))
		return at ? "no cpio header here" : "it is not a cpio archive in newc format";
	if (!field(header, FIELD_INO, &e->ino) || !field(header, FIELD_MODE, &e->mode) ||
	    !field(header, FIELD_MTIME, &e->mtime) || !field(header, FIELD_SIZE, &e->size) ||
	    !field(header, FIELD_NAME_SIZE, &name_size))
		return "a header field is not a hexadecimal number";
	if (!name_size || name_size > NAME_MAX_BYTES)
		return "a name is empty or too long";
	data = align_up(at + HEADER_BYTES + name_size, 4ull);
	if (data > size || align_up(data + e->size, 4ull) > align_up(size, 4ull) ||
	    data + e->size > size)
		return "it ends inside an entry";
	e->name = header + HEADER_BYTES;
	e->data = base + data;
	if (e->name[name_size - 1])
		return "a name does not end";
	*next = align_up(data + e->size, 4ull);
	return NULL;
}

/* Archives name files "bin/x", "./bin/x" or "/bin/x". */
static const char *plain_name(const char *name)
{
	while (*name == '/' || (name[0] == '.' && name[1] == '/'))
		name += *name == '/' ? 1 : 2;
	return name;
}

static bool entry_is_last(const struct initrd_entry *e)
{
	return !strcmp(e->name, "TRAILER!!!");
}

/* Counts the entries and proves them all. False after a sentence. */
static bool archive_check(const char *base, uint64_t size, uint32_t *count)
{
	struct initrd_entry e;
	uint64_t at = 0, next;

	for (*count = 0;; at = next, ++*count) {
		const char *wrong = entry_read(base, size, at, &e, &next);

		if (!wrong && *count > ENTRIES_MAX)
			wrong = "it has too many entries";
		if (wrong) {
			kprint("initrd refused at byte %llu of %llu: %s\n", (unsigned long long)at,
			       (unsigned long long)size, wrong);
			return false;
		}
		if (entry_is_last(&e))
			return true;
	}
}

void initrd_init(void)
{
	uint64_t size = arch_boot.initrd.size, at = 0;
	const char *base;
	uint32_t count;

	entry_count = 0;
	if (!size) {
		kprint("initrd: none\n");
		return;
	}
	base = arch_direct(arch_boot.initrd.base);
	if (!archive_check(base, size, &count))
		return;
	if (count)
		entries = frames_boot_alloc(sizeof(*entries) * count);
	for (uint32_t i = 0; i < count; i++) {
		(void)entry_read(base, size, at, &entries[i], &at);
		entries[i].name = plain_name(entries[i].name);
	}
	entry_count = count;
	kprint("initrd: %u entries, %llu KiB\n", count, (unsigned long long)(size >> 10));
}

const struct initrd_entry *initrd_lookup(const char *path)
{
	/* as with every archiver: the last entry of a name counts */
	for (uint32_t i = entry_count; i-- > 0;)
		if (!strcmp(entries[i].name, path))
			return &entries[i];
	return NULL;
}

const char *initrd_name_below(const char *path)
{
	size_t len = strlen(path);

	for (uint32_t i = 0; i < entry_count; i++)
		if (!strncmp(entries[i].name, path, len) && entries[i].name[len] == '/')
			return entries[i].name;
	return NULL;
}

bool initrd_has_below(const char *path)
{
	return initrd_name_below(path);
}

const void *initrd_find(const char *path, size_t *len)
{
	const struct initrd_entry *e = initrd_lookup(plain_name(path));

	if (!e || (e->mode & S_IFMT) != S_IFREG)
		return NULL;
	*len = e->size;
	return e->data;
}

/* ---- as files -------------------------------------------------------------------------------- */

static enum step initrd_transfer(struct file *f, struct op *op, struct transfer *t)
{
	const struct initrd_entry *e = fs_file_of(f)->entry;
	uint32_t n = t->pin.len;

	(void)op;
	if (t->write) {
		t->moved = -EBADF;
		return STEP_DONE;
	}
	if (t->off >= e->size)
		n = 0;
	else if (n > e->size - t->off)
		n = (uint32_t)(e->size - t->off);
	if (n) {
		bool may = preempt_may();

		if (may)
			preempt_open();
		pin_copy_out(&t->pin, 0, e->data + t->off, n);
		if (may)
			preempt_close();
	}
	t->moved = (int32_t)n;
	return STEP_DONE;
}

static int initrd_stat(struct file *f, struct statx *st)
{
	const struct initrd_entry *e = fs_file_of(f)->entry;

	if (!e) {
		fs_stat_common(st, S_IFDIR | 0555, 1, 0);
		return 0;
	}
	fs_stat_common(st, e->mode, e->ino, (e->mode & S_IFMT) == S_IFREG ? e->size : 0);
	st->stx_mtime.tv_sec = st->stx_ctime.tv_sec = st->stx_atime.tv_sec = e->mtime;
	return 0;
}

static enum step dir_transfer(struct file *f, struct op *op, struct transfer *t)
{
	(void)f, (void)op;
	t->moved = -EISDIR;
	return STEP_DONE;
}

static void initrd_free(struct file *f)
{
	fs_file_release(fs_file_of(f));
}

const struct file_ops initrd_file_ops = {
	.name = "initrd",
	.long_bytes = FILE_COPY_BYTES,
	.roams = true,
	.transfer = initrd_transfer,
	.stat = initrd_stat,
	.free = initrd_free,
};

const struct file_ops initrd_dir_ops = {
	.name = "directory",
	.transfer = dir_transfer,
	.stat = initrd_stat,
	.free = initrd_free,
};
