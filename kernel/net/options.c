/*
 * options: getsockopt and setsockopt.
 *
 * Net core only. What is not in the tables below answers -ENOPROTOOPT. SO_SNDBUF and SO_RCVBUF read
 * back twice what was set, as on Linux. SO_DONTROUTE, SO_RCVTIMEO, SO_SNDTIMEO, SO_REUSEPORT,
 * SO_RCVLOWAT, TCP_CORK, TCP_DEFER_ACCEPT and TCP_USER_TIMEOUT are left out: a time limit is a
 * linked timeout, corking is MSG_MORE.
 */
#include "lwip/ip.h"
#include "lwip/tcp.h"
#include "lwip/udp.h"
#include "net/sock_impl.h"
#include "uapi/errno.h"

#define SNDBUF_MIN 4608u /* Linux' own floor */
#define RCVBUF_MIN 2304u
#define BUF_MAX (4u << 20)

static int set_buffer(uint32_t *buf, int32_t value, uint32_t least)
{
	*buf = value < (int32_t)least ? least : min_of((uint32_t)value, BUF_MAX);
	return 0;
}

static int set_udp_flag(struct sock *s, uint8_t flag, bool on)
{
	if (s->type != SOCK_DGRAM || !s->udp)
		return 0;
	if (on)
		ip_set_option(s->udp, flag);
	else
		ip_reset_option(s->udp, flag);
	return 0;
}

static int set_socket(struct sock *s, int name, const void *value, uint32_t len)
{
	int32_t v;

	if (name == SO_LINGER) {
		if (len < sizeof(s->linger))
			return -EINVAL;
		memcpy(&s->linger, value, sizeof(s->linger));
		return 0;
	}
	memcpy(&v, value, sizeof(v));
	switch (name) {
	case SO_REUSEADDR:
		s->reuse = v != 0;
		return s->type == SOCK_STREAM ? tcp_sock_option(s, SOL_SOCKET, name, v) :
						set_udp_flag(s, SOF_REUSEADDR, v != 0);
	case SO_KEEPALIVE:
		return s->type == SOCK_STREAM ? tcp_sock_option(s, SOL_SOCKET, name, v) : 0;
	case SO_BROADCAST:
		s->broadcast = v != 0;
		return set_udp_flag(s, SOF_BROADCAST, v != 0);
	case SO_SNDBUF:
		return set_buffer(&s->sndbuf, v, SNDBUF_MIN);
	case SO_RCVBUF:
		return set_buffer(&s->rcvbuf, v, RCVBUF_MIN);
	}
	return -ENOPROTOOPT;
}

static int set_ip(struct sock *s, int level, int name, int32_t v)
{
	uint8_t *ttl = s->type == SOCK_STREAM ? (s->tcp ? &s->tcp->ttl : NULL)
					      : (s->udp ? &s->udp->ttl : NULL);
	uint8_t *tos = s->type == SOCK_STREAM ? (s->tcp ? &s->tcp->tos : NULL)
					      : (s->udp ? &s->udp->tos : NULL);

	if (level == SOL_IPV6 && name == IPV6_V6ONLY) {
		if (s->domain != AF_INET6 || s->bound)
			return -EINVAL;
		s->v6only = v != 0;
		if (s->type == SOCK_DGRAM && s->udp)
			IP_SET_TYPE_VAL(s->udp->local_ip, v ? IPADDR_TYPE_V6 : IPADDR_TYPE_ANY);
		return 0;
	}
	if ((level == SOL_IP && name == IP_TTL) ||
	    (level == SOL_IPV6 && name == IPV6_UNICAST_HOPS)) {
		if (v == -1)
			v = IP_DEFAULT_TTL;
		if (v < 1 || v > 255)
			return -EINVAL;
		if (ttl)
			*ttl = (uint8_t)v;
		return 0;
	}
	if (level == SOL_IP && name == IP_TOS) {
		if (tos)
			*tos = (uint8_t)v;
		return 0;
	}
	return -ENOPROTOOPT;
}

int sock_option_set(struct sock *s, int level, int name, const void *value, uint32_t len)
{
	int32_t v;

	if (len < sizeof(v))
		return -EINVAL;
	memcpy(&v, value, sizeof(v));
	if (s->state == SOCK_GONE)
		return -EINVAL;
	if (level == SOL_SOCKET)
		return set_socket(s, name, value, len);
	if (level == SOL_IP || level == SOL_IPV6)
		return set_ip(s, level, name, v);
	if (level == SOL_TCP)
		return s->type == SOCK_STREAM ? tcp_sock_option(s, level, name, v) : -ENOPROTOOPT;
	return -ENOPROTOOPT;
}

static int get_socket(struct sock *s, int name, int32_t *v)
{
	switch (name) {
	case SO_TYPE:
		*v = s->type;
		return 0;
	case SO_DOMAIN:
		*v = s->domain;
		return 0;
	case SO_PROTOCOL:
		*v = s->type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
		return 0;
	case SO_ERROR:
		*v = -sock_take_error(s);
		return 0;
	case SO_ACCEPTCONN:
		*v = s->state == SOCK_LISTENING;
		return 0;
	case SO_REUSEADDR:
		*v = s->reuse;
		return 0;
	case SO_KEEPALIVE:
		*v = s->keepalive;
		return 0;
	case SO_BROADCAST:
		*v = s->broadcast;
		return 0;
	case SO_SNDBUF:
		*v = (int32_t)(s->sndbuf * 2);
		return 0;
	case SO_RCVBUF:
		*v = (int32_t)(s->rcvbuf * 2);
		return 0;
	}
	return -ENOPROTOOPT;
}

static int get_ip(struct sock *s, int level, int name, int32_t *v)
{
	bool tcp = s->type == SOCK_STREAM;

	if (level == SOL_IPV6 && name == IPV6_V6ONLY && s->domain == AF_INET6) {
		*v = s->v6only;
		return 0;
	}
	if ((level == SOL_IP && name == IP_TTL) ||
	    (level == SOL_IPV6 && name == IPV6_UNICAST_HOPS)) {
		*v = tcp ? (s->tcp ? s->tcp->ttl : IP_DEFAULT_TTL)
			 : (s->udp ? s->udp->ttl : IP_DEFAULT_TTL);
		return 0;
	}
	if (level == SOL_IP && name == IP_TOS) {
		*v = tcp ? (s->tcp ? s->tcp->tos : 0) : (s->udp ? s->udp->tos : 0);
		return 0;
	}
	return -ENOPROTOOPT;
}

int sock_option_get(struct sock *s, int level, int name, void *value, uint32_t len)
{
	int32_t v = 0;
	int err;

	if (level == SOL_SOCKET && name == SO_LINGER) {
		len = min_of(len, (uint32_t)sizeof(s->linger));
		memcpy(value, &s->linger, len);
		return (int)len;
	}
	if (level == SOL_SOCKET) {
		err = get_socket(s, name, &v);
	} else if (level == SOL_IP || level == SOL_IPV6) {
		err = get_ip(s, level, name, &v);
	} else if (level == SOL_TCP && s->type == SOCK_STREAM) {
		v = tcp_sock_option_get(s, name);
		err = v < 0 ? v : 0;
	} else {
		err = -ENOPROTOOPT;
	}
	if (err)
		return err;
	len = min_of(len, (uint32_t)sizeof(v));
	memcpy(value, &v, len);
	return (int)len;
}
