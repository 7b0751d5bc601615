/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The IPv6 header and its extension headers (RFC 8200).
 */
#ifndef BRIDGEWALL_IPV6_H
#define BRIDGEWALL_IPV6_H

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ipv6.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "packet.h"
#include "read.h"

/* More than any honest sender uses; a chain that is longer is dropped, not guessed at. */
#define IPV6_EXTENSIONS_MAX 6

#define IPV6_MOBILITY      135
#define IPV6_HOST_IDENTITY 139
#define IPV6_SHIM6         140
#define IPV6_EXPERIMENT_1  253
#define IPV6_EXPERIMENT_2  254

struct ipv6_extension {
	__u8 next;
	__u8 length; /* in 8 bytes, without the first 8; authentication header: in 4, without 8 */
	__u8 routing_type;
	__u8 segments_left;
	__u8 rest[4];
};

struct ipv6_fragment {
	__u8 next;
	__u8 reserved;
	__be16 offset; /* the upper 13 bits, in 8 bytes; bit 0: more fragments */
	__be32 id;
};

/* The fragment header at `offset`. Returns the next header's number, or a negative drop reason. */
static __always_inline int parse_ipv6_fragment(struct __sk_buff *skb, struct headers *headers,
					       __u32 offset)
{
	struct ipv6_fragment *fragment = at(skb, offset, sizeof(*fragment));
	__u32 position;

	if (!fragment)
		return -unreadable(skb, offset, sizeof(*fragment));
	if (headers->fragment_start)
		return -DROP_FRAGMENT;
	position = bpf_ntohs(fragment->offset);
	headers->fragment_start = offset + sizeof(*fragment);
	headers->fragment_offset = position & 0xfff8;
	headers->fragment_id = fragment->id;
	if (position & 1)
		headers->flags |= HEADERS_FRAGMENT | HEADERS_MORE_FRAGMENTS;
	else if (position & 0xfff8)
		headers->flags |= HEADERS_FRAGMENT;
	/* Neither: an atomic fragment, a whole packet (RFC 6946). */
	return fragment->next;
}

/*
 * Walks to the transport header. Every header on the way must be one whose meaning we know: behind
 * an unknown one the ports would be a guess. Hop-by-hop options come first or not at all (4.1);
 * routing headers only where they have nothing left to do, and never of type 0 (RFC 5095).
 */
static __always_inline int parse_ipv6_extensions(struct __sk_buff *skb, struct headers *headers,
						 __u32 offset, __u32 end, int next)
{
	for (int i = 0; i <= IPV6_EXTENSIONS_MAX; i++) {
		struct ipv6_extension *extension;
		__u32 size;

		switch (next) {
		case IPPROTO_HOPOPTS:
			if (i)
				return DROP_IPV6_EXTENSION;
			break;
		case IPPROTO_DSTOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_AH:
		case IPPROTO_FRAGMENT:
			break;
		case IPV6_MOBILITY:
		case IPV6_HOST_IDENTITY:
		case IPV6_SHIM6:
		case IPV6_EXPERIMENT_1:
		case IPV6_EXPERIMENT_2:
			return DROP_IPV6_EXTENSION;
		default:
			headers->protocol = next;
			headers->transport = offset;
			headers->length = end - offset;
			return DROP_NONE;
		}

		if (offset + sizeof(*extension) > end)
			return headers->flags & HEADERS_FRAGMENT ? DROP_FRAGMENT : DROP_TRUNCATED;
		if (offset > HEADER_REACH)
			return DROP_IPV6_EXTENSION;

		if (next == IPPROTO_FRAGMENT) {
			next = parse_ipv6_fragment(skb, headers, offset);
			if (next < 0)
				return -next;
			offset += sizeof(struct ipv6_fragment);
			if (is_later_fragment(headers)) {
				headers->transport = offset;
				headers->length = end - offset;
				return DROP_NONE; /* what follows is data */
			}
			continue;
		}

		extension = at(skb, offset, sizeof(*extension));
		if (!extension)
			return unreadable(skb, offset, sizeof(*extension));
		if (next == IPPROTO_ROUTING &&
		    (!extension->routing_type || extension->segments_left))
			return DROP_IPV6_EXTENSION;
		size =
		    next == IPPROTO_AH ? (extension->length + 2) * 4 : (extension->length + 1) * 8;
		next = extension->next;
		offset += size;
		if (offset > end)
			return headers->flags & HEADERS_FRAGMENT ? DROP_FRAGMENT : DROP_TRUNCATED;
	}
	return DROP_IPV6_EXTENSION;
}

/* `quotation_end`: of what an ICMP error quotes, where all but the beginning may be missing; else 0. */
__noinline int parse_ipv6(struct __sk_buff *skb, struct headers *headers, __u32 offset,
			  __u32 quotation_end)
{
	__u32 length, room;
	struct ipv6hdr *ip;
	int next;

	if (!headers)
		return DROP_IPV6_HEADER;
	if (quotation_end && offset + sizeof(*ip) > quotation_end)
		return DROP_TRUNCATED;
	ip = at(skb, offset, sizeof(*ip));
	if (!ip)
		return unreadable(skb, offset, sizeof(*ip));
	room = (quotation_end ? quotation_end : skb->len) - offset - sizeof(*ip);
	if (ip->version != 6)
		return DROP_IPV6_HEADER;

	length = bpf_ntohs(ip->payload_len);
	if (quotation_end && length > room)
		length = room;
	if (!length && skb->gso_size)
		length =
		    room; /* BIG TCP: more than 16 bits can say, cut before it leaves the host */
	if (length > room)
		return DROP_TRUNCATED;
	next = ip->nexthdr;
	if (!length && next != IPPROTO_NONE)
		return DROP_IPV6_HEADER; /* jumbograms (RFC 2675) are for no link that we watch */

	headers->family = 6;
	headers->hop_limit = ip->hop_limit;
	__builtin_memcpy(&headers->source, &ip->saddr, sizeof(headers->source));
	__builtin_memcpy(&headers->destination, &ip->daddr, sizeof(headers->destination));
	if (is_ipv6_multicast(&headers->destination))
		headers->flags |= HEADERS_GROUP;

	offset += sizeof(*ip);
	return parse_ipv6_extensions(skb, headers, offset, offset + length, next);
}

#endif
