/*
 * lwippools: the size classes behind mem_malloc: packet headers with small payloads, medium ones, full segments.
 *
 * Included several times with different meanings of the macros (no guard, by lwIP's design). A full segment
 * needs pbuf header, 74 bytes of protocol headers and 1,460 bytes; an empty class borrows from the next.
 */
LWIP_MALLOC_MEMPOOL_START
LWIP_MALLOC_MEMPOOL(4096, 256)
LWIP_MALLOC_MEMPOOL(1024, 640)
LWIP_MALLOC_MEMPOOL(3072, 1664)
LWIP_MALLOC_MEMPOOL_END
