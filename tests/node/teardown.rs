//! What a node leaves behind: nothing, whether it is taken down or its process is killed.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bulkhead_tests::cluster::{Standing, program};
use bulkhead_tests::processes::folder;
use bulkhead_tests::wait;

use crate::pods::POD;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bulkhead-cluster");

/// The longest that the kernel may take to end all that lives in a node.
const GONE: Duration = Duration::from_secs(30);

#[test]
fn a_cluster_that_stays_is_there_until_it_is_taken_down() {
    let folder = folder("standing").join("cluster");
    let cluster = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("--folder").arg(&folder).args(arguments);
        PathBuf::from(output_of(command))
    };
    let _down = Down(&folder);

    let kubeconfig = cluster(&["up"]);
    let number = number(&kubeconfig);
    assert_eq!(
        cluster(&["up"]),
        kubeconfig,
        "the same one, which still runs"
    );
    cluster(&["load", "busybox"]);
    let kubectl = |arguments: &[&str]| {
        let mut command = Command::new(program("kubectl"));
        command.env("KUBECONFIG", &kubeconfig).args(arguments);
        output_of(command)
    };
    let manifest = folder.join("pod.yaml");
    std::fs::write(&manifest, POD).unwrap();
    kubectl(&["apply", "-f", manifest.to_str().unwrap()]);
    kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "pod/web"]);
    let left = left_behind(&folder, number);
    for kind in ["process", "/sys/class/net", "/sys/fs/cgroup"] {
        assert!(left.iter().any(|left| left.contains(kind)), "{left:#?}");
    }

    cluster(&["down"]);
    let left = left_behind(&folder, number);
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn a_node_ends_with_the_process_that_started_it_even_if_that_is_killed() {
    let mut process = Command::new(PROGRAM)
        .arg("run")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut kubeconfig = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut kubeconfig)
        .unwrap();
    let kubeconfig = PathBuf::from(kubeconfig.trim());
    let (folder, number) = (kubeconfig.parent().unwrap(), number(&kubeconfig));
    assert!(!left_behind(folder, number).is_empty());

    process.kill().unwrap();
    process.wait().unwrap();
    let gone = wait::blocking(GONE, || {
        left_behind(folder, number).is_empty().then_some(())
    });
    assert!(gone.is_some(), "{:#?}", left_behind(folder, number));
}

/// Takes the cluster down if the test did not come to that.
struct Down<'a>(&'a Path);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        if let Some(standing) = Standing::find(self.0) {
            standing.down();
        }
    }
}

fn output_of(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The number of the node that a kubeconfig names: its API server is at 10.245.N.2.
fn number(kubeconfig: &Path) -> u8 {
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let (_, address) = text.split_once("https://10.245.").unwrap();
    address.split('.').next().unwrap().parse().unwrap()
}

/// Processes, mounts, links, cgroups and files of the node `number` in `folder`, a line each.
fn left_behind(folder: &Path, number: u8) -> Vec<String> {
    let name = folder.to_str().unwrap();
    let mut left = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        let ours = arguments.contains(&format!("--folder {name}"));
        if arguments.contains(name) && !ours {
            left.push(format!("process {:?}: {arguments}", process.file_name()));
        }
    }
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    left.extend(
        mounts
            .lines()
            .filter(|mount| mount.contains(name))
            .map(|mount| format!("mount {mount}")),
    );
    let link = format!("/sys/class/net/bulkhead{number}");
    let cgroups = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    let paths = cgroups
        .map(|entry| entry.path().join(format!("bulkhead-{number}")))
        .chain([PathBuf::from(link), folder.to_path_buf()]);
    left.extend(
        paths
            .filter(|path| path.exists())
            .map(|path| path.display().to_string()),
    );
    left
}
