/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ports of the host that lead to endpoints.
 */
#ifndef BRIDGEWALL_PUBLISHED_H
#define BRIDGEWALL_PUBLISHED_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"
#include "maps.h"

/* Whose port this is, if it is published: at this address of the host, or else at all of the family's. */
static __noinline struct published *find_published(const struct address *address, __be16 port,
						   __u8 protocol)
{
	struct published_key key = {.address = *address, .port = port, .protocol = protocol};
	struct published *found = bpf_map_lookup_elem(&published, &key);

	if (found)
		return found;
	if (!is_mapped(address))
		__builtin_memset(&key.address, 0, sizeof(key.address));
	key.address.word[3] = 0;
	return bpf_map_lookup_elem(&published, &key);
}

#endif
