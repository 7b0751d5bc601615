/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ports of containers that the host publishes. What an endpoint sends there is judged as what it becomes:
 * a connection to that container, at the container's own port.
 */
#ifndef BRIDGEWALL_PUBLISHED_H
#define BRIDGEWALL_PUBLISHED_H

#include <linux/errno.h>
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "maps.h"
#include "packet.h"
#include "peer.h"

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/*
 * A port is published for as long as the container's interface is there: Docker makes and removes them
 * together. So an entry that nobody has removed, because no daemon runs, says nothing any more.
 */
static __always_inline bool is_there(struct __sk_buff *skb, __u32 number)
{
	struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &number);
	__u32 mtu = 0;

	return endpoint && bpf_check_mtu(skb, endpoint->ifindex, &mtu, 0, 0) != -ENODEV;
}

/*
 * Who is behind a port at an address of the host: endpoint number << 16 | its own port; 0: nobody but the
 * host itself. A port at one address goes before the same one at all of them, as it does where Docker
 * translates addresses. `replying`: it is the packet's source, else its destination.
 */
__noinline int find_published(struct __sk_buff *skb, const struct headers *headers, __u32 replying)
{
	struct published_key key = {};
	struct published *found;

	if (!headers || !has_ports(headers->protocol))
		return 0;
	key.address = replying ? headers->source : headers->destination;
	key.port = replying ? headers->source_port : headers->destination_port;
	key.protocol = headers->protocol;
	found = bpf_map_lookup_elem(&published, &key);
	if (!found) {
		key.address.word[3] = 0;
		if (!is_mapped(&key.address))
			__builtin_memset(&key.address, 0, sizeof(key.address));
		found = bpf_map_lookup_elem(&published, &key);
	}
	if (!found || !is_there(skb, found->endpoint))
		return 0;
	return (found->endpoint & ENDPOINT_NUMBER_MAX) << 16 | bpf_ntohs(found->port);
}

static __always_inline __u32 published_endpoint(__u32 found)
{
	return found >> 16;
}

/* What is asked for there. */
static __always_inline __u32 published_selector(const struct headers *headers, __u32 found)
{
	return (__u32)headers->protocol << 16 | (found & 0xffff);
}

#endif
