//! What wakes the one writer.

use std::sync::mpsc::Sender;

use crate::control::request::ControlRequest;
use crate::inventory;
use crate::inventory::observer::Changes;
use crate::watch::signals::SignalRequest;

/// A reason to look. What is found decides, not what the trigger says.
#[derive(Debug)]
pub enum Trigger {
    /// Interfaces, addresses or containers have changed.
    Host(inventory::Trigger),
    /// Policy files have changed.
    Files,
    /// An nftables table of the bridge family has changed.
    Guard,
    /// A signal came.
    Signal(SignalRequest),
    /// Somebody asks over the control socket.
    Control(ControlRequest),
}

/// What came since the last look, put together: a hundred changes are looked at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// What about the host has changed.
    pub host: Option<Changes>,
    /// Something about the policy files has changed.
    pub files: bool,
    /// The guard's table may have changed.
    pub guard: bool,
    /// SIGHUP.
    pub reload: bool,
    /// SIGTERM or SIGINT.
    pub terminate: bool,
    /// In the order in which they were asked.
    pub requests: Vec<ControlRequest>,
}

impl Batch {
    pub fn add(&mut self, trigger: Trigger) {
        match trigger {
            Trigger::Host(trigger) => self.host.get_or_insert_default().note(&trigger),
            Trigger::Files => self.files = true,
            Trigger::Guard => self.guard = true,
            Trigger::Signal(SignalRequest::Reload) => self.reload = true,
            Trigger::Signal(SignalRequest::Terminate) => self.terminate = true,
            Trigger::Control(request) => self.requests.push(request),
        }
    }
}

/// Where watchers send their triggers; `false` or a break when nobody takes them any more.
#[derive(Debug, Clone)]
pub(super) struct Bell(pub Sender<Trigger>);

impl Bell {
    pub fn ring(&self, trigger: Trigger) -> bool {
        self.0.send(trigger).is_ok()
    }
}
