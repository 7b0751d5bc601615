/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections: found by one lookup, judged again when the policy has changed, moved to the table of
 * the answered ones by a genuine reply.
 */
#ifndef BRIDGEWALL_FLOW_H
#define BRIDGEWALL_FLOW_H

#include <linux/errno.h>
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "config.h"
#include "events.h"
#include "icmp.h"
#include "mark.h"
#include "maps.h"
#include "packet.h"
#include "peer.h"
#include "policy.h"
#include "transport.h"

/* Not a drop reason: the parties of a flow are others than when it was judged. */
#define PARTIES_CHANGED -1

/* What a flow entry means for a packet that found it. */
enum following {
	FOLLOWED, /* the packet belongs to the connection */
	ABSENT,   /* the entry is as good as none, and is overwritten if the packet opens another */
	APART,    /* the connection lives, but the packet asks for something of its own */
	REFUSED,  /* the connection is no longer allowed */
};

static __always_inline bool is_less(const struct address *a, const struct address *b)
{
	for (int i = 0; i < 4; i++)
		if (a->word[i] != b->word[i])
			return bpf_ntohl(a->word[i]) < bpf_ntohl(b->word[i]);
	return false;
}

/* Returns whether the packet's source is the key's `low`. The key must be zeroed. */
__noinline int make_flow_key(const struct headers *headers, __u32 bridge, struct flow_key *key)
{
	bool source_is_low;

	if (!headers || !key)
		return false;
	source_is_low = is_less(&headers->source, &headers->destination);
	key->low = source_is_low ? headers->source : headers->destination;
	key->high = source_is_low ? headers->destination : headers->source;
	key->low_port = source_is_low ? headers->source_port : headers->destination_port;
	key->high_port = source_is_low ? headers->destination_port : headers->source_port;
	key->protocol = headers->protocol;
	if (is_icmp(headers)) {
		__u8 question = icmp_question(headers->family, headers->icmp_type);

		key->icmp_type = question;
		if (question)
			key->icmp_low_asks = source_is_low == (headers->icmp_type == question);
	}
	if (is_link_local(&headers->source) || is_link_local(&headers->destination))
		key->zone = bridge;
	return source_is_low;
}

static __always_inline __u64 flow_timeout(__u8 protocol, __u8 state)
{
	__u64 seconds;

	if (state == FLOW_NEW)
		seconds = settings.timeout_new;
	else if (state == FLOW_CLOSING)
		seconds = settings.timeout_closing;
	else if (protocol == IPPROTO_TCP)
		seconds = settings.timeout_tcp;
	else if (protocol == IPPROTO_UDP)
		seconds = settings.timeout_udp;
	else if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		seconds = settings.timeout_icmp;
	else
		seconds = settings.timeout_other;
	return seconds * SECOND;
}

static __always_inline bool has_expired(const struct flow *flow, __u8 protocol, __u64 now)
{
	/* Signed: another CPU may have written `last_seen` after we read the clock. */
	return (__s64)(now - flow->last_seen) > (__s64)flow_timeout(protocol, flow->state);
}

/* The party that an address stands for today, if it is still the one that the flow was judged by. */
static __always_inline int find_flow_party(const struct packet *packet,
					   const struct address *address, __u32 endpoint, bool host,
					   struct party *party)
{
	int reason = find_address(address, packet->bridge, packet->slot, party);

	if (reason)
		return reason;
	/* A masqueraded endpoint: the address is not its own, and the mark proved who it is. */
	if (endpoint && !party->endpoint)
		return find_endpoint(endpoint, packet->slot, party);
	if (party->endpoint != endpoint || (party->identity == IDENTITY_HOST) != host)
		return PARTIES_CHANGED;
	return DROP_NONE;
}

/* The policy or the inventory has changed: is the connection still allowed to its opener? */
__noinline int judge_again(struct packet *packet, const struct headers *headers,
			   const struct flow *flow, __u32 replying)
{
	struct question question = {.sides = JUDGE_BOTH};
	int reason;

	if (!packet || !headers || !flow)
		return DROP_IDENTITY_MISSING;
	question.selector = flow->selector;
	reason = find_flow_party(packet, replying ? &headers->destination : &headers->source,
				 flow->opener, flow->flags & FLOW_OPENER_HOST, &question.opener);
	if (reason)
		return reason;
	reason = find_flow_party(packet, replying ? &headers->source : &headers->destination,
				 flow->target, flow->flags & FLOW_TARGET_HOST, &question.target);
	if (reason)
		return reason;
	packet->source = replying ? question.target : question.opener;
	packet->destination = replying ? question.opener : question.target;
	return judge(packet, &question);
}

/*
 * Whether the packet's ends are those of the entry, as far as this hook can tell. The sender's hook
 * knows the sender, the receiver's knows itself and, by the mark, what endpoint sent it.
 */
static __always_inline bool is_party(const struct packet *packet, const struct flow *flow,
				     bool replying, __u32 mark)
{
	__u32 source = replying ? flow->target : flow->opener;
	__u32 destination = replying ? flow->opener : flow->target;

	if (packet->hook == HOOK_FROM_ENDPOINT)
		return source == packet->endpoint;
	return destination == packet->endpoint && (!source || source == mark);
}

static __always_inline void track_tcp(struct flow *flow, __u8 tcp_flags, bool replying)
{
	__u8 fins = FLOW_FIN_OPENER | FLOW_FIN_TARGET;

	if (tcp_flags & TCP_FIN)
		flow->flags |= replying ? FLOW_FIN_TARGET : FLOW_FIN_OPENER;
	if (tcp_flags & TCP_RST || (flow->flags & fins) == fins)
		flow->state = FLOW_CLOSING;
}

/* Sets `reason` where it returns REFUSED. */
static __always_inline enum following follow_flow(struct __sk_buff *skb, struct packet *packet,
						  struct flow *flow, bool replying, int *reason)
{
	const struct headers *headers = &packet->headers;
	__u64 now = bpf_ktime_get_coarse_ns();
	bool tcp = headers->protocol == IPPROTO_TCP;

	if (!is_party(packet, flow, replying, get_mark(skb)) ||
	    has_expired(flow, headers->protocol, now))
		return ABSENT;
	if (tcp && (headers->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		/* The connection is over, or was refused: this is another one. */
		if (flow->state == FLOW_CLOSING || !flow->generation)
			return ABSENT;
		/* The target opens a connection of its own between the same ports. */
		if (replying)
			return APART;
	}
	/* The same question with another code, which the key does not tell. */
	if (!replying && is_icmp(headers) && selector_of(headers) != flow->selector)
		return APART;
	if (flow->generation != packet->generation) {
		int again = judge_again(packet, headers, flow, replying);

		if (again == PARTIES_CHANGED)
			return ABSENT;
		packet->flags |= replying ? PACKET_REPLYING : 0;
		if (again) {
			flow->generation = 0;
			*reason = again;
			return REFUSED;
		}
		flow->generation = packet->generation;
		if (packet->verdict == VERDICT_AUDIT)
			packet->flags |= PACKET_TELL;
	}
	if (tcp && headers->tcp_flags & (TCP_FIN | TCP_RST))
		track_tcp(flow, headers->tcp_flags, replying);
	/* Every write to a shared entry costs the other CPUs a cache miss. */
	if ((__s64)(now - flow->last_seen) >= (__s64)SECOND)
		flow->last_seen = now;
	return FOLLOWED;
}

/* The mark for a packet that passes: judged for the receiver too, if that is on the same bridge. */
static __always_inline __u32 flow_mark(const struct packet *packet, const struct flow *flow,
				       bool replying)
{
	if (flow->flags & FLOW_SAME_BRIDGE)
		return MARK_JUDGED | (replying ? flow->opener : flow->target);
	return packet->endpoint;
}

/* A reset is an answer, but not one that makes a connection. */
static __always_inline bool is_genuine_reply(const struct headers *headers)
{
	return headers->protocol != IPPROTO_TCP ||
	       (headers->tcp_flags & (TCP_ACK | TCP_RST)) == TCP_ACK;
}

/* Somebody answered: the connection moves to where no flood can push it out. */
__noinline int promote_flow(const struct flow_key *key, const struct flow *flow)
{
	struct flow answered;
	struct flow_key own; /* before 6.2 a key must lie on the stack of who uses it */
	int error;           /* before 6.4 the upper half of what an update returns is not set */

	if (!key || !flow)
		return DROP_FLOW_INSERT;
	own = *key;
	answered = *flow;
	if (answered.state == FLOW_NEW)
		answered.state = FLOW_ESTABLISHED;
	error = bpf_map_update_elem(&flows, &own, &answered, BPF_ANY);
	if (error)
		return error == -E2BIG ? DROP_FLOW_TABLE_FULL : DROP_FLOW_INSERT;
	bpf_map_delete_elem(&new_flows, &own);
	return DROP_NONE;
}

static __always_inline void forget_flow(const struct flow_key *key, bool answered)
{
	if (answered)
		bpf_map_delete_elem(&flows, key);
	else
		bpf_map_delete_elem(&new_flows, key);
}

/* A new connection, from the packet's source to its destination. */
__noinline int store_flow(const struct packet *packet, const struct flow_key *key,
			  __u32 source_is_low)
{
	struct flow flow = {};
	struct flow_key own;

	if (!packet || !key)
		return DROP_FLOW_INSERT;
	own = *key;
	flow.generation = packet->generation;
	flow.last_seen = bpf_ktime_get_coarse_ns();
	flow.opener = packet->source.endpoint;
	flow.target = packet->destination.endpoint;
	flow.selector = selector_of(&packet->headers);
	flow.state = FLOW_NEW;
	if (source_is_low)
		flow.flags |= FLOW_OPENER_LOW;
	if (packet->source.identity == IDENTITY_HOST)
		flow.flags |= FLOW_OPENER_HOST;
	if (packet->destination.identity == IDENTITY_HOST)
		flow.flags |= FLOW_TARGET_HOST;
	if (packet->mark & MARK_JUDGED)
		flow.flags |= FLOW_SAME_BRIDGE;
	if (bpf_map_update_elem(&new_flows, &own, &flow, BPF_ANY))
		return DROP_FLOW_INSERT;
	bpf_map_delete_elem(&flows, &own);
	return DROP_NONE;
}

#endif
