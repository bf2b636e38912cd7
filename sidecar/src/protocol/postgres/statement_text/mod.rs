//! What a SQL text does to the session that runs it, as far as its words show. Pure, and bounded by the text given.
//!
//! [`classify`](fn@classify) is run on every text that passes, so the common case costs a few searches for single bytes; only a text with
//! something to see is taken apart. The closed grammars ([`parse_set`], [`parse_reset`], [`transaction_control`], [`deallocated_name`]) know
//! one statement that stands alone, and say nothing about anything else.
//!
//! What is not seen, by design: what functions do inside, and strings under `standard_conforming_strings = off`, where a
//! backslash takes the meaning from a quote. Tracking is a convenience between the connections of one user; isolation between
//! users does not rest on it. May not live here: what follows from a trait.

mod answered;
mod classify;
mod deallocate;
mod functions;
mod lexer;
mod literal;
mod naming;
mod normalize;
mod reset;
mod set;
mod sets;
mod statement;
mod traits;
mod transaction;

pub use answered::{Answered, answered_statements};
pub use classify::classify;
pub use deallocate::deallocated_name;
pub use naming::{Form, Hidden, Lasts, Mention, Name, Naming, NamingValue, read_naming};
pub use normalize::{normalized, shows_parameter};
pub use reset::{ResetStatement, ends_with_reset_all, parse_reset};
pub use set::{SetStatement, parse_set};
pub use sets::{Sets, sets_one_of};
pub use traits::Traits;
pub use transaction::{TransactionControl, transaction_control};
