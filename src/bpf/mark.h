/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Our bits of skb->mark. All other bits are the administrator's and stay as they are.
 */
#ifndef BRIDGEWALL_MARK_H
#define BRIDGEWALL_MARK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "config.h"

static __always_inline __u32 get_mark(const struct __sk_buff *skb)
{
	return skb->mark >> settings.mark_shift & (MARK_JUDGED | MARK_NUMBER);
}

static __always_inline void set_mark(struct __sk_buff *skb, __u32 mark)
{
	__u32 ours = (__u32)(MARK_JUDGED | MARK_NUMBER) << settings.mark_shift;

	skb->mark = (skb->mark & ~ours) | (mark << settings.mark_shift & ours);
}

#endif
