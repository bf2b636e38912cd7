//! The inventory of a migration: how many connections and queries of each application have named their user, in mode `Audit`.
//!
//! An application's row is resolved once a connection and counted without a look-up: one line of memory for each thread, as
//! [`super::striped`] has it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, LabelPair, Metric, MetricFamily, MetricType};

use super::labels::Attribution;
use super::striped::StripedTable;
use crate::attribution::name;

/// Applications that are told apart, of all protocols together; the rest are counted as [`OTHER_APPLICATIONS`] of their protocol.
pub const MAX_APPLICATIONS: usize = 100;

/// The name under which the rest are counted.
pub const OTHER_APPLICATIONS: &str = "other";

/// The labels, in order.
const LABELS: [&str; 3] = ["application", "attribution", "protocol"];

/// Attributions.
const WAYS: usize = Attribution::ALL.len();

/// One application's counts. The connections' stand before the queries'.
#[derive(Debug, Default)]
pub struct Applicant(StripedTable<{ 2 * WAYS }>);

/// Every application that has come since the start.
#[derive(Clone, Debug)]
pub struct Inventory {
    rows: Arc<Mutex<Rows>>,
    connections: Arc<Desc>,
    queries: Arc<Desc>,
}

type Rows = BTreeMap<(&'static str, String), Arc<Applicant>>;

/// What an application has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The protocol's label.
    pub protocol: &'static str,
    /// The application, as it is shown.
    pub application: String,
    /// Connections, by attribution in the order of [`Attribution::ALL`].
    pub connections: [u64; WAYS],
    /// The same of queries.
    pub queries: [u64; WAYS],
}

impl Applicant {
    /// Counts a connection.
    pub fn connection(&self, as_what: Attribution) {
        self.0.inc(as_what as usize);
    }

    /// Counts a query.
    #[inline]
    pub fn query(&self, as_what: Attribution) {
        self.0.inc(WAYS + as_what as usize);
    }

    /// Connections, and queries.
    fn counts(&self) -> ([u64; WAYS], [u64; WAYS]) {
        let all = self.0.get();
        let (mut connections, mut queries) = ([0; WAYS], [0; WAYS]);
        connections.copy_from_slice(&all[..WAYS]);
        queries.copy_from_slice(&all[WAYS..]);
        (connections, queries)
    }
}

impl Inventory {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let desc = |name: &str, help: &str| {
            let labels = LABELS.map(str::to_owned).to_vec();
            Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new()).map(Arc::new)
        };
        let inventory = Self {
            rows: Arc::default(),
            connections: desc(
                "bulkhead_inventory_connections_total",
                "Client connections in mode Audit, by what is known of whose work they bring.",
            )?,
            queries: desc(
                "bulkhead_inventory_queries_total",
                "Queries in mode Audit, by what is known of whose work they are.",
            )?,
        };
        registry.register(Box::new(inventory.clone()))?;
        Ok(inventory)
    }

    /// The row of the application that calls itself so, in the metrics from now on. Takes a lock: for the beginning of a connection, not
    /// for a query.
    #[must_use]
    pub fn application(&self, protocol: &'static str, application: &str) -> Arc<Applicant> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (protocol, name::label(application));
        if let Some(known) = rows.get(&key) {
            return Arc::clone(known);
        }
        let named = rows.keys().filter(|(_, name)| name != OTHER_APPLICATIONS);
        if named.count() >= MAX_APPLICATIONS {
            OTHER_APPLICATIONS.clone_into(&mut key.1);
        }
        Arc::clone(rows.entry(key).or_default())
    }

    /// What every application has come to, by protocol and name.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let standings = rows.iter().map(|((protocol, application), row)| {
            let (connections, queries) = row.counts();
            Standing {
                protocol,
                application: application.clone(),
                connections,
                queries,
            }
        });
        standings.collect()
    }
}

impl Collector for Inventory {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.connections, &self.queries]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let standings = self.standings();
        let family = |desc: &Desc, of: fn(&Standing) -> &[u64; WAYS]| {
            let metrics = standings.iter().flat_map(|standing| series(standing, of));
            let mut family = MetricFamily::default();
            family.set_name(desc.fq_name.clone());
            family.set_help(desc.help.clone());
            family.set_field_type(MetricType::COUNTER);
            family.set_metric(metrics.collect());
            family
        };
        let families = [
            family(&self.connections, |standing| &standing.connections),
            family(&self.queries, |standing| &standing.queries),
        ];
        // Nothing has come: there is nothing to show, which is not a family without series.
        let shown = families
            .into_iter()
            .filter(|it| !it.get_metric().is_empty());
        shown.collect()
    }
}

/// One application's series of a family: every attribution, at 0 too, so that a rate begins with the first.
fn series(standing: &Standing, of: fn(&Standing) -> &[u64; WAYS]) -> Vec<Metric> {
    let counts = Attribution::ALL.into_iter().zip(of(standing));
    let series = counts.map(|(as_what, count)| {
        let values = [&*standing.application, as_what.as_str(), standing.protocol];
        let labels = LABELS.into_iter().zip(values).map(|(name, value)| {
            let mut label = LabelPair::default();
            label.set_name(name.to_owned());
            label.set_value(value.to_owned());
            label
        });
        let mut counter = Counter::default();
        counter.set_value(*count as f64);
        let mut metric = Metric::default();
        metric.set_label(labels.collect());
        metric.set_counter(counter);
        metric
    });
    series.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        Inventory::register(&Registry::new()).expect("names are legal")
    }

    #[test]
    fn applications_beyond_the_cap_are_counted_together() {
        let inventory = inventory();
        for number in 0..MAX_APPLICATIONS + 50 {
            // A number alone would be taken for an id.
            let name = format!("app{}", "x".repeat(number % 50) + &"y".repeat(number / 50));
            inventory
                .application("redis", &name)
                .query(Attribution::Claimed);
        }
        inventory
            .application("postgresql", "late")
            .query(Attribution::Verified);

        let standings = inventory.standings();
        assert_eq!(standings.len(), MAX_APPLICATIONS + 2);
        let other = |protocol| {
            let mut all = standings.iter();
            let found = all.find(|it| it.protocol == protocol && it.application == "other");
            found.expect("the rest").queries
        };
        assert_eq!(other("redis"), [0, 50, 0, 0]);
        assert_eq!(other("postgresql"), [1, 0, 0, 0]);
    }

    #[test]
    fn a_row_counts_connections_and_queries_apart() {
        let inventory = inventory();
        let row = inventory.application("postgresql", "web");
        row.connection(Attribution::Unattributed);
        row.query(Attribution::Claimed);
        row.query(Attribution::Claimed);
        row.query(Attribution::Placeholder);
        let again = inventory.application("postgresql", "web");
        again.query(Attribution::Verified);
        let expected = Standing {
            protocol: "postgresql",
            application: "web".to_owned(),
            connections: [0, 0, 0, 1],
            queries: [1, 2, 1, 0],
        };
        assert_eq!(inventory.standings(), [expected]);
        let families = inventory.collect();
        let series: usize = families.iter().map(|it| it.get_metric().len()).sum();
        assert_eq!(series, 2 * WAYS, "every attribution, at 0 too");
    }

    #[test]
    fn a_hostile_name_is_a_short_label() {
        let inventory = inventory();
        let _ = inventory.application("postgresql", &format!("a\u{1b}[2J{}", "é".repeat(100)));
        let name = &inventory.standings()[0].application;
        assert!(name.starts_with("a?[2Jé") && name.len() <= 63, "{name}");
    }
}
