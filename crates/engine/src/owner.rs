//! Who holds a lease: `HOST:PID:NONCE`. On its own machine a resumed run need not wait for the lease of a process that
//! was killed.

/// The name of this process as a lease holder.
pub(crate) fn this_process(nonce: u64) -> String {
    format!("{}:{}:{:08x}", host(), std::process::id(), nonce & 0xFFFF_FFFF)
}

/// Whether the holder certainly runs no more: it is of this machine, and there is no such process, or one that has ended and that
/// nobody has taken note of.
pub(crate) fn is_dead(owner: &str) -> bool {
    let mut parts = owner.rsplitn(3, ':');
    let (Some(_nonce), Some(pid), Some(on)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let procfs = std::path::Path::new("/proc/self");
    on == host()
        && procfs.exists()
        && pid.parse::<u32>().is_ok_and(|pid| {
            let process = procfs.with_file_name(pid.to_string());
            !process.exists() || has_ended(&std::fs::read_to_string(process.join("stat")).unwrap_or_default())
        })
}

/// Whether `/proc/PID/stat` is that of a process of which nothing but its end is left. The name before the state is anything.
fn has_ended(stat: &str) -> bool {
    stat.rsplit_once(')').is_some_and(|(_, rest)| matches!(rest.trim_start().chars().next(), Some('Z' | 'X')))
}

/// Whether the holder is gone for whoever shares its disk: dead, or of an earlier boot of this machine.
pub(crate) fn is_gone(owner: &str) -> bool {
    let name = |on: &str| on.split('/').next().map(str::to_owned);
    let on = owner.rsplitn(3, ':').nth(2).unwrap_or_default();
    is_dead(owner) || (on != host() && name(on) == name(&host()))
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // Process ids start anew with every boot.
    format!("{}/{}", name.trim(), boot.trim().get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_living_from_the_dead() {
        assert!(!is_dead(&this_process(7)));
        assert!(!is_dead("elsewhere/00000000:1:0"));
        assert!(!is_dead("nonsense"));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let gone = format!("{}:{}:0", host(), child.id());
        // Until somebody waits for it, it stays as a zombie.
        while !is_dead(&gone) {
            std::thread::yield_now();
        }
        assert!(std::path::Path::new(&format!("/proc/{}", child.id())).exists());
        child.wait().unwrap();
        assert!(is_dead(&gone) && is_gone(&gone));
        assert!(has_ended("7 (a) b) Z 1 7") && !has_ended("7 (Z) S 1 7") && !has_ended(""));
        let earlier = format!("{}/00000000:1:0", host().split('/').next().unwrap());
        assert!(!is_dead(&earlier) && is_gone(&earlier));
        assert!(!is_gone(&this_process(7)) && !is_gone("elsewhere/00000000:1:0"));
    }
}
