//! The rows of the views, a view a file. What lives on the workers is gathered there, by message: each worker looks at its own
//! memory and goes on, and who reads slowly holds up nobody.

mod breakers;
mod clients;
mod executions;
mod factories;
mod help;
mod inventory;
mod policy;
mod revocations;
mod servers;
mod stats;
mod timeouts;
mod users;

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::columns::View;
use super::rows::{Cell, MOST_ROWS, Rows};
use super::{Console, ConsoleError};
use crate::factory::key::Owner;
use crate::worker::Worker;
use crate::worker::mailbox::Letter;

/// How long one worker may take to look at what it has.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Adds what one worker has.
pub type Gather = fn(&Worker, &mut Rows);

/// A look at one worker's memory.
#[derive(Debug)]
pub struct Look {
    gather: Gather,
    rows: Rows,
    reply: oneshot::Sender<Rows>,
}

impl Look {
    /// Looks, and answers. Who has asked may have gone meanwhile.
    pub fn answer(self, worker: &Worker) {
        let mut rows = self.rows;
        (self.gather)(worker, &mut rows);
        drop(self.reply.send(rows));
    }
}

/// The rows of a view.
pub(super) async fn rows(console: &Console, view: View) -> Result<Rows, ConsoleError> {
    let mut rows = Rows::new(MOST_ROWS);
    match view {
        View::Help => help::rows(&mut rows),
        View::Stats => stats::rows(console, &mut rows),
        View::Users => return gather(console, rows, users::gather).await,
        View::Factories => return gather(console, rows, factories::gather).await,
        View::Servers => return gather(console, rows, servers::gather).await,
        View::Clients => return gather(console, rows, clients::gather).await,
        View::Timeouts => timeouts::rows(console, &mut rows),
        View::Executions => {
            rows = gather(console, rows, executions::gather).await?;
            executions::add_unfinished(console, &mut rows);
        }
        View::Policy => policy::rows(console, &mut rows),
        View::Inventory => inventory::rows(console, &mut rows),
        View::Revocations => revocations::rows(console, &mut rows),
        View::Breakers => return gather(console, rows, breakers::gather).await,
    }
    Ok(rows)
}

/// Asks one worker after the other. Rows that are not shown are left where they are.
pub(super) async fn gather(
    console: &Console,
    mut rows: Rows,
    gather: Gather,
) -> Result<Rows, ConsoleError> {
    for worker in 0..console.process.workers() {
        let (reply, answer) = oneshot::channel();
        let look = Look {
            gather,
            rows,
            reply,
        };
        console.process.send(worker, Letter::Look(Box::new(look)));
        rows = match timeout(PATIENCE, answer).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(_)) => return Err(ConsoleError::Ending),
            Err(_) => return Err(ConsoleError::Silent { worker }),
        };
    }
    Ok(rows)
}

/// The user of an owner, and what kind of owner it is.
fn owner_cells(owner: &Owner) -> [Cell; 2] {
    match owner {
        Owner::User(user) => [user.as_str().into(), "user".into()],
        nobody => [Cell::Null, nobody.label().into()],
    }
}
