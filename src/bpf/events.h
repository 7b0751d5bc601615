/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Telling what happened: counters, and events through the ring buffer. Nothing here can change a
 * verdict; what cannot be told is counted as lost.
 */
#ifndef BRIDGEWALL_EVENTS_H
#define BRIDGEWALL_EVENTS_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "config.h"
#include "maps.h"
#include "packet.h"

#define SECOND 1000000000ull

/* The coarse monotonic clock, which goes on once a tick: asked once a tick on each CPU, for to look at the
 * number of the tick costs next to nothing. */
static __always_inline __u64 coarse_now(void)
{
	__u64 jiffies = bpf_jiffies64();
	__u32 zero = 0;
	struct tick *tick = bpf_map_lookup_elem(&ticks, &zero);

	if (!tick)
		return bpf_ktime_get_coarse_ns();
	if (tick->jiffies != jiffies) {
		tick->time = bpf_ktime_get_coarse_ns();
		tick->jiffies = jiffies;
	}
	return tick->time;
}

static __always_inline void add_to(struct counter *counter, __u32 bytes)
{
	counter->packets++;
	counter->bytes += bytes;
}

static __always_inline void count_traffic(__u32 endpoint, __u32 hook, bool dropped, __u32 bytes)
{
	struct endpoint_counters *traffic = bpf_map_lookup_elem(&endpoint_traffic, &endpoint);

	/* Uplinks share the entry of number 0: what comes in there, and what goes out. */
	hook &= HOOKS - 1;
	if (!traffic)
		return;
	add_to(dropped ? &traffic->dropped[hook] : &traffic->passed[hook], bytes);
}

static __always_inline void count_rule(__u32 rule, __u32 bytes)
{
	struct counter *hits = bpf_map_lookup_elem(&rule_hits, &rule);

	if (hits)
		add_to(hits, bytes);
}

static __always_inline void count_lost(__u32 cause)
{
	__u64 *lost = bpf_map_lookup_elem(&event_losses, &cause);

	if (lost)
		(*lost)++;
}

/* At most `event_burst` events a second for one endpoint and one reason. */
static __always_inline bool within_limit(__u32 endpoint, __u32 reason)
{
	struct event_limit_key key = {.endpoint = endpoint, .reason = reason};
	__u64 second = bpf_ktime_get_coarse_ns() / SECOND;
	struct event_limit *limit = bpf_map_lookup_elem(&event_limits, &key);

	if (!limit) {
		struct event_limit first = {.second = second, .sent = 1};

		bpf_map_update_elem(&event_limits, &key, &first, BPF_ANY);
		return true;
	}
	if (limit->second != second) {
		limit->second = second;
		limit->sent = 0;
	}
	if (__sync_fetch_and_add(&limit->sent, 1) < settings.event_burst)
		return true;
	__sync_fetch_and_add(&limit->suppressed, 1);
	return false;
}

static __always_inline void fill_event(struct event *event, const struct packet *packet)
{
	const struct headers *headers = &packet->headers;
	bool replying = packet->flags & PACKET_REPLYING;

	event->time = bpf_ktime_get_ns();
	event->generation = packet->generation;
	event->source = headers->source;
	event->destination = headers->destination;
	event->source_identity = packet->source.identity;
	event->destination_identity = packet->destination.identity;
	event->source_endpoint = packet->source.endpoint;
	event->destination_endpoint = packet->destination.endpoint;
	event->egress_rule = packet->rule[SIDE_EGRESS];
	event->ingress_rule = packet->rule[SIDE_INGRESS];
	event->ifindex = packet->ifindex;
	event->endpoint = packet->endpoint;
	event->source_port = headers->source_port;
	event->destination_port = headers->destination_port;
	event->side = packet->side;
	event->hook = packet->hook;
	event->family = headers->family;
	event->protocol = headers->protocol;
	event->icmp_type = headers->icmp_type;
	event->icmp_code = headers->icmp_code;
	event->flags = replying ? EVENT_REPLYING : 0;
	__builtin_memset(event->_pad, 0, sizeof(event->_pad));
}

/* An event that lacks nothing but the packet's bytes; NULL where it is over the limit, or there is no
 * room: then it is counted. */
static __always_inline struct event *begin_event(const struct packet *packet, __u32 length,
						 __u32 verdict, __u32 reason)
{
	__u32 limited = verdict >= VERDICT_DROP ? reason : DROP_REASONS + verdict;
	struct event *event;

	if (!within_limit(packet->endpoint, limited)) {
		count_lost(EVENT_LOST_LIMITED);
		return NULL;
	}
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_lost(EVENT_LOST_FULL);
		return NULL;
	}
	fill_event(event, packet);
	event->packet_length = length;
	event->verdict = verdict;
	event->reason = reason;
	if (verdict == VERDICT_ALLOW)
		event->flags |= EVENT_ALLOWED_NEW;
	__builtin_memset(event->bytes, 0, sizeof(event->bytes));
	event->byte_count = 0;
	return event;
}

__noinline int report(struct __sk_buff *skb, const struct packet *packet, __u32 verdict,
		      __u32 reason)
{
	__u32 length = skb->len, last;
	struct event *event;

	if (!packet)
		return 0;
	event = begin_event(packet, length, verdict, reason);
	if (!event)
		return 0;
	if (length > sizeof(event->bytes))
		length = sizeof(event->bytes);
	/* Counted from 0, so that the verifier of 6.1 sees that something is read. */
	last = length - 1;
	barrier_var(last);
	if (last < sizeof(event->bytes)) {
		if (!bpf_skb_load_bytes(skb, 0, event->bytes, last + 1))
			event->byte_count = last + 1;
	}
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Counts and reports; the verdict for the kernel. */
static __always_inline int drop(struct __sk_buff *skb, const struct packet *packet, __u32 reason)
{
	struct counter *counter = bpf_map_lookup_elem(&drops, &reason);

	if (counter)
		add_to(counter, skb->len);
	count_traffic(packet->endpoint, packet->hook, true, skb->len);
	/* A bridge floods what it has not learned yet: that is no event, but the way it works. */
	if (reason != DROP_NOT_ADDRESSED)
		report(skb, packet, reason == DROP_POLICY_DENY ? VERDICT_DENY : VERDICT_DROP,
		       reason);
	return TC_ACT_SHOT;
}

/* TC_ACT_UNSPEC is TCX_NEXT: fine with us, and the next program's turn. */
static __always_inline int pass(struct __sk_buff *skb, __u32 endpoint, __u32 hook)
{
	count_traffic(endpoint, hook, false, skb->len);
	return TC_ACT_UNSPEC;
}

#endif
