/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fragments: each is judged as the whole packet would be, by what the first one said. What first ones
 * say is kept for each account apart, so that nobody's flood makes others' be forgotten.
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

/* Who pays for a first fragment's place: who is known to send it, else the endpoint that it is for. */
static __always_inline __u32 fragment_account(__u32 sender, __u32 receiver)
{
	return sender ? sender : receiver | ACCOUNT_RECEIVED;
}

static __always_inline __u32 fragment_set_index(const struct fragment_key *key, __u32 account)
{
	__u32 hash = key->id ^ key->source.word[3] ^ key->destination.word[3] ^ key->protocol;

	return account << FRAGMENT_SET_BITS | hash * 0x9e3779b1u >> (32 - FRAGMENT_SET_BITS);
}

/* Too large for the stack. Not a struct fragment_set: a lock may lie in no read-only data. */
static const __u64 empty_fragment_set[sizeof(struct fragment_set) / 8];

/* NULL if the kernel has no memory. */
static __always_inline struct fragment_set *make_fragment_set(__u32 index)
{
	struct fragment_set *set = bpf_map_lookup_elem(&fragments, &index);

	if (set)
		return set;
	bpf_map_update_elem(&fragments, &index, empty_fragment_set, BPF_NOEXIST);
	return bpf_map_lookup_elem(&fragments, &index);
}

static __always_inline bool is_same_address(const struct address *a, const struct address *b)
{
	return !((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) | (a->word[2] ^ b->word[2]) |
		 (a->word[3] ^ b->word[3]));
}

/* Where the datagram's first fragment is; FRAGMENTS_OF_SET: nowhere. The lock must be held. */
static __always_inline __u32 find_fragment(const struct fragment_set *set,
					   const struct fragment_key *key)
{
	__u32 place = FRAGMENTS_OF_SET;

	for (__u32 i = 0; i < FRAGMENTS_OF_SET; i++) {
		const struct fragment_key *other = &set->fragments[i].key;

		if (other->id == key->id && other->protocol == key->protocol &&
		    is_same_address(&other->source, &key->source) &&
		    is_same_address(&other->destination, &key->destination))
			place = i;
	}
	return place;
}

/* The first fragment leaves what it says for those that follow. */
static __always_inline int keep_fragment(const struct headers *headers,
					 const struct fragment_key *key, __u32 index)
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
	    .key = *key,
	};
	struct fragment_set *set;
	__u32 place;

	/* An error quotes no more than fits (RFC 1812, 4.3.2.3; RFC 4443, 2.4c), and neighbour
	 * discovery is never fragmented (RFC 6980). */
	if (is_icmp(headers) && is_icmp_error(headers->family, headers->icmp_type))
		return DROP_FRAGMENT;
	if (is_neighbour_discovery(headers))
		return DROP_FRAGMENT;
	set = make_fragment_set(index);
	if (!set)
		return DROP_FRAGMENT;
	bpf_spin_lock(&set->lock);
	place = find_fragment(set, key);
	if (place >= FRAGMENTS_OF_SET) {
		place = set->next % FRAGMENTS_OF_SET;
		set->next = place + 1;
	}
	set->fragments[place] = fragment;
	bpf_spin_unlock(&set->lock);
	return DROP_NONE;
}

/* A later fragment speaks as its first one did, and must not reach back over its headers. */
static __always_inline int recall_fragment(struct headers *headers, const struct fragment_key *key,
					   __u32 index)
{
	struct fragment_set *set = bpf_map_lookup_elem(&fragments, &index);
	__u64 now = bpf_ktime_get_coarse_ns();
	struct fragment first = {};
	__u32 place;

	if (!set)
		return DROP_FRAGMENT_UNKNOWN;
	bpf_spin_lock(&set->lock);
	place = find_fragment(set, key);
	if (place < FRAGMENTS_OF_SET)
		first = set->fragments[place];
	bpf_spin_unlock(&set->lock);

	/* Signed: another CPU may have read the clock after us. */
	if (!first.seen || (__s64)(now - first.seen) > (__s64)FRAGMENT_TIMEOUT)
		return DROP_FRAGMENT_UNKNOWN;
	if (headers->fragment_offset < first.header_blocks * 8)
		return DROP_FRAGMENT;
	headers->protocol = first.protocol;
	headers->source_port = first.source_port;
	headers->destination_port = first.destination_port;
	headers->icmp_type = first.icmp_type;
	headers->icmp_code = first.icmp_code;
	headers->tcp_flags =
	    TCP_ACK; /* it belongs to a connection, and neither opens nor ends it */
	return DROP_NONE;
}

/* Returns a drop reason. */
__noinline int follow_fragment(struct headers *headers, __u32 account)
{
	struct fragment_key key = {};
	__u32 index;
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
	index = fragment_set_index(&key, account);
	return is_later_fragment(headers) ? recall_fragment(headers, &key, index)
					  : keep_fragment(headers, &key, index);
}

#endif
