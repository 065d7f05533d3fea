//! What the kernel says of this process, read from `/proc` when scraped.
//!
//! Where there is no `/proc` the metrics are absent; nothing is guessed.

use std::fs;
use std::sync::{Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};
use time::OffsetDateTime;

use super::catalogue::{self, MetricEntry};

/// The kernel shows CPU time in hundredths of a second (`USER_HZ`) on every platform Rust runs on.
const TICKS_A_SECOND: f64 = 100.0;

#[derive(Debug)]
pub(super) struct ProcessCollector {
    cpu: Counter,
    /// Held while the CPU time is set, since setting a counter takes two steps.
    setting_cpu: Mutex<()>,
    resident_memory: Gauge,
    virtual_memory: Gauge,
    threads: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    start_time: Gauge,
}

impl ProcessCollector {
    pub(super) fn new() -> prometheus::Result<Self> {
        let gauge = |entry: MetricEntry| Gauge::new(entry.name, entry.help);
        let start_time = gauge(catalogue::PROCESS_START_TIME)?;
        let since_1970 = OffsetDateTime::now_utc() - OffsetDateTime::UNIX_EPOCH;
        start_time.set(since_1970.as_seconds_f64());
        Ok(Self {
            cpu: Counter::new(catalogue::PROCESS_CPU.name, catalogue::PROCESS_CPU.help)?,
            setting_cpu: Mutex::new(()),
            resident_memory: gauge(catalogue::PROCESS_RESIDENT_MEMORY)?,
            virtual_memory: gauge(catalogue::PROCESS_VIRTUAL_MEMORY)?,
            threads: gauge(catalogue::PROCESS_THREADS)?,
            open_fds: gauge(catalogue::PROCESS_OPEN_FDS)?,
            max_fds: gauge(catalogue::PROCESS_MAX_FDS)?,
            start_time,
        })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = [
            &self.resident_memory,
            &self.virtual_memory,
            &self.threads,
            &self.open_fds,
            &self.max_fds,
            &self.start_time,
        ];
        let descriptions = gauges.into_iter().flat_map(Collector::desc);
        self.cpu.desc().into_iter().chain(descriptions).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
        let status = read("status");
        let status_value = |name| first_number(status.as_deref()?, name);
        let kilobytes = |name| status_value(name).map(|kilobytes: f64| kilobytes * 1024.0);

        let mut families = self.start_time.collect();
        let mut show = |gauge: &Gauge, value: Option<f64>| {
            if let Some(value) = value {
                gauge.set(value);
                families.extend(gauge.collect());
            }
        };
        show(&self.resident_memory, kilobytes("VmRSS:"));
        show(&self.virtual_memory, kilobytes("VmSize:"));
        show(&self.threads, status_value("Threads:"));
        show(&self.open_fds, open_fds());
        let limits = read("limits");
        show(&self.max_fds, limits.and_then(|limits| first_number(&limits, "Max open files")));

        if let Some(seconds) = read("stat").as_deref().and_then(cpu_seconds) {
            let _setting = self.setting_cpu.lock().unwrap_or_else(PoisonError::into_inner);
            self.cpu.reset();
            self.cpu.inc_by(seconds);
            families.extend(self.cpu.collect());
        }
        families
    }
}

/// The first number on the line that begins with `name`.
fn first_number(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// User and system time of `/proc/self/stat`. The program's name may hold spaces and brackets, so
/// counting begins behind the last bracket.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) / TICKS_A_SECOND)
}

fn open_fds() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the folder being read.
    u32::try_from(count.saturating_sub(1)).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_their_lines() {
        let status = "Name:\tVmRSS: 1\nVmRSS:\t   2048 kB\nThreads:\t7\n";
        assert_eq!(first_number(status, "VmRSS:"), Some(2048.0));
        assert_eq!(first_number(status, "Threads:"), Some(7.0));
        assert_eq!(first_number(status, "VmSize:"), None);
        let limits = "Max open files            1024                 524288               files\n";
        assert_eq!(first_number(limits, "Max open files"), Some(1024.0));
        assert_eq!(first_number("Max open files unlimited", "Max open files"), None);
    }

    #[test]
    fn cpu_time_is_found_behind_a_nasty_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 7 0 12345 1 2";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("42 (a) S 1"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_scrape_has_plausible_values() {
        let collector = ProcessCollector::new().unwrap();
        let families = collector.collect();
        assert_eq!(families.len(), collector.desc().len());
        let value = |entry: MetricEntry| {
            let family = families.iter().find(|family| family.name() == entry.name).unwrap();
            family.get_metric()[0].get_gauge().get_value()
        };
        assert!(value(catalogue::PROCESS_RESIDENT_MEMORY) > 1_000_000.0);
        assert!(value(catalogue::PROCESS_OPEN_FDS) >= 3.0);
        assert!(value(catalogue::PROCESS_MAX_FDS) >= value(catalogue::PROCESS_OPEN_FDS));
        assert!(value(catalogue::PROCESS_START_TIME) > 1_600_000_000.0);
    }
}
