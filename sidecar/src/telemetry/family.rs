//! A family of striped cells: gives each set of label values its cell, and hands all of them to the registry.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{LabelPair, MetricFamily};

use super::striped::Cell;

/// One metric name and its cells, by label values.
#[derive(Debug)]
pub(super) struct Family<C> {
    desc: Arc<Desc>,
    cells: Arc<Mutex<Cells<C>>>,
}

type Cells<C> = BTreeMap<Vec<String>, Arc<C>>;

impl<C> Clone for Family<C> {
    fn clone(&self) -> Self {
        Self {
            desc: Arc::clone(&self.desc),
            cells: Arc::clone(&self.cells),
        }
    }
}

impl<C: Cell + 'static> Family<C> {
    pub(super) fn register(
        registry: &Registry,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<Self> {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        let family = Self {
            desc: Arc::new(desc),
            cells: Arc::default(),
        };
        registry.register(Box::new(family.clone()))?;
        Ok(family)
    }

    /// The cell of these label values, in the order of the labels; made by `new` when there is none.
    pub(super) fn cell(&self, values: &[&str], new: impl FnOnce() -> C) -> Arc<C> {
        let key = values.iter().map(|value| (*value).to_owned()).collect();
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cells.entry(key).or_insert_with(|| Arc::new(new())))
    }
}

impl<C: Cell + 'static> Collector for Family<C> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = cells.iter().map(|(values, cell)| {
            let mut metric = cell.metric();
            metric.set_label(pairs(&self.desc.variable_labels, values));
            metric
        });
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(C::TYPE);
        family.set_metric(metrics.collect());
        vec![family]
    }
}

/// Sorted by name, as the exposition of every other family is.
fn pairs(names: &[String], values: &[String]) -> Vec<LabelPair> {
    let mut pairs: Vec<LabelPair> = names
        .iter()
        .zip(values)
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value.clone());
            pair
        })
        .collect();
    pairs.sort_by(|a, b| a.name().cmp(b.name()));
    pairs
}
