/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What keeps a link running: ARP, neighbour discovery, and multicast membership, as far as it needs
 * an interface's own addresses to tell whether it is genuine. It passes without any rule, so it must
 * not be able to speak for anybody else. Whoever sends such messages honestly sends them linear.
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
#define ND_OPTIONS_MAX       2
#define ND_SOURCE_LINK_LAYER 1
#define ND_TARGET_LINK_LAYER 2
#define ND_NONCE             14
#define ND_OFFSET            (ETH_HLEN + sizeof(struct ipv6hdr))
#define ND_SOLICIT_LENGTH    8  /* a router solicitation, without options */
#define ND_TARGET_LENGTH     24 /* a neighbour solicitation or advertisement, likewise */
#define SHORTEST_ND          (sizeof(struct ipv6hdr) + ND_SOLICIT_LENGTH)

#define MLD_HOP_LIMIT 1
#define MLD_OFFSET    (ND_OFFSET + 8) /* behind the options that it needs */
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
} __attribute__((packed, aligned(2)));

struct nd_packet {
	struct ipv6hdr ip;
	__u8 type;
	__u8 code;
	__be16 checksum;
	__u32 flags;
	struct address target; /* of all but router solicitations */
};

/* A neighbour solicitation or advertisement. */
struct nd_target {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__u32 flags;
	struct address target;
};

struct nd_option {
	__u8 type;
	__u8 length; /* in 8 bytes */
	__u8 mac[ETH_ALEN];
};

/* A membership message: the header that must come before it, and its own beginning. */
struct mld_packet {
	struct ipv6hdr ip;
	__u8 next;
	__u8 length;
	__u8 options[6];
	__u8 type;
	__u8 code;
	__be16 checksum;
	__u32 rest;
};

/*
 * The sender must be the endpoint; a probe (RFC 5227), which has no sender yet, may only ask for the
 * endpoint's own address. Returns a drop reason.
 */
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
	if (!is_own_mac(arp->sender_mac) ||
	    !is_own_ipv4(request && !arp->sender ? arp->target : arp->sender))
		return DROP_ARP;
	return DROP_NONE;
}

/*
 * At most so many options from `offset` to `end`: a link-layer address must be the endpoint's
 * (RFC 4861, 4.6).
 */
static __always_inline bool are_nd_options_genuine(struct __sk_buff *skb, __u32 offset, __u32 end,
						   int most)
{
	for (int i = 0; i < most; i++) {
		struct nd_option *option;

		if (offset == end)
			return true;
		option = peek(skb, offset, sizeof(*option));
		if (!option || !option->length)
			return false;
		if ((option->type == ND_SOURCE_LINK_LAYER ||
		     option->type == ND_TARGET_LINK_LAYER) &&
		    (option->length != 1 || !is_own_mac(option->mac)))
			return false;
		offset += option->length * 8;
		if (offset > end)
			return false;
	}
	return offset == end;
}

/* ff02::1:ffxx:xxxx, with the target's last three bytes (RFC 4291, 2.7.1). */
static __always_inline bool is_solicited_node(const __be32 *address, const __be32 *target)
{
	return address[0] == WIRE(0xff, 0x02, 0, 0) && !address[1] &&
	       address[2] == WIRE(0, 0, 0, 1) && address[3] == (target[3] | WIRE(0xff, 0, 0, 0));
}

/*
 * Duplicate address detection (RFC 4862, 5.4.2): it must not say where the address is (RFC 4861,
 * 7.1.1), but may have a nonce to tell one's own probes from others' (RFC 7527).
 */
static __always_inline bool is_probe(struct __sk_buff *skb, const struct nd_packet *packet,
				     __u32 length)
{
	struct nd_option *option;

	if (packet->type != ND_NEIGHBOUR_SOLICIT ||
	    !is_solicited_node(packet->ip.daddr.s6_addr32, packet->target.word))
		return false;
	if (length == ND_TARGET_LENGTH)
		return true;
	option = peek(skb, ND_OFFSET + ND_TARGET_LENGTH, sizeof(*option));
	return option && option->type == ND_NONCE && option->length == 1 &&
	       length == ND_TARGET_LENGTH + sizeof(*option);
}

/*
 * RFC 4861, 6.1 and 7.1. The source is known to be the endpoint's own, or is unspecified. Returns a
 * drop reason. `packet`: as far as the shortest one goes.
 */
static __always_inline int
check_neighbour_discovery(struct __sk_buff *skb, const struct nd_packet *packet, bool unspecified)
{
	__u32 length = bpf_ntohs(packet->ip.payload_len);
	__u32 end = ND_OFFSET + length;
	__u8 type = packet->type;
	bool genuine;

	if (type == ND_ROUTER_ADVERT || type == ND_REDIRECT)
		return DROP_ROUTER_ADVERTISEMENT;
	if (packet->code || packet->ip.hop_limit != ND_HOP_LIMIT)
		return DROP_NEIGHBOUR_DISCOVERY;
	if (end > skb->len)
		return DROP_NEIGHBOUR_DISCOVERY; /* its last option is not all there */
	if (type == ND_ROUTER_SOLICIT) {
		genuine = !unspecified && length >= ND_SOLICIT_LENGTH &&
			  are_nd_options_genuine(skb, ND_OFFSET + ND_SOLICIT_LENGTH, end, 1);
		return genuine ? DROP_NONE : DROP_NEIGHBOUR_DISCOVERY;
	}

	packet = peek(skb, ETH_HLEN, sizeof(*packet));
	if (!packet || length < ND_TARGET_LENGTH || is_ipv6_multicast(&packet->target))
		return DROP_NEIGHBOUR_DISCOVERY;
	/* An advertisement says "this is me", and so does a probe for a duplicate. */
	if ((type == ND_NEIGHBOUR_ADVERT || unspecified) && !is_own_ipv6(&packet->target))
		return DROP_NEIGHBOUR_DISCOVERY;
	if (unspecified)
		genuine = is_probe(skb, packet, length);
	else
		genuine =
		    are_nd_options_genuine(skb, ND_OFFSET + ND_TARGET_LENGTH, end, ND_OPTIONS_MAX);
	return genuine ? DROP_NONE : DROP_NEIGHBOUR_DISCOVERY;
}

/* Whether a packet with hop-by-hop options is a membership message, by its form (RFC 3810, 5). */
static __always_inline bool is_membership(struct __sk_buff *skb)
{
	struct mld_packet *packet = peek(skb, ETH_HLEN, sizeof(*packet));

	if (!packet || packet->next != IPPROTO_ICMPV6 || packet->length ||
	    packet->ip.hop_limit != MLD_HOP_LIMIT ||
	    !is_ipv6_multicast((struct address *)&packet->ip.daddr))
		return false;
	/* The router alert comes first or, behind two bytes of padding, last. */
	if (packet->options[0] != ROUTER_ALERT && packet->options[2] != ROUTER_ALERT)
		return false;
	return packet->type == MLD_QUERY || packet->type == MLD_REPORT ||
	       packet->type == MLD_DONE || packet->type == MLD2_REPORT;
}

#endif
