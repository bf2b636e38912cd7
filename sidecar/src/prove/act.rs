//! Steps and probes, carried out on the wire.

use super::answer::{Answer, Failure, ServerError};
use super::cell::Plan;
use super::client::{Client, while_cancelling};
use super::kind::{Probe, Step};
use super::message::{bind, copy_data, flush, parse, query, run, sync};
use super::scenario::Protocol;
use crate::upstream::CancelTarget;

impl Plan<'_> {
    /// One step; the server's error where it refuses.
    pub(super) async fn step(
        &self,
        a: &mut Client,
        step: &Step,
    ) -> Result<Option<String>, Failure> {
        let text = |sql: &str| self.names.fill(sql);
        let refused = |answer: Answer| {
            let told = |error: ServerError| format!("{} {}", error.code, error.message);
            answer.error.map(told)
        };
        match *step {
            Step::Run(sql) => Ok(refused(a.ask(self.protocol, &text(sql)).await?)),
            Step::Simple(sql) => Ok(refused(a.ask(Protocol::Simple, &text(sql)).await?)),
            Step::Parse(name, sql) => {
                a.send(&[parse(&text(name), &text(sql))?, sync()].concat())
                    .await?;
                Ok(refused(a.until_ready().await?))
            }
            Step::Portal(name, sql) => {
                let batch = [parse("", &text(sql))?, bind(&text(name), "")?, sync()];
                a.send(&batch.concat()).await?;
                Ok(refused(a.until_ready().await?))
            }
            Step::Suspend(sql) => {
                let batch = [parse("", &text(sql))?, bind("", "")?, run("", 1)?, flush()];
                a.send(&batch.concat()).await?;
                a.until(b"s").await.map(|()| None)
            }
            Step::Unsynced(sql) => {
                let batch = [parse("", &text(sql))?, bind("", "")?, run("", 0)?, flush()];
                a.send(&batch.concat()).await?;
                a.until(b"C").await.map(|()| None)
            }
            Step::FailedUnsynced(sql) => {
                let batch = [parse("", &text(sql))?, bind("", "")?, run("", 0)?, flush()];
                a.send(&batch.concat()).await?;
                match a.until(b"C").await {
                    Err(Failure::Told(_)) => Ok(None),
                    other => other.map(|()| Some("it does not fail".to_owned())),
                }
            }
            Step::CopyIn(sql) => {
                a.send(&query(&text(sql))?).await?;
                a.until(b"G").await?;
                a.send(&copy_data("of A\n")).await?;
                Ok(None)
            }
            Step::CopyOut(sql) => {
                a.send(&query(&text(sql))?).await?;
                a.until(b"H").await?;
                Ok(None)
            }
            Step::Unread(sql) => {
                a.send(&query(&text(sql))?).await?;
                Ok(None)
            }
            Step::Half(sql) => {
                let whole = query(&text(sql))?;
                a.send(&whole[..whole.len() / 2]).await?;
                Ok(None)
            }
        }
    }

    /// What the probe sees on `client`.
    ///
    /// # Errors
    /// See [`Failure`]; that there is no room is one, whether it is told at the login or by an answer.
    pub async fn probe(
        &self,
        client: &mut Client,
        key: Option<&CancelTarget>,
    ) -> Result<String, Failure> {
        let answer = match self.kind.probe {
            Probe::Sql(sql) => client.ask(self.protocol, &self.names.fill(sql)).await?,
            Probe::Statement(name) => {
                let name = self.names.fill(name);
                let batch = [bind("", &name)?, run("", 0)?, sync()];
                client.send(&batch.concat()).await?;
                client.until_ready().await?
            }
            Probe::Portal(name) => {
                let batch = [run(&self.names.fill(name), 0)?, sync()];
                client.send(&batch.concat()).await?;
                client.until_ready().await?
            }
            Probe::Notification(channel) => {
                let sql = format!("NOTIFY {}", self.names.fill(channel));
                let answer = room(client.ask(self.protocol, &sql).await?)?;
                return Ok(if answer.notified {
                    "delivered"
                } else {
                    "nothing"
                }
                .to_owned());
            }
            Probe::Answer(sql) => {
                let answer = room(client.ask(self.protocol, sql).await?)?;
                return Ok(format!(
                    "{}, messages {}, status {}",
                    answer.says(),
                    answer.tags,
                    answer.status
                ));
            }
            Probe::CancelKey => {
                let Some(target) = key else {
                    return Ok("finished".to_owned());
                };
                let (connector, patience) = client.way();
                let asked = client.ask(self.protocol, "SELECT pg_sleep(0.2)");
                let answer = while_cancelling(&connector, target, patience, asked).await?;
                let answer = room(answer)?;
                return Ok(if answer.error.is_some() {
                    "cancelled"
                } else {
                    "finished"
                }
                .to_owned());
            }
        };
        Ok(room(answer)?.says())
    }
}

/// An answer that says that the pool is full is a failure.
fn room(answer: Answer) -> Result<Answer, Failure> {
    match answer.error {
        Some(error) if error.code == "53300" => Err(Failure::Told(error)),
        _ => Ok(answer),
    }
}
