//! Threads that yield to others. What is written behind a call must not keep the next call waiting.

use rustix::process::{Pid, setpriority_process};

/// How much less than others such a thread gets where there is too little for all: about a tenth.
const NICENESS: i32 = 10;

/// Lowers the priority of this process's threads of a name. Linux alone knows priorities of threads.
pub(crate) fn lower(name: &str) {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return };
    for thread in threads.flatten() {
        let is_meant = std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name);
        let id = thread.file_name().to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        if let (true, Some(id)) = (is_meant, id) {
            // Where the kernel refuses, the thread works as before.
            let _ = setpriority_process(Some(id), NICENESS);
        }
    }
}

/// Lowers the priority of this thread.
pub(crate) fn lower_this() {
    // On Linux, no id means the thread that calls. Where the kernel refuses, it works as before.
    let _ = setpriority_process(None, NICENESS);
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn lowers_the_threads_of_a_name_alone() {
        let priority = |name: &str| {
            let thread = std::thread::Builder::new().name(name.to_owned());
            let asked = thread.spawn(|| {
                lower("lowered-thread");
                // Without an id the kernel tells of the thread that asks.
                getpriority_process(None).unwrap()
            });
            asked.unwrap().join().unwrap()
        };
        let usual = priority("usual-thread");
        assert_eq!(priority("lowered-thread"), usual.max(NICENESS));
    }
}
