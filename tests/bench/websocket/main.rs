//! The two ends of the WebSocket benchmark: an application that echoes, and clients that hold each echo to what they have sent.
//!
//! Both are as cheap as can be and the same for every proxy: raw frames, one read and one write for all the messages that are there.
//! tests/bench/sockets.py starts them; each command prints one line of JSON when it has measured.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot be believed ends"
)]

mod client;
mod echo;
mod frames;
mod hold;
mod open;
mod talk;
#[path = "../window.rs"]
mod window;
#[path = "../words.rs"]
mod words;

use std::process::ExitCode;

use words::{explained, given, number};

const USAGE: &str = "\
bulkhead-bench-websocket echo PORT                                          an application that echoes
bulkhead-bench-websocket talk PORT TOKENS PIDS SOCKETS BYTES FLIGHT HOW WARM SECONDS  messages, FLIGHT of each socket under way at a time,
                                                                            written HOW: together, or singly
bulkhead-bench-websocket open PORT TOKENS PIDS AT_ONCE WARM SECONDS          sockets opened, used once and closed
bulkhead-bench-websocket hold PORT TOKENS SOCKETS                            opens sockets, says so, and keeps them until it is ended

TOKENS: a file with a bearer token a line. PIDS: the processes whose time is measured, with commas.";

/// Clients on one thread, so that they take no more of the machine than they must.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let given = given();
    let words: Vec<&str> = given.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["echo", port] => echo::serve(number(port)).await,
        [
            "talk",
            port,
            tokens,
            pids,
            sockets,
            bytes,
            flight,
            how,
            warm,
            seconds,
        ] => {
            let way = client::Way::new(number(port), tokens).writing(*how == "singly");
            let load = talk::Load {
                sockets: number(sockets),
                bytes: number(bytes),
                flight: number(flight),
            };
            let window = window::Window::new(pids, number(warm), number(seconds));
            println!("{}", talk::measure(way, load, window).await);
        }
        ["open", port, tokens, pids, at_once, warm, seconds] => {
            let way = client::Way::new(number(port), tokens);
            let window = window::Window::new(pids, number(warm), number(seconds));
            println!("{}", open::measure(way, number(at_once), window).await);
        }
        ["hold", port, tokens, sockets] => {
            hold::hold(client::Way::new(number(port), tokens), number(sockets)).await;
        }
        _ => return explained(USAGE),
    }
    ExitCode::SUCCESS
}
