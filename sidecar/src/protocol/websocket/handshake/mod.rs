//! The opening handshake (RFC 6455, section 4), and what goes with it: who asks, what the application is told, what the client hears.
//! Pure: heads of messages in, heads of messages out.
//!
//! ```text
//! request ─ Arrival ─┬ Plain
//!                    ├ WebSocket → origin, path → token → offer ─→ application
//!                    └ Refusal                              answer ←┘
//! ```

mod answer;
mod cross_origin;
mod extensions;
mod headers;
mod offer;
mod origin;
mod query;
mod refusal;
mod request;
mod token;

pub use answer::{Accepted, accept_of, check_answer};
pub use cross_origin::{let_post, let_read, renewal_places};
pub use extensions::{Compressed, offered_extensions};
pub use headers::{Identity, passable_trailers, tell_application, without_hop_by_hop};
pub use offer::{Choice, Offer, Returning, without_our_protocols};
pub use origin::{admits_origin, is_named_preflight};
pub use refusal::Refusal;
pub use request::{Arrival, arrival};
pub use token::{Found, find_token};

/// The elements of a header that is a list (RFC 9110, section 5.6.1), over all its lines; a line that is not text has none.
pub(super) fn list(
    headers: &http::HeaderMap,
    name: http::HeaderName,
) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|element| element.trim_matches([' ', '\t']))
        .filter(|element| !element.is_empty())
}
