/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Constants in read-only data: written once, before load, never after. The verifier knows their
 * values and leaves out what they switch off.
 */
#ifndef BRIDGEWALL_CONFIG_H
#define BRIDGEWALL_CONFIG_H

#include <bpf/bpf_helpers.h>

#include "abi.h"

/* Of the template: whose interface this is. Written for each interface by src/kernel/template.rs. */
const volatile struct endpoint_constants endpoint_constants SEC(".rodata.endpoint");

/* Of bodies and templates, the same on every interface: written by src/kernel/loader.rs. */
const volatile struct settings {
	/* Where our 16 bits of skb->mark begin: 0 or 16. */
	__u32 mark_shift;
	/* Entries of `recent` that each CPU has, as a power of two; at least 1. */
	__u32 recent_bits;
	/* Events at once, and a second, for each endpoint and drop reason. */
	__u32 event_burst;
	/* Idle time after which a flow is as good as gone, in seconds. */
	__u32 timeout_tcp_new;
	__u32 timeout_tcp;
	__u32 timeout_tcp_closing;
	__u32 timeout_udp_new;
	__u32 timeout_udp;
	__u32 timeout_icmp;
	__u32 timeout_other;
	/* Flows by stage, in all; together not more than `flows` has room for. */
	__u32 flows[STAGES];
	/* Of one endpoint: so many that it opened, and as many that others opened to it. */
	__u32 flows_of_endpoint[STAGES];
} settings = {
    .mark_shift = 16,
    .recent_bits = 6,
    .event_burst = 10,
    .timeout_tcp_new = 60,
    .timeout_tcp = 432000,
    .timeout_tcp_closing = 30,
    .timeout_udp_new = 30,
    .timeout_udp = 180,
    .timeout_icmp = 30,
    .timeout_other = 600,
    .flows = {16384, 131072},
    .flows_of_endpoint = {4096, 32768},
};

/* What the maps must look like for these programs: compared with what is pinned before it is adopted. */
const volatile __u32 layout_version = LAYOUT_VERSION;

/*
 * Types that stand in no map's definition, but that the daemon reads: this constant puts them where
 * the build finds them when it generates the Rust types. Nothing reads or writes it.
 */
static const struct {
	enum layout layout;
	enum limit limit;
	enum identity identity;
	enum side side;
	enum peer_kind peer_kind;
	enum verdict verdict;
	enum step_flag step_flag;
	enum network_layout network_layout;
	enum denial_flag denial_flag;
	enum endpoint_flag endpoint_flag;
	enum mark mark;
	enum flow_flag flow_flag;
	enum flow_status flow_status;
	enum account account;
	enum flow_stage flow_stage;
	enum fragment_room fragment_room;
	enum drop_reason drop_reason;
	enum hook hook;
	enum event_flag event_flag;
	enum observe_flag observe_flag;
	enum event_loss event_loss;
	enum body body;
	struct event event;
	struct sweep sweep;
} exported __attribute__((used));

#endif
