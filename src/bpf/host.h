/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the host's own connections on uplinks have that endpoints' have not: peers that its policy leaves
 * alone, who may always get in, and sockets that can be asked.
 */
#ifndef BRIDGEWALL_HOST_H
#define BRIDGEWALL_HOST_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "maps.h"
#include "packet.h"
#include "policy.h"
#include "transport.h"

/* Whether it belongs to a connection of who may manage the host, whatever the policy says. */
__noinline int is_managed(const struct packet *packet)
{
	struct management_key key = {.prefix_length = 32 + 128};
	const struct headers *headers;
	bool arriving;

	if (!packet)
		return false;
	headers = &packet->headers;
	if (headers->protocol != IPPROTO_TCP)
		return false;
	arriving = packet->hook != HOOK_TO_UPLINK;
	key.port = arriving ? headers->destination_port : headers->source_port;
	key.address = arriving ? headers->source : headers->destination;
	return !!bpf_map_lookup_elem(&management, &key);
}

/* What passes without a look at rules, and leaves no entry. */
static __always_inline bool is_exempt(const struct packet *packet)
{
	__u32 peer = packet->hook == HOOK_FROM_UPLINK ? packet->source.identity
						      : packet->destination.identity;

	return is_managed(packet) || is_open_to_host(packet->slot, peer);
}

/* Whom a segment from outside concerns, as far as the host's sockets tell. */
enum holder {
	HOLDER_NONE,  /* no socket has to do with it */
	HOLDER_OWN,   /* a connection on a port that nobody listens at: the host has opened it */
	HOLDER_SERVED /* a listener, or a connection that one may have taken */
};

/* The state of the socket that would get the segment; 0: there is none. */
static __always_inline __u32 socket_state(struct __sk_buff *skb, struct bpf_sock_tuple *tuple,
					  __u32 size)
{
	struct bpf_sock *found = bpf_skc_lookup_tcp(skb, tuple, size, BPF_F_CURRENT_NETNS, 0);
	__u32 state;

	if (!found)
		return 0;
	state = found->state;
	bpf_sk_release(found);
	return state;
}

static __noinline enum holder find_holder(struct __sk_buff *skb, const struct headers *headers)
{
	struct bpf_sock_tuple tuple = {};
	bool ipv4 = headers->family == 4;
	__u32 size = ipv4 ? sizeof(tuple.ipv4) : sizeof(tuple.ipv6);
	__u32 state;

	if (ipv4) {
		tuple.ipv4.saddr = headers->source.word[3];
		tuple.ipv4.daddr = headers->destination.word[3];
		tuple.ipv4.sport = headers->source_port;
		tuple.ipv4.dport = headers->destination_port;
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, &headers->source, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, &headers->destination, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = headers->source_port;
		tuple.ipv6.dport = headers->destination_port;
	}
	state = socket_state(skb, &tuple, size);
	if (!state)
		return HOLDER_NONE;
	if (state == BPF_TCP_LISTEN)
		return HOLDER_SERVED;
	/* From a port that nobody sends from, only a listener is found. */
	if (ipv4)
		tuple.ipv4.sport = 0;
	else
		tuple.ipv6.sport = 0;
	return socket_state(skb, &tuple, size) ? HOLDER_SERVED : HOLDER_OWN;
}

/*
 * Connections that are older than the host's policy must survive its being switched on. A segment in the
 * middle of one that the host has opened passes: its answer, which leaves an entry, is judged. One that
 * no socket of the host has to do with belongs to somebody whom the host translates addresses for, and
 * is judged there, or to nobody; unless a rule speaks against its sender, that passes too.
 */
__noinline int is_older(struct __sk_buff *skb, const struct headers *headers, __u32 reason)
{
	if (!headers || headers->protocol != IPPROTO_TCP || headers->tcp_flags & TCP_SYN)
		return false;
	switch (find_holder(skb, headers)) {
	case HOLDER_OWN:
		return reason == DROP_POLICY_DEFAULT || reason == DROP_POLICY_DENY;
	case HOLDER_NONE:
		return reason == DROP_POLICY_DEFAULT;
	default:
		return false;
	}
}

#endif
