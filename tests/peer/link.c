/*
 * link: the cable between the guest's card and lwIP: QEMU's stream, each frame behind its length in
 * four bytes, and what happens to frames on the way, as the profile says.
 *
 *   lwIP --output--> lose? repeat? delay? damage? split? --> stream --> guest
 *   lwIP <--input--- lose? repeat? delay? damage? <--------- stream <-- guest
 *
 * Damage is one bit of an IP packet: what the Internet checksum always finds. Ethernet's own
 * checksum would find it elsewhere, and ARP has nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "netif/ethernet.h"
#include "peer.h"

#define DELAYED_MAX 256u
#define DELAY_MS 30u
#define OUT_BYTES                                                                                  \
	(8u << 20) /* what the guest's machine has not taken yet; beyond, frames are lost */

enum { TO_US, TO_GUEST };

struct delayed {
	uint64_t due;
	uint32_t len; /* 0: free */
	uint8_t to;
	uint8_t bytes[FRAME_MAX];
};

struct netif link_if;
const struct profile *link_now;
uint8_t link_guest_mac[6];
unsigned long link_frames[2];

static int listener, stream;
static struct delayed delayed[DELAYED_MAX];
static uint8_t in[1 << 20], out[OUT_BYTES];
static uint32_t in_len, out_len;

/* ---- the stream ------------------------------------------------------------------------------ */

static void out_flush(void)
{
	ssize_t n = out_len ? send(stream, out, out_len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		peer_fail("the guest's machine is gone: %s", strerror(errno));
	if (n > 0) {
		out_len -= (uint32_t)n;
		memmove(out, out + n, out_len);
	}
}

void link_inject(const uint8_t *frame, uint32_t len)
{
	uint8_t *at = out + out_len;

	if (OUT_BYTES - out_len < len + 4)
		return;
	at[0] = at[1] = 0;
	at[2] = (uint8_t)(len >> 8);
	at[3] = (uint8_t)len;
	memcpy(at + 4, frame, len);
	out_len += len + 4;
	link_frames[TO_GUEST]++;
}

static void give_to_lwip(const uint8_t *frame, uint32_t len)
{
	struct pbuf *p;

	link_frames[TO_US]++;
	if (forge_heard(frame, len))
		return;
	p = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM);
	if (!p)
		peer_fail("no memory");
	pbuf_take(p, frame, (u16_t)len);
	if (link_if.input(p, &link_if) != ERR_OK)
		pbuf_free(p);
}

/* ---- the weather ----------------------------------------------------------------------------- */

static bool is_ip(const uint8_t *frame)
{
	return (frame[12] == 0x08 && frame[13] == 0x00) || (frame[12] == 0x86 && frame[13] == 0xdd);
}

static void arrive(unsigned to, const uint8_t *frame, uint32_t len)
{
	if (to == TO_US)
		give_to_lwip(frame, len);
	else if (!peer_chance(link_now->split) || !forge_split(frame, len))
		link_inject(frame, len);
}

static void delay(unsigned to, const uint8_t *frame, uint32_t len)
{
	for (unsigned i = 0; i < DELAYED_MAX; i++) {
		struct delayed *d = &delayed[i];

		if (d->len)
			continue;
		d->due = peer_ms() + 1 + peer_below(DELAY_MS);
		d->to = (uint8_t)to;
		d->len = len;
		memcpy(d->bytes, frame, len);
		return;
	}
	arrive(to, frame, len);
}

static void travel(unsigned to, const uint8_t *frame, uint32_t len)
{
	uint8_t copy[FRAME_MAX];

	if (len < 14 || len > FRAME_MAX)
		peer_fail("the guest sent a frame of %u bytes", len);
	if (peer_chance(link_now->drop))
		return;
	if (is_ip(frame) && peer_chance(link_now->damage)) {
		memcpy(copy, frame, len);
		copy[14 + peer_below(len - 14)] ^= (uint8_t)(1u << peer_below(8));
		frame = copy;
	}
	if (peer_chance(link_now->twice))
		delay(to, frame, len);
	if (peer_chance(link_now->later))
		delay(to, frame, len);
	else
		arrive(to, frame, len);
}

static void deliver_due(void)
{
	uint64_t now = peer_ms();

	for (unsigned i = 0; i < DELAYED_MAX; i++) {
		struct delayed d;

		if (!delayed[i].len || delayed[i].due > now)
			continue;
		d = delayed[i];
		delayed[i].len = 0;
		arrive(d.to, d.bytes, d.len);
	}
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void in_take(void)
{
	ssize_t n = recv(stream, in + in_len, sizeof(in) - in_len, MSG_DONTWAIT);
	uint32_t at = 0;

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		peer_fail("the guest's machine is gone");
	in_len += n > 0 ? (uint32_t)n : 0;
	while (in_len - at >= 4) {
		uint32_t len = (uint32_t)in[at + 2] << 8 | in[at + 3];

		if (in[at] || in[at + 1])
			peer_fail("the guest's machine sends nonsense");
		if (in_len - at - 4 < len)
			break;
		if (len >= 14)
			memcpy(link_guest_mac, in + at + 4 + 6, 6);
		travel(TO_US, in + at + 4, len);
		at += 4 + len;
	}
	in_len -= at;
	memmove(in, in + at, in_len);
}

void link_turn(int wait_ms)
{
	struct pollfd p = { .fd = stream, .events = (short)(POLLIN | (out_len ? POLLOUT : 0)) };

	out_flush();
	if (poll(&p, 1, wait_ms) < 0 && errno != EINTR)
		peer_fail("poll: %s", strerror(errno));
	if (p.revents & (POLLIN | POLLHUP))
		in_take();
	deliver_due();
	out_flush();
}

static err_t if_output(struct netif *n, struct pbuf *p)
{
	uint8_t frame[FRAME_MAX];

	(void)n;
	travel(TO_GUEST, frame, pbuf_copy_partial(p, frame, sizeof(frame), 0));
	return ERR_OK;
}

static err_t if_setup(struct netif *n)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 0, 0, 2 };

	n->name[0] = 'p';
	n->name[1] = 'r';
	n->output = etharp_output;
	n->output_ip6 = ethip6_output;
	n->linkoutput = if_output;
	n->mtu = 1500;
	n->hwaddr_len = sizeof(mac);
	memcpy(n->hwaddr, mac, sizeof(mac));
	n->flags =
		NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
	return ERR_OK;
}

void link_open(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	ip4_addr_t ip, mask, none = { 0 };

	if (strlen(path) >= sizeof(name.sun_path))
		peer_fail("%s is too long", path);
	strcpy(name.sun_path, path);
	unlink(path);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&name, sizeof(name)) ||
	    listen(listener, 1))
		peer_fail("%s: %s", path, strerror(errno));
	ip4addr_aton(PEER_IP, &ip);
	ip4addr_aton("255.255.255.0", &mask);
	netif_add(&link_if, &ip, &mask, &none, NULL, if_setup, ethernet_input);
	netif_set_default(&link_if);
	netif_create_ip6_linklocal_address(&link_if, 1);
	netif_ip6_addr_set_state(&link_if, 0, IP6_ADDR_PREFERRED);
	netif_set_up(&link_if);
}

void link_accept(void)
{
	stream = accept(listener, NULL, NULL);
	if (stream < 0)
		peer_fail("accept: %s", strerror(errno));
	close(listener);
}
