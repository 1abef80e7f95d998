/*
 * addr: socket addresses of programs to and from lwIP's.
 *
 * No state, net core. An AF_INET6 socket that is not v6-only speaks both versions: it sees IPv4
 * peers as ::ffff:a.b.c.d (RFC 4291, section 2.5.5.2), and its wildcard is lwIP's "any type".
 */
#include "lwip/ip6_addr.h"
#include "lwip/ip6_zone.h"
#include "lwip/netif.h"
#include "net/sock_impl.h"
#include "uapi/errno.h"

static bool is_mapped(const struct in6_addr *a)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(a->s6_addr, prefix, sizeof(prefix));
}

static int parse6(const struct sock *s, const struct sockaddr_in6 *in6, ip_addr_t *ip)
{
	uint32_t words[4];

	if (is_mapped(&in6->sin6_addr)) {
		uint32_t v4;

		if (s->v6only)
			return -ENETUNREACH;
		memcpy(&v4, in6->sin6_addr.s6_addr + 12, sizeof(v4));
		ip_addr_set_ip4_u32_val(*ip, v4);
		return 0;
	}
	memcpy(words, in6->sin6_addr.s6_addr, sizeof(words));
	if (!(words[0] | words[1] | words[2] | words[3]) && !s->v6only) {
		*ip = *IP_ANY_TYPE;
		return 0;
	}
	ip_addr_set_zero_ip6(ip);
	memcpy(ip_2_ip6(ip)->addr, words, sizeof(words));
	if (ip6_addr_has_scope(ip_2_ip6(ip), IP6_UNICAST)) {
		if (in6->sin6_scope_id)
			ip6_addr_set_zone(ip_2_ip6(ip), (uint8_t)in6->sin6_scope_id);
		else if (netif_default)
			ip6_addr_assign_zone(ip_2_ip6(ip), IP6_UNICAST, netif_default);
	}
	return 0;
}

int sock_name_parse(const struct sock *s, const struct sock_name *name, ip_addr_t *ip,
		    uint16_t *port)
{
	if (name->len < sizeof(sa_family_t))
		return -EINVAL;
	if (s->domain == AF_INET) {
		if (name->len < sizeof(name->in4))
			return -EINVAL;
		if (name->in4.sin_family != AF_INET)
			return -EAFNOSUPPORT;
		ip_addr_set_ip4_u32_val(*ip, name->in4.sin_addr.s_addr);
		*port = net_swap16(name->in4.sin_port);
		return 0;
	}
	/* 24: the structure before sin6_scope_id was added (RFC 2133), which Linux accepts too. */
	if (name->in6.sin6_family != AF_INET6)
		return -EAFNOSUPPORT;
	if (name->len < 24)
		return -EINVAL;
	*port = net_swap16(name->in6.sin6_port);
	return parse6(s, &name->in6, ip);
}

int sock_name_parse_peer(const struct sock *s, const struct sock_name *name, ip_addr_t *ip,
			 uint16_t *port)
{
	int err = sock_name_parse(s, name, ip, port);

	if (err)
		return err;
	if (!IP_IS_V6_VAL(*ip) && ip4_addr_isany_val(*ip_2_ip4(ip))) {
		if (s->domain == AF_INET)
			ip_addr_set_loopback(false, ip);
		else
			ip_addr_set_loopback(true, ip);
	} else if (IP_IS_V6_VAL(*ip) && ip6_addr_isany(ip_2_ip6(ip))) {
		ip_addr_set_loopback(true, ip);
	}
	return 0;
}

void sock_name_make(const struct sock *s, const ip_addr_t *ip, uint16_t port,
		    struct sock_name *name)
{
	memset(name, 0, sizeof(name->in6));
	if (s->domain == AF_INET) {
		name->in4.sin_family = AF_INET;
		name->in4.sin_port = net_swap16(port);
		name->in4.sin_addr.s_addr = ip_addr_get_ip4_u32(ip);
		name->len = sizeof(name->in4);
		return;
	}
	name->in6.sin6_family = AF_INET6;
	name->in6.sin6_port = net_swap16(port);
	name->len = sizeof(name->in6);
	if (IP_IS_V6(ip)) {
		memcpy(name->in6.sin6_addr.s6_addr, ip_2_ip6(ip)->addr, 16);
		name->in6.sin6_scope_id = ip6_addr_zone(ip_2_ip6(ip));
	} else if (IP_IS_V4(ip) && !ip4_addr_isany(ip_2_ip4(ip))) {
		uint32_t v4 = ip4_addr_get_u32(ip_2_ip4(ip));

		memset(name->in6.sin6_addr.s6_addr + 10, 0xff, 2);
		memcpy(name->in6.sin6_addr.s6_addr + 12, &v4, sizeof(v4));
	}
}
