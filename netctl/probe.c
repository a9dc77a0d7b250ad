/*
 * Is an address somebody's? Asked as a host does that is about to take it: ARP with no sender (RFC 5227), a neighbour
 * solicitation from :: (RFC 4862), by a packet socket, because the kernel would want an address of ours in that network.
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "netctl/host.h"

#define PROBE_NSEC 100000000
#define PROBE_TRIES 2 /* one may get lost */

struct wire {
	int fd, ifindex;
	uint8_t mac[ETH_ALEN];
};

struct solicitation {
	struct ip6_hdr ip;
	struct nd_neighbor_solicit ns;
};

/* 1: there is nothing to ask on this device. */
static int wire_open(struct wire *w, uint8_t family)
{
	uint16_t proto = htons(family == AF_INET ? ETH_P_ARP : ETH_P_IPV6);
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = proto, .sll_ifindex = w->ifindex };
	struct ifreq req = {};

	w->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->fd < 0)
		return -errno;
	if (!if_indextoname((unsigned)w->ifindex, req.ifr_name))
		return 1;
	if (ioctl(w->fd, SIOCGIFFLAGS, &req) < 0 || !(req.ifr_flags & IFF_UP) || (req.ifr_flags & (IFF_LOOPBACK | IFF_NOARP)))
		return 1;
	if (ioctl(w->fd, SIOCGIFHWADDR, &req) < 0 || req.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return 1;
	memcpy(w->mac, req.ifr_hwaddr.sa_data, ETH_ALEN);
	return bind(w->fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;
}

static void send_to(const struct wire *w, uint16_t proto, const uint8_t *mac, const void *frame, size_t len)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(proto), .sll_ifindex = w->ifindex, .sll_halen = ETH_ALEN };

	memcpy(to.sll_addr, mac, ETH_ALEN);
	(void)sendto(w->fd, frame, len, 0, (struct sockaddr *)&to, sizeof(to)); /* what is lost is asked again */
}

static void ask4(const struct wire *w, const struct net_addr *addr)
{
	static const uint8_t all[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct ether_arp arp = { .ea_hdr = { htons(ARPHRD_ETHER), htons(ETH_P_IP), ETH_ALEN, 4, htons(ARPOP_REQUEST) } };

	memcpy(arp.arp_sha, w->mac, ETH_ALEN);
	memcpy(arp.arp_tpa, addr->a, 4);
	send_to(w, ETH_P_ARP, all, &arp, sizeof(arp));
}

static uint32_t sum(uint32_t total, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		total += (uint32_t)p[i] << 8 | p[i + 1];
	return total;
}

static uint16_t checksum(const struct solicitation *s)
{
	uint32_t total = sum(0, &s->ip.ip6_src, 32) + sizeof(s->ns) + IPPROTO_ICMPV6;

	total = sum(total, &s->ns, sizeof(s->ns));
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return htons((uint16_t)~total);
}

/* To the multicast group that its owner must listen to. */
static void ask6(const struct wire *w, const struct net_addr *addr)
{
	struct solicitation s = { .ip = { .ip6_dst = { .s6_addr = { 0xff, 0x02, [11] = 1, [12] = 0xff } } } };
	uint8_t mac[ETH_ALEN] = { 0x33, 0x33, 0xff, addr->a[13], addr->a[14], addr->a[15] };

	s.ip.ip6_flow = htonl(6u << 28);
	s.ip.ip6_plen = htons(sizeof(s.ns));
	s.ip.ip6_nxt = IPPROTO_ICMPV6;
	s.ip.ip6_hlim = 255;
	memcpy(&s.ip.ip6_dst.s6_addr[13], &addr->a[13], 3);
	s.ns.nd_ns_hdr.icmp6_type = ND_NEIGHBOR_SOLICIT;
	memcpy(&s.ns.nd_ns_target, addr->a, 16);
	s.ns.nd_ns_hdr.icmp6_cksum = checksum(&s);
	send_to(w, ETH_P_IPV6, mac, &s, sizeof(s));
}

/* The address that a frame from somebody else speaks for: he has it, or asks for it as we do. NULL: none. */
static const uint8_t *spoken_for(const void *frame, size_t len, uint8_t family)
{
	static const uint8_t none[4];
	const struct ether_arp *arp = frame;
	const struct ip6_hdr *ip = frame;
	const struct nd_neighbor_solicit *nd = (const void *)(ip + 1); /* the target is at the same place in an advertisement */

	if (family == AF_INET) {
		if (len < sizeof(*arp) || arp->arp_pro != htons(ETH_P_IP) || arp->arp_pln != 4)
			return NULL;
		return memcmp(arp->arp_spa, none, 4) != 0 ? arp->arp_spa : arp->arp_op == htons(ARPOP_REQUEST) ? arp->arp_tpa : NULL;
	}
	if (len < sizeof(*ip) + sizeof(*nd) || ip->ip6_nxt != IPPROTO_ICMPV6 || ip->ip6_hlim != 255)
		return NULL;
	if (nd->nd_ns_hdr.icmp6_type == ND_NEIGHBOR_ADVERT)
		return nd->nd_ns_target.s6_addr;
	return nd->nd_ns_hdr.icmp6_type == ND_NEIGHBOR_SOLICIT && IN6_IS_ADDR_UNSPECIFIED(&ip->ip6_src) ? nd->nd_ns_target.s6_addr : NULL;
}

static void hear(const struct wire *w, const struct net_addr *addrs, size_t n, bool *answers)
{
	uint8_t family = addrs[0].family;
	union {
		uint64_t align;
		uint8_t bytes[2048];
	} frame;
	struct sockaddr_ll from;
	socklen_t size = sizeof(from);
	ssize_t len;

	while ((len = recvfrom(w->fd, frame.bytes, sizeof(frame), 0, (struct sockaddr *)&from, &size)) >= 0) {
		const uint8_t *a = spoken_for(frame.bytes, (size_t)len, family);

		size = sizeof(from);
		if (!a || from.sll_pkttype == PACKET_OUTGOING)
			continue;
		for (size_t i = 0; i < n; i++)
			if (memcmp(a, addrs[i].a, family == AF_INET ? 4 : 16) == 0)
				answers[i] = true;
	}
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int probe(int ifindex, const struct net_addr *addrs, size_t n, bool *answers, struct err *err)
{
	struct wire w = { .fd = -1, .ifindex = ifindex };
	int r = n == 0 ? 1 : wire_open(&w, addrs[0].family);

	memset(answers, 0, n * sizeof(*answers));
	for (int try = 0; r == 0 && try < PROBE_TRIES; try++) {
		int64_t end = now() + PROBE_NSEC / PROBE_TRIES, left;

		for (size_t i = 0; i < n; i++)
			(addrs[i].family == AF_INET ? ask4 : ask6)(&w, &addrs[i]);
		while ((left = end - now()) > 0) {
			struct pollfd p = { .fd = w.fd, .events = POLLIN };
			if (poll(&p, 1, (int)(left / 1000000) + 1) > 0)
				hear(&w, addrs, n, answers);
		}
	}
	if (w.fd >= 0)
		close(w.fd);
	return r < 0 ? err_sys(err, -r, "cannot ask who has an address") : 0;
}
