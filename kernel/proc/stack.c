/*
 * stack: the first thing a new program sees: its stack, with arguments, environment, auxiliary
 * vector and struct sluice_start.
 *
 *   low  [guard 64 KiB][ lazy stack ... | sp: argc argv 0 envp 0 auxv | start | random | strings ] high
 *
 * Built in a kernel buffer of two pages and copied in one go. Source: System V ABI, "Process
 * Initialization"; uapi/auxv.h. Runs on the new process's home core; never parks.
 */
#include <string.h>

#include "drivers/drivers.h"
#include "mm/frames.h"
#include "proc/internal.h"
#include "uapi/auxv.h"
#include "uapi/errno.h"

#define BLOCK_ORDER 1u
#define BLOCK_BYTES (PAGE_SIZE << BLOCK_ORDER)
#define WORDS_MAX 384u

struct block {
	char *bytes;	/* BLOCK_BYTES, filled downwards */
	uint64_t fill;	/* offset of the lowest byte in use */
	uaddr_t base;	/* user address of bytes[0] */
	uint64_t word[WORDS_MAX];
	uint32_t words;
	bool full;
};

static uaddr_t block_push(struct block *b, const void *src, size_t len, size_t align)
{
	if (b->full || len + align > b->fill) {
		b->full = true;
		return 0;
	}
	b->fill = align_down(b->fill - len, (uint64_t)align);
	memcpy(b->bytes + b->fill, src, len);
	return b->base + b->fill;
}

static void block_word(struct block *b, uint64_t word)
{
	if (b->words == WORDS_MAX)
		b->full = true;
	else
		b->word[b->words++] = word;
}

static void block_aux(struct block *b, uint64_t tag, uint64_t value)
{
	block_word(b, tag);
	block_word(b, value);
}

static void block_strings(struct block *b, const char *const *list)
{
	for (; list && *list; list++)
		block_word(b, block_push(b, *list, strlen(*list) + 1, 1));
	block_word(b, 0);
}

static uint64_t count_strings(const char *const *list)
{
	uint64_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static int stack_map(struct aspace *as, uaddr_t *top)
{
	uaddr_t base = as->top - STACK_GUARD_BYTES - STACK_BYTES, at;
	int err = aspace_map_guard(as, base - STACK_GUARD_BYTES, STACK_GUARD_BYTES);

	if (!err)
		err = aspace_map_anon(as, base, STACK_BYTES, ACCESS_READ | ACCESS_WRITE,
				      ASPACE_FIXED_NEW, &at);
	*top = base + STACK_BYTES;
	return err;
}

static int stack_fill(struct block *b, const struct process_spec *spec, const struct elf_info *elf,
		      const struct sluice_start *start, uaddr_t *sp)
{
	uint8_t random[16];
	uaddr_t name, seed, announced;

	block_word(b, count_strings(spec->argv));
	block_strings(b, spec->argv);
	block_strings(b, spec->envp);
	random_bytes(random, sizeof(random));
	name = block_push(b, spec->path, strlen(spec->path) + 1, 1);
	seed = block_push(b, random, sizeof(random), 16);
	announced = block_push(b, start, sizeof(*start), 16);
	if (elf->phdr) {
		block_aux(b, AT_PHDR, elf->phdr);
		block_aux(b, AT_PHENT, 56);
		block_aux(b, AT_PHNUM, elf->phnum);
	}
	block_aux(b, AT_PAGESZ, PAGE_SIZE);
	block_aux(b, AT_HWCAP, ARCH_HWCAP);
	block_aux(b, AT_BASE, 0);
	block_aux(b, AT_FLAGS, 0);
	block_aux(b, AT_ENTRY, elf->entry);
	block_aux(b, AT_UID, 0);
	block_aux(b, AT_EUID, 0);
	block_aux(b, AT_GID, 0);
	block_aux(b, AT_EGID, 0);
	block_aux(b, AT_SECURE, 0);
	block_aux(b, AT_CLKTCK, 100);
	block_aux(b, AT_RANDOM, seed);
	block_aux(b, AT_EXECFN, name);
	block_aux(b, AT_SLUICE, announced);
	block_aux(b, AT_NULL, 0);
	*sp = block_push(b, b->word, b->words * sizeof(uint64_t), 16);
	return b->full ? -E2BIG : 0;
}

int stack_build(struct process *p, const struct process_spec *spec, const struct elf_info *elf,
		const struct sluice_start *start, uaddr_t *sp)
{
	paddr_t pages = frame_alloc(BLOCK_ORDER), words = frame_alloc(0);
	struct block *b;
	uaddr_t top;
	int err = -ENOMEM;

	_Static_assert(sizeof(*b) <= PAGE_SIZE, "the block's head fits a frame");
	if (!pages || !words)
		goto out;
	err = stack_map(p->as, &top);
	if (err)
		goto out;
	b = arch_direct(words);
	memset(b, 0, sizeof(*b));
	b->bytes = arch_direct(pages);
	b->fill = BLOCK_BYTES;
	b->base = top - BLOCK_BYTES;
	err = stack_fill(b, spec, elf, start, sp);
	if (!err)
		err = aspace_fill(p->as, *sp, b->bytes + b->fill, BLOCK_BYTES - b->fill);
out:
	if (pages)
		frame_put(pages);
	if (words)
		frame_put(words);
	return err;
}
