/*
 * parts: loads that ask for what one core owns: the disk, the network.
 *
 *   disk:  16 reads of 4 KiB under way, anywhere on the disk
 *   net:   8 connections to itself (TCP over the loopback interface), 64 bytes on their way through
 *          each, sent and awaited
 *   parts: every other program is of the one kind, and of the other
 *
 * The disk answers within PART_DISK_NS and takes 64 requests, so cores are what is scarce.
 */
#ifndef TESTS_SIM_CORES_PARTS_H
#define TESTS_SIM_CORES_PARTS_H

#include "cores_parts/view.h"

#define PART_SECTORS 16384u
#define PART_DISK_NS 10000u

struct part;

/* Is the load of these? */
bool part_is(const char *load);
/* Sets up what program `number` needs of it. NULL: the load is none. */
struct part *part_begin(struct sim_prog *p, const char *load, unsigned number);
/* Keeps all under way, unless it is over, and looks once; how many messages have come through. */
uint32_t part_turn(struct view *v, struct part *part, bool over);

#endif
