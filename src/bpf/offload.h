/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checksums that a sender leaves to others. Whoever computes one, the kernel or a network card, does
 * so after us, and writes two bytes wherever the sender said: a container with a packet socket may
 * say any place (PACKET_VNET_HDR), and so change what was judged after it was judged.
 */
#ifndef BRIDGEWALL_OFFLOAD_H
#define BRIDGEWALL_OFFLOAD_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/udp.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "icmp.h"
#include "packet.h"
#include "transport.h"

/* Of the kernel's own packet, which the context of a program is, what __sk_buff does not tell. Where
 * it lies is settled when the program is loaded, by the types of the running kernel. */
struct sk_buff {
	unsigned char *head;
	unsigned char *data;
	__u16 csum_start; /* from `head` */
	__u16 csum_offset;
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));

/* <linux/skbuff.h>: it is still to be computed. */
#define CHECKSUM_PARTIAL 3

#define ICMP_CHECKSUM_OFFSET 2

/* How much of a transport header is judged by, from its beginning. */
static __always_inline __u32 judged_length(const struct headers *headers)
{
	if (is_later_fragment(headers))
		return 0;
	switch (headers->protocol) {
	case IPPROTO_TCP:
		return TCP_FLAGS_OFFSET + 1;
	case IPPROTO_UDP:
		return __builtin_offsetof(struct udphdr, check);
	case IPPROTO_SCTP:
		return 2 * sizeof(__be16);
	}
	return 0;
}

/* Linux 6.2 has it, and the verifier makes of it that nothing is called: what follows are plain loads. */
extern void *bpf_cast_to_kern_ctx(void *context) __ksym __weak;

/* Whether a checksum is left to others to write, and where, from the Ethernet header. */
static __always_inline bool is_checksum_left(struct __sk_buff *skb, __s32 *position)
{
	const struct sk_buff *packet = (const struct sk_buff *)skb;

	if (bpf_ksym_exists(bpf_cast_to_kern_ctx)) {
		packet = bpf_cast_to_kern_ctx(skb);
		if (BPF_CORE_READ_BITFIELD(packet, ip_summed) != CHECKSUM_PARTIAL)
			return false;
		*position = (__s32)packet->csum_start + packet->csum_offset -
			    (__s32)(packet->data - packet->head);
		return true;
	}
	if (BPF_CORE_READ_BITFIELD_PROBED(packet, ip_summed) != CHECKSUM_PARTIAL)
		return false;
	*position = (__s32)BPF_CORE_READ(packet, csum_start) + BPF_CORE_READ(packet, csum_offset) -
		    (__s32)(BPF_CORE_READ(packet, data) - BPF_CORE_READ(packet, head));
	return true;
}

/* Whether it would be written before this place. */
static __always_inline bool is_checksum_written_before(struct __sk_buff *skb, __u32 place)
{
	__s32 position;

	return is_checksum_left(skb, &position) && position < (__s32)place;
}

/* Of ARP nothing may change, and of ICMP, down to what an error quotes, only its checksum. */
__noinline int check_offload(struct __sk_buff *skb, const struct headers *headers)
{
	__s32 position, transport;

	if (!headers)
		return DROP_CHECKSUM_OFFLOAD;
	if (!is_checksum_left(skb, &position))
		return DROP_NONE;
	if (!headers->family)
		return DROP_CHECKSUM_OFFLOAD;
	transport = headers->transport;
	if (is_icmp(headers) || is_igmp(headers))
		return position == transport + ICMP_CHECKSUM_OFFSET ? DROP_NONE
								    : DROP_CHECKSUM_OFFLOAD;
	return position >= transport + (__s32)judged_length(headers) ? DROP_NONE
								     : DROP_CHECKSUM_OFFLOAD;
}

#endif
