// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the benchmark of deny lists injects, and what drops it: nothing but a drop, our search trees, and
 * what else could be searched.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "peer.h"

#define FRAME 64
/* ceil(log2) of the most ranges that a binary search is asked to search. */
#define RANGE_ROUNDS 22

struct source {
	struct address address;
};

/* Whom the frames come from, one after the other. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << 20);
	__type(key, __u32);
	__type(value, struct source);
} sources SEC(".maps");

struct plan {
	__u64 frame[FRAME / 8];
	__u32 count;   /* of sources */
	__u32 next;    /* source */
	__u32 family;  /* 4, 6 */
	__u32 ifindex; /* through which they are sent */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct plan);
} plan SEC(".maps");

/* Frames that a program has let pass, and that it has dropped. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

struct trie_key {
	__u32 length;
	__u8 bytes[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 21);
	__type(key, struct trie_key);
	__type(value, __u32);
} trie SEC(".maps");

/* First addresses of ranges, in order: every other one is on the list. IPv4 only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << 21);
	__type(key, __u32);
	__type(value, __u64);
} ranges SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 21);
	__type(key, struct trie_key);
	__type(value, __u32);
} lengths SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} range_count SEC(".maps");

/* The lengths that prefixes on the list have, longest first. */
const volatile __u32 used_lengths[8];

SEC("xdp")
int inject(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0, index;
	struct plan *now = bpf_map_lookup_elem(&plan, &zero);
	struct source *source;

	if (!now || data + FRAME > end)
		return XDP_ABORTED;
	index = now->next;
	now->next = index + 1 < now->count ? index + 1 : 0;
	source = bpf_map_lookup_elem(&sources, &index);
	if (!source)
		return XDP_ABORTED;
	__builtin_memcpy(data, now->frame, FRAME);
	if (now->family == 4)
		*(__be32 *)(data + 26) = source->address.word[3];
	else
		__builtin_memcpy(data + 22, &source->address, sizeof(source->address));
	return bpf_redirect(now->ifindex, 0);
}

static __always_inline int count(__u32 dropped)
{
	__u64 *value = bpf_map_lookup_elem(&seen, &dropped);

	if (value)
		(*value)++;
	return dropped ? XDP_DROP : XDP_PASS;
}

/* The sender; anything but IP passes. */
static __always_inline bool read_source(struct xdp_md *ctx, struct address *address)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;

	if (data + FRAME > end)
		return false;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		map_ipv4(address, *(__be32 *)(data + 26));
		return true;
	}
	if (ethernet->h_proto != bpf_htons(ETH_P_IPV6))
		return false;
	__builtin_memcpy(address, data + 22, sizeof(*address));
	return true;
}

SEC("xdp")
int bare(struct xdp_md *ctx)
{
	return count(1);
}

SEC("xdp")
int parsed(struct xdp_md *ctx)
{
	struct address source = {};

	return count(read_source(ctx, &source) && source.word[3]);
}

SEC("xdp")
int trees(struct xdp_md *ctx)
{
	struct party party = {};
	struct address source;
	__u32 zero = 0, slot;
	__u64 *judging;

	if (!read_source(ctx, &source))
		return XDP_PASS;
	judging = bpf_map_lookup_elem(&active, &zero);
	if (!judging)
		return XDP_DROP;
	slot = *(volatile __u64 *)judging & 1;
	if (find_network(&source, slot, &party))
		return count(0);
	return count(denied_by(party.identity, slot, true) != 0);
}

SEC("xdp")
int lpm_trie(struct xdp_md *ctx)
{
	struct trie_key key = {.length = 128};
	struct address source;

	if (!read_source(ctx, &source))
		return XDP_PASS;
	__builtin_memcpy(key.bytes, &source, sizeof(source));
	return count(bpf_map_lookup_elem(&trie, &key) != NULL);
}

SEC("xdp")
int binary_search(struct xdp_md *ctx)
{
	__u32 position = 0, left, zero = 0;
	struct address source;
	__u64 wanted;
	__u32 *size = bpf_map_lookup_elem(&range_count, &zero);

	if (!size || !read_source(ctx, &source))
		return XDP_PASS;
	left = *size;
	wanted = bpf_ntohl(source.word[3]);
	for (int i = 0; i < RANGE_ROUNDS && left > 1; i++) {
		__u32 half = left / 2, middle = position + half;
		__u64 *first = bpf_map_lookup_elem(&ranges, &middle);
		__u64 beyond;

		if (!first)
			return count(0);
		beyond = (__u64)((__s64)(wanted - *first) >> 63);
		position += half & ~(__u32)beyond;
		left -= half;
	}
	return count(position & 1);
}

SEC("xdp")
int hash_lengths(struct xdp_md *ctx)
{
	struct address source;

	if (!read_source(ctx, &source))
		return XDP_PASS;
	for (int i = 0; i < 8; i++) {
		__u32 length = used_lengths[i];
		struct trie_key key = {.length = length};

		if (!length)
			break;
		__builtin_memcpy(key.bytes, &source, sizeof(source));
#pragma unroll
		for (int word = 0; word < 4; word++) {
			__u32 kept = length > 32 * word ? length - 32 * word : 0;
			__u32 mask = kept >= 32 ? ~0u : kept ? ~0u << (32 - kept) : 0;

			((__be32 *)key.bytes)[word] &= bpf_htonl(mask);
		}
		if (bpf_map_lookup_elem(&lengths, &key))
			return count(1);
	}
	return count(0);
}

/* For what stands behind XDP. */
SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
