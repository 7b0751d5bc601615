//! How much room for connections there is, and who has taken it.

use super::daemon::Daemon;
use crate::config::Limits;
use crate::control::report::{CrowdedAccount, FlowRoom, FlowStatus, OpenedBy};
use crate::kernel::{EndpointFlows, FlowCounts, Held};

/// From so many fourths on, an account is worth telling of.
const CROWDED_FOURTHS: u64 = 3;

impl Daemon {
    pub(super) fn flow_status(&self) -> FlowStatus {
        let limits = &self.config.limits;
        let mut crowded = Vec::new();
        for number in self.inventory.endpoints.keys() {
            let flows = self.reader.endpoint_flows(*number);
            let name = self.endpoint_name(*number).unwrap_or_default();
            crowded.extend(crowded_accounts(&name, &flows, limits));
        }
        let FlowCounts { new, answered } = self.reader.flow_counts();
        FlowStatus {
            new: room(new, limits.new_flows, limits.new_flows_per_endpoint),
            answered: room(answered, limits.flows, limits.flows_per_endpoint),
            crowded,
        }
    }
}

fn room(held: Held, limit: u32, limit_per_endpoint: u32) -> FlowRoom {
    FlowRoom {
        held: held.held.into(),
        limit: limit.into(),
        limit_per_endpoint: limit_per_endpoint.into(),
        refused: held.refused,
    }
}

/// Those of an endpoint's four accounts that are worth telling of.
fn crowded_accounts(name: &str, flows: &EndpointFlows, limits: &Limits) -> Vec<CrowdedAccount> {
    [
        (OpenedBy::Itself, flows.opened),
        (OpenedBy::Others, flows.received),
    ]
    .into_iter()
    .flat_map(|(opened_by, counts)| {
        [
            (opened_by, false, counts.new, limits.new_flows_per_endpoint),
            (opened_by, true, counts.answered, limits.flows_per_endpoint),
        ]
    })
    .map(|(opened_by, answered, held, limit)| CrowdedAccount {
        endpoint: name.to_owned(),
        opened_by,
        answered,
        held: held.held.into(),
        limit: limit.into(),
        refused: held.refused,
    })
    .filter(|account| account.refused > 0 || account.held * 4 >= account.limit * CROWDED_FOURTHS)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_told_of_when_it_is_three_quarters_full_or_was_refused_some() {
        let limits = Limits::default();
        let held = |held, refused| Held { held, refused };
        let mut flows = EndpointFlows::default();
        assert_eq!(crowded_accounts("web", &flows, &limits), []);
        flows.opened.new = held(3_071, 0);
        assert_eq!(crowded_accounts("web", &flows, &limits), []);
        flows.opened.new = held(3_072, 0);
        flows.received.answered = held(1, 7);
        let told = crowded_accounts("web", &flows, &limits);
        let what: Vec<_> = told
            .iter()
            .map(|account| {
                (
                    account.opened_by,
                    account.answered,
                    account.held,
                    account.refused,
                )
            })
            .collect();
        assert_eq!(
            what,
            [
                (OpenedBy::Itself, false, 3_072, 0),
                (OpenedBy::Others, true, 1, 7)
            ]
        );
    }
}
