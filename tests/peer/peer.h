/*
 * peer: what the files of the storm's peer share. One thread; everything is driven by main.c's
 * loop.
 */
#ifndef TESTS_PEER_H
#define TESTS_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "lwip/netif.h"

#define GUEST_IP "10.0.2.15"
#define PEER_IP "10.0.2.2"
#define GUEST_IP6 "fe80::5054:ff:fe12:3456" /* of QEMU's first card, 52:54:00:12:34:56 */
#define FORGED_FIRST 100u /* 10.0.2.100 and up do not exist: SYN floods come from there */
#define ECHO_PORT 7u
#define FRAME_MAX 1514u

/* What the link and the peer do to the guest; permille of frames unless said. */
struct profile {
	const char *name;
	unsigned abreast;      /* connections open at a time */
	uint32_t bytes_max;    /* to be echoed on one */
	unsigned drop, twice, later, damage; /* each way */
	unsigned split;	       /* IP fragments, some of them overlapping or missing */
	unsigned resets;       /* connections that end by our RST at a random moment */
	unsigned slow;	       /* connections that do not read for a while */
	unsigned forge;	       /* per mille of turns: a forged segment or a burst of SYNs */
	bool resets_allowed;   /* the guest may reset, for what was lost */
};

/* main.c */
uint32_t peer_below(uint32_t n);
bool peer_chance(unsigned permille);
uint64_t peer_ms(void);
_Noreturn void peer_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* link.c: the cable. */
extern struct netif link_if;
extern const struct profile *link_now;
extern uint8_t link_guest_mac[6];
extern unsigned long link_frames[2]; /* to us, to the guest */
void link_open(const char *path); /* listens; link_accept waits for the guest's machine */
void link_accept(void);
void link_turn(int wait_ms);
/* Past lwIP and past all damage. */
void link_inject(const uint8_t *frame, uint32_t len);

/* client.c: connections. */
void clients_begin(const struct profile *p, unsigned count);
void clients_turn(void);
bool clients_done(void);
void clients_report(void);
struct tcp_pcb *clients_any(void); /* an established one, or NULL */

/* forge.c: frames that no honest stack sends. */
void forge_turn(void);
/* A frame from the guest to somebody who does not exist: true if it was taken. */
bool forge_heard(const uint8_t *frame, uint32_t len);
/* Sends an IP packet in pieces; false: not one that can be split. */
bool forge_split(const uint8_t *frame, uint32_t len);

#endif
