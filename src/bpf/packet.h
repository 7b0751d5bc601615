/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is known about the packet in hand.
 */
#ifndef BRIDGEWALL_PACKET_H
#define BRIDGEWALL_PACKET_H

#include <stdbool.h>
#include <linux/types.h>

#include "abi.h"

#define HEADERS_FRAGMENT       1u /* a part of a packet */
#define HEADERS_MORE_FRAGMENTS 2u /* and not the last one */
#define HEADERS_GROUP          4u /* for more than one receiver, by MAC or IP address */

/* What the headers say: of a packet, or of the one that an ICMP error quotes. */
struct headers {
	struct address source;
	struct address destination;
	__be32 fragment_id;
	__u32 length;          /* bytes from `transport` to the packet's end */
	__u16 transport;       /* where the transport header begins, from the Ethernet header */
	__u16 fragment_start;  /* where the fragmentable part begins, likewise */
	__u16 fragment_offset; /* bytes; of this fragment's data in the whole */
	__be16 source_port;    /* ICMP questions and answers: the identifier, in both */
	__be16 destination_port;
	__u8 family; /* 4, 6; 0: ARP, or not known yet */
	__u8 protocol;
	__u8 hop_limit;
	__u8 icmp_type; /* of ICMP, ICMPv6 and IGMP */
	__u8 icmp_code;
	__u8 tcp_flags;
	__u8 flags; /* HEADERS_* */
	__u8 _pad[3];
};

/* One end of a connection. */
struct party {
	__u32 identity; /* IDENTITY_NONE: not known */
	__u32 endpoint; /* 0: the host or the world */
};

#define PACKET_LOG       1u  /* a rule asks for an event */
#define PACKET_JUDGED    2u  /* `rule`, `verdict` and `side` say something */
#define PACKET_REPLYING  4u  /* it goes from the connection's target to its opener */
#define PACKET_TELL      8u  /* judged again, and only audit mode lets it pass */
#define PACKET_PRESSED   16u /* it opened a connection where little room is left */
#define PACKET_PUBLISHED 32u /* its destination is reached through a port that the host publishes */
#define PACKET_FORWARDED                                                                           \
	64u /* leaves by an uplink with the host's address, and is not the host's own */

struct packet {
	__u64 generation;
	struct headers headers;
	struct party source;
	struct party destination;
	__u32 slot;
	__u32 endpoint; /* whose hook this is */
	__u32 ifindex;
	__u32 bridge; /* its bridge; where there is none, the interface itself */
	__u32 rule[SIDES];
	__u32 selector; /* what it asks its destination for */
	__u16 mark;     /* to be given to it when it passes */
	__u8 hook;
	__u8 verdict;
	__u8 side;  /* that decided */
	__u8 flags; /* PACKET_* */
	__u8 _pad[2];
};

/* Whether this is an uplink's hook, which judges for the host. */
static __always_inline bool is_at_uplink(const struct packet *packet)
{
	return packet->hook >= HOOKS;
}

/* A later fragment has no transport header of its own. */
static __always_inline bool is_later_fragment(const struct headers *headers)
{
	return headers->fragment_offset != 0;
}

#endif
