//! What the operating system says of the process.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// When the process was first asked for; `llmops serve` asks as it begins.
static STARTED: LazyLock<(Instant, f64)> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (Instant::now(), since.as_secs_f64())
});

/// The process at one time. What the operating system does not tell is absent.
pub(super) struct Process {
    /// Seconds since 1970.
    pub(super) started: f64,
    pub(super) uptime: f64,
    pub(super) resident_bytes: Option<f64>,
    pub(super) cpu_seconds: Option<f64>,
    pub(super) open_files: Option<f64>,
}

/// Notes that the process begins: its start time and uptime are counted from here.
pub fn begin() {
    LazyLock::force(&STARTED);
}

impl Process {
    pub(super) fn read() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Self {
            started: STARTED.1,
            uptime: STARTED.0.elapsed().as_secs_f64(),
            resident_bytes: resident(&status),
            cpu_seconds: cpu(&stat),
            open_files: std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64),
        }
    }
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

/// Time in user and kernel mode: the 14th and 15th field, in hundredths of a second.
fn cpu(stat: &str) -> Option<f64> {
    // The second field is the program's name, which may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let (user, kernel): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + kernel) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_says() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   2048 kB\n"), Some(2_097_152.0));
        assert_eq!(resident("Name:\tx\n"), None);
        assert_eq!(cpu("7 (a) b) S 1 7 7 0 -1 4 1 0 0 0 150 50 0 0 20 0 1 0 5 6 7"), Some(2.0));
        assert_eq!(cpu(""), None);
    }
}
