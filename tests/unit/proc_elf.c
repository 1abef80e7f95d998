/*
 * Is a program image loaded as it says, and a truncated, foreign or hostile one refused with one
 * sentence that names the file and the place? (kernel/proc/elf.c)
 */
#include "lib/unit.h"

#include <errno.h>

#include "base/print.h"
#include "mm/aspace.h"
#include "mm/frames.h"
#include "mm/pin.h"
#include "proc/internal.h"
#include "uapi/sluice.h"

struct header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct segment {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

/* A static-pie program of two segments: code of two pages and a bit, data with a zero tail. */
static struct image {
	struct header head;
	struct segment seg[3];
	uint8_t rest[0x5000 - sizeof(struct header) - 3 * sizeof(struct segment)];
} good, image;

static struct aspace *as;
static struct elf_info info;
static char said[1024];
static unsigned sentences;

static void hear(const char *text, size_t len)
{
	sentences++;
	snprintf(said, sizeof(said), "%.*s", (int)len, text);
}

static void make_good(void)
{
	good.head = (struct header){
		.ident = { 0x7f, 'E', 'L', 'F', 2, 1, 1 },
		.type = 3,
		.machine = ARCH_ELF_MACHINE,
		.version = 1,
		.entry = 0x1010,
		.phoff = sizeof(struct header),
		.ehsize = sizeof(struct header),
		.phentsize = sizeof(struct segment),
		.phnum = 3,
	};
	good.seg[0] = (struct segment){
		.type = 6, .flags = 4, .offset = 64, .vaddr = 64, .filesz = 168, .memsz = 168
	};
	good.seg[1] = (struct segment){ .type = 1,
					.flags = 5,
					.offset = 0,
					.vaddr = 0,
					.filesz = 0x2100,
					.memsz = 0x2100,
					.align = 4096 };
	good.seg[2] = (struct segment){ .type = 1, .flags = 6, .offset = 0x3200, .vaddr = 0x5200,
					.filesz = 0x1000, .memsz = 0x3000, .align = 4096 };
	for (size_t i = 0; i < sizeof(good.rest); i++)
		good.rest[i] = (uint8_t)unit_random();
}

static int load_bytes(const void *bytes, size_t size)
{
	int err;

	sentences = 0;
	said[0] = 0;
	as = aspace_create();
	assert_non_null(as);
	err = elf_load(as, "/bin/victim", bytes, size, &info);
	return err;
}

static void unload(void)
{
	aspace_put(as);
}

static void loaded(void **state)
{
	static uint8_t seen[0x8200];
	uaddr_t base;

	(void)state;
	assert_int_equal(load_bytes(&good, sizeof(good)), 0);
	assert_int_equal(sentences, 0);
	base = info.entry - 0x1010;
	assert_int_equal(base % PAGE_SIZE, 0);
	assert_int_equal(info.phdr, base + 64);
	assert_int_equal(info.phnum, 3);
	assert_int_equal(info.end, base + 0x9000);
	for (uaddr_t off = 0; off < 0x2100; off += 0x100)
		assert_int_equal(user_read(as, base + off, seen + off, 0x100), 0);
	assert_memory_equal(seen, &good, 0x2100);
	for (uaddr_t off = 0x5200; off < 0x8200; off += 0x100)
		assert_int_equal(user_read(as, base + off, seen + off, 0x100), 0);
	assert_memory_equal(seen + 0x5200, (uint8_t *)&good + 0x3200, 0x1000);
	for (size_t i = 0x6200; i < 0x8200; i++)
		assert_int_equal(seen[i], 0);
	/* rights are the segments' own */
	assert_int_equal(user_write(as, base, seen, 1), -EFAULT);
	assert_int_equal(user_write(as, base + 0x5200, seen, 1), 0);
	assert_int_equal(aspace_fault(as, base, ACCESS_EXEC), 0);
	assert_int_equal(aspace_fault(as, base + 0x5200, ACCESS_EXEC), -EFAULT);
	assert_int_equal(aspace_fault(as, base + 0x4000, ACCESS_READ), -EFAULT);
	/* what the file did not fill of a segment's pages is zero, not a neighbour's bytes */
	assert_int_equal(user_read(as, base + 0x2100, seen, 0x100), 0);
	for (size_t i = 0; i < 0x100; i++)
		assert_int_equal(seen[i], 0);
	unload();
}

/* Loads `image` as the test spoiled it: it must be refused with one sentence that holds `place`. */
static void refuse(const char *place, size_t size)
{
	assert_int_equal(load_bytes(&image, size), -ENOEXEC);
	assert_int_equal(sentences, 1);
	if (!strstr(said, place) || strncmp(said, "/bin/victim: ", 13))
		fail_msg("said \"%s\", wanted \"%s\"", said, place);
	unload();
	image = good;
}

static void refused(void **state)
{
	(void)state;
	image = good;
	refuse("ends inside the ELF header", 0);
	refuse("ends inside the ELF header", 63);
	refuse("ends inside the program headers", 64);
	refuse("ends inside the program headers", 64 + 3 * 56 - 1);
	refuse("program header 1 reaches behind the end", 0x2000);
	refuse("program header 2 reaches behind the end", 0x4100);
	image.head.ident[1] = 'e';
	refuse("no ELF header", sizeof(image));
	image.head.ident[4] = 1;
	refuse("64 bits", sizeof(image));
	image.head.ident[5] = 2;
	refuse("little endian", sizeof(image));
	image.head.machine = 3;
	refuse("e_machine is 3", sizeof(image));
	image.head.type = 1;
	refuse("e_type", sizeof(image));
	image.head.phentsize = 32;
	refuse("e_phentsize", sizeof(image));
	image.head.phnum = 65;
	refuse("e_phnum", sizeof(image));
	image.head.phnum = 0;
	refuse("e_phnum", sizeof(image));
	image.head.phoff = UINT64_MAX - 8;
	refuse("ends inside the program headers", sizeof(image));
	image.head.entry = 0x5200;
	refuse("e_entry", sizeof(image));
	image.head.entry = 0x2100;
	refuse("e_entry", sizeof(image));
	image.head.entry = UINT64_MAX;
	refuse("e_entry", sizeof(image));
	image.seg[0].type = 3;
	refuse("program header 0 asks for a dynamic loader", sizeof(image));
	image.seg[1].type = image.seg[2].type = 0;
	refuse("no program header is a segment", sizeof(image));
	image.seg[1].flags = 7;
	refuse("program header 1 wants to be writable and executable", sizeof(image));
	image.seg[2].memsz = 0xfff;
	refuse("program header 2 is longer in the file", sizeof(image));
	image.seg[2].offset = UINT64_MAX - 0xfff;
	refuse("program header 2 reaches behind", sizeof(image));
	image.seg[2].filesz = image.seg[2].memsz = UINT64_MAX;
	refuse("program header 2 reaches behind", sizeof(image));
	image.seg[2].memsz = UINT64_MAX;
	refuse("program header 2 lies outside", sizeof(image));
	image.seg[2].vaddr = 1ull << 40 | 0x200;
	refuse("program header 2 lies outside", sizeof(image));
	image.seg[2].vaddr = UINT64_MAX - 0xdff;
	refuse("program header 2 lies outside", sizeof(image));
	image.seg[2].vaddr = 0x5300;
	refuse("program header 2 is not aligned", sizeof(image));
	image.seg[2].vaddr = 0x2200;
	refuse("program header 2 overlaps", sizeof(image));
	/* fixed addresses outside the space's own window */
	image.head.type = 2;
	refuse("program header 1 lies outside", sizeof(image));
}

static void no_memory(void **state)
{
	(void)state;
	image = good;
	image.seg[2].memsz = 0x2000;
	sentences = 0;
	as = aspace_create();
	as->resident_max = 4;
	assert_int_equal(elf_load(as, "/bin/victim", &image, sizeof(image), &info), -ENOMEM);
	assert_int_equal(sentences, 1);
	assert_non_null(strstr(said, "no memory for program header 1"));
	unload();
}

/* Whatever the headers say, the answer is a program or a sentence. */
static void random_headers(void **state)
{
	unsigned taken = 0;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		uint8_t *bytes = (uint8_t *)&image;
		unsigned spoiled = 1 + (unsigned)unit_random() % 4;
		int err;

		image = good;
		while (spoiled--) {
			size_t at = unit_random() %
				    (sizeof(struct header) + 3 * sizeof(struct segment));

			bytes[at] = unit_random() & 1 ? (uint8_t)unit_random()
						      : bytes[at] ^ 1 << unit_random() % 8;
		}
		err = load_bytes(&image,
				 unit_random() & 3 ? sizeof(image) : unit_random() % sizeof(image));
		assert_true(err == 0 || err == -ENOEXEC || err == -ENOMEM);
		assert_int_equal(sentences, err ? 1 : 0);
		taken += !err;
		unload();
	}
	assert_in_range(taken, 1, 2999);
}

/* ---- notes ---- */

#define NOTE_AT 0x400u
#define NOTE_OTHER 28u /* bytes of somebody else's note in front of ours */

static struct sluice_note *note_good(void)
{
	static const uint8_t other[NOTE_OTHER] = {
		4, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 'G', 'N', 'U'
	};
	struct sluice_note *n = (struct sluice_note *)((uint8_t *)&image + NOTE_AT + NOTE_OTHER);

	image = good;
	image.seg[0] = (struct segment){ .type = 4, .flags = 4, .offset = NOTE_AT, .align = 4,
					 .filesz = NOTE_OTHER + sizeof(*n) };
	memcpy((uint8_t *)&image + NOTE_AT, other, sizeof(other));
	*n = (struct sluice_note){ 7, 4, SLUICE_NOTE_TYPE, SLUICE_NOTE_NAME, SLUICE_NOTE_UINTR };
	return n;
}

static int note_read(uint32_t *wanted)
{
	sentences = 0;
	said[0] = 0;
	return elf_notes("/bin/victim", &image, sizeof(image), wanted);
}

static void note_refused(const char *place)
{
	uint32_t wanted;

	assert_int_equal(note_read(&wanted), -ENOEXEC);
	assert_int_equal(sentences, 1);
	if (!strstr(said, place) || strncmp(said, "/bin/victim: ", 13))
		fail_msg("said \"%s\", wanted \"%s\"", said, place);
}

/* What if a file's note is right, somebody else's, damaged, or cut off? */
static void notes(void **state)
{
	struct sluice_note *n = note_good();
	uint32_t wanted;

	(void)state;
	assert_int_equal(note_read(&wanted), 0);
	assert_int_equal(wanted, SLUICE_NOTE_UINTR);
	image.seg[0].type = 6;
	assert_int_equal(note_read(&wanted), 0);
	assert_int_equal(wanted, 0);
	n = note_good();
	n->name[0] = 's';
	assert_int_equal(note_read(&wanted), 0);
	assert_int_equal(wanted, 0);
	note_good()->type = 2;
	assert_int_equal(note_read(&wanted), 0);
	assert_int_equal(wanted, 0);
	n = note_good();
	image.seg[0].filesz = 0;
	assert_int_equal(note_read(&wanted), 0);
	assert_int_equal(wanted, 0);
	note_good()->flags = 3;
	note_refused("program header 0 holds a Sluice note that asks for something unknown");
	note_good()->desc_size = 3;
	note_refused("program header 0 holds a Sluice note of the wrong size");
	note_good()->desc_size = 8;
	note_refused("program header 0 ends inside a note");
	note_good()->name_size = UINT32_MAX;
	note_refused("program header 0 ends inside a note");
	note_good();
	image.seg[0].filesz -= sizeof(uint32_t);
	note_refused("program header 0 ends inside a note");
	note_good();
	image.seg[0].filesz = NOTE_OTHER + 11;
	note_refused("program header 0 ends inside a note");
	note_good();
	image.seg[0].offset = sizeof(image);
	note_refused("program header 0 reaches behind the end");
	note_good();
	image.seg[0].filesz = UINT64_MAX;
	note_refused("program header 0 reaches behind the end");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		unit_test_frames(loaded),
		unit_test_frames(refused),
		unit_test_frames(no_memory),
		unit_test_frames(random_headers),
		unit_test_frames(notes),
	};

	unit_kernel(64, 1, "");
	make_good();
	kprint_set_sink(hear);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
