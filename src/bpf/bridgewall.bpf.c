// SPDX-License-Identifier: GPL-2.0-only
/*
 * The entry points of the packet path. Templates know one interface: their constants are patched in
 * before load; they check who sends and jump to the bodies, which all interfaces share.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "config.h"
#include "events.h"
#include "expiry.h"
#include "fragment.h"
#include "known.h"
#include "maps.h"
#include "mark.h"
#include "offload.h"
#include "packet.h"
#include "parse.h"
#include "sender.h"
#include "shortcut.h"
#include "uplink.h"
#include "upkeep.h"
#include "verdict.h"
#include "xdp.h"

/* ---- Templates --------------------------------------------------------------------------- */

/* A jump into an empty slot falls through: then there is nothing left but to drop. */
static __always_inline int refuse(struct __sk_buff *skb, __u32 reason)
{
	skb->cb[HANDOVER_REASON] = reason;
	bpf_tail_call(skb, &bodies, BODY_DROP);
	return TC_ACT_SHOT;
}

static __always_inline void hand_over(struct __sk_buff *skb, enum hook hook)
{
	skb->cb[HANDOVER_ENDPOINT] = endpoint_constants.number;
	skb->cb[HANDOVER_HOOK] = hook;
}

SEC("tc")
int from_endpoint(struct __sk_buff *skb)
{
	int reason;

	hand_over(skb, HOOK_FROM_ENDPOINT);
	reason = check_sender(skb);
	if (!reason) {
		bpf_tail_call(skb, &bodies, BODY_FROM_ENDPOINT);
		reason = DROP_BODY_MISSING;
	}
	return refuse(skb, reason);
}

SEC("tc")
int to_endpoint(struct __sk_buff *skb)
{
	int reason;

	hand_over(skb, HOOK_TO_ENDPOINT);
	reason = check_receiver(skb);
	if (!reason) {
		bpf_tail_call(skb, &bodies, BODY_TO_ENDPOINT);
		reason = DROP_BODY_MISSING;
	}
	return refuse(skb, reason);
}

SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	hand_over(skb, HOOK_FROM_UPLINK);
	bpf_tail_call(skb, &bodies, BODY_FROM_UPLINK);
	return refuse(skb, DROP_BODY_MISSING);
}

SEC("tc")
int to_uplink(struct __sk_buff *skb)
{
	hand_over(skb, HOOK_TO_UPLINK);
	bpf_tail_call(skb, &bodies, BODY_TO_UPLINK);
	return refuse(skb, DROP_BODY_MISSING);
}

/* ---- Bodies ------------------------------------------------------------------------------ */

/* One look at `active`, for the whole of this packet. Returns a drop reason. */
static __always_inline int find_policy(struct packet *packet)
{
	__u32 zero = 0;
	__u64 *judging = bpf_map_lookup_elem(&active, &zero);

	if (!judging)
		return DROP_IDENTITY_MISSING;
	packet->generation = *(volatile __u64 *)judging;
	packet->slot = packet->generation & 1;
	packet->generation >>= 1;
	return packet->generation ? DROP_NONE : DROP_IDENTITY_MISSING;
}

static __always_inline int begin(struct __sk_buff *skb, struct packet *packet)
{
	__u32 number = skb->cb[HANDOVER_ENDPOINT];
	struct endpoint *endpoint;

	packet->endpoint = number;
	packet->ifindex = skb->ifindex;
	if (find_policy(packet))
		return DROP_ENDPOINT_UNKNOWN;
	endpoint = bpf_map_lookup_elem(&endpoints, &number);
	if (!endpoint || !endpoint->identity[packet->slot & 1])
		return DROP_ENDPOINT_UNKNOWN;
	packet->bridge = endpoint->bridge ? endpoint->bridge : endpoint->ifindex;
	return DROP_NONE;
}

/* `sender`: the endpoint that is known to send it, 0 for none. */
static __always_inline int examine(struct __sk_buff *skb, struct packet *packet, __u32 sender)
{
	int reason = parse(skb, &packet->headers);

	if (!reason && packet->headers.flags & HEADERS_FRAGMENT)
		reason =
		    follow_fragment(&packet->headers, fragment_account(sender, packet->endpoint));
	return reason ? reason : check_offload(skb, &packet->headers);
}

static __always_inline int judge_sent(struct __sk_buff *skb, struct packet *packet)
{
	int reason = begin(skb, packet);

	if (!reason)
		reason = examine(skb, packet, packet->endpoint);
	if (!reason)
		reason = check_authority(packet);
	if (reason)
		return reason;
	packet->mark = packet->endpoint;
	/* May be from the unspecified address, and has passed the template. */
	if (is_sent_upkeep(&packet->headers))
		return DROP_NONE;
	reason = check_addresses(&packet->headers);
	return reason ? reason : judge_packet(skb, packet);
}

/* Apart from the short way, so that neither is in the other's, with what it needs of the stack. */
SEC("tc")
int judge_sent_body(struct __sk_buff *skb)
{
	struct packet packet = {.hook = HOOK_FROM_ENDPOINT};
	int reason = judge_sent(skb, &packet);
	struct known known = {
	    .endpoint = packet.endpoint,
	    .bridge = packet.bridge,
	    .slot = packet.slot,
	    .mark = packet.mark,
	};

	if (packet.flags & PACKET_PRESSED)
		make_room();
	if (reason)
		return drop(skb, &packet, reason);
	return send_on(skb, &known);
}

SEC("tc")
int from_endpoint_body(struct __sk_buff *skb)
{
	struct known known;

	if (find_hook(skb, &known) && is_known(skb, HOOK_FROM_ENDPOINT, &known))
		return send_on(skb, &known);
	bpf_tail_call(skb, &bodies, BODY_JUDGE_SENT);
	return refuse(skb, DROP_BODY_MISSING);
}

static __always_inline int judge_received(struct __sk_buff *skb, struct packet *packet)
{
	__u32 mark = get_mark(skb);
	int reason = begin(skb, packet);

	if (reason)
		return reason;
	if (mark & MARK_JUDGED) {
		if ((mark & MARK_NUMBER) == packet->endpoint)
			return DROP_NONE;
		parse(skb, &packet->headers); /* for the event */
		return DROP_MARK;
	}
	reason = examine(skb, packet, mark);
	if (reason)
		return reason;
	if (!packet->headers.family)
		return check_received_arp(skb, packet);
	if (is_neighbour_discovery(&packet->headers))
		return is_received_upkeep(&packet->headers) ? check_received_discovery(skb, packet)
							    : DROP_NEIGHBOUR_DISCOVERY;
	if (is_received_upkeep(&packet->headers))
		return DROP_NONE;
	reason = check_addresses(&packet->headers);
	if (reason)
		return reason;
	return judge_packet(skb, packet);
}

SEC("tc")
int judge_received_body(struct __sk_buff *skb)
{
	struct packet packet = {.hook = HOOK_TO_ENDPOINT};
	int reason = judge_received(skb, &packet);

	if (packet.flags & PACKET_PRESSED)
		make_room();
	if (reason)
		return drop(skb, &packet, reason);
	return pass(skb, packet.endpoint, HOOK_TO_ENDPOINT);
}

SEC("tc")
int to_endpoint_body(struct __sk_buff *skb)
{
	struct known known;

	if (find_hook(skb, &known) &&
	    (is_judged(skb, &known) || is_known(skb, HOOK_TO_ENDPOINT, &known)))
		return pass(skb, known.endpoint, HOOK_TO_ENDPOINT);
	bpf_tail_call(skb, &bodies, BODY_JUDGE_RECEIVED);
	return refuse(skb, DROP_BODY_MISSING);
}

/* At an uplink there is no endpoint, and link-local addresses are known by it. */
static __always_inline int begin_uplink(struct __sk_buff *skb, struct packet *packet)
{
	packet->ifindex = skb->ifindex;
	packet->bridge = skb->ifindex;
	return find_policy(packet);
}

static __always_inline int finish_uplink(struct __sk_buff *skb, struct packet *packet, int reason)
{
	if (packet->flags & PACKET_PRESSED)
		make_room();
	if (reason > DROP_NONE)
		return drop(skb, packet, reason);
	return pass(skb, 0, packet->hook);
}

SEC("tc")
int from_uplink_body(struct __sk_buff *skb)
{
	struct packet packet = {.hook = HOOK_FROM_UPLINK};
	int reason = begin_uplink(skb, &packet);

	if (!reason)
		reason = judge_arriving(skb, &packet);
	return finish_uplink(skb, &packet, reason);
}

SEC("tc")
int to_uplink_body(struct __sk_buff *skb)
{
	struct packet packet = {.hook = HOOK_TO_UPLINK};
	int reason = begin_uplink(skb, &packet);

	if (!reason)
		reason = judge_leaving(skb, &packet);
	return finish_uplink(skb, &packet, reason);
}

/* Before everything else on an uplink, where it has a place. The kernel may hand it frames in pieces. */
SEC("xdp.frags")
int uplink_xdp(struct xdp_md *context)
{
	struct packet packet = {.hook = HOOK_XDP};
	int reason;

	packet.ifindex = context->ingress_ifindex;
	packet.bridge = context->ingress_ifindex;
	find_policy(&packet);
	reason = judge_frame(context, &packet);
	return reason ? drop_frame(context, &packet, reason) : XDP_PASS;
}

/* Counts and reports what a template has refused. */
SEC("tc")
int drop_body(struct __sk_buff *skb)
{
	struct packet packet = {.hook = skb->cb[HANDOVER_HOOK]};

	begin(skb, &packet);
	parse(skb, &packet.headers);
	return drop(skb, &packet, skb->cb[HANDOVER_REASON]);
}

/* ---- Upkeep ------------------------------------------------------------------------------ */

/* Run by the daemon, which says what time it is. Returns whether it was its turn. */
SEC("syscall")
int sweep_body(struct sweep *sweep)
{
	struct sweep own = {.now = sweep->now};
	bool done = sweep_flows(&own, 0);

	*sweep = own;
	return done;
}

char LICENSE[] SEC("license") = "GPL";
