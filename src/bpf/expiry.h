/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The end of connections that nobody uses. An entry that has expired is as good as none at once, for
 * every packet looks at the time; sweeping only makes room. The daemon sweeps now and then; where
 * little room is left, a packet that takes some of it does, so that it needs no daemon.
 */
#ifndef BRIDGEWALL_EXPIRY_H
#define BRIDGEWALL_EXPIRY_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "account.h"
#include "config.h"
#include "events.h"
#include "maps.h"
#include "packet.h"

/* Packets sweep at most so often. */
#define SWEEP_INTERVAL SECOND

/* Where little room is left, what is new or closing and has been idle for this long has to go, until
 * half of the room is free again: longer than the other side takes to answer. */
#define PRESSED_TIMEOUT (2 * SECOND)

static __always_inline bool is_closing(__u32 status)
{
	__u32 fins = FLOW_FIN_OPENER | FLOW_FIN_TARGET;

	return status & (FLOW_RESET_OPENER | FLOW_RESET_TARGET) || (status & fins) == fins;
}

static __always_inline __u64 flow_timeout(__u8 protocol, __u32 status)
{
	bool answered = status & FLOW_ANSWERED;
	__u64 seconds;

	if (is_closing(status))
		seconds = settings.timeout_tcp_closing;
	else if (protocol == IPPROTO_TCP)
		seconds = answered ? settings.timeout_tcp : settings.timeout_tcp_new;
	else if (protocol == IPPROTO_UDP)
		seconds = answered ? settings.timeout_udp : settings.timeout_udp_new;
	else if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		seconds = settings.timeout_icmp;
	else
		seconds = settings.timeout_other;
	return seconds * SECOND;
}

static __always_inline bool has_expired(const struct flow *flow, __u32 status, __u8 protocol,
					__u64 now)
{
	/* Signed: another CPU may have written `last_seen` after we read the clock. */
	return (__s64)(now - flow->last_seen) > (__s64)flow_timeout(protocol, status);
}

/* An endpoint that is there no more leaves nothing behind for the next one of its number to pay. */
static __always_inline bool has_left(__u32 number)
{
	struct endpoint *endpoint;

	if (!number)
		return false;
	endpoint = bpf_map_lookup_elem(&endpoints, &number);
	return !endpoint || (!endpoint->identity[0] && !endpoint->identity[1]);
}

/* When this entry is to be removed; 0: now. */
static __always_inline __u64 removal_time(const struct flow_key *key, const struct flow *flow,
					  __u32 status, bool urgent)
{
	__u64 timeout = flow_timeout(key->protocol, status);

	/* Refused, and not to be remembered as such: see follow_flow. */
	if (!flow->generation && key->protocol != IPPROTO_TCP)
		return 0;
	if (has_left(flow->opener) || has_left(flow->target))
		return 0;
	if (urgent && (!(status & FLOW_ANSWERED) || is_closing(status)) &&
	    timeout > PRESSED_TIMEOUT && is_half_full(status))
		timeout = PRESSED_TIMEOUT;
	return flow->last_seen + timeout;
}

/* Of one entry. Only one sweeps at a time, and nobody else removes any: the key still leads to the
 * entry that was claimed. */
static long sweep_flow(void *map, struct flow_key *key, struct flow *flow, struct sweep *sweep)
{
	__u32 status = flow->status;
	__u64 time;

	/* It becomes another one just now. */
	if (status & FLOW_CLAIMED)
		return 0;
	time = removal_time(key, flow, status, sweep->urgent);
	if ((__s64)(sweep->now - time) <= 0) {
		if (!sweep->next || time < sweep->next)
			sweep->next = time;
		sweep->left++;
		return 0;
	}
	if (__sync_val_compare_and_swap(&flow->status, status, FLOW_CLAIMED) != status) {
		sweep->left++;
		return 0;
	}
	discharge(account_of(status), stage_of(status));
	bpf_map_delete_elem(map, key);
	sweep->removed++;
	return 0;
}

/* Whether the last search was not long enough ago. Signed: it may have begun on a CPU whose clock is a
 * tick ahead. */
static __always_inline bool is_too_early(const struct sweeper *turn, __u64 now, __u64 interval)
{
	return interval && (__s64)(now - turn->swept) < (__s64)interval;
}

/* Removes what has expired by `now`. Returns whether nobody else was about it already. */
static __noinline bool sweep_flows(struct sweep *sweep, __u64 interval)
{
	__u32 zero = 0;
	struct sweeper *turn = bpf_map_lookup_elem(&sweeper, &zero);

	if (!turn || is_too_early(turn, sweep->now, interval) ||
	    __sync_val_compare_and_swap(&turn->busy, 0, 1))
		return false;
	turn->swept = sweep->now;
	bpf_for_each_map_elem(&flows, sweep_flow, sweep, 0);
	__sync_lock_test_and_set(&turn->busy, 0);
	return true;
}

/* After a packet that has found little room. A function of its own: its stack is not in the way of what
 * else the packet needs. */
__noinline int make_room(void)
{
	struct sweep sweep = {.now = bpf_ktime_get_coarse_ns(), .urgent = true};

	return sweep_flows(&sweep, SWEEP_INTERVAL);
}

#endif
