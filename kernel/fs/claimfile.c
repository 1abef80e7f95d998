/*
 * claimfile: /dev/uart0 and its like: a device that a program drives itself.
 *
 * Opening one claims it: the kernel's driver keeps off until the last descriptor is closed, and
 * nobody else can claim it (-EBUSY), nor while it is the console or a stream (serialfile.c). mmap
 * shows the page of its registers, once; the page is taken away again with the claim, whether the
 * program still maps it or not. NOTICE lets its interrupt post to the program (ring/notice.c).
 *
 * A claim belongs to the port's core, its mapping to the home core of the process that made it.
 */
#include <string.h>

#include "drivers/serial.h"
#include "fs/internal.h"
#include "sched/inbox.h"

#define CLAIM_MAJOR 204
/* region tags (mm/aspace.h) from here on are claims' */
#define CLAIM_TAG 0x4000u

/* index as in serial_port() */
static struct {
	/* any core, atomic: 0, or 1 while somebody has mapped it; set by exchange */
	_Atomic uint32_t mapped;
	/* of whoever set it */
	struct aspace *as;
	uaddr_t at;

	struct inbox_source source;
} claims[SERIAL_PORTS_MAX];

static struct serial_port *claim_port(struct file *f)
{
	return serial_port(fs_file_of(f)->serial);
}

static int claim_map(struct file *f, struct aspace *as, uaddr_t *at)
{
	unsigned i = fs_file_of(f)->serial;
	uint16_t tag = (uint16_t)(CLAIM_TAG | i);
	int err;

	if (atomic_exchange_explicit(&claims[i].mapped, 1, memory_order_acquire))
		return -EBUSY;
	err = aspace_map_device(as, PAGE_SIZE, ACCESS_READ | ACCESS_WRITE, tag, at);
	if (!err) {
		err = aspace_device_set(as, *at, tag, claim_port(f)->base);
		if (err)
			(void)!aspace_unmap(as, *at, PAGE_SIZE);
	}
	if (err) {
		atomic_store_explicit(&claims[i].mapped, 0, memory_order_release);
		return err;
	}
	aspace_get(as);
	claims[i].as = as;
	claims[i].at = *at;
	return 0;
}

static struct inbox_source *claim_source(struct file *f, uint32_t *irq)
{
	*irq = claim_port(f)->irq;
	return &claims[fs_file_of(f)->serial].source;
}

static int claim_stat(struct file *f, struct statx *st)
{
	fs_stat_common(st, S_IFCHR | 0600, 40 + fs_file_of(f)->serial, PAGE_SIZE);
	st->stx_rdev_major = CLAIM_MAJOR;
	st->stx_rdev_minor = fs_file_of(f)->serial;
	return 0;
}

/* The page is gone from the program before the port is anybody else's. */
static void claim_free(struct file *f)
{
	struct serial_port *p = claim_port(f);
	unsigned i = fs_file_of(f)->serial;

	if (claims[i].mapped) {
		/* a program that unmapped it has no range of this tag any more */
		(void)aspace_device_set(claims[i].as, claims[i].at, (uint16_t)(CLAIM_TAG | i), 0);
		aspace_put(claims[i].as);
		atomic_store_explicit(&claims[i].mapped, 0, memory_order_release);
	}
	inbox_source_detach(&claims[i].source);
	p->reclaim(p);
	atomic_store_explicit(&p->use, 0, memory_order_release);
	fs_file_release(fs_file_of(f));
}

static const struct file_ops claim_ops = {
	.name = "claim", .map_device = claim_map, .source = claim_source, .stat = claim_stat,
	.free = claim_free};

int claim_open(const char *name, uint32_t oflags, struct fs_file **out)
{
	struct serial_port *p;
	uint32_t none = 0;
	unsigned i = 0;

	while ((p = serial_port(i)) && strcmp(p->device, name))
		i++;
	if (!p)
		return -ENOENT;
	if ((oflags & O_ACCMODE) != O_RDWR)
		return -EACCES;
	*out = fs_file_alloc(&claim_ops, S_IFCHR, oflags);
	if (!*out)
		return -ENFILE;
	if (p->is_console(p) ||
	    !atomic_compare_exchange_strong_explicit(&p->use, &none, SERIAL_CLAIMED,
						     memory_order_acquire, memory_order_relaxed)) {
		fs_file_release(*out);
		return -EBUSY;
	}
	(*out)->serial = i;
	(*out)->file.core = p->core;
	return 0;
}
