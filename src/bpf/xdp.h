/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The earliest place: what no rule can save is dropped before the kernel makes a packet of it. Everything
 * that passes here is judged by the uplink's tc program, which misses nothing that is dropped here: so
 * this place may be somebody else's, and only costs more then.
 */
#ifndef BRIDGEWALL_XDP_H
#define BRIDGEWALL_XDP_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "events.h"
#include "expiry.h"
#include "flow.h"
#include "fragment.h"
#include "host.h"
#include "icmp.h"
#include "ipv4.h"
#include "packet.h"
#include "peer.h"
#include "transport.h"
#include "upkeep.h"

/* One within another, as providers have them. */
#define VLAN_TAGS_MAX 2

struct vlan_tag {
	__be16 control;
	__be16 next;
};

/* What of a frame is read here. Whatever takes more, options and extension headers, is left to tc. */
struct frame {
	void *start;
	void *end;
};

static __always_inline void *within(const struct frame *frame, void *position, __u32 size)
{
	return position + size <= frame->end ? position : NULL;
}

/* The ports, or an echo's identifier; what is not there is no error here. */
static __always_inline void read_transport(const struct frame *frame, void *position,
					   struct headers *headers)
{
	struct icmp_header *icmp;
	struct ports *ports;
	__u8 *flags;

	switch (headers->protocol) {
	case IPPROTO_TCP:
		flags = within(frame, position, TCP_FLAGS_OFFSET + 1);
		if (flags)
			headers->tcp_flags = flags[TCP_FLAGS_OFFSET];
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		icmp = within(frame, position, sizeof(*icmp));
		if (!icmp)
			return;
		headers->icmp_type = icmp->type;
		headers->icmp_code = icmp->code;
		if (icmp_question(headers->family, icmp->type)) {
			headers->source_port = icmp->identifier;
			headers->destination_port = icmp->identifier;
		}
		return;
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		break;
	default:
		return;
	}
	ports = within(frame, position, sizeof(*ports));
	if (!ports)
		return;
	headers->source_port = ports->source;
	headers->destination_port = ports->destination;
}

/* Returns a drop reason, for what nobody could make sense of. */
static __always_inline int read_ipv4(const struct frame *frame, struct iphdr *ip,
				     struct headers *headers)
{
	__u32 header, total, fragment;

	if (!within(frame, ip, sizeof(*ip)))
		return DROP_TRUNCATED;
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || total < header)
		return DROP_IPV4_HEADER;
	fragment = bpf_ntohs(ip->frag_off);
	headers->family = 4;
	headers->protocol = ip->protocol;
	headers->fragment_offset = (fragment & IPV4_FRAGMENT_OFFSET) * 8;
	if (fragment & (IPV4_FRAGMENT_OFFSET | IPV4_MORE_FRAGMENTS))
		headers->flags |= HEADERS_FRAGMENT;
	map_ipv4(&headers->source, ip->saddr);
	map_ipv4(&headers->destination, ip->daddr);
	/* Room for data in whole blocks, which together make no more than a packet can be. */
	if (fragment & IPV4_MORE_FRAGMENTS && (total - header) % 8)
		return DROP_FRAGMENT;
	if (headers->flags & HEADERS_FRAGMENT &&
	    (total == header || headers->fragment_offset + total > PACKET_LENGTH_MAX))
		return DROP_FRAGMENT;
	if (header == sizeof(*ip) && !headers->fragment_offset)
		read_transport(frame, ip + 1, headers);
	return DROP_NONE;
}

static __always_inline int read_ipv6(const struct frame *frame, struct ipv6hdr *ip,
				     struct headers *headers)
{
	if (!within(frame, ip, sizeof(*ip)))
		return DROP_TRUNCATED;
	if (ip->version != 6 || (!ip->payload_len && ip->nexthdr != IPPROTO_NONE))
		return DROP_IPV6_HEADER;
	headers->family = 6;
	headers->protocol = ip->nexthdr;
	__builtin_memcpy(&headers->source, &ip->saddr, sizeof(headers->source));
	__builtin_memcpy(&headers->destination, &ip->daddr, sizeof(headers->destination));
	read_transport(frame, ip + 1, headers);
	return DROP_NONE;
}

/* Family 0: nothing that is judged here. */
static __always_inline int read_frame(const struct frame *frame, struct headers *headers)
{
	struct ethhdr *ethernet = within(frame, frame->start, sizeof(*ethernet));
	void *next;
	__be16 kind;

	if (!ethernet)
		return DROP_TRUNCATED;
	kind = ethernet->h_proto;
	next = ethernet + 1;
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		struct vlan_tag *tag = within(frame, next, sizeof(*tag));

		if (!tag || (kind != bpf_htons(ETH_P_8021Q) && kind != bpf_htons(ETH_P_8021AD)))
			break;
		kind = tag->next;
		next = tag + 1;
	}
	if (kind == bpf_htons(ETH_P_IP))
		return read_ipv4(frame, next, headers);
	if (kind == bpf_htons(ETH_P_IPV6))
		return read_ipv6(frame, next, headers);
	return DROP_NONE;
}

/* What keeps the link and the host's addresses working needs no rule, whoever sends it. Whether it is
 * genuine, tc finds out (is_uplink_upkeep); and what stands behind hop-by-hop options. */
static __always_inline bool may_be_upkeep(const struct headers *headers)
{
	if (headers->protocol == IPPROTO_UDP)
		return headers->destination_port == bpf_htons(DHCP_CLIENT_PORT) ||
		       headers->destination_port == bpf_htons(DHCPV6_CLIENT_PORT);
	if (headers->family == 4)
		return is_igmp(headers);
	return headers->protocol == IPPROTO_HOPOPTS || is_mld(headers) ||
	       is_neighbour_discovery(headers);
}

/* Whether the packet can be nothing but the first one of a connection. */
static __always_inline bool is_opening(const struct headers *headers)
{
	return headers->protocol == IPPROTO_TCP &&
	       (headers->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/*
 * Whether it may answer what somebody here has asked: it belongs to a connection that lives, or nobody can
 * tell yet. Of fragments, errors and what has extension headers, tc finds out.
 */
__noinline int may_answer(const struct packet *packet)
{
	const struct headers *headers;
	struct flow_key key = {};
	struct flow *flow;
	__u32 status;

	if (!packet)
		return true;
	headers = &packet->headers;
	if (headers->flags & HEADERS_FRAGMENT)
		return true;
	switch (headers->protocol) {
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (!icmp_question(headers->family, headers->icmp_type))
			return true;
		break;
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		break;
	default:
		return true;
	}
	make_flow_key(headers, packet->bridge, &key);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow)
		return false;
	status = flow->status;
	return !(status & FLOW_CLAIMED) &&
	       !has_expired(flow, status, headers->protocol, bpf_ktime_get_coarse_ns());
}

/* A function of its own: so it is verified once, and not again for each way that leads here. */
__noinline int find_sender(struct packet *packet)
{
	if (!packet)
		return DROP_IDENTITY_MISSING;
	return find_network(&packet->headers.source, packet->slot, &packet->source);
}

/* Returns a drop reason. */
static __always_inline int judge_frame(struct xdp_md *context, struct packet *packet)
{
	struct frame frame = {.start = (void *)(long)context->data,
			      .end = (void *)(long)context->data_end};
	int reason = read_frame(&frame, &packet->headers);
	__u32 rule;

	/* Before there is a policy, tc drops what it must. */
	if (reason || !packet->headers.family || !packet->generation)
		return reason;
	if (find_sender(packet))
		return DROP_NONE;
	rule = denied_by(packet->source.identity, packet->slot, true);
	if (!rule || may_be_upkeep(&packet->headers))
		return DROP_NONE;
	if (!is_opening(&packet->headers) &&
	    !denied_by(packet->source.identity, packet->slot, false) && may_answer(packet))
		return DROP_NONE;
	if (is_managed(packet))
		return DROP_NONE;
	packet->rule[SIDE_INGRESS] = rule;
	packet->verdict = VERDICT_DENY;
	packet->side = SIDE_INGRESS;
	return DROP_POLICY_DENY;
}

__noinline int report_frame(struct xdp_md *context, const struct packet *packet, __u32 reason)
{
	__u32 length = bpf_xdp_get_buff_len(context), last;
	struct event *event;

	if (!packet)
		return 0;
	event = begin_event(packet, length,
			    reason == DROP_POLICY_DENY ? VERDICT_DENY : VERDICT_DROP, reason);
	if (!event)
		return 0;
	if (length > sizeof(event->bytes))
		length = sizeof(event->bytes);
	last = length - 1;
	barrier_var(last);
	if (last < sizeof(event->bytes)) {
		if (!bpf_xdp_load_bytes(context, 0, event->bytes, last + 1))
			event->byte_count = last + 1;
	}
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Counts and reports; the verdict for the kernel. */
static __always_inline int drop_frame(struct xdp_md *context, const struct packet *packet,
				      __u32 reason)
{
	struct counter *counter = bpf_map_lookup_elem(&drops, &reason);
	__u32 length = bpf_xdp_get_buff_len(context);

	if (counter)
		add_to(counter, length);
	if (packet->rule[SIDE_INGRESS])
		count_rule(packet->rule[SIDE_INGRESS], length);
	count_traffic(0, HOOK_FROM_UPLINK, true, length);
	report_frame(context, packet, reason);
	return XDP_DROP;
}

#endif
