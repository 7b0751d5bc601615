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

/* No frame that may pass is shorter. */
#define SHORTEST_FRAME (ETH_HLEN + sizeof(struct iphdr))

/* What may be sent from the unspecified address: only link upkeep, which is told by its form. (The
 * body takes what comes from there for that.) */
static __always_inline int check_ipv6_sender(struct __sk_buff *skb)
{
	struct ipv6hdr *ip = at(skb, ETH_HLEN, sizeof(*ip));
	bool unspecified = false;
	struct nd_packet *nd;
	__u8 next;

	if (!ip)
		return unreadable(skb, ETH_HLEN, sizeof(*ip));
	/* Never both; the verifier is to know that, too. */
	if (!is_own_ipv6(&ip->saddr)) {
		if (!is_unspecified(&ip->saddr))
			return DROP_SOURCE_IPV6;
		unspecified = true;
	}
	next = ip->nexthdr;
	if (next == IPPROTO_HOPOPTS || next == IPPROTO_ICMPV6) {
		nd = at(skb, ETH_HLEN, SHORTEST_ND);
		if (!nd && skb->len >= ETH_HLEN + SHORTEST_ND)
			return DROP_PULL_FAILED;
		if (next == IPPROTO_ICMPV6 && nd && nd->type >= ND_ROUTER_SOLICIT &&
		    nd->type <= ND_REDIRECT)
			return check_neighbour_discovery(skb, nd, unspecified);
		if (next == IPPROTO_HOPOPTS && is_membership(skb))
			return DROP_NONE;
	}
	return unspecified ? DROP_SOURCE_IPV6 : DROP_NONE;
}

/* Returns a drop reason. */
static __always_inline int check_sender(struct __sk_buff *skb)
{
	struct ethhdr *ethernet;
	struct iphdr *ip;

	if (!(endpoint_constants.flags & ENDPOINT_NAMED))
		return DROP_ENDPOINT_UNNAMED;
	if (skb->vlan_present)
		return DROP_VLAN;
	ethernet = at(skb, 0, SHORTEST_FRAME);
	if (!ethernet)
		return unreadable(skb, 0, SHORTEST_FRAME);
	if (!is_own_mac(ethernet->h_source))
		return DROP_SOURCE_MAC;
	switch (ethernet->h_proto) {
	case bpf_htons(ETH_P_IP):
		ip = (struct iphdr *)(ethernet + 1);
		return is_own_ipv4(ip->saddr) ? DROP_NONE : DROP_SOURCE_IPV4;
	case bpf_htons(ETH_P_IPV6):
		return check_ipv6_sender(skb);
	case bpf_htons(ETH_P_ARP):
		return check_arp(skb);
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
