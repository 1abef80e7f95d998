/*
 * lwippools: the size classes behind mem_malloc: packet headers with small payloads, medium ones,
 * full segments.
 *
 * Included several times with different meanings of the macros (no guard, by lwIP's design). A full
 * segment needs pbuf header, 74 bytes of protocol headers and 1,460 bytes; an empty class borrows
 * from the next. The two large classes are for datagrams in one piece (loopback copies, answers to
 * long pings): lwIP counts sizes in 16 bits and asserts that some class is big enough, so
 * lwipopts.h and udp.c keep every datagram below 65,300 bytes.
 */
LWIP_MALLOC_MEMPOOL_START
LWIP_MALLOC_MEMPOOL(4096, 256)
LWIP_MALLOC_MEMPOOL(1024, 640)
LWIP_MALLOC_MEMPOOL(3072, 1664)
LWIP_MALLOC_MEMPOOL(16, 9216)
LWIP_MALLOC_MEMPOOL(4, 65520)
LWIP_MALLOC_MEMPOOL_END
