//! `role+ID`: the user name of a start-up packet that names a database role and an end user.

/// Splits a user name at its first `+` into the role and the end user's id.
///
/// The id is everything behind the first `+`, further ones included. A role with a `+` in its own name cannot be written where
/// this form is read: there is no escape. An empty id (`role+`) is `Some("")`: whoever judges ids refuses it.
#[must_use]
pub fn split_role(user: &str) -> (&str, Option<&str>) {
    match user.split_once('+') {
        Some((role, id)) => (role, Some(id)),
        None => (user, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_plus_divides() {
        assert_eq!(split_role("chat"), ("chat", None));
        assert_eq!(split_role("chat+alice"), ("chat", Some("alice")));
        assert_eq!(
            split_role("chat+a+b@example.org"),
            ("chat", Some("a+b@example.org"))
        );
        assert_eq!(split_role("chat+"), ("chat", Some("")));
        assert_eq!(split_role("+alice"), ("", Some("alice")));
    }
}
