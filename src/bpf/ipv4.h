/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The IPv4 header (RFC 791).
 */
#ifndef BRIDGEWALL_IPV4_H
#define BRIDGEWALL_IPV4_H

#include <stdbool.h>
#include <linux/ip.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "packet.h"
#include "read.h"

#define IPV4_MORE_FRAGMENTS  0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff

#define IPV4_OPTION_END     0
#define IPV4_OPTION_NOP     1
#define IPV4_OPTION_LSRR    131 /* loose source and record route */
#define IPV4_OPTION_SSRR    137 /* strict source and record route */
#define IPV4_OPTIONS_LENGTH 40

struct ipv4_options {
	struct __sk_buff *skb;
	__u32 offset;
	__u32 end;
	int reason;
};

/* One option; returns 1 when there is no more to see. */
static long parse_ipv4_option(__u32 round __attribute__((unused)), void *context)
{
	struct ipv4_options *options = context;
	__u8 option[2] = {};

	if (options->offset >= options->end)
		return 1;
	if (bpf_skb_load_bytes(options->skb, options->offset, option, 1))
		goto malformed;
	if (option[0] == IPV4_OPTION_END)
		return 1;
	if (option[0] == IPV4_OPTION_NOP) {
		options->offset++;
		return 0;
	}
	if (option[0] == IPV4_OPTION_LSRR || option[0] == IPV4_OPTION_SSRR) {
		options->reason = DROP_IPV4_SOURCE_ROUTE;
		return 1;
	}
	if (bpf_skb_load_bytes(options->skb, options->offset, option, 2) || option[1] < 2 ||
	    options->offset + option[1] > options->end)
		goto malformed;
	options->offset += option[1];
	return 0;

malformed:
	options->reason = DROP_IPV4_HEADER;
	return 1;
}

/*
 * A source route would lead the packet elsewhere than where we judged it to go. The whole header is
 * linear here. (As an open loop this would cost the verifier more than all the rest together.)
 */
__noinline int parse_ipv4_options(struct __sk_buff *skb, __u32 offset, __u32 end)
{
	struct ipv4_options options = {.skb = skb, .offset = offset, .end = end};

	bpf_loop(IPV4_OPTIONS_LENGTH, parse_ipv4_option, &options, 0);
	return options.reason;
}

/* `end`: of what an ICMP error quotes, where all but the beginning may be missing; else 0. */
static __always_inline int parse_ipv4(struct __sk_buff *skb, struct headers *headers, __u32 offset,
				      __u32 end)
{
	__u32 header, total, room, fragment;
	struct iphdr *ip;

	if (end && offset + sizeof(*ip) > end)
		return DROP_TRUNCATED;
	ip = at(skb, offset, sizeof(*ip));
	if (!ip)
		return unreadable(skb, offset, sizeof(*ip));
	room = (end ? end : skb->len) - offset;
	header = ip->ihl * 4;
	if (ip->version != 4 || header < sizeof(*ip))
		return DROP_IPV4_HEADER;

	total = bpf_ntohs(ip->tot_len);
	if (end && total > room)
		total = room;
	if (!total && skb->gso_size)
		total =
		    room; /* BIG TCP: more than 16 bits can say, cut before it leaves the host */
	if (total < header)
		return DROP_IPV4_HEADER;
	if (total > room)
		return DROP_TRUNCATED;

	fragment = bpf_ntohs(ip->frag_off);
	headers->family = 4;
	headers->protocol = ip->protocol;
	headers->hop_limit = ip->ttl;
	headers->transport = offset + header;
	headers->length = total - header;
	headers->fragment_start = headers->transport;
	headers->fragment_offset = (fragment & IPV4_FRAGMENT_OFFSET) * 8;
	headers->fragment_id = bpf_htonl(bpf_ntohs(ip->id));
	if (fragment & IPV4_MORE_FRAGMENTS)
		headers->flags |= HEADERS_FRAGMENT | HEADERS_MORE_FRAGMENTS;
	else if (fragment & IPV4_FRAGMENT_OFFSET)
		headers->flags |= HEADERS_FRAGMENT;
	map_ipv4(&headers->source, ip->saddr);
	map_ipv4(&headers->destination, ip->daddr);
	if (is_ipv4_group(ip->daddr))
		headers->flags |= HEADERS_GROUP;

	if (header == sizeof(*ip))
		return DROP_NONE;
	if (!at(skb, offset, header))
		return unreadable(skb, offset, header);
	return parse_ipv4_options(skb, offset + sizeof(*ip), offset + header);
}

#endif
