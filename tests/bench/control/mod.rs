//! What the daemon does: arming, edits of the policy, its start, and doing nothing. In CPU time of the
//! daemon's, where not said otherwise.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Options;
use crate::common::daemon::{Attach, Daemon};
use crate::crowd::{CONFIGURATION, Crowd, cpu_of, policy, resident};
use crate::report::{Row, Table};
use crate::rounds::{Candidate, compare};

/// Rules and containers of the host that is looked at closely.
const RULES: usize = 1_000;
const CONTAINERS: u32 = 200;
/// Containers that come at once.
const ARRIVALS: usize = 10;

/// All of it.
pub fn measure(options: &Options) -> Vec<Table> {
    vec![
        arm(options),
        edit(options),
        start(options),
        churn(options),
        rest(options),
    ]
}

fn enforce(crowd: &Crowd, attach: Attach, containers: u32, rules: usize) -> (Daemon, u32) {
    let daemon = Daemon::start(
        crowd.place(),
        attach,
        CONFIGURATION,
        &policy(rules),
        containers.into(),
    );
    let process = daemon.pid().expect("it runs");
    (daemon, process)
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// One container of a known identity, from the notice of the kernel until nothing is left to do.
fn arm(options: &Options) -> Table {
    let table = Table::new(
        "control-arm",
        format!(
            "Arming one container of a known identity, beside {CONTAINERS} others and {RULES} rules"
        ),
        "microseconds of CPU",
    );
    let containers = options.amount(CONTAINERS);
    let arriving = |attach| {
        let mut crowd = Crowd::new(containers as usize);
        let (daemon, process) = enforce(&crowd, attach, containers, RULES);
        move || {
            let _running = &daemon;
            let before = cpu_of(process);
            crowd.add(ARRIVALS);
            crowd.await_armed();
            settle(process);
            let used = cpu_of(process) - before;
            crowd.remove(ARRIVALS);
            settle(process);
            microseconds(used) / ARRIVALS as f64
        }
    };
    let filters = named("filters", || arriving(Attach::Clsact));
    let links = named("links", || arriving(Attach::Tcx));
    let candidates = vec![
        Candidate::new("bridgewall, filters", filters),
        Candidate::new("bridgewall, tcx links", links),
        Candidate::new("clang, the same C", compile_with_clang),
    ];
    compare(table, options.rounds(), candidates)
}

/// Places are named after their threads.
fn named<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(format!("bench-{name}"));
        let handle = thread.spawn_scoped(scope, work).expect("start a thread");
        handle.join().expect("the work is done")
    })
}

/// Waits until a process has used no CPU for a while.
fn settle(process: u32) {
    let mut last = cpu_of(process);
    loop {
        thread::sleep(Duration::from_millis(100));
        let now = cpu_of(process);
        if now - last < Duration::from_micros(200) {
            return;
        }
        last = now;
    }
}

/// What has no templates compiles for every interface.
fn compile_with_clang() -> f64 {
    let children = || {
        let text = fs::read_to_string("/proc/self/stat").expect("read a process's times");
        let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = fields.split_whitespace().skip(13).take(2);
        ticks
            .filter_map(|text| text.parse::<f64>().ok())
            .sum::<f64>()
            * 1e6
            / 100.0
    };
    let before = children();
    let status = Command::new("clang")
        .args([
            "-O2",
            "-g",
            "-target",
            "bpf",
            "-mcpu=v3",
            "-c",
            "-o",
            "/dev/null",
        ])
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/bpf/bridgewall.bpf.c"
        ))
        .status()
        .expect("run clang");
    assert!(status.success(), "clang: {status}");
    children() - before
}

/// One more rule: from the file's new name until it judges, by the clock, beside what others take for a
/// rule set of the same size.
fn edit(options: &Options) -> Table {
    let table = Table::new(
        "control-edit",
        format!("One more rule beside {RULES}, with {CONTAINERS} containers, until it judges"),
        "microseconds",
    );
    let containers = options.amount(CONTAINERS);
    let crowd = named("edit", || Crowd::new(containers as usize));
    let (daemon, process) = named("edit", || enforce(&crowd, Attach::Auto, containers, RULES));
    let mut edits = 0;
    let edit = || {
        edits += 1;
        settle(process);
        let text = format!(
            "{}\n[[allow]]\nfrom = \"id1\"\nto = \"id2\"\nports = [\"{edits}/udp\"]\n",
            policy(RULES)
        );
        let began = SystemTime::now().duration_since(UNIX_EPOCH);
        let judged = daemon.edit(&text);
        microseconds(judged.saturating_sub(began.expect("after 1970")))
    };
    let namespace = &crowd.place().namespace;
    let peer = |program: &'static str, arguments: &'static [&'static str], input: String| {
        move || {
            let began = Instant::now();
            namespace.inside(|| feed(program, arguments, &input));
            microseconds(began.elapsed())
        }
    };
    let candidates = vec![
        Candidate::new("bridgewall", edit),
        Candidate::new(
            "nft -f, a map of as many",
            peer("nft", &["-f", "-"], nft_map()),
        ),
        Candidate::new("ipset restore", peer("ipset", &["restore"], ip_set())),
        Candidate::new(
            "iptables-restore",
            peer("iptables-legacy-restore", &[], iptables_rules()),
        ),
    ];
    compare(table, options.rounds(), candidates)
}

fn feed(program: &str, arguments: &[&str], input: &str) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("run {program}: {error}"));
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let status = child.wait().expect("wait for it");
    assert!(status.success(), "{program}: {status}");
}

fn entries() -> impl Iterator<Item = (String, usize)> {
    (0..=RULES).map(|rule| {
        (
            format!("10.77.{}.{}", rule / 250, rule % 250 + 2),
            1_024 + rule,
        )
    })
}

fn nft_map() -> String {
    let elements: Vec<_> = entries()
        .map(|(address, port)| format!("{address} . {port} : accept"))
        .collect();
    format!(
        "table inet bench\ndelete table inet bench\ntable inet bench {{\nmap m {{ type ipv4_addr . \
         inet_service : verdict; elements = {{ {} }} }}\nchain c {{ type filter hook forward priority \
         0; ip daddr . tcp dport vmap @m }}\n}}\n",
        elements.join(", ")
    )
}

fn ip_set() -> String {
    let add = |(address, port)| format!("add bench-new {address},tcp:{port}\n");
    "create -exist bench hash:ip,port\ncreate -exist bench-new hash:ip,port\nflush bench-new\n"
        .to_owned()
        + &entries().map(add).collect::<String>()
        + "swap bench bench-new\n"
}

fn iptables_rules() -> String {
    let rule =
        |(address, port)| format!("-A FORWARD -d {address} -p tcp --dport {port} -j ACCEPT\n");
    "*filter\n".to_owned() + &entries().map(rule).collect::<String>() + "COMMIT\n"
}

/// From nothing to all armed, by the clock.
fn start(options: &Options) -> Table {
    let containers = options.amount(1_000);
    let table = Table::new(
        "control-start",
        format!(
            "Start of the daemon with {containers} containers and {RULES} rules, until all are armed"
        ),
        "milliseconds",
    );
    let crowd = named("start", || Crowd::new(containers as usize));
    let began = Instant::now();
    let (mut daemon, process) = named("start", || enforce(&crowd, Attach::Auto, containers, RULES));
    let fresh = began.elapsed();
    let used = cpu_of(process);
    daemon.kill();
    let began = Instant::now();
    daemon.launch();
    daemon.await_endpoints(containers.into());
    let again = began.elapsed();
    let rows = [
        ("the first time, by the clock", fresh),
        ("the first time, CPU", used),
        ("after a kill, all adopted, by the clock", again),
    ];
    plain(
        table,
        &rows.map(|(name, time)| (name, time.as_secs_f64() * 1e3)),
    )
}

/// A hundred containers a second come and go.
fn churn(options: &Options) -> Table {
    let seconds = options.amount(10);
    let table = Table::new(
        "control-churn",
        format!("100 containers a second come and go for {seconds} s, beside 100 others"),
        "microseconds of CPU for each",
    );
    let mut crowd = named("churn", || Crowd::new(100));
    let (_daemon, process) = named("churn", || enforce(&crowd, Attach::Auto, 100, RULES));
    settle(process);
    let before = cpu_of(process);
    let began = Instant::now();
    for tick in 1..=seconds * 10 {
        crowd.add(10);
        crowd.remove(10);
        let next = began + Duration::from_millis(100) * tick;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    crowd.await_armed();
    settle(process);
    let each = microseconds(cpu_of(process) - before) / f64::from(seconds * 100);
    plain(table, &[("bridgewall", each)])
}

/// What it costs when nothing changes.
fn rest(options: &Options) -> Table {
    let seconds = u64::from(options.amount(60));
    let table = Table::new(
        "control-rest",
        format!("100 containers, {RULES} rules, and nothing that changes for {seconds} s"),
        "as said",
    );
    let crowd = named("rest", || Crowd::new(100));
    crowd.address();
    let (_daemon, process) = named("rest", || enforce(&crowd, Attach::Auto, 100, RULES));
    settle(process);
    let before = cpu_of(process);
    thread::sleep(Duration::from_secs(seconds));
    let used = cpu_of(process) - before;
    plain(
        table,
        &[
            ("memory, megabytes", resident(process) as f64 / 1e6),
            (
                "CPU, microseconds a second",
                microseconds(used) / seconds as f64,
            ),
        ],
    )
}

/// Values that are compared with nothing.
fn plain(table: Table, values: &[(&str, f64)]) -> Table {
    let row = |(name, value): &(&str, f64)| Row {
        name: (*name).to_owned(),
        ratio: value / values[0].1,
        lowest: value / values[0].1,
        highest: value / values[0].1,
        value: *value,
        goal: None,
    };
    Table {
        rows: values.iter().map(row).collect(),
        rounds: 1,
        ..table
    }
}
