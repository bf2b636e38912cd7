//! A single-node cluster that stays up until it is taken down: `make cluster`, `make cluster-down`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness reports a broken world by ending"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bulkhead_tests::cluster::{Home, Node, Standing};

const USAGE: &str = "\
bulkhead-cluster up              starts the cluster, unless it runs, and prints the path of its kubeconfig
bulkhead-cluster kubeconfig      prints that path
bulkhead-cluster load IMAGE…     builds and brings in images: sidecar, operator, postgres, prometheus, busybox, or the path of an OCI archive
bulkhead-cluster down            ends it, and removes all that it has made
bulkhead-cluster run             starts another one, prints the path of its kubeconfig, and ends with it when it is told to

--folder DIR, before any of them: the cluster whose files are there, rather than this machine's usual one";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (folder, command) = match arguments.as_slice() {
        ["--folder", folder, command @ ..] => (PathBuf::from(folder), command),
        command => (Standing::usual_folder(), command),
    };
    match command {
        ["up"] => {
            let standing = match Standing::find(&folder) {
                Some(standing) => standing,
                None => Standing::up(&folder).await,
            };
            println!("{}", standing.kubeconfig().display());
        }
        ["kubeconfig"] => println!("{}", running(&folder).kubeconfig().display()),
        ["load", images @ ..] if !images.is_empty() => load(&running(&folder), images).await,
        ["down"] => match Standing::find(&folder) {
            Some(standing) => standing.down(),
            None => eprintln!("no cluster runs"),
        },
        ["run"] => {
            let node = Node::start(Home::OfThisProcess).await;
            println!("{}", node.kubeconfig().display());
            std::future::pending::<()>().await;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn load(standing: &Standing, images: &[&str]) {
    for image in images {
        let archive = PathBuf::from(image);
        if archive.is_file() {
            standing.load_archive(&archive).await;
        } else {
            standing.load(image).await;
        }
    }
}

fn running(folder: &Path) -> Standing {
    Standing::find(folder).expect("no cluster runs; start one with `make cluster`")
}
