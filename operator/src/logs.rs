//! The log: one line an event, JSON for machines and text for terminals, on standard error.

use std::io;

use clap::ValueEnum;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError};

/// What holds unless the filter says otherwise: sqlx writes query text, and kube each failed attempt of a watch, which we tell of
/// ourselves.
const QUIET: &str = "sqlx::query=off,kube_client=off";

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
        "log level {filter:?}: {source}; write error, warn, info, debug, trace or a list such as info,bulkhead_operator=debug"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A word that is no level. The filter's own grammar would take it for a target, and log nothing else.
    #[error(
        "{0:?} is no log level; write error, warn, info, debug, trace or a list such as info,bulkhead_operator=debug"
    )]
    NotALevel(String),
    /// Somebody else has started it.
    #[error("logging is already started: {0}")]
    Started(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sends the events of this process to standard error from now on.
///
/// # Errors
/// [`LogError`] for a filter that cannot be read, and when called twice.
pub fn start(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(env_filter(filter)?)
        .with_writer(io::stderr)
        // Where a line cannot be written (a full disk), saying so at the same place panics.
        .log_internal_errors(false);
    match format {
        LogFormat::Json => tracing::subscriber::set_global_default(
            lines
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .finish(),
        )?,
        LogFormat::Text => {
            tracing::subscriber::set_global_default(lines.with_ansi(false).finish())?;
        }
    }
    Ok(())
}

fn env_filter(filter: &str) -> Result<EnvFilter, LogError> {
    for part in filter.split(',').map(str::trim) {
        let is_level = part.parse::<LevelFilter>().is_ok() && !part.is_empty();
        if !is_level && !part.contains(['=', '[']) {
            return Err(LogError::NotALevel(part.to_owned()));
        }
    }
    EnvFilter::builder()
        .parse(format!("{QUIET},{filter}"))
        .map_err(|source| LogError::Filter {
            filter: filter.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_silences_nothing_by_mistake() {
        for legal in ["info", "WARN", "off", "info,a=debug", "a=debug"] {
            assert!(env_filter(legal).is_ok(), "{legal:?}");
        }
        for wrong in ["", "loud", "info,loud", "bulkhead_operator", "a=loud"] {
            let refused = env_filter(wrong).expect_err(wrong).to_string();
            assert!(refused.contains("error, warn, info"), "{refused}");
        }
    }
}
