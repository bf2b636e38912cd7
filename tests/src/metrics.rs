//! The metrics of one moment, as they were served.

use std::collections::BTreeMap;

/// An exposition in Prometheus' text format.
#[derive(Clone, Debug)]
pub struct Metrics {
    text: String,
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads an exposition.
    ///
    /// # Panics
    /// When a line is not of the format.
    #[must_use]
    pub fn read(text: String) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| sample(line).unwrap_or_else(|| panic!("not a sample: {line}")))
            .collect();
        Self { text, samples }
    }

    /// The exposition itself.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The sum of the samples called `name` that have all of `labels`; 0 where there are none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// Whether a metric family `name` is served.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.text.lines().any(|line| {
            line.strip_prefix("# TYPE ")
                .is_some_and(|rest| rest.split(' ').next() == Some(name))
        })
    }

    /// Every label value in use.
    pub fn label_values(&self) -> impl Iterator<Item = &str> {
        self.samples
            .iter()
            .flat_map(|sample| sample.labels.values().map(String::as_str))
    }

    fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|is| is == value))
        })
    }
}

/// `name{key="value",…} number`; no label value of ours has a quotation mark in it.
fn sample(line: &str) -> Option<Sample> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, labels) = match head.split_once('{') {
        None => (head, ""),
        Some((name, rest)) => (name, rest.strip_suffix('}')?),
    };
    let mut pairs = BTreeMap::new();
    let mut rest = labels.trim_end_matches(',');
    while !rest.is_empty() {
        let (key, after) = rest.split_once("=\"")?;
        let (value, after) = after.split_once('"')?;
        pairs.insert(key.to_owned(), value.to_owned());
        rest = after.trim_start_matches(',');
    }
    Some(Sample {
        name: name.to_owned(),
        labels: pairs,
        value: value.parse().ok()?,
    })
}
