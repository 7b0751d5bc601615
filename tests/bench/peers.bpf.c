// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the benchmark measures with, and the least that a program could do: the yardsticks.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TEMPLATE 64

/* What is injected: a frame, with its source port counted through so many flows. */
struct plan {
	__u64 frame[TEMPLATE / 8];
	__u32 port_offset;
	__u32 first_port;
	__u32 flows;
	__u32 next;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct plan);
} plan SEC(".maps");

/* Frames that have reached a receiver. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} arrived SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} subject SEC(".maps");

/* The interface that `bare_redirect` leads to: written before load. */
const volatile __u32 peer;

/* Writes the next flow's source port, at an offset that only the plan knows. */
static __always_inline bool count_port(void *data, void *end, struct plan *now)
{
	__u32 offset = now->port_offset;
	void *port;

	if (offset > TEMPLATE)
		return false;
	port = data + offset;
	if (port + sizeof(__be16) > end)
		return false;
	*(__be16 *)port = bpf_htons(now->first_port + now->next);
	now->next = now->next + 1 < now->flows ? now->next + 1 : 0;
	return true;
}

/* The page behind a frame is used again and again, and comes back as the last round left it. */
SEC("xdp")
int inject(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0;
	struct plan *now = bpf_map_lookup_elem(&plan, &zero);

	if (!now || data + TEMPLATE > end)
		return XDP_ABORTED;
	__builtin_memcpy(data, now->frame, TEMPLATE);
	return count_port(data, end, now) ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp")
int sink(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&arrived, &zero);
	struct ethhdr *ethernet = data;

	if (data + sizeof(*ethernet) > end)
		return XDP_PASS;
	/* Neighbours must still be found. */
	if (ethernet->h_proto == bpf_htons(ETH_P_ARP) || data + TEMPLATE > end)
		return XDP_PASS;
	if (count)
		(*count)++;
	return XDP_DROP;
}

static __always_inline bool is_ip(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *ethernet = data;

	if (data + sizeof(*ethernet) > end)
		return false;
	return ethernet->h_proto == bpf_htons(ETH_P_IP) ||
	       ethernet->h_proto == bpf_htons(ETH_P_IPV6);
}

SEC("tc")
int bare(struct __sk_buff *skb)
{
	return is_ip(skb) ? TC_ACT_UNSPEC : TC_ACT_OK;
}

SEC("tc")
int bare_redirect(struct __sk_buff *skb)
{
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return is_ip(skb) ? bpf_redirect_peer(peer, 0) : TC_ACT_UNSPEC;
}

/* Gives every run of the subject a source port of its own. */
SEC("tc")
int vary(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 zero = 0;
	struct plan *now = bpf_map_lookup_elem(&plan, &zero);

	if (!now || !count_port(data, end, now))
		return TC_ACT_SHOT;
	bpf_tail_call(skb, &subject, 0);
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "GPL";
