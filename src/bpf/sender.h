/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Is the sender who it says it is? And is the frame for this receiver at all? The questions that
 * only the template can answer, because only it knows one interface.
 */
#ifndef BRIDGEWALL_SENDER_H
#define BRIDGEWALL_SENDER_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "config.h"
#include "neighbour.h"
#include "own.h"
#include "read.h"

/* Not a drop reason: genuine, and no policy speaks of it. */
#define SENDER_LINK_UPKEEP -1

static __always_inline int check_ipv4_sender(struct __sk_buff *skb)
{
	struct iphdr *ip = at(skb, ETH_HLEN, sizeof(*ip));

	if (!ip)
		return unreadable(skb, ETH_HLEN, sizeof(*ip));
	return is_own_ipv4(ip->saddr) ? DROP_NONE : DROP_SOURCE_IPV4;
}

static __always_inline int check_ipv6_sender(struct __sk_buff *skb)
{
	struct ipv6hdr *ip = at(skb, ETH_HLEN, sizeof(*ip));
	struct address source, destination;
	__u8 next, hop_limit, type;
	bool unspecified;
	__u32 length;
	int reason;

	if (!ip)
		return unreadable(skb, ETH_HLEN, sizeof(*ip));
	__builtin_memcpy(&source, &ip->saddr, sizeof(source));
	__builtin_memcpy(&destination, &ip->daddr, sizeof(destination));
	next = ip->nexthdr;
	hop_limit = ip->hop_limit;
	length = bpf_ntohs(ip->payload_len);

	unspecified = is_unspecified(&source);
	if (!unspecified && !is_own_ipv6(&source))
		return DROP_SOURCE_IPV6;
	if (next == IPPROTO_HOPOPTS && is_membership(skb, &type)) {
		if (type == MLD_QUERY)
			return DROP_MULTICAST_QUERY;
		if (hop_limit == MLD_HOP_LIMIT && is_ipv6_multicast(&destination))
			return SENDER_LINK_UPKEEP;
	}
	if (next == IPPROTO_ICMPV6) {
		__u8 *icmp = at(skb, ETH_HLEN + sizeof(*ip), 1);

		if (icmp && *icmp >= ND_ROUTER_SOLICIT && *icmp <= ND_REDIRECT) {
			reason = check_neighbour_discovery(skb, &destination, length, hop_limit,
							   unspecified);
			return reason ? reason : SENDER_LINK_UPKEEP;
		}
	}
	return unspecified ? DROP_SOURCE_IPV6 : DROP_NONE;
}

/* Returns a drop reason or SENDER_LINK_UPKEEP. */
static __always_inline int check_sender(struct __sk_buff *skb)
{
	struct ethhdr *ethernet;
	int reason;

	if (!(endpoint_constants.flags & ENDPOINT_NAMED))
		return DROP_ENDPOINT_UNNAMED;
	if (skb->vlan_present)
		return DROP_VLAN;
	ethernet = at(skb, 0, sizeof(*ethernet));
	if (!ethernet)
		return unreadable(skb, 0, sizeof(*ethernet));
	if (!is_own_mac(ethernet->h_source))
		return DROP_SOURCE_MAC;
	switch (ethernet->h_proto) {
	case bpf_htons(ETH_P_IP):
		return check_ipv4_sender(skb);
	case bpf_htons(ETH_P_IPV6):
		return check_ipv6_sender(skb);
	case bpf_htons(ETH_P_ARP):
		reason = check_arp(skb);
		return reason ? reason : SENDER_LINK_UPKEEP;
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return DROP_VLAN;
	}
	return DROP_ETHERTYPE;
}

/* Returns a drop reason. */
static __always_inline int check_receiver(struct __sk_buff *skb)
{
	struct ethhdr *ethernet;

	if (!(endpoint_constants.flags & ENDPOINT_NAMED))
		return DROP_ENDPOINT_UNNAMED;
	if (skb->vlan_present)
		return DROP_VLAN;
	ethernet = at(skb, 0, sizeof(*ethernet));
	if (!ethernet)
		return unreadable(skb, 0, sizeof(*ethernet));
	if (!is_group_mac(ethernet->h_dest) && !is_own_mac(ethernet->h_dest))
		return DROP_NOT_ADDRESSED;
	return DROP_NONE;
}

#endif
