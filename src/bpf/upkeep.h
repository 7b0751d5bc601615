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
#include "neighbour.h"
#include "packet.h"

#define DHCP_SERVER_PORT   67  /* RFC 2131 */
#define DHCPV6_SERVER_PORT 547 /* RFC 8415 */

/* What no endpoint may send, whatever the policy says: it would speak for the network. */
static __always_inline int check_authority(const struct headers *headers)
{
	__be16 server =
	    headers->family == 6 ? bpf_htons(DHCPV6_SERVER_PORT) : bpf_htons(DHCP_SERVER_PORT);

	if (headers->protocol == IPPROTO_UDP && headers->source_port == server)
		return DROP_DHCP_SERVER;
	if (is_igmp(headers) && headers->icmp_type == IGMP_QUERY)
		return DROP_MULTICAST_QUERY;
	if (is_mld(headers) && headers->icmp_type == MLD_QUERY)
		return DROP_MULTICAST_QUERY;
	/* The template passes what is genuine; this came behind extension headers. */
	if (is_neighbour_discovery(headers))
		return headers->icmp_type == ND_ROUTER_ADVERT || headers->icmp_type == ND_REDIRECT
			   ? DROP_ROUTER_ADVERTISEMENT
			   : DROP_NEIGHBOUR_DISCOVERY;
	return DROP_NONE;
}

/* An endpoint joins or leaves a group. */
static __always_inline bool is_sent_upkeep(const struct headers *headers)
{
	return is_igmp(headers) && headers->flags & HEADERS_GROUP &&
	       is_igmp_membership(headers->icmp_type);
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
	if (is_mld(headers))
		return headers->hop_limit == MLD_HOP_LIMIT && headers->flags & HEADERS_GROUP;
	if (is_igmp(headers))
		return headers->hop_limit == 1 && headers->flags & HEADERS_GROUP &&
		       (headers->icmp_type == IGMP_QUERY || is_igmp_membership(headers->icmp_type));
	return false;
}

#endif
