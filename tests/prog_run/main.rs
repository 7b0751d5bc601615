//! The packet path on crafted frames: the real programs, run by BPF_PROG_TEST_RUN through their
//! templates. Needs root, touches no interface.

mod again;
#[path = "../common/boundaries.rs"]
mod boundaries;
mod budget;
#[path = "../common/contract.rs"]
mod contract;
#[path = "../common/craft.rs"]
mod craft;
mod entities;
mod errors;
mod fixture;
mod flood;
mod flows;
mod fragments;
mod frame;
mod groups;
mod handshake;
mod icmp;
mod neighbours;
mod networks;
mod node;
mod parser;
mod pool;
mod published;
mod quotas;
mod receiver;
mod report;
mod rules;
mod sender;
mod shortcuts;
mod tables;
mod uplinks;
mod verdicts;
