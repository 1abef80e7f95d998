/*
 * lwipopts: lwIP as Sluice uses it: no operating system beneath it (NO_SYS), the raw API only,
 * everything on the one net core, all memory in pools that exist from boot.
 *
 * Set once, no state. Numbers that depend on each other are checked by lwIP's own init.c.
 */
#ifndef NET_LWIP_LWIPOPTS_H
#define NET_LWIP_LWIPOPTS_H

/* ---- shape ---- */
#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define LWIP_TIMERS_CUSTOM                                                                         \
	1 /* net/timers.c drives the cyclic timers from the core's own timer heap */
#define LWIP_STATS 0

/* ---- memory: fixed-size pools (lwippools.h), nothing grows ---- */
#define MEM_ALIGNMENT 8
#define MEM_LIBC_MALLOC 0
#define MEM_USE_POOLS 1
#define MEM_USE_POOLS_TRY_BIGGER_POOL 1
#define MEMP_USE_CUSTOM_POOLS 1
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define LWIP_PBUF_REF_T u16_t

#define MEMP_NUM_TCP_PCB 1300
#define MEMP_NUM_TCP_PCB_LISTEN 64
#define MEMP_NUM_UDP_PCB 128
#define MEMP_NUM_TCP_SEG 8192
#define MEMP_NUM_PBUF 256
#define MEMP_NUM_REASSDATA 8
#define MEMP_NUM_FRAG_PBUF 128
#define MEMP_NUM_ARP_QUEUE 256
#define PBUF_POOL_SIZE 256
#define PBUF_POOL_BUFSIZE 1536
/* The receive window lives in the device's buffers and the pools of lwippools.h, not in PBUF_POOL
 * alone; net/netif.c drops large frames early when both run low. */
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1

/* ---- Ethernet and IP ---- */
#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define IPV6_FRAG_COPYHEADER                                                                       \
	1 /* two pointers do not fit the fragment header that they would replace */
#define LWIP_RAW 0
#define ARP_TABLE_SIZE 127 /* with 16, a flood from a few neighbours pushed out the honest ones */
#define ARP_QUEUEING 1
#define ARP_QUEUE_LEN 8
#define IP_REASSEMBLY 1
#define IP_REASS_MAX_PBUFS 44 /* 44 fragments of 1,480 bytes: see lwippools.h */
#define IP_FRAG 1
#define IP_DEFAULT_TTL 64
#define IP_SOF_BROADCAST 1
#define LWIP_IPV6_MLD                                                                              \
	0 /* its 100 ms timer would wake an idle core; no switch that snoops is in our way */
#define LWIP_IPV6_AUTOCONFIG 1
#define LWIP_IPV6_NUM_ADDRESSES 4
#define LWIP_ND6_QUEUEING 1
#define LWIP_DHCP 1
#define DHCP_DOES_ARP_CHECK 0 /* the address is used at once; the server is trusted */
#define LWIP_DHCP_DOES_ACD_CHECK 0
#define LWIP_NETIF_LOOPBACK 1
#define LWIP_HAVE_LOOPIF 1
#define LWIP_LOOPBACK_MAX_PBUFS 1024
#define LWIP_NETIF_STATUS_CALLBACK 1
#define LWIP_NETIF_LINK_CALLBACK 0

/* ---- TCP ---- */
#define LWIP_TCP 1
#define TCP_MSS 1460
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 2
#define TCP_WND (44 * TCP_MSS) /* 64,240 bytes: fits a peer that does not scale too */
#define TCP_SND_BUF (64 * TCP_MSS)
#define TCP_SND_QUEUELEN 512
#define TCP_SNDLOWAT (TCP_SND_BUF / 4)
#define TCP_SNDQUEUELOWAT (TCP_SND_QUEUELEN / 4)
#define TCP_WND_UPDATE_THRESHOLD (TCP_WND / 4)
#define TCP_LISTEN_BACKLOG 1
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_BYTES TCP_WND
#define TCP_OOSEQ_MAX_PBUFS 24
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_KEEPALIVE 1
#define TCP_MSL 30000u /* TIME_WAIT of 60 s, as Linux has it */
#define SO_REUSE 1

/* ---- UDP ---- */
#define LWIP_UDP 1

/* ---- checksums: in software, with data summed while it is copied; off per interface when the
 * device does them ---- */
#define LWIP_CHECKSUM_ON_COPY 1
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1

#endif
