//! A single-node cluster that stays up until it is taken down: `make cluster`, `make cluster-down`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness reports a broken world by ending"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use bulkhead_tests::cluster::Standing;

const USAGE: &str = "\
bulkhead-cluster up              starts the cluster, unless it runs, and prints the path of its kubeconfig
bulkhead-cluster kubeconfig      prints that path
bulkhead-cluster load IMAGE…     builds and brings in images: sidecar, operator, postgres, busybox, or the path of an OCI archive
bulkhead-cluster down            ends it, and removes all that it has made";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["up"] => {
            let standing = match Standing::find() {
                Some(standing) => standing,
                None => Standing::up().await,
            };
            println!("{}", standing.kubeconfig().display());
        }
        ["kubeconfig"] => println!("{}", running().kubeconfig().display()),
        ["load", images @ ..] if !images.is_empty() => {
            let standing = running();
            for image in images {
                let archive = PathBuf::from(image);
                if archive.is_file() {
                    standing.load_archive(&archive).await;
                } else {
                    standing.load(image).await;
                }
            }
        }
        ["down"] => match Standing::find() {
            Some(standing) => standing.down(),
            None => eprintln!("no cluster runs"),
        },
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn running() -> Standing {
    Standing::find().expect("no cluster runs; start one with `make cluster`")
}
