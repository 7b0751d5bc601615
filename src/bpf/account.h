/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who pays for a connection's entry. Whoever changes what an entry counts as, by an atomic operation
 * on its status, moves the counters; nobody else does. So the counters are exact.
 */
#ifndef BRIDGEWALL_ACCOUNT_H
#define BRIDGEWALL_ACCOUNT_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "config.h"
#include "maps.h"
#include "packet.h"

/* Where the counters of all endpoints together are. */
#define ACCOUNT_ALL 0

/* The account that pays if the packet opens a connection. */
static __always_inline __u32 paying_account(const struct packet *packet)
{
	if (packet->source.endpoint)
		return packet->source.endpoint;
	if (packet->hook == HOOK_TO_UPLINK)
		return ACCOUNT_ALL;
	return packet->destination.endpoint | ACCOUNT_RECEIVED;
}

static __always_inline __u32 account_of(__u32 status)
{
	return status >> FLOW_ACCOUNT_SHIFT;
}

static __always_inline __u32 stage_of(__u32 status)
{
	return status & FLOW_ANSWERED ? STAGE_ANSWERED : STAGE_NEW;
}

/* The other index of an account's counters. */
static __always_inline __u32 direction_of(__u32 account)
{
	return account >> ACCOUNT_RECEIVED_SHIFT & (ACCOUNTS - 1);
}

static __always_inline struct flow_accounts *find_accounts(__u32 number)
{
	return bpf_map_lookup_elem(&accounts, &number);
}

/* Little room is left: from here on, what is worth little has to go. */
static __always_inline bool is_pressed(__u32 held, __u32 room)
{
	return held >= room - room / 4;
}

/* A look first: who is refused again and again writes nothing but that. */
static __always_inline bool take(__u32 *held, __u32 room)
{
	if (*(volatile __u32 *)held >= room)
		return false;
	if (__sync_fetch_and_add(held, 1) < room)
		return true;
	__sync_fetch_and_sub(held, 1);
	return false;
}

/* How many connections an account may have. What is no endpoint's leaves the endpoints their part: the
 * world may open half of all to the host, and the host three quarters of all to the world. */
static __always_inline __u32 room_of(__u32 account, __u32 stage)
{
	__u32 all = settings.flows[stage];

	if (account & ACCOUNT_NUMBER)
		return settings.flows_of_endpoint[stage];
	return account == ACCOUNT_ALL ? all - all / 4 : all / 2;
}

/* Counts one more. Returns a drop reason where there is no room; says where little is left. */
__noinline int charge(struct packet *packet, __u32 account, __u32 stage)
{
	__u32 direction = direction_of(account);
	struct flow_accounts *own, *all;
	__u32 own_room, all_room;

	if (!packet)
		return DROP_FLOW_INSERT;
	stage &= STAGES - 1;
	own = find_accounts(account & ACCOUNT_NUMBER);
	all = find_accounts(ACCOUNT_ALL);
	if (!own || !all)
		return DROP_FLOW_INSERT;
	own_room = room_of(account, stage);
	all_room = settings.flows[stage];
	if (is_pressed(own->held[direction][stage], own_room) ||
	    is_pressed(all->held[0][stage], all_room))
		packet->flags |= PACKET_PRESSED;
	if (!take(&own->held[direction][stage], own_room)) {
		__sync_fetch_and_add(&own->refused[direction][stage], 1);
		return DROP_FLOW_QUOTA;
	}
	if (account == ACCOUNT_ALL)
		return DROP_NONE;
	if (!take(&all->held[0][stage], all_room)) {
		__sync_fetch_and_sub(&own->held[direction][stage], 1);
		__sync_fetch_and_add(&all->refused[0][stage], 1);
		return DROP_FLOW_TABLE_FULL;
	}
	return DROP_NONE;
}

/* Counts one less. */
static __always_inline void discharge(__u32 account, __u32 stage)
{
	struct flow_accounts *own = find_accounts(account & ACCOUNT_NUMBER);
	struct flow_accounts *all = find_accounts(ACCOUNT_ALL);

	stage &= STAGES - 1;
	if (own && account != ACCOUNT_ALL)
		__sync_fetch_and_sub(&own->held[direction_of(account)][stage], 1);
	if (all)
		__sync_fetch_and_sub(&all->held[0][stage], 1);
}

/* Whether more than half of the room for entries like this one is in use. */
static __always_inline bool is_half_full(__u32 status)
{
	__u32 account = account_of(status), stage = stage_of(status);
	struct flow_accounts *own = find_accounts(account & ACCOUNT_NUMBER);
	struct flow_accounts *all = find_accounts(ACCOUNT_ALL);

	return !own || !all ||
	       own->held[direction_of(account)][stage] > room_of(account, stage) / 2 ||
	       all->held[0][stage] > settings.flows[stage] / 2;
}

#endif
