/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ICMP errors: they pass if the packet they quote belongs to a live connection of their receiver,
 * for without them path MTU discovery breaks (RFC 1191, 8201). Everything else about an error is
 * easily forged, so nothing else counts.
 */
#ifndef BRIDGEWALL_QUOTE_H
#define BRIDGEWALL_QUOTE_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "flow.h"
#include "icmp.h"
#include "ipv4.h"
#include "ipv6.h"
#include "maps.h"
#include "packet.h"
#include "transport.h"

/* What the error is about. Anything that a genuine sender would not quote is refused. */
__noinline int parse_quote(struct __sk_buff *skb, const struct headers *error,
			   struct headers *quoted)
{
	__u32 offset;
	int reason;

	if (!error || !quoted)
		return DROP_ICMP_ERROR;
	offset = error->transport + sizeof(struct icmp_header);
	if (error->family == 6)
		reason = parse_ipv6(skb, quoted, offset, true);
	else
		reason = parse_ipv4(skb, quoted, offset, true);
	if (reason)
		return DROP_ICMP_ERROR;
	/* Errors go to who sent the packet, and never speak of later fragments (RFC 1122, 3.2.2). */
	if (!same_address(&quoted->source, &error->destination) || is_later_fragment(quoted))
		return DROP_ICMP_ERROR;
	if (parse_transport(skb, quoted, true))
		return DROP_ICMP_ERROR;
	if (is_icmp(quoted) && is_icmp_error(quoted->family, quoted->icmp_type))
		return DROP_ICMP_ERROR;
	return DROP_NONE;
}

/* `replying`: the quoted packet goes from the flow's target to its opener. */
static __always_inline bool is_entitled(const struct packet *packet, const struct flow *flow,
					bool replying)
{
	__u32 receiver = replying ? flow->target : flow->opener;

	if (packet->hook == HOOK_TO_ENDPOINT)
		return receiver == packet->endpoint;
	return flow->opener == packet->endpoint || flow->target == packet->endpoint;
}

/* A function of its own, so that the key's stack is free again for the calls that follow. */
static __noinline struct flow *find_quoted_flow(const struct packet *packet,
						const struct headers *quoted, bool *source_is_low)
{
	struct flow_key key = {};
	struct flow *flow;

	*source_is_low = make_flow_key(quoted, packet->bridge, &key);
	flow = bpf_map_lookup_elem(&flows, &key);
	return flow ? flow : bpf_map_lookup_elem(&new_flows, &key);
}

static __always_inline bool quotes_live_flow(struct packet *packet, const struct headers *quoted)
{
	bool source_is_low = false, replying;
	struct flow *flow = find_quoted_flow(packet, quoted, &source_is_low);

	if (!flow)
		return false;
	replying = source_is_low != !!(flow->flags & FLOW_OPENER_LOW);
	if (!is_entitled(packet, flow, replying) ||
	    has_expired(flow, quoted->protocol, bpf_ktime_get_coarse_ns()))
		return false;
	if (flow->generation == packet->generation)
		return true;
	if (judge_again(packet, quoted, flow, replying)) {
		/* That was said of the connection; the error is judged on its own. */
		packet->rule[SIDE_EGRESS] = 0;
		packet->rule[SIDE_INGRESS] = 0;
		packet->flags &= ~(PACKET_LOG | PACKET_JUDGED);
		return false;
	}
	/* What only audit mode lets pass is to be reported with the connection's next packet. */
	if (packet->verdict == VERDICT_ALLOW)
		flow->generation = packet->generation;
	return true;
}

/* Returns a drop reason, and whether the error belongs to a live connection. */
__noinline int follow_error(struct __sk_buff *skb, struct packet *packet, __u32 *live)
{
	struct headers quoted = {};
	int reason;

	if (!packet || !live)
		return DROP_ICMP_ERROR;
	reason = parse_quote(skb, &packet->headers, &quoted);
	if (!reason)
		*live = quotes_live_flow(packet, &quoted);
	return reason;
}

#endif
