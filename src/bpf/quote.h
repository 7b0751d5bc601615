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
#include "mark.h"
#include "packet.h"
#include "peer.h"
#include "policy.h"
#include "published.h"
#include "transport.h"

/* What the error is about. Anything that a genuine sender would not quote is refused. */
__noinline int parse_quote(struct __sk_buff *skb, const struct headers *error,
			   struct headers *quoted)
{
	__u32 offset, end;
	int reason;

	if (!error || !quoted)
		return DROP_ICMP_ERROR;
	offset = error->transport + sizeof(struct icmp_header);
	end = error->transport + error->length;
	if (error->family == 6)
		reason = parse_ipv6(skb, quoted, offset, end);
	else
		reason = parse_ipv4(skb, quoted, offset, end);
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

/*
 * Whether the error goes to who sent the quoted packet, and comes from where that can have been seen:
 * between two ends on this host that is nobody but the other end and the host itself. `replying`:
 * the quoted packet goes from the flow's target to its opener.
 */
static __always_inline bool is_entitled(const struct __sk_buff *skb, const struct packet *packet,
					const struct flow *flow, __u32 status, bool replying)
{
	__u32 receiver = replying ? flow->target : flow->opener;
	__u32 other = replying ? flow->opener : flow->target;
	__u32 other_is_host = replying ? FLOW_OPENER_HOST : FLOW_TARGET_HOST;

	/* Between the host and the world, any router on the way. */
	if (is_at_uplink(packet))
		return true;
	if (packet->hook == HOOK_FROM_ENDPOINT)
		return flow->opener == packet->endpoint || flow->target == packet->endpoint;
	if (receiver != packet->endpoint)
		return false;
	if (!skb->ingress_ifindex)
		return true;
	if (other)
		return other == (get_mark(skb) & MARK_NUMBER);
	return !(status & other_is_host);
}

/* A function of its own, so that the key's stack is free again for the calls that follow. */
static __noinline struct flow *find_quoted_flow(const struct packet *packet,
						const struct headers *quoted, bool *source_is_low)
{
	struct flow_key key = {};

	*source_is_low = make_flow_key(quoted, packet->bridge, &key);
	return bpf_map_lookup_elem(&flows, &key);
}

static __always_inline bool quotes_live_flow(struct __sk_buff *skb, struct packet *packet,
					     const struct headers *quoted)
{
	bool source_is_low = false, replying;
	struct flow *flow = find_quoted_flow(packet, quoted, &source_is_low);
	__u32 status;

	if (!flow)
		return false;
	status = flow->status;
	replying = source_is_low != !!(status & FLOW_OPENER_LOW);
	if (status & FLOW_CLAIMED || !is_entitled(skb, packet, flow, status, replying) ||
	    has_expired(flow, status, quoted->protocol, bpf_ktime_get_coarse_ns()))
		return false;
	/* It was refused, and only TCP has to remember that. */
	if (!flow->generation && quoted->protocol != IPPROTO_TCP)
		return false;
	if (flow->generation == packet->generation || status & FLOW_FORWARDED)
		return true;
	if (judge_again(skb, packet, quoted, flow, replying)) {
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

/* Connections through an uplink of which there are no entries: of published ports, which the endpoint's
 * own hook judges, and with peers that the host's policy leaves alone. */
static __always_inline bool quotes_untracked(struct __sk_buff *skb, const struct packet *packet,
					     const struct headers *quoted)
{
	bool arriving = packet->hook == HOOK_FROM_UPLINK;
	struct party peer = {};

	if (find_published(skb, quoted, arriving))
		return true;
	return !find_address(arriving ? &quoted->destination : &quoted->source, packet->bridge,
			     packet->slot, &peer) &&
	       is_open_to_host(packet->slot, peer.identity);
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
		*live = quotes_live_flow(skb, packet, &quoted) ||
			(is_at_uplink(packet) && quotes_untracked(skb, packet, &quoted));
	return reason;
}

#endif
