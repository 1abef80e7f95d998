/*
 * lwipopts: lwIP as the storm's peer uses it, on the other end of the guest's network cable: the
 * raw API, memory from malloc so that a sanitizer sees each buffer, and a fast clock, since what is
 * lost on purpose shall be said again soon.
 */
#ifndef PEER_LWIPOPTS_H
#define PEER_LWIPOPTS_H

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define LWIP_TIMERS_CUSTOM 1 /* main.c calls what is due */
#define LWIP_STATS 0

#define MEM_ALIGNMENT 8
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1

#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_RAW 0
#define LWIP_UDP 1
#define LWIP_ICMP 1
#define LWIP_IPV6_MLD 0
#define LWIP_IPV6_AUTOCONFIG 0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define IPV6_FRAG_COPYHEADER 1
#define IP_REASSEMBLY 1
#define IP_FRAG 1

#define LWIP_TCP 1
#define TCP_MSS 1460
#define TCP_WND (8 * TCP_MSS) /* small, so that it is often full */
#define TCP_SND_BUF (8 * TCP_MSS)
#define TCP_SND_QUEUELEN 64
#define TCP_QUEUE_OOSEQ 1
#define TCP_TMR_INTERVAL 50
#define LWIP_TCP_RTO_TIME 300
#define TCP_MSL 50u /* ports are taken again at once, whatever the guest thinks of it */
#define TCP_FIN_WAIT_TIMEOUT 20000
#define TCP_MAXRTX 12
#define TCP_SYNMAXRTX 8

#endif
