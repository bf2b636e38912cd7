//! The command line of the operator.

fn main() {}
