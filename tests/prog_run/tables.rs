//! What the programs remember of connections, and what they count.

use std::time::Duration;

use bridgewall::kernel::abi;
use libbpf_rs::{MapCore as _, MapFlags, ProgramInput};
use nix::time::{ClockId, clock_gettime};

use crate::contract::{bytes_of, from_bytes, zero};
use crate::fixture::{Firewall, entries};

/// An entry of the table of connections.
pub type Entry = (abi::flow_key, abi::flow);

/// Whether an entry is counted as answered.
pub fn is_answered((_, flow): &Entry) -> bool {
    flow.status & abi::flow_flag::FLOW_ANSWERED.0 != 0
}

impl Firewall {
    /// Everything in the table of connections, dead or alive.
    pub fn entries_of_flows(&self) -> Vec<Entry> {
        entries(&self.loan().skeleton.maps.flows)
    }

    /// All connections that were answered.
    pub fn flows(&self) -> Vec<Entry> {
        let mut flows = self.entries_of_flows();
        flows.retain(is_answered);
        flows
    }

    /// All connections that nobody has answered yet.
    pub fn new_flows(&self) -> Vec<Entry> {
        let mut flows = self.entries_of_flows();
        flows.retain(|entry| !is_answered(entry));
        flows
    }

    /// As if all connections had last been used that long ago, which is too long to remember them.
    pub fn age_flows(&self, seconds: u64) {
        zero(&self.loan().skeleton.maps.recent);
        for (key, mut flow) in self.entries_of_flows() {
            flow.last_seen = flow.last_seen.wrapping_sub(seconds * 1_000_000_000);
            self.write(&self.loan().skeleton.maps.flows, &key, &flow);
        }
    }

    /// Whether a packet has looked for what has expired since the last call.
    pub fn was_swept(&self) -> bool {
        let map = &self.loan().skeleton.maps.sweeper;
        let value = map.lookup(bytes_of(&0_u32), MapFlags::ANY);
        let sweeper: abi::sweeper = from_bytes(&value.expect("read").expect("an array"));
        self.write(map, &0_u32, &abi::sweeper::default());
        sweeper.swept != 0
    }

    /// Removes what has expired, as the daemon does.
    pub fn sweep(&self) -> abi::sweep {
        self.try_to_sweep().expect("nobody else is at it")
    }

    /// The same, unless a packet is at it.
    pub fn try_to_sweep(&self) -> Option<abi::sweep> {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).expect("read the clock");
        let sweep = abi::sweep {
            now: Duration::from(now).as_nanos() as u64,
            ..Default::default()
        };
        let mut context = bytes_of(&sweep).to_vec();
        let output = self
            .loan()
            .skeleton
            .progs
            .sweep_body
            .test_run(ProgramInput {
                context_in: Some(&mut context),
                ..Default::default()
            })
            .expect("test run");
        (output.return_value == 1).then(|| from_bytes(&context))
    }

    /// What an endpoint is counted for; of number 0 all of them together.
    pub fn accounts(&self, number: u32) -> abi::flow_accounts {
        let map = &self.loan().skeleton.maps.accounts;
        let value = map.lookup(bytes_of(&number), MapFlags::ANY);
        from_bytes(&value.expect("read an account").expect("it is in the array"))
    }

    /// That what is counted is what is there: for each endpoint, direction and stage.
    pub fn assert_counted(&self) {
        let flows = self.entries_of_flows();
        let mut all = [0_u32; 2];
        for number in 1..=3 {
            let mut held = [[0_u32; 2]; 2];
            for entry in &flows {
                let account = entry.1.status >> 16;
                if account & 0x7fff == number {
                    held[account as usize >> 15][usize::from(is_answered(entry))] += 1;
                }
            }
            assert_eq!(self.accounts(number).held, held, "of endpoint {number}");
            for direction in held {
                all[0] += direction[0];
                all[1] += direction[1];
            }
        }
        assert_eq!(self.accounts(0).held, [all, [0; 2]], "of all");
        assert_eq!(flows.len() as u32, all[0] + all[1], "no entry is uncounted");
    }
}
