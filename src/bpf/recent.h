/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each CPU remembers of connections that it has just seen. To find one in the table of all costs more
 * than everything else that is asked about its packets together; here it takes a look at one cache line,
 * and no call. Nothing is remembered for longer than a second, or past a change of the policy.
 */
#ifndef BRIDGEWALL_RECENT_H
#define BRIDGEWALL_RECENT_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "config.h"
#include "events.h"
#include "maps.h"
#include "packet.h"

/* Both ports, the endpoint whose hook it is, and at the receiver's hook who sends it, by its mark. */
static __always_inline __u64 recent_ends(__be16 source_port, __be16 destination_port,
					 __u32 endpoint, __u32 sender)
{
	return source_port | (__u64)destination_port << 16 | (__u64)(__u16)endpoint << 32 |
	       (__u64)sender << 48;
}

static __always_inline __u64 recent_ipv4(__be32 source, __be32 destination)
{
	return source | (__u64)destination << 32;
}

/* Where this CPU has such an entry, or would have it. By multiply-shift hashing (Dietzfelbinger et al. 1997);
 * who finds addresses that meet in one place has his own packets go the long way. */
static __always_inline struct recent *recent_place(const struct recent *wanted)
{
	__u64 mixed = wanted->address[0] * 0x9e3779b97f4a7c15 +
		      wanted->address[1] * 0xbf58476d1ce4e5b9 +
		      wanted->address[2] * 0x94d049bb133111eb +
		      wanted->address[3] * 0xd6e8feb86659fd93 + wanted->ends * 0xa0761d6478bd642f;
	__u32 index = bpf_get_smp_processor_id() << settings.recent_bits |
		      mixed >> (64 - settings.recent_bits);

	return bpf_map_lookup_elem(&recent, &index);
}

static __always_inline bool is_same_recent(const struct recent *a, const struct recent *b)
{
	__u64 different = (a->address[0] ^ b->address[0]) | (a->address[1] ^ b->address[1]) |
			  (a->address[2] ^ b->address[2]) | (a->address[3] ^ b->address[3]) |
			  (a->ends ^ b->ends) | (a->judging ^ b->judging);

	return !(different | (a->protocol ^ b->protocol) | (a->hook ^ b->hook));
}

static __always_inline bool is_recent(const struct recent *entry)
{
	return (__s64)(entry->until - coarse_now()) > 0;
}

/* How often a connection of this endpoint's has begun where another one had been. */
static __always_inline __u32 *find_reopened(__u32 endpoint)
{
	return bpf_map_lookup_elem(&reopened, &endpoint);
}

static __always_inline void note_reopened(__u32 endpoint)
{
	__u32 *count = find_reopened(endpoint);

	if (endpoint && count)
		__sync_fetch_and_add(count, 1);
}

/* The mark of a packet like this one: of these addresses, ends, protocol, hook and policy. 0: not known. */
static __always_inline __u32 recall(const struct recent *wanted, __u32 endpoint)
{
	struct recent *entry = recent_place(wanted);
	__u32 *count = find_reopened(endpoint);

	if (!entry || !count || !is_same_recent(entry, wanted) || entry->reopened != *count ||
	    !is_recent(entry))
		return 0;
	return entry->mark;
}

/* As a packet that was parsed looks to recall(). `sender`: the mark it came with, at the receiver's hook. */
static __always_inline void describe(const struct packet *packet, __u32 sender,
				     struct recent *entry)
{
	const struct headers *headers = &packet->headers;

	if (headers->family == 4) {
		entry->address[0] =
		    recent_ipv4(headers->source.word[3], headers->destination.word[3]);
	} else {
		__builtin_memcpy(entry->address, &headers->source, sizeof(headers->source));
		__builtin_memcpy(entry->address + 2, &headers->destination,
				 sizeof(headers->destination));
	}
	entry->ends =
	    recent_ends(headers->source_port, headers->destination_port, packet->endpoint, sender);
	entry->judging = packet->generation << 1 | packet->slot;
	entry->protocol = headers->protocol;
	entry->hook = packet->hook;
}

/* One that is in the way keeps its place as long as it is good for something: so of more connections than
 * there are places some are known all the time, instead of none. */
static __always_inline void keep_recent(const struct recent *entry)
{
	struct recent *place = recent_place(entry);

	if (!place ||
	    (place->judging == entry->judging && is_recent(place) && !is_same_recent(place, entry)))
		return;
	*place = *entry;
}

#endif
