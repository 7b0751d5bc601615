/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The short way for most packets there are: TCP that only acknowledges and carries data, and UDP, of a
 * connection that was judged by the policy in force and that this CPU has seen in the last second (see
 * recent.h). Nothing is written, and nothing is called. Whatever is not plainly that goes the long way
 * (verdict.h), which comes to the same verdict for what is: nothing here drops.
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
#include "mark.h"
#include "maps.h"
#include "offload.h"
#include "packet.h"
#include "read.h"
#include "recent.h"
#include "transport.h"

/* More fragments, and an offset. */
#define IPV4_FRAGMENT 0x3fff

/* What the packet stands in, and what it is given. */
struct known {
	__u64 judging;  /* what `active` says */
	__u32 endpoint; /* whose hook this is */
	__u32 bridge;
	__u32 slot;
	__u32 mark;
};

/* Where the transport header is, and how long the packet says that it is from there on. */
struct glance {
	__u32 transport;
	__u32 length;
};

/* Without options, not a fragment, and as long as it says. */
static __always_inline bool glance_ipv4(const struct __sk_buff *skb, const struct iphdr *ip,
					struct recent *wanted, struct glance *glance)
{
	__u32 total = bpf_ntohs(ip->tot_len);

	if (*(const __u8 *)ip != 0x45 || ip->frag_off & bpf_htons(IPV4_FRAGMENT) ||
	    total < sizeof(*ip) || total > skb->len - ETH_HLEN)
		return false;
	wanted->address[0] = recent_ipv4(ip->saddr, ip->daddr);
	wanted->address[1] = wanted->address[2] = wanted->address[3] = 0;
	wanted->protocol = ip->protocol;
	glance->transport = ETH_HLEN + sizeof(*ip);
	glance->length = total - sizeof(*ip);
	return true;
}

/* Without extension headers. */
static __always_inline bool glance_ipv6(const struct __sk_buff *skb, const struct ipv6hdr *ip,
					struct recent *wanted, struct glance *glance)
{
	const __u64 *half = (const __u64 *)&ip->saddr;
	__u32 length = bpf_ntohs(ip->payload_len);

	if (ip->version != 6 || length > skb->len - ETH_HLEN - sizeof(*ip))
		return false;
	for (int i = 0; i < 4; i++)
		wanted->address[i] = half[i];
	wanted->protocol = ip->nexthdr;
	glance->transport = ETH_HLEN + sizeof(*ip);
	glance->length = length;
	return true;
}

/* A segment that neither begins nor ends anything. */
static __always_inline bool glance_tcp(const struct tcphdr *tcp, __u32 length)
{
	__u8 flags = ((const __u8 *)tcp)[TCP_FLAGS_OFFSET];
	__u32 header = tcp->doff * 4;

	return (flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG)) == TCP_ACK &&
	       header >= sizeof(*tcp) && header <= length;
}

static __always_inline bool glance_udp(const struct udphdr *udp, __u32 length)
{
	__u32 own = bpf_ntohs(udp->len);

	return own >= sizeof(*udp) && own <= length;
}

/* Reads what is linear. Returns whether the packet is of the kind that goes this way. */
static __always_inline bool glance_at(const struct __sk_buff *skb, __u32 endpoint, __u32 sender,
				      struct recent *wanted, struct glance *glance)
{
	void *start = frame_start(skb), *end = frame_end(skb), *transport;
	struct ethhdr *ethernet = start;
	struct ports *ports;

	if (start + ETH_HLEN + sizeof(struct iphdr) > end || is_group_mac(ethernet->h_dest))
		return false;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		transport = start + ETH_HLEN + sizeof(struct iphdr);
		if (!glance_ipv4(skb, start + ETH_HLEN, wanted, glance))
			return false;
	} else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
		transport = start + ETH_HLEN + sizeof(struct ipv6hdr);
		if (transport > end || !glance_ipv6(skb, start + ETH_HLEN, wanted, glance))
			return false;
	} else {
		return false;
	}
	ports = transport;
	if (transport + sizeof(*ports) > end)
		return false;
	wanted->ends = recent_ends(ports->source, ports->destination, endpoint, sender);
	if (wanted->protocol == IPPROTO_TCP)
		return transport + sizeof(struct tcphdr) <= end &&
		       glance_tcp(transport, glance->length);
	return wanted->protocol == IPPROTO_UDP && glance_udp(transport, glance->length);
}

/* Where a checksum that is left to others must not be written before. */
static __always_inline __u32 judged_end(__u8 protocol, const struct glance *glance)
{
	return glance->transport + (protocol == IPPROTO_TCP
					? TCP_FLAGS_OFFSET + 1
					: __builtin_offsetof(struct udphdr, check));
}

/* Whose hook this is, and which policy judges: one look for the whole of this packet, as in begin(). */
static __always_inline bool find_hook(const struct __sk_buff *skb, struct known *known)
{
	__u32 zero = 0, number = skb->cb[HANDOVER_ENDPOINT];
	__u64 *judging = bpf_map_lookup_elem(&active, &zero);
	struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &number);

	if (!judging || !endpoint)
		return false;
	known->judging = *(volatile __u64 *)judging;
	if (!(known->judging >> 1) || !endpoint->identity[known->judging & 1])
		return false;
	known->endpoint = number;
	known->slot = known->judging & 1;
	known->bridge = endpoint->bridge ? endpoint->bridge : endpoint->ifindex;
	return true;
}

/* Whether the packet goes the short way; says what it is given then. */
static __always_inline bool is_known(struct __sk_buff *skb, enum hook hook, struct known *known)
{
	__u32 sender = hook == HOOK_TO_ENDPOINT ? get_mark(skb) : 0;
	struct recent wanted = {.hook = hook};
	struct glance glance;

	if (!glance_at(skb, known->endpoint, sender, &wanted, &glance))
		return false;
	wanted.judging = known->judging;
	known->mark = recall(&wanted, known->endpoint);
	return known->mark &&
	       !is_checksum_written_before(skb, judged_end(wanted.protocol, &glance));
}

/* Whether the sender's hook has judged the packet for this very receiver. */
static __always_inline bool is_judged(const struct __sk_buff *skb, const struct known *known)
{
	return get_mark(skb) == (MARK_JUDGED | known->endpoint);
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
	return status & FLOW_ANSWERED || (protocol == IPPROTO_UDP && !replying);
}

/* Who is at this end, as in is_party; the receiver's hook knows the other by the mark. */
static __always_inline bool is_between(const struct flow *flow, const struct packet *packet,
				       __u32 sender, bool replying)
{
	__u32 source = replying ? flow->target : flow->opener;
	__u32 destination = replying ? flow->opener : flow->target;

	if (packet->hook == HOOK_FROM_ENDPOINT)
		return source == packet->endpoint;
	return destination == packet->endpoint && (!source || source == sender);
}

/*
 * After a packet that belongs to a connection: the next ones like it may go the short way. The count of
 * connections that began anew is read before the entry, so that none which begins now is missed.
 * (No timeout is shorter than a second.) A function of its own: its stack is not in the way of others.
 */
__noinline int remember(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow,
			__u32 replying)
{
	const struct headers *headers;
	struct recent entry = {};
	__u32 *count, sender;

	if (!packet || !flow)
		return 0;
	headers = &packet->headers;
	sender = packet->hook == HOOK_TO_ENDPOINT ? get_mark(skb) : 0;
	count = find_reopened(packet->endpoint);
	if (!count || is_at_uplink(packet) ||
	    (headers->protocol != IPPROTO_TCP && headers->protocol != IPPROTO_UDP) ||
	    is_link_local(&headers->source) || is_link_local(&headers->destination))
		return 0;
	entry.mark = packet->mark;
	entry.reopened = *(volatile __u32 *)count;
	entry.until = *(volatile __u64 *)&flow->last_seen + SECOND;
	if (!is_settled(flow, *(volatile __u32 *)&flow->status, packet->generation,
			headers->protocol, replying) ||
	    !is_between(flow, packet, sender, replying))
		return 0;
	describe(packet, sender, &entry);
	keep_recent(&entry);
	return 0;
}

#endif
