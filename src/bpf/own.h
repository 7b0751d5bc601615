/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What belongs to the template's endpoint. Its constants are known to the verifier, so that unused
 * rounds of the loops cost nothing.
 */
#ifndef BRIDGEWALL_OWN_H
#define BRIDGEWALL_OWN_H

#include <stdbool.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "config.h"

static __always_inline bool is_own_mac(const __u8 *mac)
{
	return same_mac(mac, endpoint_constants.mac);
}

static __always_inline bool is_own_ipv4(__be32 address)
{
	for (__u32 i = 0; i < SENDER_ADDRESSES_MAX; i++) {
		if (i >= endpoint_constants.ipv4_count)
			return false;
		if (address == endpoint_constants.ipv4[i])
			return true;
	}
	return false;
}

/* fe80:: and the MAC as a modified EUI-64 identifier (RFC 4291, appendix A). */
static __always_inline bool is_own_link_local(const struct address *address)
{
	const volatile __u8 *mac = endpoint_constants.mac;

	return address->word[0] == WIRE(0xfe, 0x80, 0, 0) && !address->word[1] &&
	       address->word[2] == WIRE(mac[0] ^ 2, mac[1], mac[2], 0xff) &&
	       address->word[3] == WIRE(0xfe, mac[3], mac[4], mac[5]);
}

static __always_inline bool is_own_ipv6(const struct address *address)
{
	if (is_own_link_local(address))
		return true;
	for (__u32 i = 0; i < SENDER_ADDRESSES_MAX; i++) {
		const volatile __be32 *own = endpoint_constants.ipv6[i].word;

		if (i >= endpoint_constants.ipv6_count)
			return false;
		if (!((address->word[0] ^ own[0]) | (address->word[1] ^ own[1]) |
		      (address->word[2] ^ own[2]) | (address->word[3] ^ own[3])))
			return true;
	}
	return false;
}

#endif
