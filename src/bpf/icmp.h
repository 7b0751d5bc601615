/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ICMP (RFC 792) and ICMPv6 (RFC 4443) messages are to each other.
 */
#ifndef BRIDGEWALL_ICMP_H
#define BRIDGEWALL_ICMP_H

#include <stdbool.h>
#include <linux/icmpv6.h>
#include <linux/igmp.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "packet.h"

/* <linux/icmp.h> needs a C library, which a BPF target has not. */
#define ICMP_ECHOREPLY      0
#define ICMP_DEST_UNREACH   3
#define ICMP_REDIRECT       5
#define ICMP_ECHO           8
#define ICMP_ROUTER_ADVERT  9
#define ICMP_TIME_EXCEEDED  11
#define ICMP_PARAMETERPROB  12
#define ICMP_TIMESTAMP      13
#define ICMP_TIMESTAMPREPLY 14
#define ICMP_INFO_REQUEST   15
#define ICMP_INFO_REPLY     16
#define ICMP_ADDRESS        17
#define ICMP_ADDRESSREPLY   18

#define ND_ROUTER_SOLICIT    133
#define ND_ROUTER_ADVERT     134
#define ND_NEIGHBOUR_SOLICIT 135
#define ND_NEIGHBOUR_ADVERT  136
#define ND_REDIRECT          137

#define MLD_QUERY   ICMPV6_MGM_QUERY
#define MLD_REPORT  ICMPV6_MGM_REPORT
#define MLD_DONE    ICMPV6_MGM_REDUCTION
#define MLD2_REPORT ICMPV6_MLD2_REPORT

#define IGMP_QUERY    IGMP_HOST_MEMBERSHIP_QUERY
#define IGMP_REPORT_1 IGMP_HOST_MEMBERSHIP_REPORT
#define IGMP_REPORT_2 IGMPV2_HOST_MEMBERSHIP_REPORT
#define IGMP_REPORT_3 IGMPV3_HOST_MEMBERSHIP_REPORT
#define IGMP_LEAVE    IGMP_HOST_LEAVE_MESSAGE

static __always_inline bool is_icmp(const struct headers *headers)
{
	return headers->protocol == (headers->family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

/*
 * The type of the question that a message asks or answers, 0 for any other message. Only these
 * carry an identifier that ties an answer to its question.
 */
static __always_inline __u8 icmp_question(__u8 family, __u8 type)
{
	if (family == 6) {
		if (type == ICMPV6_ECHO_REQUEST || type == ICMPV6_ECHO_REPLY)
			return ICMPV6_ECHO_REQUEST;
		return 0;
	}
	switch (type) {
	case ICMP_ECHO:
	case ICMP_ECHOREPLY:
		return ICMP_ECHO;
	case ICMP_TIMESTAMP:
	case ICMP_TIMESTAMPREPLY:
		return ICMP_TIMESTAMP;
	case ICMP_INFO_REQUEST:
	case ICMP_INFO_REPLY:
		return ICMP_INFO_REQUEST;
	case ICMP_ADDRESS:
	case ICMP_ADDRESSREPLY:
		return ICMP_ADDRESS;
	}
	return 0;
}

/* Errors that quote the packet they are about. A redirect quotes too, but is no error. */
static __always_inline bool is_icmp_error(__u8 family, __u8 type)
{
	if (family == 6)
		return type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB;
}

static __always_inline bool is_neighbour_discovery(const struct headers *headers)
{
	return headers->family == 6 && headers->protocol == IPPROTO_ICMPV6 &&
	       headers->icmp_type >= ND_ROUTER_SOLICIT && headers->icmp_type <= ND_REDIRECT;
}

static __always_inline bool is_mld(const struct headers *headers)
{
	__u8 type = headers->icmp_type;

	return headers->family == 6 && headers->protocol == IPPROTO_ICMPV6 &&
	       ((type >= MLD_QUERY && type <= MLD_DONE) || type == MLD2_REPORT);
}

static __always_inline bool is_igmp(const struct headers *headers)
{
	return headers->family == 4 && headers->protocol == IPPROTO_IGMP;
}

static __always_inline bool is_igmp_membership(__u8 type)
{
	return type == IGMP_REPORT_1 || type == IGMP_REPORT_2 || type == IGMP_REPORT_3 ||
	       type == IGMP_LEAVE;
}

#endif
