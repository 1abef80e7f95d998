/*
 * netif: a network card as lwIP sees it. Net core only.
 */
#ifndef NET_NETIF_H
#define NET_NETIF_H

#include "drivers/nic.h"
#include "lwip/netif.h"

struct net_if {
	struct netif netif;
	struct nic *nic;
	uint8_t said6;	  /* bit per IPv6 address that was printed */
	uint32_t said;	  /* the IPv4 address that was printed last */
	uint32_t rx_low;  /* copy received frames when the device has no more buffers than this */
	bool kick;	  /* frames committed since the last tx_kick */
	bool tx_starved;  /* a frame found no transmit buffer; tx_room has not been called since */
	/* there is room again for what lwIP kept: the next turn's poll sends it */
	bool tx_retry;
};

/* Memory for the frames that are in lwIP's hands. Boot. */
void net_if_init_pools(void);

/* Joins `nic` to lwIP: no address yet, link up. Net core, once per card. */
void net_if_attach(struct net_if *n, struct nic *nic);

/* No frame is delivered to lwIP any more. */
void net_if_detach(struct net_if *n);

/* Device buffers that lwIP, or a socket's queue, still holds. */
uint32_t net_if_lent_count(void);

/* The Ethernet address of the next hop towards `ip` (network byte order), as lwIP's ARP table has
 * it now; NULL: not known. */
const uint8_t *net_if_next_hop(struct net_if *n, uint32_t ip);

/* Makes the device look at what was committed, if there is anything. */
void net_if_kick(struct net_if *n);

#endif
