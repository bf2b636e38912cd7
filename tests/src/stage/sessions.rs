//! What the application's sessions do on the stage's server, as the superuser sees it past the sidecar.

use tokio_postgres::NoTls;

use super::Stage;
use crate::refusal::Refusal;
use crate::session::Session;
use crate::wait;

impl Stage {
    /// Waits until a server session of the application satisfies `condition`, an expression over `pg_stat_activity`.
    pub async fn until_server(&self, admin: &Session, condition: &str) {
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND usename <> 'postgres' AND ({condition})"
        );
        wait::until(condition, || async {
            admin.text(&query).await.as_deref() != Some("0")
        })
        .await;
    }

    /// Waits until a server session of the application can write nothing more, because nobody reads what it has written. A
    /// session that writes much waits for a moment now and then: only one that is seen waiting many times in a row is stuck.
    pub async fn until_stuck_in_write(&self, admin: &Session) {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND usename <> 'postgres' AND wait_event = 'ClientWrite'";
        let seen = std::cell::Cell::new(0);
        wait::until("a server session that can write nothing more", || async {
            let waits = admin.text(query).await.as_deref() != Some("0");
            seen.set(if waits { seen.get() + 1 } else { 0 });
            seen.get() >= 30
        })
        .await;
    }

    /// How many server sessions the application's roles have in this stage's database.
    ///
    /// # Panics
    /// When the server cannot be asked.
    pub async fn server_sessions(&self, admin: &Session) -> u32 {
        let count = admin
            .text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND usename <> 'postgres'",
            )
            .await;
        count.unwrap().parse().unwrap()
    }

    /// Waits until the application has no server session in this stage's database any more.
    pub async fn until_no_server_session(&self, admin: &Session) {
        wait::until("the server connections' end", || async {
            self.server_sessions(admin).await == 0
        })
        .await;
    }

    /// Waits until a server session of the application runs a `SELECT pg_sleep(…)`.
    pub async fn until_asleep(&self, admin: &Session) {
        let asleep = "state = 'active' AND query LIKE 'SELECT pg_sleep%'";
        self.until_server(admin, asleep).await;
    }

    /// Ends the server process `pid`, and waits until the application has no server session left.
    pub async fn terminate_the_only_server(&self, admin: &Session, pid: i32) {
        admin.terminate(pid).await;
        self.until_no_server_session(admin).await;
    }

    /// What `client` is told of its long sleep when it cancels that itself.
    ///
    /// # Panics
    /// When the sleep comes to its own end.
    pub async fn cancelled_asleep(&self, admin: &Session, client: &Session) -> Refusal {
        let token = client.cancel_token();
        let cancel = async {
            self.until_asleep(admin).await;
            token.cancel_query(NoTls).await.unwrap();
        };
        let (ended, ()) = tokio::join!(client.simple_query("SELECT pg_sleep(20)"), cancel);
        ended.unwrap_err().into()
    }
}
