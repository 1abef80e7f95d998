/*
 * flow_wire: an IPv4 TCP segment without options in an Ethernet frame, as flow.c reads and
 * flow_send.c writes it. No state.
 */
#ifndef NET_FLOW_WIRE_H
#define NET_FLOW_WIRE_H

#include "arch/cc.h"
#include "base/types.h"
#include "net/chksum.h"

#define ETHERNET_BYTES 14u
#define IP_BYTES 20u
#define TCP_BYTES 20u

/* Where frames lie (drivers/nic.h): a multiple of eight, and this. */
#define FRAME_PHASE 2u

/* RFC 791 and RFC 9293 as they lie in the frame, in words as a little-endian machine loads them;
 * within a word the first byte is the lowest. */
struct flow_headers {
	uint32_t version_tos_length;
	uint32_t id_fragment;
	uint32_t ttl_protocol_sum;
	uint32_t from, to;
	uint32_t ports; /* source, destination */
	uint32_t seq, ack;
	uint32_t offset_flags_window;
	uint32_t sum_urgent;
} __attribute__((may_alias));
_Static_assert(sizeof(struct flow_headers) == IP_BYTES + TCP_BYTES, "IPv4 and TCP without options");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "words of headers are taken apart as little-endian ones");

#define FLOW_PROTOCOL_TCP (6u << 8) /* in ttl_protocol_sum; and in the pseudo header's sum */

#endif
