/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's own policy, on the ways to the world outside. What only passes through the host is judged by
 * the hooks of the endpoints that it comes from or goes to; here it passes.
 */
#ifndef BRIDGEWALL_UPLINK_H
#define BRIDGEWALL_UPLINK_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "fragment.h"
#include "icmp.h"
#include "mark.h"
#include "own.h"
#include "packet.h"
#include "parse.h"
#include "peer.h"
#include "published.h"
#include "upkeep.h"
#include "verdict.h"

#define VLAN_ID 0x0fff

/* Not a drop reason: it is no business of the host's policy. */
#define NOT_CONCERNED -1

/* A frame of a virtual LAN is for another interface, on which it comes again. (Number 0 is none, but a
 * priority: IEEE 802.1Q, 9.6.) */
static __always_inline bool is_of_vlan(const struct __sk_buff *skb)
{
	return skb->vlan_present && skb->vlan_tci & VLAN_ID;
}

/*
 * What can be read of it. An error is one only if the packet concerns the host: what it is about stays in
 * `broken`, once the addresses are known. What is neither IPv4 nor IPv6 never does.
 */
static __always_inline int read_uplink(struct __sk_buff *skb, struct packet *packet, int *broken)
{
	int reason;

	if (is_of_vlan(skb))
		return NOT_CONCERNED;
	reason = parse(skb, &packet->headers);
	if (packet->headers.family) {
		*broken = reason;
		return DROP_NONE;
	}
	return !reason || reason == DROP_ETHERTYPE || reason == DROP_VLAN ? NOT_CONCERNED : reason;
}

/* The rest of what all hooks look at before they judge. `account`: where first fragments are kept. */
static __always_inline int examine_uplink(struct packet *packet, int broken, __u32 account)
{
	if (broken)
		return broken;
	if (packet->headers.flags & HEADERS_FRAGMENT)
		return follow_fragment(&packet->headers, account);
	return DROP_NONE;
}

/* The host asks for an address, or is told one: without a rule, since nothing works before. */
static __always_inline bool is_dhcp(const struct headers *headers, bool arriving)
{
	bool ipv6 = headers->family == 6;
	__be16 server = ipv6 ? bpf_htons(DHCPV6_SERVER_PORT) : bpf_htons(DHCP_SERVER_PORT);
	__be16 client = ipv6 ? bpf_htons(DHCPV6_CLIENT_PORT) : bpf_htons(DHCP_CLIENT_PORT);

	if (headers->protocol != IPPROTO_UDP ||
	    headers->source_port != (arriving ? server : client) ||
	    headers->destination_port != (arriving ? client : server))
		return false;
	/* RFC 8415, 18.2.10: from the link. */
	return !arriving || !ipv6 || is_link_local(&headers->source);
}

static __always_inline bool is_uplink_upkeep(const struct headers *headers, bool arriving)
{
	return is_received_upkeep(headers) || is_dhcp(headers, arriving);
}

/* Somebody on the link asks this host for an address. */
static __always_inline bool is_asking_for_address(const struct headers *headers)
{
	return headers->family == 4 && headers->protocol == IPPROTO_UDP &&
	       !headers->source.word[3] && headers->source_port == bpf_htons(DHCP_CLIENT_PORT) &&
	       headers->destination_port == bpf_htons(DHCP_SERVER_PORT);
}

/* To the host: who sends it? No address of this host or of its endpoints comes from outside. */
static __always_inline int find_arriving_source(struct packet *packet)
{
	int reason =
	    find_address(&packet->headers.source, packet->bridge, packet->slot, &packet->source);

	if (reason)
		return reason;
	return is_world(packet->source.identity) ? DROP_NONE : DROP_SOURCE_UNPROVEN;
}

static __always_inline int judge_arriving(struct __sk_buff *skb, struct packet *packet)
{
	const struct headers *headers = &packet->headers;
	int broken = DROP_NONE, reason = read_uplink(skb, packet, &broken);

	if (reason)
		return reason;
	if (headers->flags & HEADERS_GROUP)
		packet->destination.identity = IDENTITY_HOST;
	else
		reason = find_address(&headers->destination, packet->bridge, packet->slot,
				      &packet->destination);
	if (reason)
		return reason;
	if (packet->destination.identity != IDENTITY_HOST)
		return NOT_CONCERNED;
	reason = examine_uplink(packet, broken, fragment_account(0, 0));
	if (reason)
		return reason;
	if (is_uplink_upkeep(headers, true))
		return DROP_NONE;
	if (!is_asking_for_address(headers))
		reason = check_addresses(headers);
	if (reason)
		return reason;
	if (find_published(skb, headers, false))
		return NOT_CONCERNED;
	reason = find_arriving_source(packet);
	return reason ? reason : judge_packet(skb, packet);
}

/*
 * Whose packet it is that leaves. The host's own has come in nowhere, and bears no endpoint's mark. What
 * bears the host's address all the same has been judged where it came in: all that is left to do is to
 * know it again when it is answered.
 */
static __always_inline int find_leaving_source(struct __sk_buff *skb, struct packet *packet)
{
	__u32 mark = get_mark(skb);
	int reason =
	    find_address(&packet->headers.source, packet->bridge, packet->slot, &packet->source);

	if (reason)
		return reason;
	if (packet->source.identity != IDENTITY_HOST) {
		if (mark || skb->ingress_ifindex)
			return NOT_CONCERNED;
		packet->source.identity = IDENTITY_HOST;
		packet->source.endpoint = 0;
	}
	if (mark || skb->ingress_ifindex) {
		packet->flags |= PACKET_FORWARDED;
		if (mark && !(mark & MARK_JUDGED))
			return find_endpoint(mark, packet->slot, &packet->source);
		packet->source.identity = IDENTITY_NONE;
	}
	return DROP_NONE;
}

static __always_inline int judge_leaving(struct __sk_buff *skb, struct packet *packet)
{
	const struct headers *headers = &packet->headers;
	int broken = DROP_NONE, reason = read_uplink(skb, packet, &broken);

	if (reason)
		return reason;
	if (is_uplink_upkeep(headers, false))
		return DROP_NONE;
	reason = find_leaving_source(skb, packet);
	if (reason)
		return reason;
	reason = examine_uplink(packet, broken, packet->source.endpoint);
	if (reason)
		return reason;
	if (find_published(skb, headers, true))
		return NOT_CONCERNED;
	if (headers->flags & HEADERS_GROUP && packet->flags & PACKET_FORWARDED)
		return NOT_CONCERNED;
	reason =
	    find_address(&headers->destination, packet->bridge, packet->slot, &packet->destination);
	if (reason)
		return reason;
	if (packet->flags & PACKET_FORWARDED) {
		/* What is no question and has no ports has no answers either. */
		if (is_icmp(headers) && !icmp_question(headers->family, headers->icmp_type))
			return NOT_CONCERNED;
		return judge_connection(skb, packet);
	}
	return judge_packet(skb, packet);
}

#endif
