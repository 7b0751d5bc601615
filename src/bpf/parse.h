/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From the Ethernet header to the transport header.
 */
#ifndef BRIDGEWALL_PARSE_H
#define BRIDGEWALL_PARSE_H

#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "ipv4.h"
#include "ipv6.h"
#include "packet.h"
#include "read.h"
#include "transport.h"

/* Returns a drop reason. ARP is no error, but has no headers: family 0. */
static __always_inline int parse(struct __sk_buff *skb, struct headers *headers)
{
	struct ethhdr *ethernet;
	int reason;

	ethernet = at(skb, 0, sizeof(*ethernet));
	if (!ethernet)
		return unreadable(skb, 0, sizeof(*ethernet));
	if (is_group_mac(ethernet->h_dest))
		headers->flags |= HEADERS_GROUP;

	switch (ethernet->h_proto) {
	case bpf_htons(ETH_P_IP):
		reason = parse_ipv4(skb, headers, sizeof(*ethernet), 0);
		break;
	case bpf_htons(ETH_P_IPV6):
		reason = parse_ipv6(skb, headers, sizeof(*ethernet), 0);
		break;
	case bpf_htons(ETH_P_ARP):
		return DROP_NONE;
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return DROP_VLAN;
	default:
		return DROP_ETHERTYPE;
	}
	if (reason || is_later_fragment(headers))
		return reason;
	return parse_transport(skb, headers, false);
}

#endif
