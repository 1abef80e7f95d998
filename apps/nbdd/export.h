/*
 * export: what is served under a name: a disk, or a piece of memory.
 *
 * An export is made before the first connection and never changes its size. Any number of
 * connections use it at once; overlapping requests in flight are ordered by nobody, as the
 * protocol allows.
 */
#ifndef NBDD_EXPORT_H
#define NBDD_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORTS_MAX 8
#define EXPORT_RAM_BLOCK 4096u

struct export {
	const char *name;
	const char *description;
	uint64_t size; /* bytes */
	uint32_t block_min;
	bool read_only;
	int fd;	   /* disk; -1: memory */
	char *ram; /* memory */
	/* memory: one bit per EXPORT_RAM_BLOCK bytes, set while they are known to be all zero */
	uint64_t *zero_map;
};

/* Opens "/path" (name "disk") or "ram:SIZE[K|M|G]" (name "ram", touched whole). 0, or -errno after
 * a printed sentence. */
int export_open(struct export *ex, const char *what);

/* All: [off, off + len) lies inside the export. 0 or -errno. May wait. */

/* *data is where the bytes are: `buf`, or the export's own memory. */
int export_read(struct export *ex, char *buf, uint64_t off, uint32_t len, const char **data);
/* Where a write's payload is to be received: the export's own memory, or `buf`. */
char *export_write_begin(struct export *ex, char *buf, uint64_t off, uint32_t len);
/* The payload is there. fua: on stable storage before it returns. */
int export_write_end(struct export *ex, const char *buf, uint64_t off, uint32_t len, bool fua);
int export_flush(struct export *ex);
/* The contents no longer matter. */
int export_trim(struct export *ex, uint64_t off, uint64_t len, bool fua);
int export_zero(struct export *ex, uint64_t off, uint64_t len, bool fua);

/* State (NBD_STATE_*) at `off`, and in *len for how many bytes, at most *len, it holds. */
uint32_t export_status(const struct export *ex, uint64_t off, uint64_t *len);

#endif
