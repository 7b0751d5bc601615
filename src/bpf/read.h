/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading a frame. Everything a verdict rests on is read from the linear part, into which it is
 * pulled first where necessary: what lies in page fragments may still be shared with the sender's
 * memory (AF_PACKET's transmit ring), and could change between our look at it and the receiver's.
 */
#ifndef BRIDGEWALL_READ_H
#define BRIDGEWALL_READ_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* No header that we judge by may begin further than this from the frame's beginning. */
#define HEADER_REACH 512u

#define PULL_LENGTH (HEADER_REACH + 64)

/* Volatile: the compiler must not keep what a pull has made void, nor halve the pointers. */
static __always_inline void *frame_start(const struct __sk_buff *skb)
{
	return (void *)(long)*(const volatile __u32 *)&skb->data;
}

static __always_inline void *frame_end(const struct __sk_buff *skb)
{
	return (void *)(long)*(const volatile __u32 *)&skb->data_end;
}

/* The `size` bytes at `offset` from the Ethernet header if they are linear, else NULL. */
static __always_inline void *peek(const struct __sk_buff *skb, __u32 offset, __u32 size)
{
	__u64 reach = offset;
	void *start;

	/* As wide as the pointer: the verifier of 6.1 learns nothing for copies of what is compared. */
	if (!__builtin_constant_p(offset))
		barrier_var(reach);
	if (reach > HEADER_REACH)
		return NULL;
	start = frame_start(skb) + reach;
	return start + size <= frame_end(skb) ? start : NULL;
}

/*
 * The same, made linear if need be. Pointers from an earlier call are void after it.
 */
static __always_inline void *at(struct __sk_buff *skb, __u32 offset, __u32 size)
{
	void *start = peek(skb, offset, size);
	__u32 length = skb->len;

	if (start || offset + size > length)
		return start;
	if (bpf_skb_pull_data(skb, length < PULL_LENGTH ? length : PULL_LENGTH))
		return NULL;
	return peek(skb, offset, size);
}

/* Why at() said NULL. */
static __always_inline int unreadable(struct __sk_buff *skb, __u32 offset, __u32 size)
{
	return offset + size > skb->len ? DROP_TRUNCATED : DROP_PULL_FAILED;
}

#endif
