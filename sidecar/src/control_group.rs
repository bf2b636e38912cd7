//! The control groups that this process is in (cgroups(7)), for who reads a limit out of their files: its own first, then those above it.

use std::fs;
use std::path::{Path, PathBuf};

/// Which kind of hierarchy; their files have other names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy for each controller.
    V1,
    /// One hierarchy for all.
    V2,
}

/// The folders in which a controller's files may be.
#[derive(Clone, Debug, Default)]
pub struct ControlGroups {
    /// The process's own group before those above it, of each hierarchy.
    pub folders: Vec<(Version, PathBuf)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Group {
    version: Version,
    /// Below the hierarchy's mount, without a leading slash.
    path: PathBuf,
}

impl ControlGroups {
    /// Those of `controller`, below the mount `root`. What is above the root of this process's namespace cannot be seen.
    #[must_use]
    pub fn of_this_process(root: &Path, controller: &str) -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::of(&groups, root, controller)
    }

    fn of(groups: &str, root: &Path, controller: &str) -> Self {
        let mut folders = Vec::new();
        for group in groups.lines().filter_map(|line| group(line, controller)) {
            for path in ancestors(&group.path) {
                for mount in mounts(group.version, controller) {
                    folders.push((group.version, root.join(mount).join(&path)));
                }
            }
        }
        Self { folders }
    }
}

/// Where a hierarchy may be mounted, below the root.
fn mounts(version: Version, controller: &str) -> Vec<String> {
    match (version, controller) {
        (Version::V2, _) => vec![String::new()],
        (Version::V1, "cpu") => vec!["cpu".to_owned(), "cpu,cpuacct".to_owned()],
        (Version::V1, controller) => vec![controller.to_owned()],
    }
}

/// Reads a line of `/proc/PID/cgroup`: `0::/path` is version 2, `N:controllers:/path` version 1.
fn group(line: &str, controller: &str) -> Option<Group> {
    let mut parts = line.splitn(3, ':');
    let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let version = match (id, controllers) {
        ("0", "") => Version::V2,
        _ if controllers.split(',').any(|name| name == controller) => Version::V1,
        _ => return None,
    };
    let path = path.trim_start_matches('/');
    // Outside of this namespace's root; what is above cannot be seen.
    let path = if path.split('/').any(|part| part == "..") {
        ""
    } else {
        path
    };
    Some(Group {
        version,
        path: path.into(),
    })
}

/// A path and all above it, the empty one last.
fn ancestors(path: &Path) -> impl Iterator<Item = PathBuf> {
    let mut next = Some(path.to_owned());
    std::iter::from_fn(move || {
        let this = next.take()?;
        next = this.parent().map(Path::to_owned);
        Some(this)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_its_version_and_path() {
        let group_of = |line| group(line, "cpu").map(|g| (g.version, g.path.display().to_string()));
        let v2 = |path: &str| Some((Version::V2, path.to_owned()));
        assert_eq!(group_of("0::/"), v2(""));
        assert_eq!(group_of("0::/kubepods/pod7/c"), v2("kubepods/pod7/c"));
        assert_eq!(group_of("0::/../../c"), v2(""));
        assert_eq!(
            group_of("4:cpu,cpuacct:/docker/7"),
            Some((Version::V1, "docker/7".to_owned()))
        );
        for line in [
            "5:memory:/docker/7",
            "6:cpuset:/docker/7",
            "1:name=systemd:/",
            "",
            "0",
        ] {
            assert_eq!(group_of(line), None, "{line:?}");
        }
        assert!(group("5:memory:/docker/7", "memory").is_some());
    }

    #[test]
    fn the_own_group_comes_before_those_above_it() {
        let groups = ControlGroups::of("4:memory:/a/b\n0::/c\n", Path::new("/r"), "memory");
        let folders: Vec<String> = groups
            .folders
            .iter()
            .map(|(version, path)| format!("{version:?} {}", path.display()))
            .collect();
        assert_eq!(
            folders,
            [
                "V1 /r/memory/a/b",
                "V1 /r/memory/a",
                "V1 /r/memory/",
                "V2 /r/c",
                "V2 /r/"
            ]
        );
    }
}
