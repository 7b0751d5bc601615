/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The contract between the programs and the daemon: every number, key and value that both sides
 * read or write. Nothing else is shared. The Rust side uses the types that the build generates from
 * this header, never a copy by hand; sizes and offsets are asserted here and in src/kernel/layout.rs.
 * Numbers that Rust needs too are enumerators, because a #define is lost on the way there.
 *
 * Rules of the house: fixed-width integers, padding spelled out and zero, addresses and ports of a
 * packet in network byte order (__be), all else in host byte order.
 */
#ifndef BRIDGEWALL_ABI_H
#define BRIDGEWALL_ABI_H

#include <linux/bpf.h>
#include <linux/types.h>

/* Raised whenever a map's layout or the meaning of a value changes. Pins of another layout are
 * never adopted. */
enum layout {
	LAYOUT_VERSION = 4,
};

/* ---- Sizes ------------------------------------------------------------------------------- */

/* Upper bounds; the daemon sets each map's max_entries from its configuration, below these. */
enum limit {
	ENDPOINT_NUMBER_MAX = 32767, /* 15 bits: what the packet mark has room for */
	LOCAL_IDENTITY_MAX = 16383,  /* identities of endpoints and of the host */
	STEP_LIST_MAX = 131071,      /* longest list of steps; bounds the binary search */
	SENDER_ADDRESSES_MAX = 8,    /* addresses of one family an endpoint may send from */
	EVENT_BYTES = 96,            /* of a packet's beginning, from its Ethernet header */
};

/* ---- Identities -------------------------------------------------------------------------- */

/*
 * An identity number says what a peer is; its kind can be read off it without a lookup:
 *
 *   0                    nobody: never in a map, always an error
 *   1                    the host
 *   2 .. 16383           endpoints: one number for each distinct set of identities
 *   0x80000000 | n       the world outside, internet: one number for each set of networks
 *   0xc0000000 | n       the world outside, local ranges (RFC 1918, 4193, 6598, link-local)
 */
enum identity {
	IDENTITY_NONE = 0,
	IDENTITY_HOST = 1,
	IDENTITY_LAN_BIT = 0x40000000,
	IDENTITY_WORLD_BIT = 0x80000000u,
	IDENTITY_WORLD_NUMBER = 0x3fffffff,
};

enum peer_kind {
	PEER_HOST = 0,
	PEER_ENDPOINT = 1,
	PEER_LAN = 2,
	PEER_INTERNET = 3,
	PEER_KINDS = 4,
};

/* The side of a connection that judges: the sender's egress, the receiver's ingress. */
enum side {
	SIDE_EGRESS = 0,
	SIDE_INGRESS = 1,
	SIDES = 2,
};

/* ---- Policy ------------------------------------------------------------------------------ */

/*
 * What a new connection asks for is one number on one line, the selector:
 *
 *   bits 16..23  IP protocol
 *   bits  0..15  TCP, UDP, SCTP: destination port; ICMP and ICMPv6: type << 8 | code; others: 0
 *
 * The policy of a subject towards a peer is a step function on that line: a list of steps, sorted
 * by `from`, the first at 0; a step holds from its `from` to the next one's. Ports, port ranges,
 * ICMP types and codes, whole protocols, defaults, deny before allow and audit mode are all resolved
 * into it by the compiler; the kernel searches the list and does as the step says.
 * (For example "default deny, 80/tcp allowed": [0 drop] [0x060050 allow] [0x060051 drop].)
 */
enum verdict {
	VERDICT_ALLOW = 0,
	VERDICT_AUDIT = 1, /* passes, and is reported as what would have been dropped */
	VERDICT_DROP = 2,  /* no rule speaks for it */
	VERDICT_DENY = 3,  /* a rule speaks against it */
};

enum step_flag {
	STEP_LOG = 1, /* the rule asks for an event for every new connection */
};

struct policy_step {
	__u32 from;
	__u32 rule; /* 0: the default spoke */
	__u8 verdict;
	__u8 flags;
	__u16 _pad;
};

/* Where a list of steps lies in the `steps` array. A published list is never written again: a new
 * policy brings new lists, and old ones are reused only when no packet can still see them. */
struct step_list {
	__u32 first;
	__u32 count;
};

/*
 * Two slots hold two complete policies; the low bit of `active` names the one that judges. The
 * daemon changes the other, then publishes it with one 64-bit store. Everything that depends on the
 * policy is per slot: the key's or the index's `slot`.
 */
struct policy_key {
	__u8 slot;
	__u8 side;
	__u16 subject; /* identity number of the side that judges; endpoints and the host only */
	__u32 peer;    /* identity number of the other side */
};

/* What a subject does with a peer for which `policy` has no entry, by the peer's kind. Index in the
 * `identities` array: slot * (LOCAL_IDENTITY_MAX + 1) + identity number. */
struct identity_record {
	struct step_list generic[SIDES][PEER_KINDS];
};

/* ---- Who is who -------------------------------------------------------------------------- */

/* An IPv4 address is kept as an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) in all keys.
 * On the wire such IPv6 addresses are dropped, so that none can be forged. */
struct address {
	__be32 word[4];
};

/* Who owns an address of this host. zone: for IPv6 link-local addresses (fe80::/10; the same one may
 * be in use on every bridge) the bridge's ifindex, or the interface's own where it has no bridge;
 * for all others 0. */
struct local_address_key {
	struct address address;
	__u32 zone;
};

/* endpoint: 0 for the host itself. */
struct local_address {
	__u32 endpoint;
};

/* A port of the host that leads to an endpoint's. address: where it is published; the unspecified one of
 * its family: at every address of the host. protocol: TCP, UDP or SCTP. */
struct published_key {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 _pad;
};

struct published {
	__u32 endpoint;
	__be16 port; /* the endpoint's own */
	__u16 _pad;
};

/* One of the `endpoints` array, by endpoint number. */
struct endpoint {
	__u32 identity[2]; /* by slot; IDENTITY_NONE: not in use, nothing passes */
	__u32 ifindex;     /* of the host-side interface */
	__u32 bridge;      /* ifindex of its bridge, 0 for none */
};

/* One of the `shortcuts` array, by endpoint number: how packets that were judged for this endpoint may
 * reach it past its bridge. All zero: not at all. */
struct shortcut {
	__u32
	    ifindex; /* of the host-side interface, a veth whose other end is in another namespace */
	__u32 bridge; /* ifindex of the bridge that the sender must be on, too */
	__u8 mac[6];  /* that the frame must be addressed to */
	__u16 _pad;
};

/* ---- Networks ---------------------------------------------------------------------------- */

/*
 * The world outside is divided into ranges of addresses, each with its identity number. The upper bits
 * of an address choose a root: 17 bits of an IPv4 address; of an IPv6 address those after 2000::/3,
 * down to the 20th, and outside of that the first three. A root's reference is
 *
 *   0                        nothing: always an error
 *   1 << 31 | ...            the identity number of all addresses below it
 *   depth + 1 << 27 | node   a tree: the number of its first node, and how many levels of inner nodes
 *                            are above its leaves
 *
 * A node is one cache line. Keys are the last addresses of ranges, in order, and for want of more the
 * greatest there is; the range of a key is found by counting those that are less. Narrow keys are 15
 * bits of an IPv4 address in 16, wide ones are half an IPv6 address.
 *
 *            inner                                leaf
 *   narrow   28 keys; word 7: children            20 keys; word 5: codes; halves 12..15: values
 *   wide      7 keys; word 7: children             6 keys; halves 12..14: values; half 15: codes
 *
 * The children of an inner node lie side by side; `children` is the distance from the node to the first
 * of them. A leaf has a code of two bits for each range, lowest first: which of its values holds there. A
 * value is an identity number, or in the tree of an address's upper half a reference to one of the lower
 * half, with a distance from the leaf in the node's place.
 *
 * A tree that a slot refers to is never written to; both slots may refer to it.
 */
enum network_layout {
	ROOTS_IPV6 = 1 << 17, /* the first root of 2000::/3 */
	ROOTS_IPV6_REST =
	    ROOTS_IPV6 + (1 << 17), /* the first of eight, one of which is not in use */
	ROOTS = ROOTS_IPV6_REST + 8,
	ROOTS_IN_ROW = 16,
	ROOT_ROWS = (ROOTS + ROOTS_IN_ROW - 1) / ROOTS_IN_ROW,
	REFERENCE_DEPTH_SHIFT = 27,
	REFERENCE_NODE = (1 << 27) - 1,
	NARROW_DEPTH_MAX = 3, /* 2^15 addresses are in at most 29^3 leaves */
	WIDE_DEPTH_MAX = 20,  /* nodes of both halves' trees on the way down */
};

/* Index in the `network_roots` array: number of the root / ROOTS_IN_ROW << 1 | slot. */
struct network_roots {
	__u32 reference[ROOTS_IN_ROW];
};

/* Index in the `network_nodes` array: number of the node. Half n is the lower half of word n / 2, or
 * the upper one where n is odd. */
struct network_node {
	__u64 word[8];
};

/*
 * What the policy says of a packet from the world by nothing but its sender's identity, for who judges
 * before the receiver is known. Index in the `denials` array: number << 2 | lan << 1 | slot, where number
 * and lan are those of the identity.
 */
struct denial {
	__u32 rule;  /* denies whatever anybody there opens, to whomever; 0: no rule does */
	__u32 flags; /* DENIAL_* */
};

enum denial_flag {
	DENIAL_BOTH_WAYS =
	    1, /* nor may anybody open a connection to there, so nothing can be an answer */
};

/* ---- Management -------------------------------------------------------------------------- */

/* Who may reach which TCP port of the host whatever the policy says, by longest prefix; the length counts
 * the 32 bits before the address too. */
struct management_key {
	__u32 prefix_length;
	__be16 port;
	__u16 _pad;
	struct address address;
};

struct management {
	__u32 allowed; /* 1 */
};

/* ---- The template's constants ------------------------------------------------------------ */

enum endpoint_flag {
	ENDPOINT_NAMED = 1,  /* it is known whose interface this is; without it nothing passes */
	ENDPOINT_UPLINK = 2, /* nobody's: the host's way to the world outside; the number is 0 */
};

/* Written into read-only data before a template is loaded, one template an interface. */
struct endpoint_constants {
	__u32 number;
	__u32 flags;
	__u8 mac[6];
	__u16 _pad;
	__u32 ipv4_count;
	__u32 ipv6_count; /* without the link-local one, which follows from the MAC (RFC 4291, A) */
	__be32 ipv4[SENDER_ADDRESSES_MAX];
	struct address ipv6[SENDER_ADDRESSES_MAX];
};

/* ---- The packet mark --------------------------------------------------------------------- */

/*
 * 16 bits of skb->mark, where `mark_shift` puts them, carry the judgement from the sender's hook to
 * the receiver's, through bridging, routing and NAT:
 *
 *   0           from nobody we watch
 *   n           sent by endpoint n; the receiver judges
 *   0x8000 | n  judged on both sides for receiver n, on the same bridge
 *
 * A container cannot set it: marks are cleared at the border of a network namespace.
 */
enum mark {
	MARK_JUDGED = 0x8000,
	MARK_NUMBER = 0x7fff,
};

/* ---- Flows ------------------------------------------------------------------------------- */

/* One entry a connection, whichever way a packet goes: `low` is the smaller address, compared as a
 * big-endian number (they are never equal). ICMP: both ports are the echo identifier, icmp_type is
 * the request's type, and icmp_low_asks says who sends the requests, for two hosts may ask each
 * other with the same identifier; otherwise these are 0. zone as in local_address_key. */
struct flow_key {
	struct address low;
	struct address high;
	__be16 low_port;
	__be16 high_port;
	__u8 protocol;
	__u8 icmp_type;
	__u8 icmp_low_asks;
	__u8 _pad;
	__u32 zone;
};

/*
 * What has been seen of a connection, in the lower half of its `status`. There is no field for how far
 * it has come: it is closing when either side has reset it, or both have sent a FIN; else it is
 * answered, or new.
 */
enum flow_flag {
	FLOW_OPENER_LOW = 1,  /* the opener is `low` */
	FLOW_OPENER_HOST = 2, /* the opener is the host itself */
	FLOW_TARGET_HOST = 4, /* the target is the host itself */
	FLOW_FIN_OPENER = 8,
	FLOW_FIN_TARGET = 16,
	FLOW_SAME_BRIDGE = 32,   /* opener and target are endpoints on one bridge */
	FLOW_RESET_OPENER = 64,  /* TCP: there was a RST with the opener's address */
	FLOW_RESET_TARGET = 128, /* likewise, with the target's */
	FLOW_REPLIED = 256,      /* TCP: a SYN was acknowledged, that not yet */
	FLOW_ANSWERED = 512,     /* both sides want it; it is counted so in its account */
	FLOW_CLAIMED = 1024,     /* it is being removed, or becomes another: as good as none */
	FLOW_PUBLISHED = 2048,   /* the target is reached through a port that the host publishes */
	/* At an uplink: the opener only bears the host's address, and is judged elsewhere. */
	FLOW_FORWARDED = 4096,
};

/*
 * status: FLOW_* flags; above them the account that the entry is counted in. Once an entry is in the
 * map, its status changes by atomic operations alone, and counters are moved by who made the change:
 * so they are exact, whoever else is at work on the entry.
 */
enum flow_status {
	FLOW_ACCOUNT_SHIFT = 16,
};

struct flow {
	__u64
	    generation; /* that allowed it last; 0: it was refused since (published ones begin at 1) */
	__u64 last_seen; /* nanoseconds, coarse monotonic clock; written at most once a second */
	__u32 opener;    /* endpoint number, 0: the host or the world */
	__u32 target;    /* endpoint number, 0: the host or the world */
	__u32 selector;  /* what the opener asked for, to judge again */
	__u32 status;
};

/*
 * A packet of a connection that there is nothing to say about, found a moment ago: what others like it are
 * recognised by without looking for their connection. One of the `recent` array, which each CPU has a
 * part of; all zero: nothing.
 *
 * A connection may come to an end meanwhile. What follows passes then as it would have anyway, unless another
 * connection begins between the same ports: `reopened` counts how often that has happened.
 */
struct recent {
	__u64
	    address[4]; /* source and destination as in the header; of IPv4 both are in the first */
	__u64 ends;     /* the ports, and who it is from and at whose hook: see recent_ends() */
	__u64 judging;  /* what `active` said */
	__u64 until;    /* nanoseconds, coarse monotonic clock */
	__u32 reopened; /* what the endpoint's count of them was */
	__u16 mark;     /* to be given to it */
	__u8 protocol;
	__u8 hook;
};

/* ---- Accounts ---------------------------------------------------------------------------- */

/* Who pays for a connection's entry: the endpoint that opens it, or the one that somebody outside or
 * the host itself opens it to. The two are counted apart, so that nobody outside can keep an endpoint
 * from opening connections. An account is an endpoint number, and ACCOUNT_RECEIVED for the latter.
 * With number 0, which is no endpoint's, ACCOUNT_RECEIVED is what the world opens to the host; what the
 * host opens to the world is in nobody's account, and counts only among all. */
enum account {
	ACCOUNT_NUMBER = 0x7fff,
	ACCOUNT_RECEIVED = 0x8000,
	ACCOUNT_RECEIVED_SHIFT = 15,
	ACCOUNTS = 2, /* of one endpoint */
};

enum flow_stage {
	STAGE_NEW = 0,
	STAGE_ANSWERED = 1,
	STAGES = 2,
};

/* One of the `accounts` array, by endpoint number; first index: opened, received. Number 0 counts all
 * connections of all endpoints, as opened ones. */
struct flow_accounts {
	__u32 held[ACCOUNTS][STAGES];
	__u64 refused[ACCOUNTS][STAGES]; /* packets of connections there was no room for */
};

/* Who is looking for what has expired, and when somebody last did. */
struct sweeper {
	__u64 swept; /* nanoseconds, coarse monotonic clock */
	__u32 busy;
	__u32 _pad;
};

/* What one search has come to: the `sweep` program's context. */
struct sweep {
	__u64 now; /* nanoseconds, coarse monotonic clock */
	__u64
	    next; /* when the next of those that are left expires if it stays idle; 0: none is left */
	__u32 removed;
	__u32 left;
	__u32 urgent; /* given: room is short, see PRESSED_TIMEOUT */
	__u32 _pad;
};

/* Which datagram a fragment is of. protocol: 0 for IPv6, where it is no part of that (RFC 8200, 4.5). */
struct fragment_key {
	struct address source;
	struct address destination;
	__be32 id;
	__u8 protocol;
	__u8 _pad[3];
};

/* Fragments after the first have no ports: the first one leaves what it says here. */
struct fragment {
	__u64 seen; /* nanoseconds, coarse monotonic clock; 0: nothing is here yet */
	__be16 source_port;
	__be16 destination_port;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 protocol;
	__u8
	    header_blocks; /* 8-byte blocks that hold headers: later fragments must lie beyond them */
	struct fragment_key key;
};

/*
 * Where first fragments are kept: every account has so many sets of its own, and a new one takes the
 * place of the oldest of its set. So whoever sends many of them pushes out its own alone. Index in
 * `fragments`: account << FRAGMENT_SET_BITS | set.
 */
enum fragment_room {
	FRAGMENT_SET_BITS = 4,
	FRAGMENTS_OF_SET = 8,
};

struct fragment_set {
	struct bpf_spin_lock lock;
	__u32 next; /* the place for the next one */
	struct fragment fragments[FRAGMENTS_OF_SET];
};

/* ---- Why a packet was dropped ------------------------------------------------------------- */

/* Every drop has one reason. The order is part of the layout: append. Texts are in
 * src/observe/reason.rs, checked to be complete by the compiler. */
enum drop_reason {
	DROP_NONE = 0,
	DROP_POLICY_DEFAULT,       /* no rule allows it */
	DROP_POLICY_DENY,          /* a rule denies it */
	DROP_ENDPOINT_UNNAMED,     /* armed, but nobody has said yet whose interface it is */
	DROP_ENDPOINT_UNKNOWN,     /* no record for this endpoint number */
	DROP_IDENTITY_MISSING,     /* an address or identity that should be in a map is not */
	DROP_BODY_MISSING,         /* a tail call found no program */
	DROP_PULL_FAILED,          /* the header could not be made readable */
	DROP_TRUNCATED,            /* shorter than its headers say */
	DROP_ETHERTYPE,            /* neither IPv4, IPv6 nor ARP */
	DROP_VLAN,                 /* tagged, in the frame or in the metadata */
	DROP_SOURCE_MAC,           /* not the endpoint's own */
	DROP_SOURCE_IPV4,          /* not the endpoint's own */
	DROP_SOURCE_IPV6,          /* not the endpoint's own */
	DROP_SOURCE_UNPROVEN,      /* an endpoint's address, but not from that endpoint */
	DROP_ARP,                  /* malformed, or speaks for somebody else */
	DROP_NEIGHBOUR_DISCOVERY,  /* malformed, or speaks for somebody else (RFC 4861, 7.1) */
	DROP_ROUTER_ADVERTISEMENT, /* from an endpoint, and redirects */
	DROP_IPV4_HEADER,          /* version, length, total length */
	DROP_IPV4_SOURCE_ROUTE,    /* loose or strict source routing */
	DROP_IPV6_HEADER,          /* version, payload length */
	DROP_IPV6_EXTENSION,       /* unknown, misplaced, too many, routing header type 0 */
	DROP_ADDRESS,          /* an address that must not be on the wire: loopback, mapped, ... */
	DROP_FRAGMENT,         /* overlapping, too small, beyond 64 KiB, more than one header */
	DROP_FRAGMENT_UNKNOWN, /* a later fragment whose first one was not seen */
	DROP_L4_HEADER,        /* TCP, UDP, SCTP or ICMP header malformed */
	DROP_TCP_FLAGS,        /* no such combination: SYN+FIN, none, ... */
	DROP_NO_FLOW,          /* TCP that can only belong to a connection, and there is none */
	DROP_ICMP_FAMILY,      /* ICMP in IPv6 or ICMPv6 in IPv4 */
	DROP_ICMP_ERROR,       /* an error about an error, or with a malformed quotation */
	DROP_MARK,             /* judged for another receiver */
	DROP_NOT_ADDRESSED,    /* flooded by the bridge: another one's MAC address */
	DROP_FLOW_TABLE_FULL,  /* no room for a new connection */
	DROP_FLOW_INSERT,      /* the kernel refused the entry */
	DROP_DHCP_SERVER,      /* a DHCP or DHCPv6 server's message from an endpoint */
	DROP_MULTICAST_QUERY,  /* an IGMP or MLD query from an endpoint */
	DROP_FLOW_QUOTA,       /* the endpoint has as many connections as it may */
	DROP_CHECKSUM_OFFLOAD, /* asks for a checksum to be written over what was judged */
	DROP_REASONS,
};

/* ---- Events ------------------------------------------------------------------------------ */

enum event_flag {
	EVENT_ALLOWED_NEW = 1, /* a new connection that was allowed */
	EVENT_REPLYING = 2,    /* the packet goes from the connection's target to its opener */
};

struct event {
	__u64 time; /* nanoseconds since boot, monotonic */
	__u64 generation;
	struct address source;
	struct address destination;
	__u32 source_identity; /* IDENTITY_NONE: not known at this point */
	__u32 destination_identity;
	__u32 source_endpoint; /* endpoint numbers; 0: none */
	__u32 destination_endpoint;
	__u32 egress_rule;
	__u32 ingress_rule;
	__u32 ifindex;
	__u32 endpoint; /* whose hook this is */
	__u32 packet_length;
	__be16 source_port;
	__be16 destination_port;
	__u8 verdict; /* enum verdict */
	__u8 reason;  /* enum drop_reason */
	__u8 side;    /* enum side: which one decided, for policy verdicts */
	__u8 hook;    /* enum hook */
	__u8 family;  /* 4, 6, or 0 when the packet is neither */
	__u8 protocol;
	__u8 icmp_type;
	__u8 icmp_code;
	__u16 byte_count; /* valid in `bytes` */
	__u8 flags;
	__u8 _pad[5];
	__u8 bytes[EVENT_BYTES];
};

enum hook {
	HOOK_FROM_ENDPOINT = 0,
	HOOK_TO_ENDPOINT = 1,
	HOOKS = 2, /* of an endpoint; the others are those of uplinks */
	HOOK_FROM_UPLINK = 2,
	HOOK_TO_UPLINK = 3,
	HOOK_XDP = 4,
};

/* At most `burst` events a second, for each endpoint and reason. */
struct event_limit_key {
	__u32 endpoint;
	__u32 reason; /* of a drop; else DROP_REASONS + verdict */
};

struct event_limit {
	__u64 second; /* of the monotonic clock */
	__u32 sent;
	__u32 suppressed;
};

/* ---- Counters ---------------------------------------------------------------------------- */

struct counter {
	__u64 packets;
	__u64 bytes;
};

struct endpoint_counters {
	struct counter passed[HOOKS];
	struct counter dropped[HOOKS];
};

/* What the coarse monotonic clock said in a tick of the kernel. */
struct tick {
	__u64 jiffies;
	__u64 time; /* nanoseconds */
};

/* Events that did not reach the daemon, by cause. */
enum event_loss {
	EVENT_LOST_FULL = 0,    /* the ring buffer was full */
	EVENT_LOST_LIMITED = 1, /* over the rate limit */
	EVENT_LOSSES = 2,
};

/* What the daemon asks of the programs, in the `observe` array. */
enum observe_flag {
	OBSERVE_ALLOWED = 1, /* report allowed new connections too */
};

/* ---- From template to body ---------------------------------------------------------------- */

/* What a template hands to the body that it tail-calls: index in skb->cb. */
enum handover {
	HANDOVER_ENDPOINT = 0, /* endpoint number */
	HANDOVER_REASON = 1,   /* for BODY_DROP: enum drop_reason */
	HANDOVER_HOOK = 2,     /* enum hook */
};

/* ---- The program table ------------------------------------------------------------------- */

enum body {
	BODY_FROM_ENDPOINT =
	    0, /* the short way of what is known; all else goes on to BODY_JUDGE_* */
	BODY_TO_ENDPOINT = 1,
	BODY_DROP = 2, /* counts and reports a drop that a template decided */
	BODY_FROM_UPLINK = 3,
	BODY_TO_UPLINK = 4,
	BODY_JUDGE_SENT = 5,
	BODY_JUDGE_RECEIVED = 6,
	BODIES = 7,
};

/* ---- Layout ------------------------------------------------------------------------------ */

/* The same numbers as in src/kernel/layout.rs. */
#define ASSERT_SIZE(type, size) _Static_assert(sizeof(struct type) == size, #type)
#define ASSERT_OFFSET(type, field, offset)                                                         \
	_Static_assert(__builtin_offsetof(struct type, field) == offset, #type "." #field)

ASSERT_SIZE(policy_step, 12);
ASSERT_SIZE(step_list, 8);
ASSERT_SIZE(policy_key, 8);
ASSERT_SIZE(identity_record, 64);
ASSERT_SIZE(local_address_key, 20);
ASSERT_SIZE(published_key, 20);
ASSERT_OFFSET(published_key, protocol, 18);
ASSERT_SIZE(published, 8);
ASSERT_SIZE(endpoint, 16);
ASSERT_SIZE(shortcut, 16);
ASSERT_SIZE(network_roots, 64);
ASSERT_SIZE(network_node, 64);
ASSERT_SIZE(denial, 8);
ASSERT_SIZE(management_key, 24);
ASSERT_OFFSET(management_key, address, 8);
ASSERT_SIZE(endpoint_constants, 184);
ASSERT_OFFSET(endpoint_constants, ipv6, 56);
ASSERT_SIZE(flow_key, 44);
ASSERT_OFFSET(flow_key, zone, 40);
ASSERT_SIZE(flow, 32);
ASSERT_OFFSET(flow, selector, 24);
ASSERT_OFFSET(flow, status, 28);
ASSERT_SIZE(recent, 64);
ASSERT_OFFSET(recent, judging, 40);
ASSERT_OFFSET(recent, hook, 63);
ASSERT_SIZE(flow_accounts, 48);
ASSERT_OFFSET(flow_accounts, refused, 16);
ASSERT_SIZE(sweeper, 16);
ASSERT_SIZE(sweep, 32);
ASSERT_SIZE(fragment_key, 40);
ASSERT_SIZE(fragment, 56);
ASSERT_OFFSET(fragment, key, 16);
ASSERT_SIZE(fragment_set, 456);
ASSERT_OFFSET(fragment_set, fragments, 8);
ASSERT_SIZE(event, 200);
ASSERT_OFFSET(event, verdict, 88);
ASSERT_OFFSET(event, bytes, 104);
ASSERT_SIZE(counter, 16);
ASSERT_SIZE(endpoint_counters, 64);

#endif
