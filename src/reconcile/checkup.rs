//! What `doctor` is told, gathered from everywhere.

use super::answers::{failed, is_armed};
use super::daemon::Daemon;
use super::doctor::{Findings, examine};
use crate::control::protocol::Response;
use crate::inventory::docker::DockerView;
use crate::kernel;

impl Daemon {
    pub(super) fn examine(&mut self) -> Response {
        let (status, unarmed) = match (self.status_report(), self.unarmed()) {
            (Ok(status), Ok(unarmed)) => (status, unarmed),
            (Err(error), _) | (_, Err(error)) => return failed(&error),
        };
        let docker = self.host.docker_state();
        let nothing = DockerView::default();
        let remarks: Vec<_> = self
            .remarks
            .iter()
            .map(|remark| (remark.is_trouble(), remark.to_string()))
            .collect();
        let findings = Findings {
            status: &status,
            failures: &self.failures,
            unarmed: &unarmed,
            remarks: &remarks,
            docker: docker.as_ref().map_or(&nothing, |state| &state.view),
            inventory: &self.inventory,
            policy: self.policies.current(),
            judges_host: self.uplinks.judges_host(),
        };
        Response::Examined(Box::new(examine(&findings)))
    }

    /// The interfaces of endpoints that are not armed, with their containers.
    fn unarmed(&mut self) -> kernel::Result<Vec<String>> {
        let actual = self.kernel.observe()?;
        Ok(self
            .inventory
            .endpoints
            .values()
            .filter(|endpoint| !is_armed(endpoint, actual))
            .map(|endpoint| match &endpoint.owner {
                Some(owner) => format!("{} ({})", endpoint.interface, owner.attributes.name),
                None => endpoint.interface.clone(),
            })
            .collect())
    }
}
