//! The console: what psql and drivers are told of a sidecar at work, and who may ask.

#[path = "console/acts.rs"]
mod acts;
#[path = "console/shows.rs"]
mod shows;
#[path = "console/token.rs"]
mod token;

use std::path::Path;

use bulkhead_tests::postgres::APP_ROLE;
use bulkhead_tests::programs;
use bulkhead_tests::session::{Session, connect};
use bulkhead_tests::stage::Stage;
use bulkhead_tests::tools::{Said, run};

/// A client of the stage's console.
async fn console(stage: &Stage) -> Session {
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(stage.sidecar.home())
        .port(5432)
        .user("anybody")
        .dbname("bulkhead");
    connect(&config).await.expect("the console answers")
}

/// What psql says that is given the console's folder as its host.
async fn psql(folder: &Path, arguments: &[&str]) -> Said {
    let mut command = tokio::process::Command::new(programs::postgresql("psql"));
    command
        .env_clear()
        .env("PGUSER", APP_ROLE)
        .env("PGDATABASE", "bulkhead")
        .arg("-h")
        .arg(folder)
        .args(["-X", "-A"])
        .args(arguments);
    run(command, "").await
}

/// The one row whose first column is `first`, by its columns' names.
async fn row_of(console: &Session, view: &str, first: &str) -> Row {
    let rows = table(console, view).await;
    let mut found = rows.into_iter().filter(|row| row.first() == first);
    let row = found
        .next()
        .unwrap_or_else(|| panic!("no {first} in {view}"));
    assert!(found.next().is_none(), "{first} is twice in {view}");
    row
}

/// A row of the console's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row(Vec<(String, Option<String>)>);

impl Row {
    fn first(&self) -> &str {
        self.0[0].1.as_deref().unwrap_or_default()
    }

    /// A value; empty where it is null.
    fn get(&self, column: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| name == column);
        let (_, value) = found.unwrap_or_else(|| panic!("no {column} in {self:?}"));
        value.as_deref().unwrap_or_default()
    }

    fn number(&self, column: &str) -> f64 {
        let text = self.get(column);
        text.parse()
            .unwrap_or_else(|_| panic!("{column} is {text:?} in {self:?}"))
    }

    fn is(&self, column: &str, number: u32) -> bool {
        (self.number(column) - f64::from(number)).abs() < 0.5
    }
}

/// The rows of a view.
async fn table(console: &Session, view: &str) -> Vec<Row> {
    use tokio_postgres::SimpleQueryMessage as M;
    let messages = console.simple_query(&format!("SHOW {view}")).await.unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        M::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| {
        let columns = row.columns().iter().enumerate();
        Row(columns
            .map(|(at, column)| (column.name().to_owned(), row.get(at).map(str::to_owned)))
            .collect())
    })
    .collect()
}
