/*
 * ip6_in: where lwIP's IPv6 hands a fragment to its reassembly (lwip/unity.c leads the call here).
 *
 * Net core only. ip6_reass measures what lies between the IPv6 header and the fragment header, and
 * asserts that it can. After a packet has been put together ip6_input goes on with its headers
 * while the current IPv6 header is still the last piece's, in another buffer: a fragment header
 * inside the fragments would stop the kernel. No honest sender makes one (RFC 8200, section 4.5:
 * the fragmentable part of a packet is not a fragment); it is dropped.
 */
#include "lwip/ip.h"
#include "lwip/ip6_frag.h"
#include "net/sock_impl.h"

struct pbuf *net_ip6_reass(struct pbuf *p)
{
	const uint8_t *head = (const uint8_t *)ip6_current_header();

	/* ip6_input counts this fragment header among those it has seen. */
	if ((const uint8_t *)p->payload - head !=
	    ip_data.current_ip_header_tot_len - IP6_FRAG_HLEN) {
		pbuf_free(p);
		return NULL;
	}
	return ip6_reass(p);
}
