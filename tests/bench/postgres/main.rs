//! The clients of the benchmarks for which pgbench is too few: thousands of users at once, one connection that changes its user all the time,
//! results that are large.
//!
//! They are as cheap as can be and the same for every proxy: one thread, raw messages, bodies that nobody looks at.
//! tests/bench/loads.py starts them; each command prints one line of JSON when it has measured.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot be believed ends"
)]

mod client;
mod fetch;
mod many;
mod switch;
mod tally;
#[path = "../window.rs"]
mod window;
#[path = "../words.rs"]
mod words;

use std::process::ExitCode;

use words::{explained, given, number};

const USAGE: &str = "\
bulkhead-bench-postgres many PORT WHO USERS SERVER PIDS WARM SECONDS     a client for each of so many users, all at work, and a quiet one
bulkhead-bench-postgres switch PORT WHO CLIENTS USERS PIDS WARM SECONDS  clients that say at each checkout which of so many users they work for
bulkhead-bench-postgres fetch PORT WHO CLIENTS BYTES PIDS WARM SECONDS   clients that fetch results of so many bytes

WHO: `named` for a login as ROLE+userN, `plain` for the role alone. SERVER: PostgreSQL's own port, where connections are counted.
PIDS: the processes whose time is measured, with commas.";

/// All clients on one thread, so that they take no more of the machine than they must.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let [what, port, who, count, other, pids, warm, seconds] = &given()[..] else {
        return explained(USAGE);
    };
    let way = client::Way::new(number(port), who);
    let window = window::Window::new(pids, number(warm), number(seconds));
    let seen = match what.as_str() {
        "many" => many::measure(way, number(count), number(other), window).await,
        "switch" => switch::measure(way, number(count), number(other), window).await,
        "fetch" => fetch::measure(way, number(count), number(other), window).await,
        _ => return explained(USAGE),
    };
    println!("{seen}");
    ExitCode::SUCCESS
}
