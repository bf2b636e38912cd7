//! See `targets::close`.

#![no_main]

#[path = "../websocket.rs"]
#[allow(dead_code, reason = "each fuzz target uses one function")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::close(data));
