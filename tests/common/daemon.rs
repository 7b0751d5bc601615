//! The built daemon, run in a place of its own, and what it says.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::eventually;
use super::place::Place;

/// The build that is tested.
pub const BINARY: &str = env!("CARGO_BIN_EXE_bridgewall");

/// How the programs are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// What the daemon chooses.
    Auto,
    /// By links.
    Tcx,
    /// By filters.
    Clsact,
}

impl Attach {
    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// A daemon and its files. Killed, and its log shown if the test failed, when it goes out of scope.
pub struct Daemon {
    place: Arc<Place>,
    binary: PathBuf,
    process: Option<Child>,
}

impl Daemon {
    /// Writes the configuration and the policy, starts the daemon, and waits until it answers and has
    /// armed and named so many endpoints. `configuration` is what else bridgewall.toml says,
    /// in tables.
    #[track_caller]
    pub fn start(
        place: &Arc<Place>,
        attach: Attach,
        configuration: &str,
        policy: &str,
        endpoints: u64,
    ) -> Self {
        let built = BINARY.as_ref();
        Self::start_build(built, place, attach, configuration, policy, endpoints)
    }

    /// The same of another build.
    #[track_caller]
    pub fn start_build(
        build: &Path,
        place: &Arc<Place>,
        attach: Attach,
        configuration: &str,
        policy: &str,
        endpoints: u64,
    ) -> Self {
        let mut daemon = Self::configured(place, attach, configuration, policy);
        daemon.upgrade(build);
        daemon.launch();
        daemon.await_endpoints(endpoints);
        daemon
    }

    /// Writes the configuration and the policy, and starts the daemon.
    #[track_caller]
    pub fn begin(place: &Arc<Place>, configuration: &str, policy: &str) -> Self {
        let mut daemon = Self::configured(place, Attach::Auto, configuration, policy);
        daemon.launch();
        daemon
    }

    /// Writes the configuration, and has the command line close off what is not armed, as at boot.
    #[track_caller]
    pub fn guard(place: &Arc<Place>, configuration: &str) {
        let daemon = Self::configured(place, Attach::Auto, configuration, "");
        let output = place.namespace.inside(|| {
            Command::new(BINARY)
                .arg("--config")
                .arg(daemon.configuration())
                .arg("guard")
                .output()
        });
        let output = output.unwrap_or_else(|error| panic!("run {BINARY}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "guard: {said}");
    }

    fn configured(place: &Arc<Place>, attach: Attach, configuration: &str, policy: &str) -> Self {
        let daemon = Self {
            place: Arc::clone(place),
            binary: BINARY.into(),
            process: None,
        };
        let paths = format!(
            r#"
            attach = "{}"
            pin_directory = "{}"
            state_directory = "{}"

            [control]
            socket = "{}"
            group = "root"

            [events]
            burst = 1000

            "#,
            attach.name(),
            place.pins().display(),
            place.state().display(),
            daemon.socket().display(),
        );
        fs::write(daemon.configuration(), paths + configuration).expect("write bridgewall.toml");
        fs::write(daemon.policy(), policy).expect("write policy.toml");
        daemon
    }

    /// Another build is started from now on.
    pub fn upgrade(&mut self, binary: &Path) {
        binary.clone_into(&mut self.binary);
    }

    /// Has the n-th step from now on fail (`fail`), or the process die there (`kill`): see
    /// `src/fault.rs`.
    pub fn order_fault(&self, manner: &str, n: u32) {
        fs::write(self.fault(), format!("{manner} {n}")).expect("write an order");
    }

    /// At which step the fault that was ordered has happened, if it has; forgets the order.
    pub fn fault_happened(&self) -> Option<String> {
        let text = fs::read_to_string(self.fault()).expect("read an order");
        fs::remove_file(self.fault()).expect("remove an order");
        let (manner, number) = text.split_once(' ').unwrap_or((&text, ""));
        let waits = ["fail", "kill"].contains(&manner) && number.parse::<u32>().is_ok();
        (!waits).then_some(text)
    }

    /// Forgets the fault that was ordered; how many steps it was still away, if it has not happened.
    pub fn forget_fault(&self) -> Option<u32> {
        let text = fs::read_to_string(self.fault()).expect("read an order");
        fs::remove_file(self.fault()).expect("remove an order");
        text.split_once(' ')?.1.parse().ok()
    }

    /// Starts the process again, with the files as they are.
    pub fn launch(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("open the daemon's log");
        let mut command = Command::new(&self.binary);
        command
            .env("BRIDGEWALL_FAULT", self.fault())
            .arg("run")
            .arg("--config")
            .arg(self.configuration())
            .arg("--policy")
            .arg(self.policy())
            .env("RUST_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("duplicate a descriptor"))
            .stderr(log);
        let process = self.place.namespace.inside(|| command.spawn());
        let process = process.unwrap_or_else(|error| panic!("start {BINARY}: {error}"));
        // For `scripts/test` to end, should this test be killed.
        fs::write(self.place.directory().join("pid"), process.id().to_string())
            .expect("write a pid");
        self.process = Some(process);
    }

    /// Waits until it answers, and as many endpoints as there should be are armed and named.
    #[track_caller]
    pub fn await_endpoints(&mut self, count: u64) {
        let mut last = Value::Null;
        let deadline = std::time::Instant::now() + super::patience();
        loop {
            assert!(
                self.process
                    .as_mut()
                    .is_none_or(|process| matches!(process.try_wait(), Ok(None))),
                "the daemon has ended"
            );
            if let Some(status) = self.try_status() {
                let endpoints = &status["endpoints"];
                if endpoints["armed"] == count
                    && endpoints["total"] == count
                    && endpoints["unnamed"] == 0
                {
                    return;
                }
                last = status;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "the daemon has not armed {count} endpoints in time; its last status: {last:#}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it answers, and has armed all endpoints.
    pub fn is_done(&self) -> bool {
        self.try_status().is_some_and(|status| {
            let endpoints = &status["endpoints"];
            endpoints["armed"] == endpoints["total"]
                && status["policy"]["revision"].as_u64() > Some(0)
        })
    }

    /// How many policies were taken, if it answers.
    pub fn try_revision(&self) -> Option<u64> {
        self.try_status()?["policy"]["revision"].as_u64()
    }

    /// Waits until it answers.
    #[track_caller]
    pub fn await_status(&self) {
        eventually("the daemon answers", || self.try_status());
    }

    /// Runs the command line against this daemon.
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(BINARY)
            .arg("--socket")
            .arg(self.socket())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("run {BINARY}: {error}"))
    }

    /// Runs a verb with `--json` and reads its answer, whatever the exit code.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(&[arguments, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!(
                "bridgewall {} --json: {error}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    /// `status --json`.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.json(&["status"])
    }

    fn try_status(&self) -> Option<Value> {
        // A process that only finds out that nobody answers takes time from the daemon that starts.
        UnixStream::connect(self.socket()).ok()?;
        let output = self.command(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Packets dropped for a reason since the maps were made.
    #[track_caller]
    pub fn drops(&self, reason: &str) -> u64 {
        let status = self.status();
        let drops = status["drops"].as_array().expect("status has drops");
        drops
            .iter()
            .find(|drop| drop["reason"] == reason)
            .map_or(0, |drop| drop["packets"].as_u64().expect("a count"))
    }

    /// New connections that the rule of this name has decided.
    #[track_caller]
    pub fn hits(&self, rule: &str) -> u64 {
        let rules = self.json(&["list", "rules"]);
        let rules = rules.as_array().expect("a list of rules");
        let rule = rules
            .iter()
            .find(|candidate| candidate["name"] == rule)
            .unwrap_or_else(|| panic!("no rule is called {rule:?}: {rules:#?}"));
        rule["hits"]["packets"].as_u64().expect("a count")
    }

    /// Replaces the policy file as a careful editor does, and waits until the daemon has noticed by
    /// itself and taken it. Gives the moment from which it judged, in Unix time.
    #[track_caller]
    pub fn edit(&self, policy: &str) -> Duration {
        let before = self.revision();
        self.replace_policy(policy);
        eventually("the edited policy is taken", || {
            assert_eq!(self.status()["policy"]["error"], Value::Null);
            (self.revision() > before).then_some(())
        });
        let committed = self.status()["policy"]["committed_at"].as_f64();
        Duration::from_secs_f64(committed.expect("a policy that judges was committed"))
    }

    /// Replaces the policy file by one that must be refused, and gives the refusal.
    #[track_caller]
    pub fn edit_badly(&self, policy: &str) -> String {
        let before = self.revision();
        self.replace_policy(policy);
        let refusal = eventually("the bad policy is refused", || {
            self.status()["policy"]["error"].as_str().map(str::to_owned)
        });
        assert_eq!(self.revision(), before, "a refused policy is no revision");
        refusal
    }

    /// How many policies were taken.
    #[track_caller]
    pub fn revision(&self) -> u64 {
        self.status()["policy"]["revision"]
            .as_u64()
            .expect("a revision")
    }

    /// Replaces the policy file as a careful editor does.
    pub fn replace_policy(&self, policy: &str) {
        let beside = self.place.directory().join("policy.toml.new");
        fs::write(&beside, policy).expect("write a policy");
        fs::rename(&beside, self.policy()).expect("rename a policy");
    }

    /// Whether its log has this text.
    pub fn log_says(&self, text: &str) -> bool {
        fs::read_to_string(self.log()).is_ok_and(|log| log.contains(text))
    }

    /// Kills it as `kill -9` does.
    #[track_caller]
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("the daemon runs");
        process.kill().expect("kill the daemon");
        process.wait().expect("wait for the daemon");
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("the daemon runs");
        kill(Pid::from_raw(process.id() as i32), signal).expect("signal the daemon");
    }

    /// Waits until it has ended by itself, and gives its exit code.
    #[track_caller]
    pub fn await_end(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("the daemon runs");
        eventually("the daemon ends", || process.try_wait().ok().flatten()).code()
    }

    /// Ends it and everything it enforces.
    #[track_caller]
    pub fn stop_and_detach(&mut self) {
        let output = self.command(&["stop", "--detach"]);
        assert!(
            output.status.success(),
            "stop --detach: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(self.await_end(), Some(0));
    }

    /// Begins to watch events: drops and allowed new connections.
    #[track_caller]
    pub fn monitor(&self) -> Monitor {
        let before = self.monitors();
        let mut process = Command::new(BINARY)
            .arg("--socket")
            .arg(self.socket())
            .args(["monitor", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("run {BINARY}: {error}"));
        let output = process.stdout.take().expect("its output is a pipe");
        let events = Arc::<Mutex<Vec<Value>>>::default();
        let sink = Arc::clone(&events);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let (Ok(event), Ok(mut sink)) = (serde_json::from_str(&line), sink.lock()) {
                    sink.push(event);
                }
            }
        });
        eventually("the monitor is connected", || {
            (self.monitors() > before).then_some(())
        });
        Monitor {
            process,
            events,
            reader: Some(reader),
        }
    }

    fn monitors(&self) -> u64 {
        self.status()["events"]["monitors"]
            .as_u64()
            .expect("a count")
    }

    fn configuration(&self) -> PathBuf {
        self.place.directory().join("bridgewall.toml")
    }

    /// The policy file.
    pub fn policy(&self) -> PathBuf {
        self.place.directory().join("policy.toml")
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.place.directory().join("control.sock")
    }

    /// Where the log is.
    pub fn log(&self) -> PathBuf {
        self.place.directory().join("log")
    }

    fn fault(&self) -> PathBuf {
        self.place.directory().join("fault")
    }

    /// The process, if it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process
            .as_mut()
            .is_none_or(|process| !matches!(process.try_wait(), Ok(None)))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            eprintln!("---- the daemon's log\n{log}----");
        }
    }
}

/// The events that the daemon tells of.
pub struct Monitor {
    process: Child,
    events: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
}

impl Monitor {
    /// How many of the events so far a question is answered with yes for.
    pub fn count(&self, question: impl Fn(&Value) -> bool) -> usize {
        let events = self.events.lock().expect("the reader has not panicked");
        events.iter().filter(|event| question(event)).count()
    }

    /// Waits for an event, and shows those that came if it does not.
    #[track_caller]
    pub fn expect(&self, what: &str, question: impl Fn(&Value) -> bool) -> Value {
        let find = || {
            let events = self.events.lock().expect("the reader has not panicked");
            events.iter().find(|event| question(event)).cloned()
        };
        let deadline = std::time::Instant::now() + super::patience();
        loop {
            if let Some(event) = find() {
                return event;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "no event says that {what}; there are: {:#?}",
                self.events
                    .lock()
                    .map(|events| events.iter().map(Value::to_string).collect::<Vec<_>>())
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
