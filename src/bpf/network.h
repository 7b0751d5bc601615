/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In which networks is an address of the world? The same search as `Tree::find` in
 * src/state/networks/tree.rs, which makes the trees; abi.h says how they lie in memory.
 *
 * Whatever the number of prefixes, it costs a look at the table of roots and one at each of very few
 * cache lines. Within a line all keys are compared at once, without a branch.
 */
#ifndef BRIDGEWALL_NETWORK_H
#define BRIDGEWALL_NETWORK_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "maps.h"

/* One in each of a word's four lanes. */
#define EACH_LANE 0x0001000100010001ULL

/* How many of the narrow keys in `words` words are less than the one that `spread` was made of. */
static __always_inline __u32 narrow_rank(const __u64 *word, int words, __u64 spread)
{
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < words; i++)
		sum += (spread - word[i]) >> 15 & EACH_LANE;
	return sum * EACH_LANE >> 48;
}

/* The same of wide keys: each subtraction that borrows counts. */
static __always_inline __u32 wide_rank(const __u64 *word, int words, __u64 key)
{
	__u64 rank = 0;

#pragma unroll
	for (int i = 0; i < words; i++)
		rank += ((~word[i] & key) | ((~word[i] | key) & (word[i] - key))) >> 63;
	return rank;
}

/* An identity, or a reference: the one of the last four halves that the range's code names. */
static __always_inline __u32 leaf_value(const struct network_node *leaf, __u64 codes, __u32 rank)
{
	__u32 code = codes >> (2 * rank) & 3;

	return leaf->word[6 + (code >> 1)] >> ((code & 1) * 32);
}

/* What a reference leads to; 0 if anything on the way is missing. */
static __always_inline __u32 search_narrow(__u32 reference, __u32 key)
{
	/* With it no lane borrows from the next one, and its top bit says whether the key is greater. */
	__u64 spread = (__u64)(key + 0x7fff) * EACH_LANE;
	__u32 depth = reference >> REFERENCE_DEPTH_SHIFT;
	__u32 index = reference & REFERENCE_NODE;
	struct network_node *node;

	for (int i = 0; i < NARROW_DEPTH_MAX && depth > 1; i++, depth--) {
		node = bpf_map_lookup_elem(&network_nodes, &index);
		if (!node)
			return 0;
		index += (__u32)node->word[7] + narrow_rank(node->word, 7, spread);
	}
	node = bpf_map_lookup_elem(&network_nodes, &index);
	if (!node || depth != 1)
		return 0;
	return leaf_value(node, node->word[5], narrow_rank(node->word, 5, spread));
}

/* The upper half of the address first; the lower one where the upper one does not say it all. */
static __always_inline __u32 search_wide(__u32 reference, __u64 upper, __u64 lower)
{
	__u32 depth = reference >> REFERENCE_DEPTH_SHIFT;
	__u32 index = reference & REFERENCE_NODE;
	struct network_node *node;
	__u64 key = upper;
	bool below = false;

	for (int i = 0; i < WIDE_DEPTH_MAX; i++) {
		__u32 value;

		node = bpf_map_lookup_elem(&network_nodes, &index);
		if (!node)
			return 0;
		if (depth > 1) {
			index += (__u32)node->word[7] + wide_rank(node->word, 7, key);
			depth--;
			continue;
		}
		value = leaf_value(node, node->word[7] >> 32, wide_rank(node->word, 6, key));
		if (value & IDENTITY_WORLD_BIT || below)
			return value;
		below = true;
		key = lower;
		depth = value >> REFERENCE_DEPTH_SHIFT;
		index += value & REFERENCE_NODE;
	}
	return 0;
}

static __always_inline __u64 half_of(const __be32 word[2])
{
	return (__u64)bpf_ntohl(word[0]) << 32 | bpf_ntohl(word[1]);
}

/* Which root an IPv6 address belongs to: by 20 bits in 2000::/3, where nearly all are, else by 3. */
static __always_inline __u32 ipv6_root(__u64 upper)
{
	if (upper >> 61 == 1)
		return ROOTS_IPV6 + (upper >> 44 & 0x1ffff);
	return ROOTS_IPV6_REST + (upper >> 61);
}

/* The identity number of an address of the world; IDENTITY_NONE: something is missing. */
static __always_inline __u32 network_of(const struct address *address, __u32 slot)
{
	bool narrow = is_mapped(address);
	__u32 ipv4 = bpf_ntohl(address->word[3]);
	__u64 upper = half_of(address->word);
	__u32 root = narrow ? ipv4 >> 15 : ipv6_root(upper);
	__u32 row = root / ROOTS_IN_ROW << 1 | (slot & 1);
	struct network_roots *roots;
	__u32 value;

	roots = bpf_map_lookup_elem(&network_roots, &row);
	if (!roots)
		return IDENTITY_NONE;
	value = roots->reference[root % ROOTS_IN_ROW];
	if (!(value & IDENTITY_WORLD_BIT))
		value = narrow ? search_narrow(value, ipv4 & 0x7fff)
			       : search_wide(value, upper, half_of(address->word + 2));
	return value & IDENTITY_WORLD_BIT ? value : IDENTITY_NONE;
}

#endif
