//! The command line of the sidecar.

fn main() {}
