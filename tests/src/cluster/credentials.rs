//! The certificates and keys of one cluster, as files that only their owner reads.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::KeyPair;

use crate::certificates::{Authority, Identity};

/// The authority of a cluster, and the folder with what it has signed.
#[derive(Debug)]
pub(super) struct Credentials {
    authority: Authority,
    folder: PathBuf,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Credentials {
    /// A new authority; what it signs goes into `folder`.
    pub(super) fn new(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let authority = Authority::new("Bulkhead test cluster");
        write_private(&folder.join("ca.crt"), &authority.certificate());
        let tokens = KeyPair::generate().unwrap();
        write_private(
            &folder.join("service-accounts.key"),
            &tokens.serialize_pem(),
        );
        write_private(
            &folder.join("service-accounts.pub"),
            &tokens.public_key_pem(),
        );
        Self { authority, folder }
    }

    /// The authority's own certificate.
    pub(super) fn authority_file(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// The authority's own certificate, PEM.
    pub(super) fn authority(&self) -> String {
        self.authority.certificate()
    }

    /// The key that signs service accounts' tokens.
    pub(super) fn token_key(&self) -> PathBuf {
        self.folder.join("service-accounts.key")
    }

    /// The key by which those tokens are verified.
    pub(super) fn token_public_key(&self) -> PathBuf {
        self.folder.join("service-accounts.pub")
    }

    /// A certificate for a server that is called by `names`.
    pub(super) fn server(&self, file: &str, names: &[&str]) -> Files {
        self.store(file, &self.authority.issue(names))
    }

    /// A certificate by which a client is known as `user` of `group`.
    pub(super) fn client(&self, user: &str, group: Option<&str>) -> Identity {
        self.authority.issue_client(user, group)
    }

    /// The same, as files.
    pub(super) fn client_files(&self, file: &str, user: &str, group: Option<&str>) -> Files {
        self.store(file, &self.client(user, group))
    }

    fn store(&self, file: &str, identity: &Identity) -> Files {
        let files = Files {
            certificate: self.folder.join(format!("{file}.crt")),
            key: self.folder.join(format!("{file}.key")),
        };
        write_private(&files.certificate, &identity.certificate);
        write_private(&files.key, &identity.key);
        files
    }
}

/// Writes a file that nobody else reads.
pub(super) fn write_private(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.write_all(text.as_bytes()).unwrap();
}
