//! Where the lines go: files, or standard output.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use bulkhead_crds::effective::EffectiveAuditTrail;
use bulkhead_crds::kinds::AuditDestination;

use super::segments::{Removed, Segments};
use super::tail::Tail;

/// Where the lines go.
#[derive(Debug)]
pub(super) enum Sink {
    /// Standard output, past the library's own buffer: what was not taken is known to the byte.
    Output(File),
    /// Files.
    Files(Segments),
}

/// How much was taken.
#[derive(Debug)]
pub(super) enum Taken {
    /// So many bytes.
    Bytes(usize),
    /// None: another file has begun, and perhaps one was removed.
    NextFile(Option<Removed>),
}

impl Sink {
    /// As the policy says; nothing is opened yet.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(super) fn new(
        policy: &EffectiveAuditTrail,
        folder: PathBuf,
        pod: &str,
    ) -> io::Result<Self> {
        Ok(match policy.destination {
            AuditDestination::StandardOutput => {
                Self::Output(File::from(io::stdout().as_fd().try_clone_to_owned()?))
            }
            AuditDestination::File => Self::Files(Segments::new(
                folder,
                pod.to_owned(),
                policy.max_bytes,
                policy.segments,
            )),
        })
    }

    /// Opens it: what stands at the end of what is there, and its name.
    pub(super) fn open(&mut self) -> io::Result<(Tail, Option<String>)> {
        match self {
            Self::Output(_) => Ok((Tail::default(), None)),
            Self::Files(segments) => segments.open(),
        }
    }

    /// Writes some of these lines. `is_line_begun`: they begin within a line.
    pub(super) fn write(&mut self, lines: &[u8], is_line_begun: bool) -> io::Result<Taken> {
        match self {
            Self::Output(output) => output.write(lines).map(Taken::Bytes),
            Self::Files(segments) => match segments.write(lines, is_line_begun)? {
                0 => segments.begin_next().map(Taken::NextFile),
                count => Ok(Taken::Bytes(count)),
            },
        }
    }

    /// What has been written is on the disk; of standard output nobody can say that.
    pub(super) fn sync(&self) -> io::Result<()> {
        match self {
            Self::Output(_) => Ok(()),
            Self::Files(segments) => segments.sync(),
        }
    }

    /// Begins another file.
    pub(super) fn begin_next(&mut self) -> io::Result<()> {
        match self {
            Self::Output(_) => Ok(()),
            Self::Files(segments) => segments.begin_next().map(drop),
        }
    }

    /// After a failure: whether what is left of a line can follow its beginning.
    pub(super) fn recover(&mut self) -> io::Result<bool> {
        match self {
            Self::Output(_) => Ok(true),
            Self::Files(segments) => {
                let is_same = segments.reopen()?;
                if !is_same {
                    segments.begin_next()?;
                }
                Ok(is_same)
            }
        }
    }
}
