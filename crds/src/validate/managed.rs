//! Databases that a provider runs: they sleep, fail over and sit behind gateways, and take their time to accept a connection.

use std::time::Duration;

use super::rule::{Complaints, complain, database};
use crate::effective::EffectivePolicy;
use crate::names;

/// A managed database needs this long at the least.
const PATIENCE: Duration = Duration::from_secs(10);

/// The domains under which providers name their customers' databases.
const PROVIDERS: [(&str, &str); 24] = [
    ("rds.amazonaws.com", "Amazon RDS"),
    ("rds.amazonaws.com.cn", "Amazon RDS"),
    ("redshift.amazonaws.com", "Amazon Redshift"),
    ("redshift-serverless.amazonaws.com", "Amazon Redshift"),
    ("cache.amazonaws.com", "Amazon ElastiCache"),
    ("dsql.amazonaws.com", "Amazon Aurora DSQL"),
    ("database.azure.com", "Azure Database"),
    ("database.windows.net", "Azure"),
    ("redis.cache.windows.net", "Azure Cache"),
    ("sql.goog", "Google Cloud SQL"),
    ("alloydb.goog", "Google AlloyDB"),
    ("neon.tech", "Neon"),
    ("supabase.co", "Supabase"),
    ("supabase.com", "Supabase"),
    ("aivencloud.com", "Aiven"),
    ("cockroachlabs.cloud", "CockroachDB Cloud"),
    ("db.ondigitalocean.com", "DigitalOcean"),
    ("psdb.cloud", "PlanetScale"),
    ("postgresbridge.com", "Crunchy Bridge"),
    ("timescale.com", "Timescale"),
    ("render.com", "Render"),
    ("upstash.io", "Upstash"),
    ("redis-cloud.com", "Redis Cloud"),
    ("clickhouse.cloud", "ClickHouse Cloud"),
];

pub(super) fn connect(policy: &EffectivePolicy) -> Complaints {
    let mut complaints = Vec::new();
    for one in &policy.databases {
        let Some(provider) = one.upstream.hosts().find_map(|it| provider(&it.host)) else {
            continue;
        };
        if one.timeouts.connect < PATIENCE {
            complaints.push(complain(
                database(&one.name, "timeouts.connect"),
                format!(
                    "{} is short for {provider}, which wakes up and fails over behind that name: write 10s or more",
                    names::Duration::from(one.timeouts.connect)
                ),
            ));
        }
    }
    complaints
}

fn provider(host: &str) -> Option<&'static str> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    PROVIDERS
        .iter()
        .find(|(domain, _)| {
            host.strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.'))
        })
        .map(|(_, provider)| *provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_known_by_its_domain_and_not_by_a_part_of_a_word() {
        assert_eq!(
            provider("chat.abc.eu-west-1.rds.amazonaws.com"),
            Some("Amazon RDS")
        );
        assert_eq!(
            provider("ep-cool.eu-central-1.aws.NEON.tech."),
            Some("Neon")
        );
        assert_eq!(provider("notneon.tech"), None);
        assert_eq!(provider("neon.tech"), None);
        assert_eq!(provider("db.internal"), None);
    }
}
