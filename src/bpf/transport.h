/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The transport header: TCP (RFC 9293), UDP (RFC 768), SCTP (RFC 9260), ICMP, ICMPv6 and IGMP. All
 * other protocols have nothing that we read.
 */
#ifndef BRIDGEWALL_TRANSPORT_H
#define BRIDGEWALL_TRANSPORT_H

#include <linux/in.h>
#include <linux/tcp.h>
#include <linux/types.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "icmp.h"
#include "packet.h"
#include "read.h"

#define TCP_FIN          0x01
#define TCP_SYN          0x02
#define TCP_RST          0x04
#define TCP_ACK          0x10
#define TCP_URG          0x20
#define TCP_FLAGS_OFFSET 13

#define SCTP_HEADER 12

/* What an ICMP error must quote of the transport header (RFC 792; RFC 4443 gives more). */
#define QUOTED_TRANSPORT 8

struct ports {
	__be16 source;
	__be16 destination;
	__u8 rest[4];
};

struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 identifier;
	__be16 sequence;
};

/* The first fragment must hold the whole header, or nobody could judge the others (RFC 1858). */
static __always_inline int short_header(const struct headers *headers)
{
	return headers->flags & HEADERS_FRAGMENT ? DROP_FRAGMENT : DROP_L4_HEADER;
}

/*
 * Of the flags that say what a segment is for (PSH, ECE and CWR do not), only these combinations
 * occur: one SYN, RST or ACK, alone or with what goes with it (RFC 9293, 3.10.7).
 */
static __always_inline bool valid_tcp_flags(__u8 flags)
{
	switch (flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG)) {
	case TCP_SYN:
	case TCP_SYN | TCP_URG:
	case TCP_SYN | TCP_ACK:
	case TCP_RST:
	case TCP_RST | TCP_ACK:
	case TCP_FIN | TCP_ACK:
	case TCP_FIN | TCP_ACK | TCP_URG:
	case TCP_ACK:
	case TCP_ACK | TCP_URG:
		return true;
	}
	return false;
}

static __always_inline int parse_tcp(struct __sk_buff *skb, struct headers *headers)
{
	__u32 offset = headers->transport;
	__u32 header;
	struct tcphdr *tcp;

	if (headers->length < sizeof(*tcp))
		return short_header(headers);
	tcp = at(skb, offset, sizeof(*tcp));
	if (!tcp)
		return unreadable(skb, offset, sizeof(*tcp));
	header = tcp->doff * 4;
	headers->source_port = tcp->source;
	headers->destination_port = tcp->dest;
	headers->tcp_flags = ((__u8 *)tcp)[TCP_FLAGS_OFFSET];
	if (header < sizeof(*tcp))
		return DROP_L4_HEADER;
	if (header > headers->length)
		return short_header(headers);
	return valid_tcp_flags(headers->tcp_flags) ? DROP_NONE : DROP_TCP_FLAGS;
}

static __always_inline int parse_udp(struct __sk_buff *skb, struct headers *headers)
{
	__u32 offset = headers->transport;
	__u32 length;
	struct udphdr *udp;

	if (headers->length < sizeof(*udp))
		return short_header(headers);
	udp = at(skb, offset, sizeof(*udp));
	if (!udp)
		return unreadable(skb, offset, sizeof(*udp));
	headers->source_port = udp->source;
	headers->destination_port = udp->dest;
	length = bpf_ntohs(udp->len);
	if (length < sizeof(*udp))
		return DROP_L4_HEADER;
	if (length > headers->length && !(headers->flags & HEADERS_FRAGMENT))
		return DROP_L4_HEADER;
	return DROP_NONE;
}

/* SCTP, and the quoted beginnings of TCP and UDP. */
static __always_inline int parse_ports(struct __sk_buff *skb, struct headers *headers, __u32 least)
{
	__u32 offset = headers->transport;
	struct ports *ports;

	if (headers->length < least)
		return short_header(headers);
	ports = at(skb, offset, sizeof(*ports));
	if (!ports)
		return unreadable(skb, offset, sizeof(*ports));
	headers->source_port = ports->source;
	headers->destination_port = ports->destination;
	return DROP_NONE;
}

static __always_inline int parse_icmp(struct __sk_buff *skb, struct headers *headers)
{
	__u32 offset = headers->transport;
	struct icmp_header *icmp;

	if (headers->length < sizeof(*icmp))
		return short_header(headers);
	icmp = at(skb, offset, sizeof(*icmp));
	if (!icmp)
		return unreadable(skb, offset, sizeof(*icmp));
	headers->icmp_type = icmp->type;
	headers->icmp_code = icmp->code;
	if (headers->protocol != IPPROTO_IGMP && icmp_question(headers->family, icmp->type)) {
		headers->source_port = icmp->identifier;
		headers->destination_port = icmp->identifier;
	}
	return DROP_NONE;
}

static __always_inline int parse_transport(struct __sk_buff *skb, struct headers *headers,
					   bool quoted)
{
	switch (headers->protocol) {
	case IPPROTO_TCP:
		return quoted ? parse_ports(skb, headers, QUOTED_TRANSPORT)
			      : parse_tcp(skb, headers);
	case IPPROTO_UDP:
		return quoted ? parse_ports(skb, headers, QUOTED_TRANSPORT)
			      : parse_udp(skb, headers);
	case IPPROTO_SCTP:
		return parse_ports(skb, headers, quoted ? QUOTED_TRANSPORT : SCTP_HEADER);
	case IPPROTO_ICMP:
		return headers->family == 4 ? parse_icmp(skb, headers) : DROP_ICMP_FAMILY;
	case IPPROTO_ICMPV6:
		return headers->family == 6 ? parse_icmp(skb, headers) : DROP_ICMP_FAMILY;
	case IPPROTO_IGMP:
		return headers->family == 4 ? parse_icmp(skb, headers) : DROP_NONE;
	}
	return DROP_NONE;
}

#endif
