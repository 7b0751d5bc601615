/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Link upkeep and servers' messages, seen from the bodies: what passes without a rule, and what no
 * rule lets pass.
 */
#ifndef BRIDGEWALL_UPKEEP_H
#define BRIDGEWALL_UPKEEP_H

#include <stdbool.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "icmp.h"
#include "mark.h"
#include "neighbour.h"
#include "packet.h"
#include "peer.h"
#include "read.h"

/* RFC 2131 and RFC 8415. A client believes what comes to its port, from whichever port it comes. */
#define DHCP_SERVER_PORT   67
#define DHCP_CLIENT_PORT   68
#define DHCPV6_SERVER_PORT 547
#define DHCPV6_CLIENT_PORT 546

#define IGMP_HOP_LIMIT 1 /* RFC 3376, 4 */

static __always_inline bool is_from_dhcp_server(const struct headers *headers)
{
	bool ipv6 = headers->family == 6;

	return headers->protocol == IPPROTO_UDP &&
	       (headers->source_port ==
		    (ipv6 ? bpf_htons(DHCPV6_SERVER_PORT) : bpf_htons(DHCP_SERVER_PORT)) ||
		headers->destination_port ==
		    (ipv6 ? bpf_htons(DHCPV6_CLIENT_PORT) : bpf_htons(DHCP_CLIENT_PORT)));
}

/* "Go another way", "I am a router": by neighbour discovery, or in IPv4 by ICMP (RFC 792, 1256). */
static __always_inline bool is_from_router(const struct headers *headers)
{
	__u8 type = headers->icmp_type;

	if (!is_icmp(headers))
		return false;
	if (headers->family == 6)
		return type == ND_ROUTER_ADVERT || type == ND_REDIRECT;
	return type == ICMP_REDIRECT || type == ICMP_ROUTER_ADVERT;
}

/*
 * The template has found whatever follows the IPv6 header at once to be genuine; behind extension
 * headers nobody has looked. It must not leave the link either: data in its options would get
 * anywhere without a rule.
 */
static __always_inline int check_discovery(const struct packet *packet)
{
	const struct headers *headers = &packet->headers;
	struct party party = {};

	if (headers->transport != ND_OFFSET || headers->flags & HEADERS_FRAGMENT)
		return DROP_NEIGHBOUR_DISCOVERY;
	if (is_link_local(&headers->destination) || is_link_group(&headers->destination))
		return DROP_NONE;
	if (find_address(&headers->destination, packet->bridge, packet->slot, &party) ||
	    is_world(party.identity))
		return DROP_NEIGHBOUR_DISCOVERY;
	return DROP_NONE;
}

/* What no endpoint may send, whatever the policy says: it would speak for the network. */
static __always_inline int check_authority(const struct packet *packet)
{
	const struct headers *headers = &packet->headers;

	if (is_from_dhcp_server(headers))
		return DROP_DHCP_SERVER;
	if (is_igmp(headers) && headers->icmp_type == IGMP_QUERY)
		return DROP_MULTICAST_QUERY;
	if (is_mld(headers) && headers->icmp_type == MLD_QUERY)
		return DROP_MULTICAST_QUERY;
	if (is_from_router(headers))
		return DROP_ROUTER_ADVERTISEMENT;
	return is_neighbour_discovery(headers) ? check_discovery(packet) : DROP_NONE;
}

/* Membership of a group, told to the link and no further. */
static __always_inline bool is_igmp_upkeep(const struct headers *headers)
{
	return is_igmp(headers) && headers->hop_limit == IGMP_HOP_LIMIT &&
	       is_group(&headers->destination) && !(headers->flags & HEADERS_FRAGMENT);
}

static __always_inline bool is_mld_upkeep(const struct headers *headers)
{
	return is_mld(headers) && headers->hop_limit == MLD_HOP_LIMIT &&
	       is_group(&headers->destination) && !(headers->flags & HEADERS_FRAGMENT);
}

/*
 * ARP and neighbour discovery, which the template and check_authority have let through; or an
 * endpoint joins or leaves a group.
 */
static __always_inline bool is_sent_upkeep(const struct headers *headers)
{
	if (!headers->family || is_neighbour_discovery(headers))
		return true;
	if (is_mld_upkeep(headers))
		return headers->transport == MLD_OFFSET;
	return is_igmp_upkeep(headers) && is_igmp_membership(headers->icmp_type);
}

/*
 * What may reach an endpoint: what endpoints sent has passed their templates, the rest comes from
 * the host or a router on this link.
 */
static __always_inline bool is_received_upkeep(const struct headers *headers)
{
	if (headers->flags & HEADERS_FRAGMENT)
		return false;
	if (is_neighbour_discovery(headers))
		return headers->hop_limit == ND_HOP_LIMIT && !headers->icmp_code;
	if (is_mld_upkeep(headers))
		return true;
	return is_igmp_upkeep(headers) &&
	       (headers->icmp_type == IGMP_QUERY || is_igmp_membership(headers->icmp_type));
}

/*
 * Whether what arrives may say that this address is its sender's. What endpoints sent has passed
 * their templates and bears their marks, and the host may speak for anybody (as a proxy does);
 * a machine on the link for nobody that we know better.
 */
static __noinline bool may_speak_for(struct __sk_buff *skb, const struct packet *packet,
				     const struct address *address)
{
	struct party owner = {};

	if (!skb->ingress_ifindex)
		return true;
	if (find_address(address, packet->bridge, packet->slot, &owner))
		return false;
	return is_world(owner.identity) ||
	       (owner.endpoint && owner.endpoint == (get_mark(skb) & MARK_NUMBER));
}

static __always_inline int check_received_arp(struct __sk_buff *skb, const struct packet *packet)
{
	struct arp_message *arp = at(skb, ETH_HLEN, sizeof(*arp));
	struct address sender;

	if (!arp)
		return unreadable(skb, ETH_HLEN, sizeof(*arp));
	map_ipv4(&sender, arp->sender);
	return may_speak_for(skb, packet, &sender) ? DROP_NONE : DROP_ARP;
}

/* An advertisement says "this is me", and so does a probe for a duplicate. */
static __always_inline int check_received_discovery(struct __sk_buff *skb,
						    const struct packet *packet)
{
	const struct headers *headers = &packet->headers;
	bool unspecified = is_unspecified(headers->source.word);
	struct nd_target *message;
	struct address target;

	if (!unspecified && !may_speak_for(skb, packet, &headers->source))
		return DROP_SOURCE_UNPROVEN;
	if (headers->icmp_type != ND_NEIGHBOUR_ADVERT &&
	    !(headers->icmp_type == ND_NEIGHBOUR_SOLICIT && unspecified))
		return DROP_NONE;
	message = at(skb, headers->transport, sizeof(*message));
	if (!message)
		return unreadable(skb, headers->transport, sizeof(*message));
	__builtin_memcpy(&target, &message->target, sizeof(target));
	return may_speak_for(skb, packet, &target) ? DROP_NONE : DROP_NEIGHBOUR_DISCOVERY;
}

#endif
