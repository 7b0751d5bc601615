/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections: found by one lookup, judged again when the policy has changed, counted as answered
 * when both sides have shown that they want them.
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
#include "account.h"
#include "address.h"
#include "events.h"
#include "expiry.h"
#include "icmp.h"
#include "mark.h"
#include "maps.h"
#include "packet.h"
#include "peer.h"
#include "policy.h"
#include "published.h"
#include "recent.h"
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

/* The party that an address stands for today, if it is still the one that the flow was judged by. */
static __always_inline int keep_party(const struct packet *packet, __u32 endpoint, bool host,
				      struct party *party)
{
	/* A masqueraded endpoint: the address is not its own, and the mark proved who it is. */
	if (endpoint && !party->endpoint)
		return find_endpoint(endpoint, packet->slot, party);
	if (party->endpoint != endpoint || (party->identity == IDENTITY_HOST) != host)
		return PARTIES_CHANGED;
	return DROP_NONE;
}

static __always_inline int find_flow_opener(const struct packet *packet,
					    const struct headers *headers, const struct flow *flow,
					    bool replying, struct party *party)
{
	const struct address *address = replying ? &headers->destination : &headers->source;
	int reason = find_address(address, packet->bridge, packet->slot, party);

	if (reason)
		return reason;
	return keep_party(packet, flow->opener, flow->status & FLOW_OPENER_HOST, party);
}

/* The target may be behind a port that the host publishes, now or then. */
static __always_inline int find_flow_target(struct __sk_buff *skb, const struct packet *packet,
					    const struct headers *headers, const struct flow *flow,
					    bool replying, struct party *party)
{
	const struct address *address = replying ? &headers->source : &headers->destination;
	int reason = find_address(address, packet->bridge, packet->slot, party);
	__u32 found = 0;

	if (reason)
		return reason;
	if (flow->opener && party->identity == IDENTITY_HOST)
		found = find_published(skb, headers, replying);
	if (!found != !(flow->status & FLOW_PUBLISHED))
		return PARTIES_CHANGED;
	if (!found)
		return keep_party(packet, flow->target, flow->status & FLOW_TARGET_HOST, party);
	if (published_endpoint(found) != flow->target ||
	    published_selector(headers, found) != flow->selector)
		return PARTIES_CHANGED;
	return find_endpoint(flow->target, packet->slot, party);
}

/* The policy or the inventory has changed: is the connection still allowed to its opener? */
__noinline int judge_again(struct __sk_buff *skb, struct packet *packet,
			   const struct headers *headers, const struct flow *flow, __u32 replying)
{
	struct question question = {.sides = JUDGE_BOTH};
	int reason;

	if (!packet || !headers || !flow)
		return DROP_IDENTITY_MISSING;
	question.selector = flow->selector;
	reason = find_flow_opener(packet, headers, flow, replying, &question.opener);
	if (reason)
		return reason;
	reason = find_flow_target(skb, packet, headers, flow, replying, &question.target);
	if (reason)
		return reason;
	question.listener = question.target.identity;
	packet->source = replying ? question.target : question.opener;
	packet->destination = replying ? question.opener : question.target;
	return judge(packet, &question);
}

/*
 * Whether the packet's ends are those of the entry, as far as this hook can tell. The sender's hook
 * knows the sender, the receiver's knows itself and, by the mark, what endpoint sent it. Behind a
 * published port a process of the host may answer for the target.
 */
static __always_inline bool is_party(const struct __sk_buff *skb, const struct packet *packet,
				     const struct flow *flow, bool replying)
{
	__u32 mark = get_mark(skb);
	__u32 source = replying ? flow->target : flow->opener;
	__u32 destination = replying ? flow->opener : flow->target;

	/* Who sends by an uplink is known; what arrives there comes from outside, whoever the entry is
	 * of, and no endpoint's hook has entries between an address of the host and one outside. */
	if (packet->hook == HOOK_TO_UPLINK)
		return source == packet->source.endpoint;
	if (packet->hook == HOOK_FROM_UPLINK)
		return true;
	if (packet->hook == HOOK_FROM_ENDPOINT)
		return source == packet->endpoint;
	if (destination != packet->endpoint)
		return false;
	if (replying && !mark && flow->status & FLOW_PUBLISHED)
		return !skb->ingress_ifindex;
	return !source || source == mark;
}

static __always_inline void note_end(struct flow *flow, __u8 tcp_flags, bool replying, __u64 now)
{
	if (tcp_flags & TCP_FIN)
		__sync_fetch_and_or(&flow->status, replying ? FLOW_FIN_TARGET : FLOW_FIN_OPENER);
	if (tcp_flags & TCP_RST) {
		__sync_fetch_and_or(&flow->status,
				    replying ? FLOW_RESET_TARGET : FLOW_RESET_OPENER);
		flow->last_seen = now;
	}
}

/*
 * Anybody outside may send a RST with a peer's address, and its receiver will not heed it unless the
 * sequence number is right. We do not know that number, but what follows: who goes on speaking after
 * a RST to it has not been reset. (After a second, so that nothing was on its way.)
 */
static __always_inline void note_life(struct flow *flow, __u32 status, bool replying)
{
	__u32 reset = replying ? FLOW_RESET_OPENER : FLOW_RESET_TARGET;

	if (status & reset)
		__sync_fetch_and_and(&flow->status, ~reset);
}

/* Sets `reason` where it returns REFUSED. */
static __always_inline enum following follow_flow(struct __sk_buff *skb, struct packet *packet,
						  struct flow *flow, __u32 status, bool replying,
						  int *reason)
{
	const struct headers *headers = &packet->headers;
	__u64 now = bpf_ktime_get_coarse_ns();
	bool tcp = headers->protocol == IPPROTO_TCP;

	if (status & FLOW_CLAIMED || !is_party(skb, packet, flow, replying) ||
	    has_expired(flow, status, headers->protocol, now))
		return ABSENT;
	/* It was refused, and only TCP has to remember that: see judge_connection. */
	if (!tcp && !flow->generation)
		return ABSENT;
	if (tcp && (headers->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		/* The connection is over, or was refused: this is another one. */
		if (is_closing(status) || !flow->generation)
			return ABSENT;
		/* The target opens a connection of its own between the same ports. */
		if (replying)
			return APART;
	}
	/* The same question with another code, which the key does not tell. */
	if (!replying && is_icmp(headers) && selector_of(headers) != flow->selector)
		return APART;
	if (flow->generation != packet->generation && !(status & FLOW_FORWARDED)) {
		int again = judge_again(skb, packet, headers, flow, replying);

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
		note_end(flow, headers->tcp_flags, replying, now);
	/* Every write to a shared entry costs the other CPUs a cache miss. */
	if ((__s64)(now - flow->last_seen) >= (__s64)SECOND) {
		note_life(flow, status, replying);
		flow->last_seen = now;
	}
	return FOLLOWED;
}

/* The mark for a packet that passes: judged for the receiver too, if that is on the same bridge. */
static __always_inline __u32 flow_mark(const struct packet *packet, const struct flow *flow,
				       bool replying)
{
	if (flow->status & FLOW_SAME_BRIDGE)
		return MARK_JUDGED | (replying ? flow->opener : flow->target);
	return packet->endpoint;
}

/*
 * Whether this packet shows that both sides want the connection. For TCP that takes a handshake: a
 * target acknowledges every SYN, also one whose sender's address is forged. (A plain ACK of the target
 * belongs to a connection that is older than the firewall.)
 */
static __always_inline bool is_confirmed_by(struct flow *flow, __u32 status,
					    const struct headers *headers, bool replying)
{
	__u8 flags = headers->tcp_flags;

	if (headers->protocol != IPPROTO_TCP)
		return replying;
	if ((flags & (TCP_ACK | TCP_RST)) != TCP_ACK)
		return false;
	if (!(flags & TCP_SYN))
		return replying || status & FLOW_REPLIED;
	if (replying && !(status & FLOW_REPLIED))
		__sync_fetch_and_or(&flow->status, FLOW_REPLIED);
	return false;
}

/* Both sides want it: it is counted as answered, and nothing but its end takes it away. */
__noinline int confirm_flow(struct packet *packet, struct flow *flow)
{
	__u32 status, account;
	int reason;

	if (!packet || !flow)
		return DROP_FLOW_INSERT;
	status = flow->status;
	if (status & (FLOW_ANSWERED | FLOW_CLAIMED))
		return DROP_NONE;
	account = account_of(status);
	reason = charge(packet, account, STAGE_ANSWERED);
	if (reason)
		return reason;
	/* Where another packet was quicker, that or the next one does it. */
	if (__sync_val_compare_and_swap(&flow->status, status, status | FLOW_ANSWERED) == status)
		discharge(account, STAGE_NEW);
	else
		discharge(account, STAGE_ANSWERED);
	return DROP_NONE;
}

static __always_inline __u32 opening_status(const struct packet *packet, bool source_is_low,
					    __u32 account)
{
	__u32 status = account << FLOW_ACCOUNT_SHIFT;

	if (source_is_low)
		status |= FLOW_OPENER_LOW;
	if (packet->source.identity == IDENTITY_HOST)
		status |= FLOW_OPENER_HOST;
	if (packet->destination.identity == IDENTITY_HOST)
		status |= FLOW_TARGET_HOST;
	if (packet->mark & MARK_JUDGED)
		status |= FLOW_SAME_BRIDGE;
	if (packet->flags & PACKET_PUBLISHED)
		status |= FLOW_PUBLISHED;
	if (packet->flags & PACKET_FORWARDED)
		status |= FLOW_FORWARDED;
	return status;
}

/* A new connection, from the packet's source to its destination, that is counted already. */
static __always_inline int insert_flow(const struct packet *packet, const struct flow_key *key,
				       __u32 status)
{
	struct flow_key own = *key; /* before 6.2 a key must lie on the stack of who uses it */
	struct flow flow = {
	    .generation = packet->generation,
	    .last_seen = bpf_ktime_get_coarse_ns(),
	    .opener = packet->source.endpoint,
	    .target = packet->destination.endpoint,
	    .selector = packet->selector,
	    .status = status,
	};
	/* Before 6.4 the upper half of what an update returns is not set. */
	int error = bpf_map_update_elem(&flows, &own, &flow, BPF_NOEXIST);

	if (!error)
		return DROP_NONE;
	discharge(account_of(status), STAGE_NEW);
	/* Another packet of this connection was quicker. */
	if (error == -EEXIST)
		return DROP_NONE;
	return error == -E2BIG ? DROP_FLOW_TABLE_FULL : DROP_FLOW_INSERT;
}

/* The same, where an entry is left of one that is over. */
static __always_inline int replace_flow(const struct packet *packet, struct flow *flow,
					__u32 status)
{
	__u32 before = flow->status;

	if (before & FLOW_CLAIMED ||
	    __sync_val_compare_and_swap(&flow->status, before, FLOW_CLAIMED) != before) {
		discharge(account_of(status), STAGE_NEW);
		return DROP_FLOW_INSERT;
	}
	/* Before anybody can take it for the new one: see remember(). */
	note_reopened(flow->opener);
	note_reopened(flow->target);
	discharge(account_of(before), stage_of(before));
	flow->generation = packet->generation;
	flow->last_seen = bpf_ktime_get_coarse_ns();
	flow->opener = packet->source.endpoint;
	flow->target = packet->destination.endpoint;
	flow->selector = packet->selector;
	__sync_lock_test_and_set(&flow->status, status);
	return DROP_NONE;
}

/* `old`: the entry of this key, or NULL. */
__noinline int store_flow(struct packet *packet, const struct flow_key *key, struct flow *old,
			  __u32 source_is_low)
{
	__u32 account, status;
	int reason;

	if (!packet || !key)
		return DROP_FLOW_INSERT;
	account = paying_account(packet);
	status = opening_status(packet, source_is_low, account);
	reason = charge(packet, account, STAGE_NEW);
	if (reason)
		return reason;
	return old ? replace_flow(packet, old, status) : insert_flow(packet, key, status);
}

#endif
