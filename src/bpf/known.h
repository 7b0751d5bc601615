/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The short way for most packets there are: TCP that only acknowledges and carries data, and UDP, of a
 * connection that was judged by the policy in force and has been used in the last second. One lookup
 * says so, and nothing is written. Whatever is not plainly that goes the long way (verdict.h), which
 * comes to the same verdict for what is: nothing here drops.
 */
#ifndef BRIDGEWALL_KNOWN_H
#define BRIDGEWALL_KNOWN_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "events.h"
#include "flow.h"
#include "mark.h"
#include "maps.h"
#include "offload.h"
#include "read.h"
#include "transport.h"
#include "upkeep.h"

/* More fragments, and an offset. */
#define IPV4_FRAGMENT 0x3fff

/* What the packet stands in, and what it is given. */
struct known {
	__u32 endpoint; /* whose hook this is */
	__u32 bridge;
	__u32 slot;
	__u32 mark;
};

/* What of the headers the key does not hold. */
struct glance {
	__u32 transport; /* where its header begins */
	__u32 length;    /* from there to the packet's end */
	__u8 protocol;
	bool source_is_low;
};

static __always_inline void order_ports(struct flow_key *key, bool source_is_low, __be16 source,
					__be16 destination)
{
	key->low_port = source_is_low ? source : destination;
	key->high_port = source_is_low ? destination : source;
}

/* Without options, not a fragment, and as long as it says. */
static __always_inline bool glance_ipv4(const struct __sk_buff *skb, const struct iphdr *ip,
					struct flow_key *key, struct glance *glance)
{
	__u32 total = bpf_ntohs(ip->tot_len);
	bool low = bpf_ntohl(ip->saddr) < bpf_ntohl(ip->daddr);

	if (*(const __u8 *)ip != 0x45 || ip->frag_off & bpf_htons(IPV4_FRAGMENT) ||
	    total < sizeof(*ip) || total > skb->len - ETH_HLEN)
		return false;
	map_ipv4(&key->low, low ? ip->saddr : ip->daddr);
	map_ipv4(&key->high, low ? ip->daddr : ip->saddr);
	glance->source_is_low = low;
	glance->protocol = ip->protocol;
	glance->transport = ETH_HLEN + sizeof(*ip);
	glance->length = total - sizeof(*ip);
	return true;
}

/* Without extension headers, between addresses that mean the same on every link. */
static __always_inline bool glance_ipv6(const struct __sk_buff *skb, const struct ipv6hdr *ip,
					struct flow_key *key, struct glance *glance)
{
	const struct address *source = (const struct address *)&ip->saddr;
	const struct address *destination = (const struct address *)&ip->daddr;
	__u32 length = bpf_ntohs(ip->payload_len);
	bool low = is_less(source, destination);

	if (ip->version != 6 || length > skb->len - ETH_HLEN - sizeof(*ip) ||
	    is_link_local(source) || is_link_local(destination))
		return false;
	key->low = low ? *source : *destination;
	key->high = low ? *destination : *source;
	glance->source_is_low = low;
	glance->protocol = ip->nexthdr;
	glance->transport = ETH_HLEN + sizeof(*ip);
	glance->length = length;
	return true;
}

/* A segment that neither begins nor ends anything. */
static __always_inline bool glance_tcp(const struct tcphdr *tcp, struct flow_key *key,
				       const struct glance *glance)
{
	__u8 flags = ((const __u8 *)tcp)[TCP_FLAGS_OFFSET];
	__u32 header = tcp->doff * 4;

	if ((flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG)) != TCP_ACK ||
	    header < sizeof(*tcp) || header > glance->length)
		return false;
	order_ports(key, glance->source_is_low, tcp->source, tcp->dest);
	return true;
}

/* A datagram that cannot be a DHCP server's. */
static __always_inline bool glance_udp(const struct udphdr *udp, struct flow_key *key,
				       const struct glance *glance)
{
	__u32 length = bpf_ntohs(udp->len);

	if (length < sizeof(*udp) || length > glance->length ||
	    udp->source == bpf_htons(DHCP_SERVER_PORT) ||
	    udp->source == bpf_htons(DHCPV6_SERVER_PORT) ||
	    udp->dest == bpf_htons(DHCP_CLIENT_PORT) || udp->dest == bpf_htons(DHCPV6_CLIENT_PORT))
		return false;
	order_ports(key, glance->source_is_low, udp->source, udp->dest);
	return true;
}

/* Reads what is linear. Returns whether the packet is of the kind that goes this way. */
static __always_inline bool glance_at(const struct __sk_buff *skb, struct flow_key *key,
				      struct glance *glance)
{
	void *start = frame_start(skb), *end = frame_end(skb), *transport;
	struct ethhdr *ethernet = start;

	if (start + ETH_HLEN + sizeof(struct iphdr) > end || is_group_mac(ethernet->h_dest))
		return false;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		transport = start + ETH_HLEN + sizeof(struct iphdr);
		if (!glance_ipv4(skb, start + ETH_HLEN, key, glance))
			return false;
	} else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
		transport = start + ETH_HLEN + sizeof(struct ipv6hdr);
		if (transport > end || !glance_ipv6(skb, start + ETH_HLEN, key, glance))
			return false;
	} else {
		return false;
	}
	key->protocol = glance->protocol;
	if (glance->protocol == IPPROTO_TCP)
		return transport + sizeof(struct tcphdr) <= end &&
		       glance_tcp(transport, key, glance);
	return glance->protocol == IPPROTO_UDP && transport + sizeof(struct udphdr) <= end &&
	       glance_udp(transport, key, glance);
}

/* Where a checksum that is left to others must not be written before. */
static __always_inline __u32 judged_end(const struct glance *glance)
{
	return glance->transport + (glance->protocol == IPPROTO_TCP
					? TCP_FLAGS_OFFSET + 1
					: __builtin_offsetof(struct udphdr, check));
}

/* Whether there is nothing to note about this entry, and nothing to judge again. */
static __always_inline bool is_settled(const struct flow *flow, __u32 status, __u64 generation,
				       __u8 protocol, bool replying)
{
	const __u32 unsettled = FLOW_CLAIMED | FLOW_FIN_OPENER | FLOW_FIN_TARGET |
				FLOW_RESET_OPENER | FLOW_RESET_TARGET;

	if (status & unsettled || flow->generation != generation)
		return false;
	/* See is_confirmed_by: the opener's datagrams confirm nothing. */
	if (!(status & FLOW_ANSWERED) && (protocol != IPPROTO_UDP || replying))
		return false;
	/* No timeout is shorter than a second. */
	return (__s64)(coarse_now() - flow->last_seen) < (__s64)SECOND;
}

/* Who is at this end, as in is_party; the receiver's hook knows the other by the mark. */
static __always_inline bool is_between(const struct flow *flow, enum hook hook, __u32 endpoint,
				       __u32 sender, bool replying)
{
	__u32 source = replying ? flow->target : flow->opener;
	__u32 destination = replying ? flow->opener : flow->target;

	if (hook == HOOK_FROM_ENDPOINT)
		return source == endpoint;
	return destination == endpoint && (!source || source == sender);
}

/* Whether the packet goes the short way; fills `known` if so. A function of its own: its stack is not in
 * the way of what the others need. */
static __noinline bool is_known(struct __sk_buff *skb, enum hook hook, struct known *known)
{
	__u32 zero = 0, number = skb->cb[HANDOVER_ENDPOINT], status;
	struct endpoint *endpoint;
	struct flow_key key = {};
	struct glance glance;
	struct flow *flow;
	__u64 *judging;
	__u64 word;
	bool replying;

	judging = bpf_map_lookup_elem(&active, &zero);
	endpoint = bpf_map_lookup_elem(&endpoints, &number);
	if (!judging || !endpoint)
		return false;
	/* As in begin(): one look for the whole of this packet. */
	word = *(volatile __u64 *)judging;
	if (!(word >> 1) || !endpoint->identity[word & 1])
		return false;
	if (!glance_at(skb, &key, &glance))
		return false;
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow)
		return false;
	status = flow->status;
	replying = glance.source_is_low != !!(status & FLOW_OPENER_LOW);
	if (!is_settled(flow, status, word >> 1, glance.protocol, replying) ||
	    !is_between(flow, hook, number, get_mark(skb), replying) ||
	    is_checksum_written_before(skb, judged_end(&glance)))
		return false;
	known->endpoint = number;
	known->slot = word & 1;
	known->bridge = endpoint->bridge ? endpoint->bridge : endpoint->ifindex;
	known->mark = number;
	if (status & FLOW_SAME_BRIDGE)
		known->mark = MARK_JUDGED | (replying ? flow->opener : flow->target);
	return true;
}

#endif
