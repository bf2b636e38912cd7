//! What counts against whose breaker. Pure.
//!
//! Against a user only what is that user's own: the sidecar's clocks that their work ran into, and errors that nobody else can
//! bring about. Against an upstream only trouble in reaching it, never what one client has asked it for.

use crate::telemetry::TimeoutKind;
use crate::upstream::ConnectError;

/// Whether a timeout of the sidecar's own counts against the user whose work it ended. The wait for a permit does not: others
/// may have taken them all; nor does the dial, which is the upstream's.
#[must_use]
pub const fn timeout_is_users(kind: TimeoutKind) -> bool {
    matches!(
        kind,
        TimeoutKind::Statement | TimeoutKind::Transaction | TimeoutKind::IdleInTransaction
    )
}

/// Whether an error of the server's counts against the user whose statement it answers.
#[must_use]
pub fn error_is_users(sqlstate: &[u8]) -> bool {
    match sqlstate {
        // idle_in_transaction_session_timeout, transaction_timeout: the user's own settings, or the sidecar's backstop.
        b"25P03" | b"25P04"
        // configuration_limit_exceeded: temp_file_limit, which is counted for each statement.
        | b"53400" => true,
        // internal_error, data_corrupted, index_corrupted.
        [b'X', b'X', _, _, _] => true,
        // What an application expects and handles (22, 23, 42, 40001, 55P03); what another user may have caused (40P01, 53100,
        // 53200, 53300); what everybody meets (57P01 …, 58030); and 57014, which a cancel that was asked for makes too.
        _ => false,
    }
}

/// Whether a dial that failed counts against the upstream. `own`: it was for the database and the role that the policy names;
/// what a server says of others, one client may have asked for.
#[must_use]
pub fn dial_is_upstreams(error: &ConnectError, own: bool) -> bool {
    match error {
        ConnectError::Unreachable { attempts, .. } | ConnectError::NoHost { attempts, .. } => {
            !attempts
                .iter()
                .any(|attempt| is_our_own_want(&attempt.reason))
        }
        ConnectError::DeadlineExceeded { .. }
        | ConnectError::Resolve { .. }
        | ConnectError::Tls { .. }
        | ConnectError::Protocol { .. } => true,
        ConnectError::Server { fields, .. } => {
            fields.sqlstate().is_some_and(|code| refuses_all(code, own))
        }
        ConnectError::Refused { reply, .. } => {
            let code = reply.split(' ').next().unwrap_or_default();
            matches!(code, "LOADING" | "MASTERDOWN" | "BUSY")
                || reply.contains("max number of clients")
        }
        ConnectError::Authentication { .. }
        | ConnectError::Request { .. }
        | ConnectError::Credentials { .. } => false,
    }
}

/// Whether the system has said that the sidecar itself has no descriptor left: `EMFILE` and `ENFILE`, as the standard library
/// words them.
fn is_our_own_want(reason: &str) -> bool {
    reason.contains("(os error 24)") || reason.contains("(os error 23)")
}

/// Whether a server that refuses a connection with this SQLSTATE refuses everybody's.
fn refuses_all(sqlstate: &str, own: bool) -> bool {
    match sqlstate {
        // admin_shutdown, crash_shutdown, cannot_connect_now.
        "57P01" | "57P02" | "57P03" => true,
        // too_many_connections is also said of one role and of one database; out_of_memory, disk_full.
        "53000" | "53100" | "53200" | "53300" => own,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_answers_for_their_own_trouble_alone() {
        let users: [&[u8]; 5] = [b"25P03", b"25P04", b"53400", b"XX000", b"XX002"];
        for code in users {
            assert!(error_is_users(code), "{}", String::from_utf8_lossy(code));
        }
        // Syntax, constraints, retries, locks, a cancel that was asked for, other users' doing, and the server's own.
        let others: [&[u8]; 17] = [
            b"42601", b"42P01", b"23505", b"22012", b"40001", b"40P01", b"55P03", b"57014",
            b"25P02", b"53100", b"53200", b"53300", b"57P01", b"57P03", b"58030", b"P0001", b"",
        ];
        for code in others {
            assert!(!error_is_users(code), "{}", String::from_utf8_lossy(code));
        }
        let counted = TimeoutKind::ALL
            .into_iter()
            .filter(|kind| timeout_is_users(*kind));
        let counted: Vec<_> = counted.map(TimeoutKind::as_str).collect();
        assert_eq!(counted, ["statement", "transaction", "idle_in_transaction"]);
    }

    #[test]
    fn a_sidecar_without_descriptors_does_not_blame_the_upstream() {
        for (errno, ours) in [(24, true), (23, true), (111, false), (110, false)] {
            let words = std::io::Error::from_raw_os_error(errno).to_string();
            assert_eq!(is_our_own_want(&words), ours, "{words}");
        }
    }

    #[test]
    fn a_server_that_refuses_one_client_does_not_refuse_all() {
        for code in ["57P01", "57P02", "57P03"] {
            assert!(
                refuses_all(code, true) && refuses_all(code, false),
                "{code}"
            );
        }
        for code in ["53100", "53200", "53300"] {
            assert!(refuses_all(code, true), "{code}");
            assert!(
                !refuses_all(code, false),
                "{code}: said of a database that a client chose"
            );
        }
        for code in ["28000", "28P01", "3D000", "42501", "55000", "22023"] {
            assert!(!refuses_all(code, true), "{code}");
        }
    }
}
