/*
 * cc: what lwIP must know about our compilers and about the kernel around it.
 *
 * Set once, no state. Included by every lwIP file through lwip/arch.h.
 *
 * Protocol headers are not declared packed on riscv64: each of them has its natural layout (port.c
 * asserts the sizes), network drivers place frames so that the IP header is aligned, and without
 * the attribute the compiler reads a word with one load instead of four byte loads and shifts.
 */
#ifndef NET_LWIP_ARCH_CC_H
#define NET_LWIP_ARCH_CC_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* lwIP takes a C library that knows SSIZE_MAX to have the type as well, but looks for it in
 * unistd.h. */
#ifdef SSIZE_MAX
#include <sys/types.h>
#endif

#define LWIP_NO_CTYPE_H 1
#define LWIP_NO_UNISTD_H 1

#ifndef BYTE_ORDER
#define BYTE_ORDER LITTLE_ENDIAN
#endif

void net_port_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void net_port_assert(const char *what, const char *file, int line) __attribute__((noreturn));
uint32_t net_port_random(void);

#define LWIP_PLATFORM_DIAG(args) net_port_say args
#define LWIP_PLATFORM_ASSERT(what) net_port_assert(what, __FILE__, __LINE__)
#define LWIP_RAND() net_port_random()

/* Initial sequence numbers nobody outside can foresee (RFC 6528 asks for no more than that). */
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port)                            \
	((void)(local_ip), (void)(local_port), (void)(remote_ip), (void)(remote_port),             \
	 net_port_random())

/* The checksum of len bytes, not inverted, in the byte order of memory; and the same while copying.
 * chksum.c */
uint16_t net_chksum(const void *data, int len);
uint16_t net_chksum_copy(void *dst, const void *src, uint16_t len);
#define LWIP_CHKSUM net_chksum
#define LWIP_CHKSUM_COPY(dst, src, len) net_chksum_copy(dst, src, len)

/* Byte order: shifts that stay inline; a library call costs more than the swap. */
static inline uint16_t net_swap16(uint16_t v)
{
	return (uint16_t)(v << 8 | v >> 8);
}
static inline uint32_t net_swap32(uint32_t v)
{
	return v << 24 | (v << 8 & 0xff0000u) | (v >> 8 & 0xff00u) | v >> 24;
}
#define LWIP_DONT_PROVIDE_BYTEORDER_FUNCTIONS 1
#define lwip_htons(v) net_swap16(v)
#define lwip_ntohs(v) net_swap16(v)
#define lwip_htonl(v) net_swap32(v)
#define lwip_ntohl(v) net_swap32(v)

/* A freestanding compiler calls these even for six bytes; the builtins are the same functions,
 * inlined where the size is known and small. */
#define MEMCPY(dst, src, len) __builtin_memcpy(dst, src, len)
#define SMEMCPY(dst, src, len) __builtin_memcpy(dst, src, len)
#define memset(dst, v, len) __builtin_memset(dst, v, len)
#define memcmp(a, b, len) __builtin_memcmp(a, b, len)

#define PACK_STRUCT_BEGIN
#define PACK_STRUCT_END
#ifdef CONFIG_ARCH_HOSTED
#define PACK_STRUCT_STRUCT __attribute__((packed))
#else
#define PACK_STRUCT_STRUCT
#define LWIP_SKIP_PACKING_CHECK 1 /* port.c asserts what matters instead */
#endif

#endif
