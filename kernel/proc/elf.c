/*
 * elf: a static ELF64 program image into an address space.
 *
 * The image is a stranger's: every offset, size and address is checked against the file and the
 * space before it is used, and each refusal is one sentence that names the file and the place.
 * Segments are filled page by page through the direct map and get exactly the rights they ask for;
 * one that asks to be writable and executable is refused. Its notes say what kind of process it
 * wants to be.
 *
 * Sources: System V ABI, chapters 4 and 5 (file header, program headers); the machine numbers are
 * in arch.h. Runs on the new process's home core, in its turn; never parks; in a long step it makes
 * way between pieces.
 */
#include <string.h>

#include "base/print.h"
#include "proc/internal.h"
#include "sched/preempt.h"
#include "uapi/errno.h"
#include "uapi/sluice.h"

struct elf_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct elf_header) == 64, "ELF64 file header");

struct elf_segment {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
_Static_assert(sizeof(struct elf_segment) == 56, "ELF64 program header");

#define ET_EXEC 2
#define ET_DYN 3
#define PT_LOAD 1
#define PT_INTERP 3
#define PT_NOTE 4
#define PF_X 1u
#define PF_W 2u
#define PF_R 4u
#define SEGMENTS_MAX 64u
#define FILL_PIECE (8 * PAGE_SIZE) /* between two windows */

struct elf_file {
	const char *path;
	const uint8_t *bytes;
	size_t size;
	struct elf_header head;
	uaddr_t bias; /* added to every address of the file */
};

static int refuse(const struct elf_file *f, const char *why)
{
	kprint("%s: not a program this machine can run: %s\n", f->path, why);
	return -ENOEXEC;
}

static int refuse_segment(const struct elf_file *f, unsigned i, const char *why)
{
	kprint("%s: not a program this machine can run: program header %u %s\n", f->path, i, why);
	return -ENOEXEC;
}

static struct elf_segment segment(const struct elf_file *f, unsigned i)
{
	struct elf_segment s;

	memcpy(&s, f->bytes + f->head.phoff + i * sizeof(s), sizeof(s));
	return s;
}

static int check_header(struct elf_file *f)
{
	static const uint8_t magic[7] = {
		0x7f, 'E', 'L', 'F', 2 /* 64 bits */, 1 /* little endian */, 1
	};
	const struct elf_header *h = &f->head;

	if (f->size < sizeof(f->head))
		return refuse(f, "the file ends inside the ELF header");
	memcpy(&f->head, f->bytes, sizeof(f->head));
	if (memcmp(h->ident, magic, 4))
		return refuse(f, "there is no ELF header at its start");
	if (memcmp(h->ident, magic, sizeof(magic)) || h->version != 1)
		return refuse(f, "the ELF header does not say 64 bits, little endian, version 1");
	if (h->machine != ARCH_ELF_MACHINE) {
		kprint("%s: not a program this machine can run: e_machine is %u, wanted %u\n",
		       f->path, h->machine, ARCH_ELF_MACHINE);
		return -ENOEXEC;
	}
	if (h->type != ET_EXEC && h->type != ET_DYN)
		return refuse(f, "e_type is neither a static program nor a static-pie one");
	if (h->phentsize != sizeof(struct elf_segment) || !h->phnum || h->phnum > SEGMENTS_MAX)
		return refuse(f, "e_phentsize or e_phnum makes no sense");
	if (h->phoff > f->size || f->size - h->phoff < h->phnum * sizeof(struct elf_segment))
		return refuse(f, "the file ends inside the program headers");
	return 0;
}

/* One PT_LOAD, all of it against the file and the user range; overflow is excluded by the order of
 * the tests. */
static int check_segment(const struct elf_file *f, struct aspace *as, unsigned i,
			 const struct elf_segment *s)
{
	uint64_t room = as->top - as->low;

	if (s->filesz > s->memsz)
		return refuse_segment(f, i, "is longer in the file than in memory");
	if (s->offset > f->size || s->filesz > f->size - s->offset)
		return refuse_segment(f, i, "reaches behind the end of the file");
	if (s->vaddr > as->top || s->vaddr + f->bias < as->low || s->memsz > room ||
	    s->vaddr + f->bias > as->top - s->memsz)
		return refuse_segment(f, i, "lies outside the addresses of programs");
	if ((s->vaddr ^ s->offset) & (PAGE_SIZE - 1))
		return refuse_segment(f, i, "is not aligned to pages as it is in the file");
	if ((s->flags & (PF_W | PF_X)) == (PF_W | PF_X))
		return refuse_segment(f, i, "wants to be writable and executable");
	return 0;
}

/* A static-pie file goes to an eighth of the space, its lowest segment first. */
static int choose_bias(struct elf_file *f, struct aspace *as)
{
	uint64_t low = UINT64_MAX;

	for (unsigned i = 0; i < f->head.phnum; i++) {
		struct elf_segment s = segment(f, i);

		if (s.type == PT_INTERP)
			return refuse_segment(f, i, "asks for a dynamic loader");
		if (s.type == PT_LOAD)
			low = min_of(low, s.vaddr);
	}
	if (low == UINT64_MAX)
		return refuse(f, "no program header is a segment to load");
	if (f->head.type == ET_DYN)
		f->bias = align_up(as->low + (as->top - as->low) / 8, 2ull << 20) -
			  align_down(low, PAGE_SIZE);
	return 0;
}

static int load_segment(const struct elf_file *f, struct aspace *as, unsigned i,
			const struct elf_segment *s, struct elf_info *out)
{
	uint32_t prot = (s->flags & PF_R ? ACCESS_READ : 0) | (s->flags & PF_W ? ACCESS_WRITE : 0) |
			(s->flags & PF_X ? ACCESS_EXEC : 0);
	uaddr_t at = s->vaddr + f->bias, base = align_down(at, PAGE_SIZE);
	uaddr_t end = align_up(at + s->memsz, PAGE_SIZE), placed;
	int err;

	if (!s->memsz)
		return 0;
	err = aspace_map_anon(as, base, end - base, prot, ASPACE_FIXED_NEW, &placed);
	if (err == -EEXIST)
		return refuse_segment(f, i, "overlaps another one");
	for (uint64_t done = 0, n; !err && done < s->filesz; done += n) {
		n = min_of(s->filesz - done, (uint64_t)FILL_PIECE);
		err = aspace_fill(as, at + done, f->bytes + s->offset + done, n);
		if (preempt_may())
			preempt_here(); /* nobody else has seen this space */
	}
	if (err) {
		kprint("%s: no memory for program header %u (%llu KiB)\n", f->path, i,
		       (unsigned long long)(s->memsz >> 10));
		return -ENOMEM;
	}
	if (f->head.phoff >= s->offset &&
	    f->head.phoff + f->head.phnum * sizeof(struct elf_segment) <= s->offset + s->filesz)
		out->phdr = at + (f->head.phoff - s->offset);
	if (prot & ACCESS_EXEC && f->head.entry + f->bias - at < s->memsz)
		out->entry = f->head.entry + f->bias;
	out->end = max_of(out->end, end);
	return 0;
}

int elf_load(struct aspace *as, const char *path, const void *image, size_t size,
	     struct elf_info *out)
{
	struct elf_file f = { .path = path, .bytes = image, .size = size };
	int err = check_header(&f);

	*out = (struct elf_info){ 0 };
	if (!err)
		err = choose_bias(&f, as);
	for (unsigned i = 0; !err && i < f.head.phnum; i++) {
		struct elf_segment s = segment(&f, i);

		if (s.type != PT_LOAD)
			continue;
		err = check_segment(&f, as, i, &s);
		if (!err)
			err = load_segment(&f, as, i, &s, out);
	}
	if (err)
		return err;
	if (!out->entry)
		return refuse(&f, "e_entry lies in no executable segment");
	out->phnum = f.head.phnum;
	arch_icache_sync();
	return 0;
}

/* ---- notes ---- */

struct elf_note {
	uint32_t name_size, desc_size, type;
};

/* One note, whose bytes are inside the segment. 0, or -ENOEXEC. */
static int read_note(const struct elf_file *f, unsigned i, const struct elf_note *n,
		     const uint8_t *name, const uint8_t *desc, uint32_t *wanted)
{
	uint32_t bits;

	if (n->name_size != sizeof(SLUICE_NOTE_NAME) ||
	    memcmp(name, SLUICE_NOTE_NAME, sizeof(SLUICE_NOTE_NAME)) ||
	    n->type != SLUICE_NOTE_TYPE)
		return 0; /* somebody else's */
	if (n->desc_size != sizeof(bits))
		return refuse_segment(f, i, "holds a Sluice note of the wrong size");
	memcpy(&bits, desc, sizeof(bits));
	if (bits & ~SLUICE_NOTE_UINTR)
		return refuse_segment(f, i, "holds a Sluice note that asks for something unknown");
	*wanted |= bits;
	return 0;
}

static int read_notes(const struct elf_file *f, unsigned i, const struct elf_segment *s,
		      uint32_t *wanted)
{
	uint64_t align = s->align == 8 ? 8 : 4, at = 0;
	const uint8_t *bytes = f->bytes + s->offset;

	if (s->offset > f->size || s->filesz > f->size - s->offset)
		return refuse_segment(f, i, "reaches behind the end of the file");
	while (at < s->filesz) {
		struct elf_note n;
		uint64_t name = at + sizeof(n), desc, next;
		int err;

		if (s->filesz - at < sizeof(n))
			return refuse_segment(f, i, "ends inside a note");
		memcpy(&n, bytes + at, sizeof(n));
		desc = align_up(name + n.name_size, align);
		next = align_up(desc + n.desc_size, align);
		if (desc + n.desc_size > s->filesz)
			return refuse_segment(f, i, "ends inside a note");
		err = read_note(f, i, &n, bytes + name, bytes + desc, wanted);
		if (err)
			return err;
		at = next;
	}
	return 0;
}

int elf_notes(const char *path, const void *image, size_t size, uint32_t *wanted)
{
	struct elf_file f = { .path = path, .bytes = image, .size = size };
	int err = check_header(&f);

	*wanted = 0;
	for (unsigned i = 0; !err && i < f.head.phnum; i++) {
		struct elf_segment s = segment(&f, i);

		if (s.type == PT_NOTE)
			err = read_notes(&f, i, &s, wanted);
	}
	return err;
}
