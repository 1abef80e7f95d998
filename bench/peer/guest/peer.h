/*
 * peer: what the peer's own programs share besides bench/host/host.h: marks for the counting
 * plugin. Ordinary Linux programs, linked statically. They are built for this host, too, where a
 * mark is nothing.
 *
 * A result is one line, `bench: KEY=value ...`, as on Sluice (bench/guest/lib/guest.h).
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "bench/host/host.h"

/* The plugin (bench/plugin/count.c) writes the totals of all harts down when one of these runs. */
/* Between these two a program looks again and again whether something has come. */
#define PEER_MARK_SPIN	0x20
#define PEER_MARK_SPUN	0x21
#define PEER_MARK_BEGIN 0x30
#define PEER_MARK_END	0x31
#define PEER_MARK_INIT	0x32 /* the first user instructions of init, nearly */
#define PEER_MARK_SHELL 0x33 /* modules loaded, network up */

#ifdef __riscv
#define PEER_MARK(n) __asm__ volatile("slti x0, x0, 0x700 + %0" : : "i"(n) : "memory")
#else
#define PEER_MARK(n) __asm__ volatile("" : : "i"(n) : "memory")
#endif

#endif
