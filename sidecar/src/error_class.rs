//! From a SQLSTATE to the class under which an error is counted: one table. Pure.
//!
//! What an error means for a breaker is another question, and [`crate::breaker::charge`]'s.

use crate::telemetry::ErrorClass;

impl ErrorClass {
    /// The class of a five-character SQLSTATE (PostgreSQL, appendix A, "Error Codes"). A code of another length, such as
    /// that of an `ErrorResponse` without one, is [`ErrorClass::Other`].
    #[must_use]
    pub fn of_sqlstate(code: &[u8]) -> Self {
        match code {
            b"40P01" => Self::Deadlock,
            [b'4', b'0', _, _, _] => Self::Transaction,
            // query_canceled, idle_in_transaction_session_timeout, transaction_timeout, lock_not_available
            b"57014" | b"25P03" | b"25P04" | b"55P03" => Self::Timeout,
            [b'0', b'8', _, _, _] | [b'5', b'3', _, _, _] | [b'5', b'7', b'P', b'0', _] => {
                Self::Connection
            }
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sqlstate_has_the_class_of_its_row() {
        let rows: [(&[u8], ErrorClass); 22] = [
            (b"40000", ErrorClass::Transaction),
            (b"40001", ErrorClass::Transaction),
            (b"40003", ErrorClass::Transaction),
            (b"40P01", ErrorClass::Deadlock),
            (b"08000", ErrorClass::Connection),
            (b"08006", ErrorClass::Connection),
            (b"08P01", ErrorClass::Connection),
            (b"53300", ErrorClass::Connection),
            (b"53200", ErrorClass::Connection),
            (b"57P01", ErrorClass::Connection),
            (b"57P03", ErrorClass::Connection),
            (b"57014", ErrorClass::Timeout),
            (b"25P03", ErrorClass::Timeout),
            (b"25P04", ErrorClass::Timeout),
            (b"55P03", ErrorClass::Timeout),
            (b"25P02", ErrorClass::Other),
            (b"57000", ErrorClass::Other),
            (b"55000", ErrorClass::Other),
            (b"23505", ErrorClass::Other),
            (b"42P01", ErrorClass::Other),
            (b"", ErrorClass::Other),
            (b"400011", ErrorClass::Other),
        ];
        for (code, class) in rows {
            assert_eq!(
                ErrorClass::of_sqlstate(code),
                class,
                "{}",
                String::from_utf8_lossy(code)
            );
        }
    }
}
