/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * May this packet pass? What both bodies share, from a parsed packet on.
 */
#ifndef BRIDGEWALL_VERDICT_H
#define BRIDGEWALL_VERDICT_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "events.h"
#include "flow.h"
#include "host.h"
#include "icmp.h"
#include "known.h"
#include "mark.h"
#include "maps.h"
#include "packet.h"
#include "peer.h"
#include "policy.h"
#include "published.h"
#include "quote.h"

/* What goes to a published port of the host goes to the container behind it. Returns a drop reason. */
static __always_inline int find_listener(struct __sk_buff *skb, struct packet *packet)
{
	__u32 found = find_published(skb, &packet->headers, false);

	if (!found)
		return DROP_NONE;
	packet->selector = published_selector(&packet->headers, found);
	packet->flags |= PACKET_PUBLISHED;
	return find_endpoint(published_endpoint(found), packet->slot, &packet->destination);
}

/* Who sends and who receives, by what this hook can prove. Returns a drop reason. */
__noinline int find_parties(struct __sk_buff *skb, struct packet *packet)
{
	__u32 sender;
	int reason;

	if (!packet)
		return DROP_IDENTITY_MISSING;
	if (is_at_uplink(packet))
		return DROP_NONE; /* found already */
	if (packet->hook == HOOK_FROM_ENDPOINT) {
		reason = find_endpoint(packet->endpoint, packet->slot, &packet->source);
		if (reason)
			return reason;
		reason = find_address(&packet->headers.destination, packet->bridge, packet->slot,
				      &packet->destination);
		if (reason || packet->destination.identity != IDENTITY_HOST)
			return reason;
		return find_listener(skb, packet);
	}

	reason = find_endpoint(packet->endpoint, packet->slot, &packet->destination);
	if (reason)
		return reason;
	reason =
	    find_address(&packet->headers.source, packet->bridge, packet->slot, &packet->source);
	if (reason)
		return reason;
	sender = get_mark(skb) & MARK_NUMBER;
	if (packet->source.endpoint)
		return packet->source.endpoint == sender ? DROP_NONE : DROP_SOURCE_UNPROVEN;
	/* Masqueraded: the address is the host's or another's, and the mark says who it is. */
	if (sender)
		return find_endpoint(sender, packet->slot, &packet->source);
	/* What the host sends has come in nowhere. */
	if (packet->source.identity == IDENTITY_HOST && skb->ingress_ifindex)
		return DROP_SOURCE_UNPROVEN;
	return DROP_NONE;
}

/* Both sides' deciding rules, once each. */
static __always_inline void count_rules(struct __sk_buff *skb, const struct packet *packet)
{
	__u32 egress = packet->rule[SIDE_EGRESS], ingress = packet->rule[SIDE_INGRESS];

	if (!(packet->flags & PACKET_JUDGED))
		return;
	count_rule(egress, skb->len);
	if (ingress != egress)
		count_rule(ingress, skb->len);
}

static __always_inline bool is_observed(void)
{
	__u32 zero = 0;
	__u32 *flags = bpf_map_lookup_elem(&observe, &zero);

	return flags && *flags & OBSERVE_ALLOWED;
}

/* What passes, but is worth an event. */
__noinline int tell(struct __sk_buff *skb, const struct packet *packet, __u32 opened)
{
	__u32 rule;

	if (!packet)
		return 0;
	rule = packet->side == SIDE_EGRESS ? packet->rule[SIDE_EGRESS] : packet->rule[SIDE_INGRESS];
	if (packet->verdict == VERDICT_AUDIT)
		report(skb, packet, VERDICT_AUDIT, rule ? DROP_POLICY_DENY : DROP_POLICY_DEFAULT);
	else if (opened && (packet->flags & PACKET_LOG || is_observed()))
		report(skb, packet, VERDICT_ALLOW, DROP_NONE);
	return 0;
}

/* The packet's own request, judged without regard to any connection. */
__noinline int judge_request(struct __sk_buff *skb, struct packet *packet, __u32 sides)
{
	struct question question = {.sides = sides};
	struct endpoint *receiver;
	int reason;

	if (!packet)
		return DROP_IDENTITY_MISSING;
	packet->selector = selector_of(&packet->headers);
	reason = find_parties(skb, packet);
	if (reason)
		return reason;
	question.opener = packet->source;
	question.target = packet->destination;
	question.listener = packet->destination.identity;
	/* What an endpoint sends to many reaches the host too, which has no hook of its own. */
	if (packet->hook == HOOK_FROM_ENDPOINT && packet->headers.flags & HEADERS_GROUP) {
		if (!is_world(packet->destination.identity))
			return DROP_ADDRESS; /* to one, in a frame to many (RFC 1122, 3.3.6) */
		question.listener = IDENTITY_HOST;
	}
	question.selector = packet->selector;
	reason = judge(packet, &question);
	count_rules(skb, packet);
	if (reason)
		return reason;

	packet->mark = packet->endpoint;
	if (packet->hook == HOOK_FROM_ENDPOINT && sides == JUDGE_BOTH &&
	    packet->destination.endpoint && !(packet->flags & PACKET_PUBLISHED)) {
		__u32 number = packet->destination.endpoint;

		receiver = bpf_map_lookup_elem(&endpoints, &number);
		if (receiver && receiver->bridge == packet->bridge)
			packet->mark = MARK_JUDGED | packet->destination.endpoint;
	}
	return DROP_NONE;
}

/* ICMP without an identifier, errors that quote no live flow, and what goes to many: no state. */
static __always_inline int judge_alone(struct __sk_buff *skb, struct packet *packet, __u32 sides)
{
	int reason = judge_request(skb, packet, sides);

	if (!reason)
		tell(skb, packet, true);
	return reason;
}

/*
 * A connection may also be picked up in its middle: one that lived before the firewall was switched
 * on is judged like a new one. What only ends or answers one proves nothing.
 */
static __always_inline bool may_open(const struct headers *headers)
{
	if (headers->protocol == IPPROTO_TCP)
		return !(headers->tcp_flags & (TCP_RST | TCP_FIN)) &&
		       (headers->tcp_flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK);
	return true;
}

/* An answer without its question: judged by its type, and opens nothing. */
static __always_inline bool is_icmp_answer(const struct headers *headers)
{
	return is_icmp(headers) &&
	       headers->icmp_type != icmp_question(headers->family, headers->icmp_type);
}

/* A function of its own: so its stack is not in the way of the deepest calls, those for errors. */
__noinline int judge_connection(struct __sk_buff *skb, struct packet *packet)
{
	const struct headers *headers = &packet->headers;
	bool source_is_low, apart;
	struct flow_key key = {};
	struct flow *flow;
	int reason = DROP_NONE;

	if (!packet)
		return DROP_IDENTITY_MISSING;
	source_is_low = make_flow_key(headers, packet->bridge, &key);
	apart = is_icmp_answer(headers);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (flow) {
		__u32 status = flow->status;
		bool replying = source_is_low != !!(status & FLOW_OPENER_LOW);

		switch (follow_flow(skb, packet, flow, status, replying, &reason)) {
		case FOLLOWED:
			packet->mark = flow_mark(packet, flow, replying);
			if (packet->flags & PACKET_TELL)
				tell(skb, packet, false);
			if (!(status & FLOW_ANSWERED) &&
			    is_confirmed_by(flow, status, headers, replying))
				return confirm_flow(packet, flow);
			remember(skb, packet, flow, replying);
			return DROP_NONE;
		case REFUSED:
			if (is_at_uplink(packet) && is_managed(packet))
				return DROP_NONE;
			/* A refused TCP connection stays known as such: the other end's next
			 * segment must not pick it up the other way round. */
			count_rules(skb, packet);
			return reason;
		case APART:
			apart = true;
			break;
		case ABSENT:
			break;
		}
	}

	if (is_at_uplink(packet) && is_exempt(packet))
		return DROP_NONE;
	if (packet->flags & PACKET_FORWARDED) {
		if (apart || !may_open(headers))
			return DROP_NONE;
		packet->selector = selector_of(headers);
		return store_flow(packet, &key, flow, source_is_low);
	}
	if (!may_open(headers))
		return DROP_NO_FLOW;
	reason = judge_request(skb, packet, JUDGE_BOTH);
	if (reason)
		return packet->hook == HOOK_FROM_UPLINK && is_older(skb, headers, reason)
			   ? DROP_NONE
			   : reason;
	if (!apart) {
		reason = store_flow(packet, &key, flow, source_is_low);
		if (reason)
			return reason;
	}
	tell(skb, packet, true);
	return DROP_NONE;
}

/* Returns a drop reason; sets the packet's mark where it passes. */
static __always_inline int judge_packet(struct __sk_buff *skb, struct packet *packet)
{
	const struct headers *headers = &packet->headers;

	if (is_icmp(headers)) {
		__u8 question = icmp_question(headers->family, headers->icmp_type);

		if (is_icmp_error(headers->family, headers->icmp_type)) {
			__u32 live = false;
			int reason = follow_error(skb, packet, &live);

			packet->mark = packet->endpoint;
			if (reason || live)
				return reason;
		}
		if (!question && !(headers->flags & HEADERS_GROUP))
			return judge_alone(skb, packet, JUDGE_BOTH);
	}
	/* The sender's hook judges the sender's side and the host's, each receiver's hook the
	 * receiver's. */
	if (headers->flags & HEADERS_GROUP)
		return judge_alone(skb, packet,
				   packet->hook == HOOK_FROM_ENDPOINT ? JUDGE_BOTH : JUDGE_INGRESS);
	return judge_connection(skb, packet);
}

#endif
