/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The shortcut: a packet that has been judged for a receiver on the same bridge goes straight into
 * that one's network namespace, past the bridge, where there is nothing on the way that would have
 * anything to say about it. Who may be reached so is decided by the daemon (src/reconcile/shortcuts.rs).
 */
#ifndef BRIDGEWALL_SHORTCUT_H
#define BRIDGEWALL_SHORTCUT_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "events.h"
#include "known.h"
#include "maps.h"
#include "mark.h"
#include "read.h"

/* Halfwords: MAC addresses are aligned to two bytes. What cannot be read is not addressed to anybody. */
static __always_inline bool is_addressed_to(const struct __sk_buff *skb, const __u8 mac[ETH_ALEN])
{
	const __u16 *there = peek(skb, 0, ETH_HLEN), *wanted = (const __u16 *)mac;

	return there && !((there[0] ^ wanted[0]) | (there[1] ^ wanted[1]) | (there[2] ^ wanted[2]));
}

/*
 * The shortcut to who a packet was judged for, or NULL. All that to_endpoint would have asked is asked
 * here: is the receiver there, is this mark its own, is the frame addressed to it?
 */
static __always_inline struct shortcut *find_shortcut(const struct __sk_buff *skb,
						      const struct known *known)
{
	__u32 receiver = known->mark & MARK_NUMBER;
	struct shortcut *shortcut;
	struct endpoint *endpoint;

	if (!(known->mark & MARK_JUDGED))
		return NULL;
	shortcut = bpf_map_lookup_elem(&shortcuts, &receiver);
	if (!shortcut || !shortcut->ifindex || shortcut->bridge != known->bridge)
		return NULL;
	/* A number may be another endpoint's by now. */
	endpoint = bpf_map_lookup_elem(&endpoints, &receiver);
	if (!endpoint || endpoint->ifindex != shortcut->ifindex ||
	    !endpoint->identity[known->slot & 1])
		return NULL;
	return is_addressed_to(skb, shortcut->mac) ? shortcut : NULL;
}

/* As veth does where a packet leaves one namespace for another: no mark gets across. */
static __always_inline int lead(struct __sk_buff *skb, const struct known *known,
				const struct shortcut *shortcut)
{
	count_traffic(known->endpoint, HOOK_FROM_ENDPOINT, false, skb->len);
	count_traffic(known->mark & MARK_NUMBER, HOOK_TO_ENDPOINT, false, skb->len);
	skb->mark = 0;
	/* It was not addressed to the interface that it came in by, but to where it comes out. */
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(shortcut->ifindex, 0);
}

/* What an endpoint sends, and has been found to be allowed: the shortest way on. */
static __always_inline int send_on(struct __sk_buff *skb, const struct known *known)
{
	struct shortcut *shortcut = find_shortcut(skb, known);

	if (shortcut)
		return lead(skb, known, shortcut);
	set_mark(skb, known->mark);
	return pass(skb, known->endpoint, HOOK_FROM_ENDPOINT);
}

#endif
