/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every map of the packet path. The sizes are small defaults for tests; the daemon sets max_entries
 * before load, from its configuration (see src/kernel/maps.rs). Who writes what is said at each.
 */
#ifndef BRIDGEWALL_MAPS_H
#define BRIDGEWALL_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* The judging policy: generation << 1 | slot. Mapped into the daemon, which publishes a new policy
 * with one 64-bit store. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} active SEC(".maps");

/* OBSERVE_* flags, written by the daemon. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} observe SEC(".maps");

/* ---- Policy: written by the daemon, in the slot that does not judge. ---------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct policy_step);
} steps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct policy_key);
	__type(value, struct step_list);
} policy SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * (LOCAL_IDENTITY_MAX + 1));
	__type(key, __u32);
	__type(value, struct identity_record);
} identities SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * ROOT_ROWS);
	__type(key, __u32);
	__type(value, struct network_roots);
} network_roots SEC(".maps");

/* Mapped by nobody: but an array that can be begins at a page, and so each node at a cache line. Else
 * each would be in two. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct network_node);
} network_nodes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct denial);
} denials SEC(".maps");

/* ---- Inventory: written by the daemon, live. ---------------------------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct local_address_key);
	__type(value, struct local_address);
} addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct published_key);
	__type(value, struct published);
} published SEC(".maps");

/* Index: endpoint number. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

/* Index: endpoint number. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct shortcut);
} shortcuts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 256);
	__type(key, struct management_key);
	__type(value, struct management);
} management SEC(".maps");

/* ---- Flows: written by the programs alone. ------------------------------------------------ */

/* Connections, new and answered. It never evicts: how many of each there may be, in all and of each
 * endpoint, is counted in `accounts`, so that no flood pushes anybody out. Entries are removed by
 * `sweep_flows` alone. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 147456);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

/* Index: CPU << settings.recent_bits | a hash of what the packet is recognised by. Can be mapped, so that
 * each entry is one cache line: see network_nodes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct recent);
} recent SEC(".maps");

/* Index: endpoint number; connections of its that took over the entry of one before. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u32);
} reopened SEC(".maps");

/* Index: endpoint number. Mapped into the daemon, which reads it, and counts what it carries over from
 * maps before these. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct flow_accounts);
} accounts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sweeper);
} sweeper SEC(".maps");

/* First fragments, of each account apart: see struct fragment_set. As large as all accounts' sets, so
 * that there is always room; memory is taken where somebody sends fragments. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096 * ACCOUNTS << FRAGMENT_SET_BITS);
	__type(key, __u32);
	__type(value, struct fragment_set);
} fragments SEC(".maps");

/* ---- What is told: written by the programs, read by the daemon. --------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct event_limit_key);
	__type(value, struct event_limit);
} event_limits SEC(".maps");

/* Index: enum event_loss. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EVENT_LOSSES);
	__type(key, __u32);
	__type(value, __u64);
} event_losses SEC(".maps");

/* Index: enum drop_reason. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROP_REASONS);
	__type(key, __u32);
	__type(value, struct counter);
} drops SEC(".maps");

/* Index: rule number; new connections that the rule decided. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct counter);
} rule_hits SEC(".maps");

/* Index: endpoint number. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct endpoint_counters);
} endpoint_traffic SEC(".maps");

/* The last look at the clock. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tick);
} ticks SEC(".maps");

/* ---- The shared bodies, by enum body. Pinned: the last reference gone would empty it. ----- */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, BODIES);
	__type(key, __u32);
	__type(value, __u32);
} bodies SEC(".maps");

#endif
