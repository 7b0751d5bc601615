// SPDX-License-Identifier: GPL-2.0-only
/*
 * The entry points of the packet path. Templates know one interface: their constants are patched in
 * before load; they check who sends and jump to the bodies, which all interfaces share.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "config.h"
#include "maps.h"

SEC("tc")
int from_endpoint(struct __sk_buff *skb)
{
	skb->cb[0] = endpoint_constants.number;
	bpf_tail_call(skb, &bodies, BODY_FROM_ENDPOINT);
	return TC_ACT_SHOT;
}

SEC("tc")
int to_endpoint(struct __sk_buff *skb)
{
	skb->cb[0] = endpoint_constants.number;
	bpf_tail_call(skb, &bodies, BODY_TO_ENDPOINT);
	return TC_ACT_SHOT;
}

SEC("tc")
int from_endpoint_body(struct __sk_buff *skb)
{
	skb->cb[1] = 0;
	return settings.mark_shift ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

SEC("tc")
int to_endpoint_body(struct __sk_buff *skb)
{
	skb->cb[1] = 0;
	return TC_ACT_SHOT;
}

SEC("tc")
int drop_body(struct __sk_buff *skb)
{
	skb->cb[1] = 0;
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "GPL";
