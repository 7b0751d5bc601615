/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses: the one form in which they are kept, and those that must not be on the wire.
 */
#ifndef BRIDGEWALL_ADDRESS_H
#define BRIDGEWALL_ADDRESS_H

#include <stdbool.h>
#include <linux/if_ether.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "packet.h"

/* Four bytes of an address as they stand on the wire. */
#define WIRE(a, b, c, d)                                                                           \
	bpf_htonl((__u32)(a) << 24 | (__u32)(b) << 16 | (__u32)(c) << 8 | (__u32)(d))

/* RFC 4291, 2.5.5.2. */
static __always_inline void map_ipv4(struct address *address, __be32 ipv4)
{
	address->word[0] = 0;
	address->word[1] = 0;
	address->word[2] = WIRE(0, 0, 0xff, 0xff);
	address->word[3] = ipv4;
}

static __always_inline bool is_mapped(const struct address *address)
{
	return !(address->word[0] | address->word[1]) && address->word[2] == WIRE(0, 0, 0xff, 0xff);
}

static __always_inline bool same_address(const struct address *a, const struct address *b)
{
	return !((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) | (a->word[2] ^ b->word[2]) |
		 (a->word[3] ^ b->word[3]));
}

/* fe80::/10 */
static __always_inline bool is_link_local(const struct address *address)
{
	return (address->word[0] & WIRE(0xff, 0xc0, 0, 0)) == WIRE(0xfe, 0x80, 0, 0);
}

/* ff00::/8 */
static __always_inline bool is_ipv6_multicast(const struct address *address)
{
	return (address->word[0] & WIRE(0xff, 0, 0, 0)) == WIRE(0xff, 0, 0, 0);
}

/* ff02::/16: no router passes it on (RFC 4291, 2.7). */
static __always_inline bool is_link_group(const struct address *address)
{
	return (address->word[0] & WIRE(0xff, 0xff, 0, 0)) == WIRE(0xff, 0x02, 0, 0);
}

/* 224.0.0.0/4 and 255.255.255.255; a network's own broadcast address shows only by its MAC. */
static __always_inline bool is_ipv4_group(__be32 address)
{
	return (address & WIRE(0xf0, 0, 0, 0)) == WIRE(224, 0, 0, 0) ||
	       address == WIRE(255, 255, 255, 255);
}

static __always_inline bool is_group(const struct address *address)
{
	return is_mapped(address) ? is_ipv4_group(address->word[3]) : is_ipv6_multicast(address);
}

/* IEEE 802.3, 3.2.3: the first bit on the wire. */
static __always_inline bool is_group_mac(const __u8 mac[ETH_ALEN])
{
	return mac[0] & 1;
}

/* RFC 1122, 3.2.1.3; RFC 6890: 0/8 ("this network"), 127/8 (loopback), 240/4 (reserved). */
static __always_inline bool is_bad_ipv4(__be32 address)
{
	return (address & WIRE(0xff, 0, 0, 0)) == 0 ||
	       (address & WIRE(0xff, 0, 0, 0)) == WIRE(127, 0, 0, 0) ||
	       (address & WIRE(0xf0, 0, 0, 0)) == WIRE(240, 0, 0, 0);
}

/*
 * RFC 4291: ::/96 (unspecified, loopback, and the deprecated IPv4-compatible ones), ::ffff/96
 * (mapped: would be taken for IPv4 in our keys), and multicast that must not leave its node (2.7).
 */
static __always_inline bool is_bad_ipv6(const struct address *address)
{
	if (!(address->word[0] | address->word[1] | address->word[2]) || is_mapped(address))
		return true;
	return is_ipv6_multicast(address) &&
	       (address->word[0] & WIRE(0, 0x0f, 0, 0)) <= WIRE(0, 1, 0, 0);
}

/* Both ends must be such that they can be on a wire, and two. */
static __always_inline int check_addresses(const struct headers *headers)
{
	const struct address *source = &headers->source;
	const struct address *destination = &headers->destination;

	if (same_address(source, destination))
		return DROP_ADDRESS; /* a packet to oneself leaves no interface ("land") */
	if (headers->family == 4) {
		if (is_bad_ipv4(source->word[3]) || is_ipv4_group(source->word[3]))
			return DROP_ADDRESS;
		if (is_bad_ipv4(destination->word[3]) && !is_ipv4_group(destination->word[3]))
			return DROP_ADDRESS;
		return DROP_NONE;
	}
	if (is_bad_ipv6(source) || is_ipv6_multicast(source) || is_bad_ipv6(destination))
		return DROP_ADDRESS;
	return DROP_NONE;
}

#endif
