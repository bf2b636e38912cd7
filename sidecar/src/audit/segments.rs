//! The files of a trail: one after the other, each named for its pod and the moment at which it began, so that their names sort as their
//! records do.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::tail::Tail;
use super::time::rfc3339;

/// What the names end with.
const ENDING: &str = ".jsonl";
/// Bytes at a file's end among which its last record is looked for; a record has less than a sixteenth of them.
const WINDOW: u64 = 64 * 1024;
/// For the sidecar and its group: what ships the files runs as somebody else.
const MODE: u32 = 0o640;

/// The files of one pod's trail.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    pod: String,
    max_bytes: u64,
    keep: Option<u32>,
    open: Option<Open>,
    /// The file that was written to and could not be opened again, and how many bytes it had.
    left: Option<(PathBuf, u64)>,
}

/// The file that is written to.
#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    written: u64,
}

/// A file that was removed for its age.
#[derive(Debug)]
pub(super) struct Removed {
    pub(super) file: String,
    pub(super) through: Option<String>,
}

impl Segments {
    /// The files of `pod` in `folder`, none of them opened yet.
    pub(super) fn new(folder: PathBuf, pod: String, max_bytes: u64, keep: Option<u32>) -> Self {
        Self {
            folder,
            pod,
            max_bytes,
            keep,
            open: None,
            left: None,
        }
    }

    /// Opens the newest file, or makes the first. What stands at the end of what was there, and the file's name. A file that has no whole
    /// record yet goes on with the chain of the one before.
    pub(super) fn open(&mut self) -> io::Result<(Tail, Option<String>)> {
        let mut names = self.names()?;
        let Some(newest) = names.pop() else {
            self.begin_next()?;
            return Ok((Tail::default(), None));
        };
        let open = Open::existing(self.folder.join(&newest))?;
        let mut tail = tail_of(&open.file)?;
        self.open = Some(open);
        if tail.last.is_none()
            && let Some(before) = names.pop()
        {
            tail.last = tail_of(&File::open(self.folder.join(before))?)?.last;
        }
        Ok((tail, Some(newest)))
    }

    /// Writes whole lines, as many as fit into the file, and says how many bytes it took. Nothing fits: the next file begins. `is_line_begun`:
    /// what is left of a line goes where its beginning is.
    pub(super) fn write(&mut self, lines: &[u8], is_line_begun: bool) -> io::Result<usize> {
        let open = self.open.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let room = self.max_bytes.saturating_sub(open.written);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let line = || lines.iter().position(|byte| *byte == b'\n');
        let fitting = if lines.len() <= room {
            lines.len()
        } else if let Some(end) = lines[..room].iter().rposition(|byte| *byte == b'\n') {
            end + 1
        } else if is_line_begun || open.written == 0 {
            line().map_or(lines.len(), |end| end + 1)
        } else {
            return Ok(0);
        };
        let count = open.file.write(&lines[..fitting])?;
        open.written += count as u64;
        Ok(count)
    }

    /// What has been written is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.open
            .as_ref()
            .map_or(Ok(()), |open| open.file.sync_data())
    }

    /// Begins the next file, and removes the oldest where there are too many then.
    pub(super) fn begin_next(&mut self) -> io::Result<Option<Removed>> {
        self.sync()?;
        let before = self.names()?;
        let path = self.folder.join(self.name_after(before.last()));
        self.open = Some(Open::new(path)?);
        // A file is there for good when its folder says so.
        File::open(&self.folder)?.sync_all()?;
        let too_many = self
            .keep
            .is_some_and(|keep| before.len() + 1 > keep as usize);
        match before.first() {
            Some(oldest) if too_many => self.remove(oldest).map(Some),
            _ => Ok(None),
        }
    }

    /// After a failure: whether the file is still there and as it was left. Else the next write needs [`Segments::begin_next`].
    pub(super) fn reopen(&mut self) -> io::Result<bool> {
        if let Some(before) = self.open.take() {
            // Its lock goes with it.
            self.left = Some((before.path, before.written));
        }
        let Some((path, written)) = &self.left else {
            return Ok(false);
        };
        match Open::existing(path.clone()) {
            Ok(open) => {
                let is_same = open.written == *written;
                self.open = Some(open);
                self.left = None;
                Ok(is_same)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.left = None;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The files that are there, in order.
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let Ok(name) = entry?.file_name().into_string() else {
                continue;
            };
            if self.is_ours(&name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn is_ours(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&self.pod);
        let rest = rest.and_then(|rest| rest.strip_prefix('.'));
        let moment = rest.and_then(|rest| rest.strip_suffix(ENDING));
        moment.is_some_and(|moment| {
            moment.len() == MOMENT_LENGTH && moment.starts_with(|c: char| c.is_ascii_digit())
        })
    }

    /// A name that sorts behind another, whatever the clock says.
    fn name_after(&self, last: Option<&String>) -> String {
        let (mut at, mut ahead) = (SystemTime::now(), Duration::from_secs(1));
        let mut name = self.name(at);
        // A clock that was set back: however far, the steps are few.
        while last.is_some_and(|last| name <= *last) {
            at += ahead;
            ahead *= 2;
            name = self.name(at);
        }
        name
    }

    fn name(&self, at: SystemTime) -> String {
        let moment: String = rfc3339(at)
            .chars()
            .filter(|c| !matches!(c, '-' | ':'))
            .collect();
        format!("{}.{moment}{ENDING}", self.pod)
    }

    fn remove(&self, name: &str) -> io::Result<Removed> {
        let path = self.folder.join(name);
        let last = File::open(&path).and_then(|file| tail_of(&file));
        let through = last.ok().and_then(|tail| tail.last);
        fs::remove_file(&path)?;
        Ok(Removed {
            file: name.to_owned(),
            through: through.map(|last| last.anchor()),
        })
    }
}

/// Characters of a moment in a name.
const MOMENT_LENGTH: usize = "20261127T214025.000123Z".len();

impl Open {
    fn new(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(MODE)
            .open(&path)?;
        Self::locked(file, path)
    }

    fn existing(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).open(&path)?;
        Self::locked(file, path)
    }

    /// Two writers would break each other's chain.
    fn locked(file: File, path: PathBuf) -> io::Result<Self> {
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("another process writes {}", path.display()),
            ));
        }
        // Where the file system has no locks, nobody can be kept away.
        let written = file.metadata()?.len();
        Ok(Self {
            file,
            path,
            written,
        })
    }
}

/// The end of a file.
fn tail_of(mut file: &File) -> io::Result<Tail> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(WINDOW)))?;
    let mut end = Vec::new();
    file.take(WINDOW).read_to_end(&mut end)?;
    Ok(Tail::of(&end, length <= WINDOW))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn segments(folder: &tempfile::TempDir, max_bytes: u64, keep: Option<u32>) -> Segments {
        Segments::new(
            folder.path().to_owned(),
            "chat-0".to_owned(),
            max_bytes,
            keep,
        )
    }

    #[test]
    fn lines_are_never_cut_between_files() {
        let folder = folder();
        let mut segments = segments(&folder, 10, None);
        segments.open().unwrap();
        assert_eq!(segments.write(b"1234\n6789\nbcd\n", false).unwrap(), 10);
        assert_eq!(
            segments.write(b"bcd\n", false).unwrap(),
            0,
            "the file is full"
        );
        segments.begin_next().unwrap();
        assert_eq!(segments.write(b"a long line of more\n", false).unwrap(), 20);
        assert_eq!(
            segments.write(b"x\n", true).unwrap(),
            2,
            "its end follows its beginning"
        );
        let names = segments.names().unwrap();
        assert_eq!(names.len(), 2);
        let first = fs::read_to_string(folder.path().join(&names[0])).unwrap();
        assert_eq!(first, "1234\n6789\n");
    }

    #[test]
    fn the_oldest_goes_where_there_are_too_many() {
        let folder = folder();
        let mut segments = segments(&folder, 10, Some(2));
        segments.open().unwrap();
        let oldest = segments.names().unwrap().remove(0);
        assert!(segments.begin_next().unwrap().is_none());
        let removed = segments.begin_next().unwrap().expect("three are too many");
        assert_eq!((removed.file, removed.through), (oldest, None));
        assert_eq!(segments.names().unwrap().len(), 2);
    }

    #[test]
    fn others_files_are_not_touched() {
        let folder = folder();
        let segments = segments(&folder, 10, None);
        for other in [
            "chat-01.20261127T214025.000123Z.jsonl",
            "chat-0.20261127T214025.000123Z.jsonl.gz",
            "chat-0.jsonl",
            "chat-0.notes.jsonl",
        ] {
            fs::write(folder.path().join(other), "").unwrap();
        }
        assert!(segments.names().unwrap().is_empty());
    }

    #[test]
    fn a_file_has_one_writer() {
        let folder = folder();
        let mut first = segments(&folder, 10, None);
        first.open().unwrap();
        let mut second = segments(&folder, 10, None);
        let refused = second.open().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        drop(first);
        second.open().unwrap();
    }

    #[test]
    fn a_file_is_gone_on_with_where_it_was_left_and_no_other_way() {
        let folder = folder();
        let mut segments = segments(&folder, 100, None);
        segments.open().unwrap();
        segments.write(b"half of a li", false).unwrap();
        let name = segments.names().unwrap().remove(0);
        let (path, away) = (folder.path().join(&name), folder.path().join("away"));
        // Something that is no file is in its place for a while.
        fs::rename(&path, &away).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(segments.reopen().is_err() && segments.reopen().is_err());
        fs::remove_dir(&path).unwrap();
        fs::rename(&away, &path).unwrap();
        assert!(segments.reopen().unwrap());
        segments.write(b"ne\n", true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "half of a line\n");
        // One that somebody else has written to, and one that has gone.
        fs::write(&path, "other").unwrap();
        assert!(!segments.reopen().unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!segments.reopen().unwrap());
    }

    #[test]
    fn a_name_sorts_behind_the_last_whatever_the_clock_says() {
        let folder = folder();
        let segments = segments(&folder, 10, None);
        let ahead = segments.name(SystemTime::now() + Duration::from_secs(1 << 31));
        assert!(segments.name_after(Some(&ahead)) > ahead);
    }
}
