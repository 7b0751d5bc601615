/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * May these two talk? The same judgement as `Compiled::judge` in src/compile/compiled.rs.
 */
#ifndef BRIDGEWALL_POLICY_H
#define BRIDGEWALL_POLICY_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "events.h"
#include "icmp.h"
#include "maps.h"
#include "packet.h"
#include "peer.h"

/* ceil(log2(STEP_LIST_MAX)) */
#define SEARCH_ROUNDS 17

#define JUDGE_EGRESS  (1u << SIDE_EGRESS)
#define JUDGE_INGRESS (1u << SIDE_INGRESS)
#define JUDGE_BOTH    (JUDGE_EGRESS | JUDGE_INGRESS)

/* A new connection, or one that is judged again. */
struct question {
	struct party opener;
	struct party target;
	__u32 selector;
	__u32 sides; /* JUDGE_* */
	__u32
	    listener; /* identity whose ingress is asked: the target's, or whoever else hears it */
};

/* What a packet would ask for if it opened a connection. */
static __always_inline __u32 selector_of(const struct headers *headers)
{
	__u32 protocol = (__u32)headers->protocol << 16;

	switch (headers->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		return protocol | bpf_ntohs(headers->destination_port);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return protocol | (__u32)headers->icmp_type << 8 | headers->icmp_code;
	}
	return protocol;
}

static __always_inline bool find_list(struct policy_key *key, struct step_list *list)
{
	struct step_list *found = bpf_map_lookup_elem(&policy, key);
	struct identity_record *record;
	__u32 index, kind;

	if (found) {
		*list = *found;
		return true;
	}
	index = (key->slot & 1) * (LOCAL_IDENTITY_MAX + 1) + (key->subject & LOCAL_IDENTITY_MAX);
	record = bpf_map_lookup_elem(&identities, &index);
	if (!record)
		return false;
	kind = peer_kind(key->peer);
	if (kind >= PEER_KINDS || key->side >= SIDES)
		return false;
	*list = record->generic[key->side][kind];
	return true;
}

/*
 * Finds the last step that begins at or before the selector. A list's first step begins at 0, so
 * there is one, unless the list is missing. Halving without a branch on what was found keeps the
 * verifier on one path.
 */
__noinline int find_step(struct policy_key *key, __u32 selector, struct policy_step *answer)
{
	struct step_list list;
	struct policy_step *step;
	struct policy_key own;
	__u32 position, count;

	if (!key || !answer)
		return DROP_IDENTITY_MISSING;
	/* Before 6.2 a key must lie on the stack of the function that looks it up. */
	own = *key;
	if (!find_list(&own, &list) || !list.count)
		return DROP_IDENTITY_MISSING;
	position = list.first;
	count = list.count;
	for (int i = 0; i < SEARCH_ROUNDS && count > 1; i++) {
		__u32 half = count / 2;
		__u32 middle = position + half;
		__u64 beyond;

		step = bpf_map_lookup_elem(&steps, &middle);
		if (!step)
			return DROP_IDENTITY_MISSING;
		/* All ones if the step begins beyond the selector, else 0. */
		beyond = (__u64)((__s64)((__u64)selector - step->from) >> 63);
		position += half & ~(__u32)beyond;
		count -= half;
	}
	step = bpf_map_lookup_elem(&steps, &position);
	if (count > 1 || !step || step->from > selector)
		return DROP_IDENTITY_MISSING;
	*answer = *step;
	return DROP_NONE;
}

/* Whether one side of the host has nothing to say about anything to do with this peer. */
static __noinline bool is_open_side(__u32 slot, __u32 side, __u32 peer)
{
	struct policy_key key = {
	    .slot = slot, .side = side, .subject = IDENTITY_HOST, .peer = peer};
	struct policy_step *step;
	struct step_list list;

	if (!find_list(&key, &list) || list.count != 1)
		return false;
	step = bpf_map_lookup_elem(&steps, &list.first);
	return step && step->verdict == VERDICT_ALLOW && !(step->flags & STEP_LOG);
}

/* Whether the host may open anything to this peer and this peer anything to the host: then there is
 * nothing to remember about their connections. */
__noinline int is_open_to_host(__u32 slot, __u32 peer)
{
	return is_open_side(slot, SIDE_INGRESS, peer) && is_open_side(slot, SIDE_EGRESS, peer);
}

/* One side's opinion, where it has one: the world is nobody's subject. */
static __always_inline int judge_side(struct packet *packet, __u32 side, __u32 subject, __u32 peer,
				      __u32 selector, struct policy_step *step)
{
	struct policy_key key = {
	    .slot = packet->slot, .side = side, .subject = subject, .peer = peer};
	int reason;

	if (subject > LOCAL_IDENTITY_MAX)
		return DROP_NONE;
	if (subject == IDENTITY_NONE || peer == IDENTITY_NONE)
		return DROP_IDENTITY_MISSING;
	reason = find_step(&key, selector, step);
	if (reason)
		return reason;
	packet->rule[side] = step->rule;
	if (step->flags & STEP_LOG)
		packet->flags |= PACKET_LOG;
	return DROP_NONE;
}

/* The greater verdict of both sides holds; if they are equal, the opener's side decided. */
__noinline int judge(struct packet *packet, const struct question *question)
{
	struct policy_step egress = {}, ingress = {};
	int reason;

	if (!packet || !question)
		return DROP_IDENTITY_MISSING;
	if (question->sides & JUDGE_EGRESS) {
		reason = judge_side(packet, SIDE_EGRESS, question->opener.identity,
				    question->target.identity, question->selector, &egress);
		if (reason)
			return reason;
	}
	if (question->sides & JUDGE_INGRESS) {
		reason = judge_side(packet, SIDE_INGRESS, question->listener,
				    question->opener.identity, question->selector, &ingress);
		if (reason)
			return reason;
	}
	packet->side = egress.verdict >= ingress.verdict ? SIDE_EGRESS : SIDE_INGRESS;
	packet->verdict = packet->side == SIDE_EGRESS ? egress.verdict : ingress.verdict;
	packet->flags |= PACKET_JUDGED;
	switch (packet->verdict) {
	case VERDICT_ALLOW:
	case VERDICT_AUDIT:
		return DROP_NONE;
	case VERDICT_DROP:
		return DROP_POLICY_DEFAULT;
	}
	return DROP_POLICY_DENY;
}

#endif
