//! What stands in HELLO: `HELLO [protover [AUTH username password] [SETNAME clientname]]`. Pure.

use super::client::{NAMES_USER, Resp, is_name};

/// A HELLO that a server would take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hello<'a> {
    /// The version of the protocol; none: as it is.
    pub(super) resp: Option<Resp>,
    /// User name and password.
    pub(super) auth: Option<(&'a [u8], &'a [u8])>,
    /// The user id that the client's name is, where it is one (`bulkhead:ID`).
    pub(super) named: Option<&'a [u8]>,
    /// Its name, where it is none.
    pub(super) name: Option<&'a [u8]>,
}

impl<'a> Hello<'a> {
    /// Reads what stands behind the command's name.
    ///
    /// # Errors
    /// The error line for the client.
    pub(super) fn read(rest: &[&'a [u8]]) -> Result<Self, String> {
        let mut hello = Self::default();
        let Some((version, mut options)) = rest.split_first() else {
            return Ok(hello);
        };
        let version = Resp::parse(version).ok_or("NOPROTO unsupported protocol version")?;
        hello.resp = Some(version);
        while let Some((option, rest)) = options.split_first() {
            options = match (option.to_ascii_uppercase().as_slice(), rest) {
                (b"AUTH", [user, password, rest @ ..]) => {
                    hello.auth = Some((user, password));
                    rest
                }
                (b"SETNAME", [name, rest @ ..]) if is_name(name) => {
                    match name.strip_prefix(NAMES_USER) {
                        Some(id) => hello.named = Some(id),
                        None => hello.name = Some(name),
                    }
                    rest
                }
                (option, _) => {
                    let option = String::from_utf8_lossy(option);
                    return Err(format!("ERR Syntax error in HELLO option '{option}'"));
                }
            };
        }
        Ok(hello)
    }

    /// Whether it says who the client is.
    pub(super) const fn says_who(&self) -> bool {
        self.auth.is_some() || self.named.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Hello<'_>, String> {
        let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        Hello::read(&words)
    }

    #[test]
    fn options_come_in_any_order_and_case() {
        let two = Some(Resp::Two);
        let auth = Some((b"u".as_slice(), b"p".as_slice()));
        for (line, want) in [
            ("", Hello::default()),
            (
                "2",
                Hello {
                    resp: two,
                    ..Hello::default()
                },
            ),
            (
                "3",
                Hello {
                    resp: Some(Resp::Three),
                    ..Hello::default()
                },
            ),
            (
                "2 auth u p",
                Hello {
                    resp: two,
                    auth,
                    ..Hello::default()
                },
            ),
            (
                "2 SETNAME n AUTH u p",
                Hello {
                    resp: two,
                    auth,
                    name: Some(b"n"),
                    named: None,
                },
            ),
            (
                "2 setname bulkhead:alice",
                Hello {
                    resp: two,
                    named: Some(b"alice"),
                    ..Hello::default()
                },
            ),
        ] {
            assert_eq!(read(line).as_ref(), Ok(&want), "{line}");
            let who = line.contains("u p") || line.contains("bulkhead:");
            assert_eq!(want.says_who(), who, "{line}");
        }
    }

    #[test]
    fn what_a_server_would_not_take_is_an_error() {
        for (line, want) in [
            ("4", "NOPROTO"),
            ("x", "NOPROTO"),
            ("2 AUTH u", "ERR Syntax error in HELLO option 'AUTH'"),
            ("2 SETNAME", "ERR Syntax error in HELLO option 'SETNAME'"),
            ("2 NAME n", "ERR Syntax error in HELLO option 'NAME'"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.starts_with(want), "{line}: {error}");
        }
    }
}
