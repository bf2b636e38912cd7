//! The suites for PostgreSQL: one file a behaviour, all in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test reports by panicking, in its helpers too"
)]

mod admin_and_metrics;
mod audit_trail;
mod big_rows;
mod breakers;
mod cancel;
mod changing_dns;
mod chaos;
mod command_line;
mod console;
mod copy;
mod corner_cases;
mod direct;
mod drain;
mod exhaustion;
mod failover;
mod fairness;
mod faults;
mod fixed_parameters;
mod given_addresses;
mod handing_over;
mod identity;
mod in_sql;
mod inventory;
mod isolation;
mod issued_certificate;
mod late_run;
mod live_policy;
mod logs;
mod lost_socket;
mod malformed;
mod many_users;
mod one_identity;
mod pinning;
mod pipelines;
mod prepared;
mod prove;
mod revocation;
mod secrets;
mod server_parameters;
mod several_hosts;
mod shared_address;
mod signed_user;
mod slow_clients;
mod snapshot;
mod socket_resumed;
mod startup;
mod timeouts;
mod tls_and_scram;
mod transactions;
mod unasked;
mod unix_socket;
mod upstream_failure;
