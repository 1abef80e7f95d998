/*
 * device: the simulator's disk and console.
 *
 * The disk takes up to `depth` requests, finishes each after a random delay, so in any order, and
 * fails some. Data moves at the moment of completion, straight to or from the frames of the pin: a
 * frame that was freed meanwhile would be seen.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/blk.h"
#include "drivers/console.h"
#include "lib/internal.h"
#include "mm/frames.h"
#include "uapi/errno.h"

#define DEPTH_MAX 64u
#define SECTOR 512u

struct sim_disk sim_disk = { .delay_max = 200000, .depth = 8 };
bool sim_verbose;

static struct {
	struct blk_req *req;
	nsec_t due;
} slots[DEPTH_MAX];
static struct blk_req *finished[DEPTH_MAX];
static unsigned slots_used, finished_count;
static struct blk_dev disk_dev;
static nsec_t away_until; /* in reset: takes nothing */
static bool was_away;	  /* and those who wait have not been told yet that it is back */

/* ---- owner core ------------------------------------------------------------------------------ */

static int disk_submit(struct blk_dev *d, struct blk_req *r)
{
	if (r->kind != BLK_FLUSH &&
	    (r->len % SECTOR || r->sector > d->sectors || r->len / SECTOR > d->sectors - r->sector))
		return -EINVAL;
	if (slots_used + finished_count >= sim_disk.depth || away_until > sim_now)
		return -EAGAIN;
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		if (slots[i].req == r)
			sim_fail("disk: the same request was submitted twice");
	for (unsigned i = 0; i < DEPTH_MAX; i++) {
		if (slots[i].req)
			continue;
		slots[i].req = r;
		slots[i].due = sim_now + 1 + sim_below(sim_disk.delay_max);
		slots_used++;
		sim_disk.requests++;
		return 0;
	}
	return -EAGAIN;
}

static unsigned disk_poll(struct device_poller *p)
{
	unsigned n = finished_count;
	struct blk_req *done[DEPTH_MAX];
	bool back = was_away;

	(void)p;
	was_away = false;
	memcpy(done, finished, sizeof(done));
	finished_count = 0;
	for (unsigned i = 0; i < n; i++)
		done[i]->done(done[i]);
	if (n || back)
		waitlist_wake_all(disk_dev.room);
	return n;
}

static bool disk_arm(struct device_poller *p)
{
	(void)p;
	return finished_count || was_away;
}

static struct device_poller disk_poller = { .poll = disk_poll, .arm = disk_arm };

/* ---- the device's side ----------------------------------------------------------------------- */

static void disk_move(const struct blk_req *r, uint32_t len)
{
	uint8_t *at = sim_disk.bytes + r->sector * SECTOR;

	for (uint32_t off = 0; off < len;) {
		uint32_t run;
		void *p = pin_view(r->pin, r->pin_off + off, &run);

		run = min_of(run, len - off);
		for (uint32_t b = 0; b < run; b += PAGE_SIZE)
			if (!frame_refs(align_down(arch_direct_paddr((char *)p + b), PAGE_SIZE)))
				sim_fail("disk: a frame of a request in flight is free");
		if (r->kind == BLK_READ)
			memcpy(p, at + off, run);
		else
			memcpy(at + off, p, run);
		off += run;
	}
}

static void disk_finish(struct blk_req *r, bool fails)
{
	sim_disk.errors += fails;
	r->status = fails ? -EIO : 0;
	switch ((enum blk_kind)r->kind) {
	case BLK_READ:
	case BLK_WRITE:
		/* a failed transfer has moved some whole sectors, or none */
		disk_move(r, fails ? (uint32_t)sim_below(r->len / SECTOR + 1) * SECTOR : r->len);
		break;
	case BLK_DISCARD:
	case BLK_ZEROES:
		if (!fails)
			memset(sim_disk.bytes + r->sector * SECTOR, 0, r->len);
		break;
	case BLK_FLUSH:
		break;
	}
	finished[finished_count++] = r;
}

/* Everything it had fails, some of it half done, and it is away for as long as a request may
 * take. Who waits for room is told when it is back. */
static void disk_reset(nsec_t now)
{
	sim_disk.resets++;
	away_until = now + 1 + sim_below(sim_disk.delay_max);
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		if (slots[i].req)
			slots[i].due = now;
}

nsec_t sim_devices_step(nsec_t now)
{
	nsec_t next = NSEC_NEVER;
	bool any = false, reset = false;

	if (sim_disk.reset_one_in && slots_used && !away_until &&
	    sim_chance(sim_disk.reset_one_in)) {
		disk_reset(now);
		reset = true;
	}
	if (away_until > now) {
		next = away_until;
	} else if (away_until) {
		away_until = 0;
		was_away = any = true;
	}
	for (unsigned i = 0; i < DEPTH_MAX; i++) {
		if (!slots[i].req)
			continue;
		if (slots[i].due > now) {
			next = min_of(next, slots[i].due);
			continue;
		}
		disk_finish(slots[i].req,
			    reset || sim_below(1000) < sim_disk.eio_permille);
		slots[i].req = NULL;
		slots_used--;
		any = true;
	}
	if (any)
		arch_doorbell(disk_dev.core);
	return next;
}

void sim_disk_make(unsigned sectors)
{
	sim_disk.bytes = calloc(sectors, SECTOR);
	disk_dev = (struct blk_dev){
		.name = "vda",
		.sectors = sectors,
		.block_size = SECTOR,
		.discard_sectors_max = sectors,
		.zeroes_sectors_max = sectors,
		.segments_max = PIN_PAGES_MAX,
		.has_flush = true,
		.submit = disk_submit,
	};
}

/* ---- console --------------------------------------------------------------------------------- */

void sim_console(const char *text, size_t len)
{
	if (sim_verbose)
		fwrite(text, 1, len, stderr);
}

static size_t console_dev_write(struct console_dev *d, const char *text, size_t len)
{
	size_t n = 1 + sim_below(len);

	(void)d;
	sim_console(text, n);
	return n;
}

static unsigned console_poll(struct device_poller *p)
{
	(void)p;
	return console_drain();
}

static bool console_arm(struct device_poller *p)
{
	(void)p;
	return console_has_output();
}

static struct console_dev console = { .name = "sim", .write = console_dev_write };
static struct device_poller console_poller = { .poll = console_poll, .arm = console_arm };

void sim_drivers(void)
{
	console.core = core_with_role(ROLE_SERVES)->index;
	device_poller_add(console.core, &console_poller);
	console_attach(&console);
	if (!disk_dev.sectors)
		return;
	disk_dev.core = core_with_role(ROLE_IO)->index;
	blk_add(&disk_dev);
	device_poller_add(disk_dev.core, &disk_poller);
}
