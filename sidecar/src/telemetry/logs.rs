//! The log: one line an event, JSON for machines and text for terminals, on standard error.
//!
//! What may be logged is decided where it is logged. The exception is sqlx, which writes query text at its own levels: it
//! stays silent unless the filter names it.

use std::io;

use clap::ValueEnum;
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;

/// What holds unless the filter says otherwise: what operators do is told at every level.
const QUIET: &str = "sqlx::query=off,audit=info";

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object: `timestamp` (RFC 3339, UTC), `level`, `target`, `message` and the event's fields.
    #[default]
    Json,
    /// The same in one line of text.
    Text,
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is neither a level nor a list of `target=level`.
    #[error(
        "log level {filter:?}: {source}; write error, warn, info, debug, trace or a list such as info,bulkhead_sidecar=debug"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A word that is no level. The filter's own grammar would take it for a target, and log nothing else.
    #[error(
        "{word:?} is no log level; write error, warn, info, debug, trace or a list such as info,bulkhead_sidecar=debug"
    )]
    NotALevel {
        /// The word.
        word: String,
    },
    /// Somebody else has started it.
    #[error("logging is already started: {0}")]
    Started(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sends the events of this process to standard error from now on.
///
/// `filter` is a level or a comma-separated list of `target=level`.
///
/// # Errors
///
/// [`LogError::Filter`] for a filter that cannot be read; [`LogError::Started`] when called twice.
pub fn start(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let subscriber = subscriber(filter, format, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(())
}

/// Whether a filter can be read and says what its writer means: a level, or a list of `target=level` with at most a level for
/// the rest.
///
/// # Errors
///
/// [`LogError::NotALevel`], [`LogError::Filter`].
pub fn check_filter(filter: &str) -> Result<(), LogError> {
    for part in filter.split(',').map(str::trim) {
        let is_level = part.parse::<LevelFilter>().is_ok() && !part.is_empty();
        if !is_level && !part.contains(['=', '[']) {
            return Err(LogError::NotALevel {
                word: part.to_owned(),
            });
        }
    }
    env_filter(filter).map(drop)
}

fn env_filter(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(format!("{QUIET},{filter}"))
        .map_err(|source| LogError::Filter {
            filter: filter.to_owned(),
            source,
        })
}

fn subscriber<W>(
    filter: &str,
    format: LogFormat,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt()
        .with_env_filter(env_filter(filter)?)
        .with_writer(writer)
        // Where a line cannot be written (a full disk), saying so at the same place panics.
        .log_internal_errors(false);
    Ok(match format {
        LogFormat::Json => Box::new(
            lines
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .finish(),
        ),
        LogFormat::Text => Box::new(lines.with_ansi(false).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(filter: &str, format: LogFormat, events: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber =
            subscriber(filter, format, move || writer.clone()).expect("a legal filter");
        tracing::subscriber::with_default(subscriber, events);
        String::from_utf8(page.0.lock().unwrap().clone()).expect("text")
    }

    #[test]
    fn a_json_line_has_time_level_target_message_and_fields() {
        let text = written("info", LogFormat::Json, || {
            tracing::warn!(revision = "a1b2", number = 7, "policy taken over");
        });
        let line: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "policy taken over");
        assert_eq!(line["revision"], "a1b2");
        assert_eq!(line["number"], 7);
        assert_eq!(line["target"], "bulkhead_sidecar::telemetry::logs::tests");
        let time = line["timestamp"].as_str().expect("a time");
        assert!(time.len() >= 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T');
    }

    #[test]
    fn a_text_line_is_one_line_without_colours() {
        let text = written("info", LogFormat::Text, || {
            tracing::info!(port = 5432, "listening")
        });
        assert!(text.contains("INFO") && text.contains("listening port=5432"));
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn sqlx_stays_silent_unless_it_is_named() {
        let query = || tracing::error!(target: "sqlx::query", "SELECT secret");
        assert_eq!(written("trace", LogFormat::Json, query), "");
        assert!(written("info,sqlx::query=debug", LogFormat::Json, query).contains("SELECT"));
    }

    #[test]
    fn what_is_below_the_level_is_not_written() {
        let text = written("warn", LogFormat::Json, || tracing::info!("chatter"));
        assert_eq!(text, "");
    }

    #[test]
    fn a_filter_that_cannot_be_read_says_how_to_write_one() {
        let Err(refused) = subscriber("bulkhead=loud", LogFormat::Json, io::sink) else {
            panic!("loud is not a level");
        };
        assert!(refused.to_string().contains("bulkhead=loud"));
        assert!(refused.to_string().contains("error, warn, info"));
    }

    #[test]
    fn a_word_that_is_no_level_silences_nothing_by_mistake() {
        for legal in [
            "info",
            "WARN",
            "off",
            "info,a=debug",
            "a=debug",
            "info,a[b]=trace",
        ] {
            assert!(check_filter(legal).is_ok(), "{legal:?}");
        }
        for wrong in [
            "",
            "loud",
            "info,loud",
            "info,",
            "7even",
            "bulkhead_sidecar",
            "a=loud",
        ] {
            let refused = check_filter(wrong).expect_err(wrong).to_string();
            assert!(refused.contains("error, warn, info"), "{refused}");
        }
    }
}
