//! The packet path on crafted frames: the real programs, run by BPF_PROG_TEST_RUN through their
//! templates. Needs root, touches no interface.

mod budget;
mod fixture;
mod frame;
mod node;
mod verdicts;
