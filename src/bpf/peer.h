/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who is who: from an address or an endpoint number to an identity.
 */
#ifndef BRIDGEWALL_PEER_H
#define BRIDGEWALL_PEER_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "maps.h"
#include "network.h"
#include "packet.h"

static __always_inline bool is_world(__u32 identity)
{
	return identity & IDENTITY_WORLD_BIT;
}

static __always_inline __u32 peer_kind(__u32 identity)
{
	if (is_world(identity))
		return identity & IDENTITY_LAN_BIT ? PEER_LAN : PEER_INTERNET;
	return identity == IDENTITY_HOST ? PEER_HOST : PEER_ENDPOINT;
}

/* Returns a drop reason. */
static __always_inline int find_endpoint(__u32 number, __u32 slot, struct party *party)
{
	struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &number);

	if (!endpoint || endpoint->identity[slot & 1] == IDENTITY_NONE)
		return DROP_IDENTITY_MISSING;
	party->identity = endpoint->identity[slot & 1];
	party->endpoint = number;
	return DROP_NONE;
}

static __always_inline int find_network(const struct address *address, __u32 slot,
					struct party *party)
{
	__u32 identity = network_of(address, slot);

	if (identity == IDENTITY_NONE)
		return DROP_IDENTITY_MISSING;
	party->identity = identity;
	party->endpoint = 0;
	return DROP_NONE;
}

/*
 * The rule that denies a packet from `identity`, of the world, whoever receives it; 0: there is none, and
 * who knows the receiver must judge. opens: it can be nothing but the first one of a connection; others
 * may be answers, which no rule stops.
 */
static __always_inline __u32 denied_by(__u32 identity, __u32 slot, bool opens)
{
	__u32 index = (identity & IDENTITY_WORLD_NUMBER) << 2 |
		      (identity & IDENTITY_LAN_BIT ? 2 : 0) | (slot & 1);
	struct denial *denial;

	if (!is_world(identity))
		return 0;
	denial = bpf_map_lookup_elem(&denials, &index);
	if (!denial || !(opens || denial->flags & DENIAL_BOTH_WAYS))
		return 0;
	return denial->rule;
}

/* Whose address this is, seen from `bridge`. Returns a drop reason. */
__noinline int find_address(const struct address *address, __u32 bridge, __u32 slot,
			    struct party *party)
{
	struct local_address_key key = {};
	struct local_address *local;

	if (!address || !party)
		return DROP_IDENTITY_MISSING;
	key.address = *address;
	if (is_link_local(address))
		key.zone = bridge;
	local = bpf_map_lookup_elem(&addresses, &key);
	if (!local)
		return find_network(address, slot, party);
	if (local->endpoint)
		return find_endpoint(local->endpoint, slot, party);
	party->identity = IDENTITY_HOST;
	party->endpoint = 0;
	return DROP_NONE;
}

#endif
