//! Gives back what only the start has needed of the program's own file.
//!
//! A start runs through far more code than serving does: the command line, the policy's file, trust anchors, the first connections. The kernel maps
//! it all, with what lies around it, and counts it as resident until somebody asks for the memory. This asks once, when the start is over: what is
//! used again comes back from the page cache, without reading a disk, at a fraction of a microsecond a page.
//!
//! It is done with `unsafe`: the standard library has no word for "I do not need these pages", and every crate that has one marks it so,
//! because pages that somebody has written to would lose what was written. [`clean_pages`] therefore takes only mappings of files that this process
//! may not write to, and of which the kernel says that no page is the process's own. Nothing can write to them afterwards either: a
//! mapping is made writable only by `mprotect`, which the dynamic linker has done with before `main`.

use std::ffi::c_void;
use std::time::Duration;
use std::{fs, io};

use rustix::mm::{Advice, madvise};

/// From the first listener on: what a start does beside serving, the first probe and the first spare connections, is over by then.
const START: Duration = Duration::from_secs(2);

/// Where mappings and what is in memory of them are told (proc_pid_smaps(5)).
const SMAPS: &str = "/proc/self/smaps";

/// A mapping: its first address, and how many bytes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pages {
    first: usize,
    bytes: usize,
}

/// Waits until the start is over, and gives back its pages. A kernel that does not take them leaves everything as it was.
pub(super) async fn after_start() {
    tokio::time::sleep(START).await;
    match tokio::task::spawn_blocking(give_back).await {
        Ok(Ok(bytes)) => tracing::debug!(
            bytes,
            "pages of the program that the start has needed are given back"
        ),
        Ok(Err(error)) => tracing::debug!(%error, "pages of the program stay resident"),
        Err(_) => {}
    }
}

/// How many bytes of mappings were given back.
fn give_back() -> io::Result<usize> {
    let mut given = 0;
    for pages in clean_pages(&fs::read_to_string(SMAPS)?) {
        let first = std::ptr::without_provenance_mut::<c_void>(pages.first);
        // SAFETY: the mapping is private, of a file, not writable, and no page of it has been written to (see above): a page that is taken out of
        // it is read from the file again, with the same bytes.
        #[allow(unsafe_code, reason = "see the head of this file")]
        unsafe {
            madvise(first, pages.bytes, Advice::LinuxDontNeed)?;
        }
        given += pages.bytes;
    }
    Ok(given)
}

/// The mappings of files, in the form of smaps, that are private, not writable, and wholly the file's.
fn clean_pages(smaps: &str) -> Vec<Pages> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        if let Some(mapping) = mapping(line) {
            found.extend(candidate.take());
            candidate = mapping;
        } else if is_own(line) {
            candidate = None;
        }
    }
    found.extend(candidate);
    found
}

/// Whether a line begins a mapping, and whether that one may be given back: `55d0…-55d1… r-xp 00020000 fe:00 1234   /usr/bin/program`.
fn mapping(line: &str) -> Option<Option<Pages>> {
    let mut words = line.split_ascii_whitespace();
    let (first, end) = words.next()?.split_once('-')?;
    let first = usize::from_str_radix(first, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let rights = words.next()?;
    let file = words.nth(3).is_some_and(|name| name.starts_with('/'));
    let kept = file && matches!(rights, "r-xp" | "r--p");
    Some(kept.then(|| Pages {
        first,
        bytes: end.saturating_sub(first),
    }))
}

/// Whether a line says that pages of the mapping are the process's own: `Anonymous:  4 kB`, or not as the file has them.
fn is_own(line: &str) -> bool {
    let Some((what, how_much)) = line.split_once(':') else {
        return false;
    };
    matches!(
        what,
        "Anonymous" | "Private_Dirty" | "Shared_Dirty" | "Swap"
    ) && how_much.trim() != "0 kB"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(rights: &str, name: &str, own: &str) -> String {
        format!(
            "1000-3000 {rights} 00000000 fe:00 42   {name}\nSize:   8 kB\nRss:   8 kB\nPrivate_Dirty:   0 kB\nAnonymous:   {own} kB\nVmFlags: rd ex\n"
        )
    }

    #[test]
    fn only_what_is_wholly_the_files_is_given_back() {
        for (rights, name, own, given) in [
            ("r-xp", "/usr/bin/bulkhead-sidecar", "0", true),
            ("r--p", "/usr/bin/bulkhead-sidecar", "0", true),
            ("r--p", "/usr/bin/bulkhead-sidecar", "4", false),
            ("rw-p", "/usr/bin/bulkhead-sidecar", "0", false),
            ("r--s", "/var/lib/shared", "0", false),
            ("r--p", "[vvar]", "0", false),
            ("r-xp", "[vdso]", "0", false),
            ("r--p", "", "0", false),
        ] {
            let found = clean_pages(&told(rights, name, own));
            assert_eq!(!found.is_empty(), given, "{rights} {name} {own}");
        }
    }

    #[test]
    fn each_mapping_is_judged_by_its_own_lines() {
        let clean = told("r-xp", "/a", "0");
        let own = told("r--p", "/a", "4").replace("1000-3000", "5000-6000");
        let pages = Pages {
            first: 0x1000,
            bytes: 0x2000,
        };
        assert_eq!(clean_pages(&format!("{clean}{own}")), [pages]);
        assert_eq!(clean_pages(&format!("{own}{clean}")), [pages]);
    }

    #[test]
    fn a_process_goes_on_without_the_pages() {
        let before = resident();
        assert!(give_back().unwrap() > 0);
        assert!(
            resident() < before,
            "nothing has been given back of {before} kB"
        );
    }

    /// kB of files that are mapped and in memory.
    fn resident() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssFile:"));
        let number = line.unwrap().split_ascii_whitespace().nth(1);
        number.unwrap().parse().unwrap()
    }
}
