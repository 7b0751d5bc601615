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

/* Three halfwords: MAC addresses are aligned to two bytes wherever they stand. */
static __always_inline bool is_own_mac(const void *mac)
{
	const __u16 *half = mac;
	const volatile __u16 *own = (const volatile __u16 *)endpoint_constants.mac;

	return !((half[0] ^ own[0]) | (half[1] ^ own[1]) | (half[2] ^ own[2]));
}

/* 1 if any bit is set, else 0; without a branch, which the compiler would make of it. */
static __always_inline __u64 is_different(__u64 bits)
{
	__u64 negative = -bits;

	barrier_var(negative);
	return (bits | negative) >> 63;
}

/* Compares with all of them without a branch, so that the verifier goes on in one state only. */
static __always_inline bool is_own_ipv4(__be32 address)
{
	__u32 count = endpoint_constants.ipv4_count;
	__u64 different = 1;

	for (__u32 i = 0; i < SENDER_ADDRESSES_MAX; i++) {
		if (i >= count)
			break;
		different &= is_different(address ^ endpoint_constants.ipv4[i]);
	}
	return !different;
}

/* fe80:: and the MAC as a modified EUI-64 identifier (RFC 4291, appendix A). */
static __always_inline __u64 differs_from_link_local(__u64 high, __u64 low)
{
	const volatile __u16 *half = (const volatile __u16 *)endpoint_constants.mac;
	__u64 identifier = (__u64)bpf_ntohs(half[0]) << 48 |
			   (__u64)(bpf_ntohs(half[1]) & 0xff00) << 32 | 0xfffeull << 24 |
			   (__u64)(bpf_ntohs(half[1]) & 0xff) << 16 | bpf_ntohs(half[2]);

	identifier ^= 2ull << 56;
	return (high ^ bpf_cpu_to_be64(0xfe80ull << 48)) | (low ^ bpf_cpu_to_be64(identifier));
}

static __always_inline bool is_unspecified(const void *address)
{
	const __u64 *half = address;

	return !(half[0] | half[1]);
}

/* As for IPv4; the addresses in two halves each. */
static __always_inline bool is_own_ipv6(const void *address)
{
	const __u64 *half = address;
	__u64 high = half[0], low = half[1];
	__u32 count = endpoint_constants.ipv6_count;
	__u64 different = is_different(differs_from_link_local(high, low));

	for (__u32 i = 0; i < SENDER_ADDRESSES_MAX; i++) {
		const volatile __u64 *own = (const volatile __u64 *)endpoint_constants.ipv6[i].word;

		if (i >= count)
			break;
		different &= is_different((high ^ own[0]) | (low ^ own[1]));
	}
	return !different;
}

#endif
