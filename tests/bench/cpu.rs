//! What work costs, in CPU time: packets per second say little on a machine with few and busy CPUs.

use std::fs;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// Has the calling thread, and what it starts from now on, run on the last CPU only: there its packets
/// are worked at to their end.
pub fn pin() {
    let mut set = CpuSet::new();
    set.set(last_cpu()).expect("a CPU number");
    sched_setaffinity(Pid::from_raw(0), &set).expect("stay on one CPU");
}

fn last_cpu() -> usize {
    std::thread::available_parallelism().map_or(0, |count| count.get() - 1)
}

/// CPU time of this process, and of the kernel's thread for packets that were left over. What the
/// kernel does for a packet while it is sent counts as the sender's.
pub struct Meter {
    leftover: String,
    process: bool,
}

impl Meter {
    /// Of the calling thread alone, pinned.
    pub fn of_thread() -> Self {
        Self::new(false)
    }

    /// Of all threads of this process.
    pub fn of_process() -> Self {
        Self::new(true)
    }

    fn new(process: bool) -> Self {
        let wanted = format!("ksoftirqd/{}\n", last_cpu());
        let leftover = fs::read_dir("/proc")
            .expect("list processes")
            .flatten()
            .find(|entry| {
                fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name == wanted)
            })
            .expect("the kernel has a thread for packets");
        Self {
            leftover: leftover.path().join("schedstat").display().to_string(),
            process,
        }
    }

    /// So much was used since the process or thread began.
    pub fn used(&self) -> Duration {
        let clock = if self.process {
            ClockId::CLOCK_PROCESS_CPUTIME_ID
        } else {
            ClockId::CLOCK_THREAD_CPUTIME_ID
        };
        let own = Duration::from(clock_gettime(clock).expect("read a clock"));
        let kernel = fs::read_to_string(&self.leftover).expect("read a thread's statistics");
        let kernel = kernel.split(' ').next().and_then(|text| text.parse().ok());
        own + Duration::from_nanos(kernel.expect("nanoseconds"))
    }

    /// Nanoseconds that some work took, for each of so many packets.
    pub fn per_packet(&self, packets: u32, work: impl FnOnce()) -> f64 {
        let before = self.used();
        work();
        (self.used() - before).as_secs_f64() * 1e9 / f64::from(packets)
    }
}
