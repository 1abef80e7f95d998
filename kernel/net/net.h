/*
 * net: the TCP/IP stack on its core.
 *
 * There is one stack, lwIP, owned by the first core with ROLE_NET. Everything it does happens in
 * that core's turn: frames come from the NIC drivers' pollers, timers from the core's timer heap,
 * requests from operations that the executor runs there. No lock.
 *
 * Boot argument `net=`: `dhcp` (also when absent), `off`, or `ADDRESS/PREFIX[,GATEWAY]` such as
 * `10.0.2.15/24,10.0.2.2`. IPv6 configures itself: link-local at once, global from router
 * advertisements.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/types.h"

/* Builds the stack and joins it to every NIC. Boot core, after drivers_init and timers_init, before
 * other cores run. Addresses are asked for when the net core takes its first turn. 0, or -EINVAL
 * after a printed sentence when `net=` is senseless. */
must_use int net_init(void);

/* Index of the core that owns the stack. Sockets are made and operated there. */
uint32_t net_core_index(void);

/*
 * The machine goes down: no frame is taken any more, connections that closed sockets left behind
 * are reset, what waits for an address or for its other fragments is dropped, leases are given
 * back. Returns what is in use even so, of sockets, lwIP's pools and lent frames together: 0,
 * unless something leaks or a socket is still open. Net core only; may be called again.
 */
must_use uint32_t net_stop(void);

/* Objects in use in lwIP's pools, plus frames and sockets out. Walks every free list. Net core. */
uint32_t net_objects_out(void);

/* Sockets alive, and how many there may be. Any core, a hint. */
uint32_t net_socks_alive(void);
uint32_t net_socks_max(void);

#endif
