//! `audit`: holds the files of a trail to their chain, and names users as the records do.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write, stdin};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::Exit;
use crate::audit::chain::{Key, SHORTEST_KEY};
use crate::audit::hashed;
use crate::audit::verify::{Anchor, Fault, Report, Verifier};

/// What stands for standard input.
const INPUT: &str = "-";
/// Bytes of a line that are read: more than any record has.
const LONGEST_LINE: u64 = 1 << 20;

/// What can be asked of an audit trail.
#[derive(Clone, Debug, Subcommand)]
pub enum AuditArgs {
    /// Say whether records are a whole chain: nothing changed, taken out, put in or moved. Prints the last record's number and hash, to be
    /// noted elsewhere: without that, or a key, nobody can tell a trail that was cut off at its end or made anew as a whole.
    Verify(VerifyArgs),
    /// Print a user's id as the records have it whose policy says userIds KeyedHash.
    User(UserArgs),
}

/// The flags of `audit verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// The file with the key of auditTrail.keySecretRef; may be repeated where the key was changed. Records under no key do not pass then.
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,

    /// A record that was verified before, as this command printed it: it and what is before it are passed over.
    #[arg(long, value_name = "SEQUENCE:HASH")]
    pub after: Option<Anchor>,

    /// A record that was noted elsewhere and must be there; may be repeated.
    #[arg(long, value_name = "SEQUENCE:HASH")]
    pub expect: Vec<Anchor>,

    /// Verify this chain, and pass other ones over: where the lines are those of several pods or starts.
    #[arg(long, value_name = "ID")]
    pub chain: Option<String>,

    /// Pass over lines that do not begin as records do, such as a log's. Standard input is read so without it.
    #[arg(long)]
    pub mixed: bool,

    /// The files, in their order, as a shell gives them for POD.*.jsonl; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// The flags of `audit user`.
#[derive(Clone, Debug, Args)]
pub struct UserArgs {
    /// The file with the key of auditTrail.keySecretRef.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,

    /// The user's id.
    #[arg(value_name = "ID")]
    pub user: String,
}

/// Does what is asked.
#[must_use]
pub fn audit(args: &AuditArgs, out: &mut impl Write, err: &mut impl Write) -> Exit {
    let done = match args {
        AuditArgs::Verify(args) => verify(args, out, err),
        AuditArgs::User(args) => key_of(&args.key)
            .and_then(|key| writeln!(out, "{}", hashed(&key, &args.user)))
            .map(|()| Exit::Success),
    };
    done.unwrap_or_else(|error| {
        // Where standard error is closed there is nobody to tell.
        let _ = writeln!(err, "bulkhead-sidecar: {error}");
        Exit::Failure
    })
}

/// Where the lines of one file stand among those of all.
struct Part<'a> {
    name: &'a Path,
    before: u64,
}

fn verify(args: &VerifyArgs, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let keys: io::Result<Vec<Key>> = args.key.iter().map(|file| key_of(file)).collect();
    let mixed = args.mixed || args.files.iter().any(|file| file == Path::new(INPUT));
    let mut verifier = Verifier::new(keys?)
        .after(args.after)
        .expecting(args.expect.clone())
        .only(args.chain.clone())
        .mixed(mixed);
    let (mut parts, mut lines) = (Vec::new(), 0);
    for file in &args.files {
        parts.push(Part {
            name: file,
            before: lines,
        });
        let read = if file == Path::new(INPUT) {
            feed(&mut stdin().lock(), &mut verifier)
        } else {
            File::open(file).and_then(|file| feed(&mut BufReader::new(file), &mut verifier))
        };
        lines += read.map_err(|error| of_file(file, &error))?;
    }
    match verifier.finish() {
        Ok(report) => {
            tell(&report, out)?;
            Ok(Exit::Success)
        }
        Err((line, fault)) => {
            complain(&parts, line, &fault, err)?;
            Ok(Exit::Failure)
        }
    }
}

/// Gives a reader's lines to the verifier: how many.
fn feed(reader: &mut impl BufRead, verifier: &mut Verifier) -> io::Result<u64> {
    let (mut line, mut count) = (Vec::new(), 0);
    loop {
        line.clear();
        if io::Read::take(&mut *reader, LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(count);
        }
        let whole = line.strip_suffix(b"\n");
        verifier.take(whole.unwrap_or(&line), whole.is_some());
        count += 1;
    }
}

fn tell(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let seal = report.key.as_ref().map_or_else(
        || "SHA-256 without a key".to_owned(),
        |key| format!("HMAC-SHA256 under key {key}"),
    );
    let Report {
        chain,
        first,
        head,
        until,
        ..
    } = report;
    writeln!(
        out,
        "chain {chain} holds: records {first} to {}, the last of {until}, {seal}",
        head.sequence
    )?;
    if report.dropped > 0 {
        writeln!(
            out,
            "the sidecar could not record {} events, and says so",
            report.dropped
        )?;
    }
    if report.passed_over > 0 {
        writeln!(out, "{} other lines were passed over", report.passed_over)?;
    }
    writeln!(out, "head {head}")
}

fn complain(parts: &[Part<'_>], line: u64, fault: &Fault, err: &mut impl Write) -> io::Result<()> {
    let part = parts
        .iter()
        .rfind(|part| part.before < line)
        .or(parts.first());
    match part {
        Some(part) => writeln!(
            err,
            "{}:{}: {fault}",
            part.name.display(),
            line - part.before
        ),
        None => writeln!(err, "{fault}"),
    }
}

fn key_of(file: &Path) -> io::Result<Key> {
    let secret = std::fs::read(file).map_err(|error| of_file(file, &error))?;
    if secret.len() < SHORTEST_KEY {
        let message = format!(
            "{}: a key has at least {SHORTEST_KEY} bytes",
            file.display()
        );
        return Err(io::Error::other(message));
    }
    Ok(Key::of(&secret))
}

fn of_file(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}
