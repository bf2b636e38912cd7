//! What can be shown: each view with its columns, their types and what they mean. `docs/console.md` says the same, and a test
//! holds it to that.

mod tables;

use crate::protocol::postgres::message::Type;

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `text`.
    Text,
    /// `int8`: a count.
    Int8,
    /// `float8`: seconds.
    Float8,
    /// `bool`.
    Bool,
}

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it says.
    pub meaning: &'static str,
}

/// What `SHOW` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The commands.
    Help,
    /// The entries, added up.
    Stats,
    /// Who is connected.
    Users,
    /// The connection factories.
    Factories,
    /// The connections to upstreams.
    Servers,
    /// Who is connected, connection by connection.
    Clients,
    /// The policy's timeouts, and how often each has fired.
    Timeouts,
    /// What is under way, and what the application's runs have come to.
    Executions,
    /// The policy in force.
    Policy,
    /// Which applications name their users.
    Inventory,
    /// Who is cut off.
    Revocations,
    /// The breakers.
    Breakers,
}

impl Kind {
    /// Its name in PostgreSQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int8 => "int8",
            Self::Float8 => "float8",
            Self::Bool => "bool",
        }
    }

    /// Its type on the wire.
    #[must_use]
    pub const fn wire(self) -> Type {
        match self {
            Self::Text => Type::TEXT,
            Self::Int8 => Type::INT8,
            Self::Float8 => Type::FLOAT8,
            Self::Bool => Type::BOOL,
        }
    }
}

impl View {
    /// Every view, in the order in which they are told.
    pub const ALL: [Self; 12] = [
        Self::Help,
        Self::Stats,
        Self::Users,
        Self::Factories,
        Self::Servers,
        Self::Clients,
        Self::Timeouts,
        Self::Executions,
        Self::Policy,
        Self::Inventory,
        Self::Revocations,
        Self::Breakers,
    ];

    /// Its name behind `SHOW`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Help => "HELP",
            Self::Stats => "STATS",
            Self::Users => "USERS",
            Self::Factories => "FACTORIES",
            Self::Servers => "SERVERS",
            Self::Clients => "CLIENTS",
            Self::Timeouts => "TIMEOUTS",
            Self::Executions => "EXECUTIONS",
            Self::Policy => "POLICY",
            Self::Inventory => "INVENTORY",
            Self::Revocations => "REVOCATIONS",
            Self::Breakers => "BREAKERS",
        }
    }

    /// What it shows.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Help => "the commands",
            Self::Stats => {
                "each entry of the policy: its clients, its server connections, and its work since the start"
            }
            Self::Users => {
                "each user who is connected or has a factory, the busiest first: one row for all that they have, over every protocol"
            }
            Self::Factories => "each connection factory, the busiest first",
            Self::Servers => "each connection to an upstream, those in use first",
            Self::Clients => "each client that is connected, those that wait first",
            Self::Timeouts => "each timeout of the policy, and how often it has fired",
            Self::Executions => {
                "what is under way, the oldest first; then the application's last runs that were not completed, the newest first"
            }
            Self::Policy => "each field of the policy in force, with where its value comes from",
            Self::Inventory => {
                "in mode `Audit`, each application with what its connections and queries say of their users, those first that say least"
            }
            Self::Revocations => "the users who are cut off, by the revocations in force",
            Self::Breakers => {
                "the upstreams' breakers, and those of users whose own work is in trouble"
            }
        }
    }

    /// By what rows are chosen where there are more than are shown.
    #[must_use]
    pub const fn chosen_by(self) -> &'static str {
        match self {
            Self::Users | Self::Factories => "those with most transactions",
            Self::Servers => "those in use before idle ones",
            Self::Clients => "those that wait or work before idle ones",
            Self::Executions => "the oldest that are under way, then the last to end",
            _ => "the first ones",
        }
    }

    /// Its columns, in their order.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Help => tables::HELP,
            Self::Stats => tables::STATS,
            Self::Users => tables::USERS,
            Self::Factories => tables::FACTORIES,
            Self::Servers => tables::SERVERS,
            Self::Clients => tables::CLIENTS,
            Self::Timeouts => tables::TIMEOUTS,
            Self::Executions => tables::EXECUTIONS,
            Self::Policy => tables::POLICY,
            Self::Inventory => tables::INVENTORY,
            Self::Revocations => tables::REVOCATIONS,
            Self::Breakers => tables::BREAKERS,
        }
    }
}

/// What changes something: what to type, and what it does.
pub const ACTIONS: [(&str, &str); 4] = [
    (
        "PAUSE [UPSTREAM]",
        "lets no transaction begin, and answers when all server connections are at rest",
    ),
    ("RESUME [UPSTREAM]", "ends a pause"),
    (
        "RECONNECT [UPSTREAM]",
        "closes every server connection made before now, at once or when it is given back",
    ),
    (
        "KILL USER 'ID' [ON UPSTREAM]",
        "ends all connections of a user, and what they run",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/console.md");

    #[test]
    fn the_page_has_each_view_with_each_of_its_columns_and_no_other() {
        for view in View::ALL {
            let heading = format!("### SHOW {}\n", view.name());
            let (_, section) = PAGE
                .split_once(&heading)
                .unwrap_or_else(|| panic!("{heading} is not in docs/console.md"));
            let section = section.split("\n#").next().unwrap();
            let told: Vec<&str> = section
                .lines()
                .filter(|line| line.starts_with("| `"))
                .collect();
            let columns = view.columns().iter();
            let meant: Vec<String> = columns
                .map(|of| format!("| `{}` | {} | {} |", of.name, of.kind.name(), of.meaning))
                .collect();
            assert_eq!(
                told,
                meant,
                "{heading}, as it should be:\n{}",
                meant.join("\n")
            );
            assert!(
                section.contains(view.about()),
                "{heading}: {}",
                view.about()
            );
        }
        for (action, meaning) in ACTIONS {
            let line = format!("| `{action}` | {meaning} |");
            assert!(PAGE.contains(&line), "no {line}");
        }
        let headings = PAGE.lines().filter(|line| line.starts_with("### SHOW "));
        assert_eq!(headings.count(), View::ALL.len());
    }
}
