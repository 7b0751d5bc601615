/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What keeps a link running: ARP, neighbour discovery, and multicast membership, as far as it needs
 * an interface's own addresses to tell whether it is genuine. It passes without any rule, so it must
 * not be able to speak for anybody else.
 */
#ifndef BRIDGEWALL_NEIGHBOUR_H
#define BRIDGEWALL_NEIGHBOUR_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "icmp.h"
#include "own.h"
#include "read.h"

#define ND_HOP_LIMIT         255 /* a router would have lowered it: the sender is on this link */
#define ND_OPTIONS_MAX       4
#define ND_SOURCE_LINK_LAYER 1
#define ND_TARGET_LINK_LAYER 2

#define MLD_HOP_LIMIT 1
#define ROUTER_ALERT  5

/* <linux/if_arp.h> needs a C library, which a BPF target has not. */
#define ARPHRD_ETHER  1
#define ARPOP_REQUEST 1
#define ARPOP_REPLY   2

/* RFC 826, for IPv4 over Ethernet. */
struct arp_message {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__be32 sender;
	__u8 target_mac[ETH_ALEN];
	__be32 target;
} __attribute__((packed));

struct nd_message {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__u32 flags;
	struct address target; /* of all but router solicitations */
};

struct nd_option {
	__u8 type;
	__u8 length; /* in 8 bytes */
	__u8 mac[ETH_ALEN];
};

/* Of a membership message: the header that must come before it, and its own beginning. */
struct mld_message {
	__u8 next;
	__u8 length;
	__u8 options[6];
	__u8 type;
	__u8 code;
	__be16 checksum;
	__u32 rest;
};

/* The sender must be the endpoint; a probe (RFC 5227) may only ask for the endpoint's address. */
static __always_inline int check_arp(struct __sk_buff *skb)
{
	struct arp_message *arp = at(skb, ETH_HLEN, sizeof(*arp));
	bool request;

	if (!arp)
		return unreadable(skb, ETH_HLEN, sizeof(*arp));
	if (arp->hardware != bpf_htons(ARPHRD_ETHER) || arp->protocol != bpf_htons(ETH_P_IP) ||
	    arp->hardware_length != ETH_ALEN || arp->protocol_length != sizeof(arp->sender))
		return DROP_ARP;
	request = arp->operation == bpf_htons(ARPOP_REQUEST);
	if (!request && arp->operation != bpf_htons(ARPOP_REPLY))
		return DROP_ARP;
	if (!is_own_mac(arp->sender_mac))
		return DROP_ARP;
	if (is_own_ipv4(arp->sender))
		return DROP_NONE;
	return request && !arp->sender && is_own_ipv4(arp->target) ? DROP_NONE : DROP_ARP;
}

/* Options from `offset` to `end`: a link-layer address must be the endpoint's (RFC 4861, 4.6). */
static __always_inline int check_nd_options(struct __sk_buff *skb, __u32 offset, __u32 end,
					    bool unspecified)
{
	for (int i = 0; i < ND_OPTIONS_MAX; i++) {
		struct nd_option *option;

		if (offset == end)
			return DROP_NONE;
		option = at(skb, offset, sizeof(*option));
		if (!option || !option->length)
			return DROP_NEIGHBOUR_DISCOVERY;
		if (option->type == ND_SOURCE_LINK_LAYER || option->type == ND_TARGET_LINK_LAYER) {
			/* 7.1.1: who has no address yet must not say where to find it. */
			if (unspecified || option->length != 1 || !is_own_mac(option->mac))
				return DROP_NEIGHBOUR_DISCOVERY;
		}
		offset += option->length * 8;
		if (offset > end)
			return DROP_NEIGHBOUR_DISCOVERY;
	}
	return offset == end ? DROP_NONE : DROP_NEIGHBOUR_DISCOVERY;
}

/* ff02::1:ffxx:xxxx, with the target's last three bytes (RFC 4291, 2.7.1). */
static __always_inline bool is_solicited_node(const struct address *address,
					      const struct address *target)
{
	return address->word[0] == WIRE(0xff, 0x02, 0, 0) && !address->word[1] &&
	       address->word[2] == WIRE(0, 0, 0, 1) &&
	       address->word[3] == (target->word[3] | WIRE(0xff, 0, 0, 0));
}

/*
 * RFC 4861, 6.1 and 7.1. `source` is known to be the endpoint's own, or is unspecified: then it must
 * be duplicate address detection (RFC 4862, 5.4.2), for one of its own addresses.
 */
static __always_inline int check_neighbour_discovery(struct __sk_buff *skb,
						     const struct address *destination,
						     __u32 length, __u8 hop_limit, bool unspecified)
{
	__u32 offset = ETH_HLEN + sizeof(struct ipv6hdr);
	__u32 size = sizeof(struct nd_message);
	struct nd_message *message = at(skb, offset, sizeof(__u64));
	struct address target;
	__u8 type;

	if (!message)
		return unreadable(skb, offset, sizeof(__u64));
	type = message->type;
	if (type == ND_ROUTER_ADVERT || type == ND_REDIRECT)
		return DROP_ROUTER_ADVERTISEMENT;
	if (hop_limit != ND_HOP_LIMIT || message->code)
		return DROP_NEIGHBOUR_DISCOVERY;

	if (type == ND_ROUTER_SOLICIT) {
		if (unspecified)
			return DROP_NEIGHBOUR_DISCOVERY;
		size = sizeof(__u64);
	} else {
		message = at(skb, offset, sizeof(*message));
		if (!message)
			return unreadable(skb, offset, sizeof(*message));
		target = message->target;
		if (is_ipv6_multicast(&target))
			return DROP_NEIGHBOUR_DISCOVERY;
		/* An advertisement says "this is me", and so does a probe for a duplicate. */
		if ((type == ND_NEIGHBOUR_ADVERT || unspecified) && !is_own_ipv6(&target))
			return DROP_NEIGHBOUR_DISCOVERY;
		if (unspecified &&
		    (type == ND_NEIGHBOUR_ADVERT || !is_solicited_node(destination, &target)))
			return DROP_NEIGHBOUR_DISCOVERY;
	}
	if (length < size)
		return DROP_NEIGHBOUR_DISCOVERY;
	return check_nd_options(skb, offset + size, offset + length, unspecified);
}

/* Whether a packet with hop-by-hop options is a membership message, by its form (RFC 3810, 5). */
static __always_inline bool is_membership(struct __sk_buff *skb, __u8 *type)
{
	__u32 offset = ETH_HLEN + sizeof(struct ipv6hdr);
	struct mld_message *message = at(skb, offset, sizeof(*message));

	if (!message || message->next != IPPROTO_ICMPV6 || message->length)
		return false;
	/* The router alert comes first or, behind two bytes of padding, last. */
	if (message->options[0] != ROUTER_ALERT && message->options[2] != ROUTER_ALERT)
		return false;
	*type = message->type;
	return *type == MLD_QUERY || *type == MLD_REPORT || *type == MLD_DONE ||
	       *type == MLD2_REPORT;
}

#endif
