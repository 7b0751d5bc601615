/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fragments: each is judged as the whole packet would be, by what the first one said.
 */
#ifndef BRIDGEWALL_FRAGMENT_H
#define BRIDGEWALL_FRAGMENT_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ipv6.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "events.h"
#include "icmp.h"
#include "ipv6.h"
#include "maps.h"
#include "packet.h"
#include "transport.h"

/* As long as Linux waits for the missing ones (net.ipv4.ipfrag_time). */
#define FRAGMENT_TIMEOUT (30 * SECOND)

#define PACKET_LENGTH_MAX 65535u

/* How much of a transport header the first fragment must keep from being overwritten. */
static __always_inline __u32 transport_header(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return sizeof(struct tcphdr);
	case IPPROTO_SCTP:
		return SCTP_HEADER;
	}
	return sizeof(struct udphdr);
}

static __always_inline int check_fragment(const struct headers *headers)
{
	__u32 length = headers->transport + headers->length - headers->fragment_start;
	__u32 before = headers->fragment_start - ETH_HLEN;

	/* What the length of the whole counts too: the IPv4 header, or the extension headers that are
	 * not part of the fragments. */
	if (headers->family == 6)
		before -= sizeof(struct ipv6hdr) + sizeof(struct ipv6_fragment);
	if (!headers->length || before + headers->fragment_offset + length > PACKET_LENGTH_MAX)
		return DROP_FRAGMENT;
	if (headers->flags & HEADERS_MORE_FRAGMENTS && length % 8)
		return DROP_FRAGMENT;
	return DROP_NONE;
}

/* The first fragment leaves what it says for those that follow. */
static __always_inline int keep_fragment(const struct headers *headers,
					 const struct fragment_key *key)
{
	__u32 header =
	    headers->transport - headers->fragment_start + transport_header(headers->protocol);
	struct fragment fragment = {
	    .seen = bpf_ktime_get_coarse_ns(),
	    .source_port = headers->source_port,
	    .destination_port = headers->destination_port,
	    .icmp_type = headers->icmp_type,
	    .icmp_code = headers->icmp_code,
	    .protocol = headers->protocol,
	    .header_blocks = (header + 7) / 8,
	};

	/* An error quotes no more than fits (RFC 1812, 4.3.2.3; RFC 4443, 2.4c), and neighbour
	 * discovery is never fragmented (RFC 6980). */
	if (is_icmp(headers) && is_icmp_error(headers->family, headers->icmp_type))
		return DROP_FRAGMENT;
	if (is_neighbour_discovery(headers))
		return DROP_FRAGMENT;
	if (bpf_map_update_elem(&fragments, key, &fragment, BPF_ANY))
		return DROP_FRAGMENT;
	return DROP_NONE;
}

/* A later fragment speaks as its first one did, and must not reach back over its headers. */
static __always_inline int recall_fragment(struct headers *headers, const struct fragment_key *key)
{
	struct fragment *first = bpf_map_lookup_elem(&fragments, key);

	if (!first || bpf_ktime_get_coarse_ns() - first->seen > FRAGMENT_TIMEOUT)
		return DROP_FRAGMENT_UNKNOWN;
	if (headers->fragment_offset < first->header_blocks * 8)
		return DROP_FRAGMENT;
	headers->protocol = first->protocol;
	headers->source_port = first->source_port;
	headers->destination_port = first->destination_port;
	headers->icmp_type = first->icmp_type;
	headers->icmp_code = first->icmp_code;
	headers->tcp_flags =
	    TCP_ACK; /* it belongs to a connection, and neither opens nor ends it */
	return DROP_NONE;
}

/* Returns a drop reason. */
__noinline int follow_fragment(struct headers *headers, __u32 bridge)
{
	struct fragment_key key = {};
	int reason;

	if (!headers)
		return DROP_FRAGMENT;
	reason = check_fragment(headers);
	if (reason)
		return reason;
	key.source = headers->source;
	key.destination = headers->destination;
	key.id = headers->fragment_id;
	if (headers->family == 4)
		key.protocol = headers->protocol;
	if (is_link_local(&headers->source) || is_link_local(&headers->destination))
		key.zone = bridge;
	return is_later_fragment(headers) ? recall_fragment(headers, &key)
					  : keep_fragment(headers, &key);
}

#endif
