/*
 * cc: what lwIP must know about this host. Numbers come from the seed.
 */
#ifndef PEER_CC_H
#define PEER_CC_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

uint32_t peer_random(void);

#define LWIP_RAND() peer_random()
#define LWIP_PLATFORM_DIAG(args)                                                                   \
	do {                                                                                       \
		printf args;                                                                       \
	} while (0)
#define LWIP_PLATFORM_ASSERT(what)                                                                 \
	do {                                                                                       \
		printf("FAIL peer: lwip: %s\n", what);                                             \
		abort();                                                                           \
	} while (0)

#endif
