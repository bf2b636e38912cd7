//! The other way in: over loopback, with a token from a Secret.
//!
//! Whoever shares the pod's network reaches loopback, so being there proves nothing, and the token is asked for as PostgreSQL asks for a
//! password. It is sent as it is: it does not leave the machine, and the address must be a loopback one. The file is read for each login, so
//! a Secret that is turned holds at once.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use tokio::net::{TcpListener, TcpStream};

use crate::admin::AdminError;
use crate::listen::listen;

/// The shortest token that is taken: shorter ones could be guessed.
const SHORTEST: usize = 16;

/// The longest.
pub(super) const LONGEST: usize = 1024;

/// What a wrong token costs.
pub(super) const PENALTY: Duration = Duration::from_secs(1);

/// Connections that the kernel holds.
const BACKLOG: i32 = 16;

/// The token's file.
#[derive(Clone, Debug)]
pub(super) struct Token(PathBuf);

/// The bound port.
#[derive(Debug)]
pub(super) struct TokenPort {
    listener: TcpListener,
    pub(super) token: Token,
}

impl TokenPort {
    /// Binds the address, and reads the token once to see whether it can be used.
    pub(super) fn bind(address: SocketAddr, token: &Path) -> Result<Self, AdminError> {
        let failed = |source| AdminError::ConsoleListen { address, source };
        let token = Token(token.to_owned());
        token.read().map_err(|reason| AdminError::ConsoleToken {
            path: token.0.clone(),
            reason,
        })?;
        let listener = listen(address, BACKLOG)
            .and_then(TcpListener::from_std)
            .map_err(failed)?;
        Ok(Self { listener, token })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection. Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.listener.accept().await
    }
}

impl Token {
    /// Whether this is it. Takes the same time whatever is wrong with it.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        let Ok(token) = self.read() else {
            return false;
        };
        let (token, given) = (digest(&SHA256, token.as_bytes()), digest(&SHA256, given));
        verify_slices_are_equal(token.as_ref(), given.as_ref()).is_ok()
    }

    /// The file without the white space around it. A few bytes of a local file: not worth a thread.
    fn read(&self) -> Result<String, String> {
        let text = std::fs::read_to_string(&self.0).map_err(|error| error.to_string())?;
        let token = text.trim();
        if (SHORTEST..=LONGEST).contains(&token.len()) {
            return Ok(token.to_owned());
        }
        Err(format!(
            "a token has {SHORTEST} to {LONGEST} bytes, and this has {}",
            token.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_the_file_says_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = Token(path.clone());
        assert!(!token.is(b""), "there is none");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for wrong in [
            &b""[..],
            b"0123456789abcde",
            b"0123456789abcdef\n",
            b"0123456789abcdeF",
        ] {
            assert!(!token.is(wrong), "{wrong:?}");
        }
        std::fs::write(&path, "another-one-altogether").unwrap();
        assert!(!token.is(b"0123456789abcdef") && token.is(b"another-one-altogether"));
        // One that could be guessed is none.
        std::fs::write(&path, "short").unwrap();
        assert!(!token.is(b"short"));
        assert!(token.read().unwrap_err().contains("16"));
    }
}
