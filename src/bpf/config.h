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

/* Of the bodies, the same on every interface: written once a start by src/kernel/loader.rs. */
const volatile struct {
	/* Where our 16 bits of skb->mark begin: 0 or 16. */
	__u32 mark_shift;
	/* Events at once, and a second, for each endpoint and drop reason. */
	__u32 event_burst;
	/* Idle time after which a flow is as good as gone, in seconds. */
	__u32 timeout_new;
	__u32 timeout_tcp;
	__u32 timeout_closing;
	__u32 timeout_udp;
	__u32 timeout_icmp;
	__u32 timeout_other;
} settings = {
	.mark_shift = 16,
	.event_burst = 10,
	.timeout_new = 30,
	.timeout_tcp = 21600,
	.timeout_closing = 30,
	.timeout_udp = 180,
	.timeout_icmp = 30,
	.timeout_other = 600,
};

#endif
