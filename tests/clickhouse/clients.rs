//! clickhouse-connect, as applications use it, through the sidecar.

use bulkhead_tests::clickhouse::{Engine, Stage, trusted};

fn stage() -> Stage {
    let policy = trusted().database("upstream: {database: null}");
    Stage::before(Engine::shared().port, &policy, &[])
}

#[tokio::test]
async fn clickhouse_connect_reads_through_the_sidecar() {
    let stage = stage();
    let script = "
c = client(autogenerate_session_id=False)
r = c.query('SELECT number, toString(number) FROM numbers(1000)')
print(len(r.result_rows), sum(row[0] for row in r.result_rows))
print(c.command('SELECT 41 + 1'))
print(c.query('SELECT {x:UInt32} + 1', parameters={'x': 1}).result_rows[0][0])
try:
    c.query('SELECT nonsense')
except clickhouse_connect.driver.exceptions.DatabaseError as error:
    print('error', 'UNKNOWN_IDENTIFIER' in str(error))
";
    let said = stage.python("alice", script).await;
    assert_eq!(
        said.well().lines().collect::<Vec<_>>(),
        ["1000 499500", "42", "2", "error True"]
    );
}

#[tokio::test]
async fn clickhouse_connect_is_told_why_it_is_refused() {
    let stage = stage();
    let script = "
try:
    client()
    print('served')
except clickhouse_connect.driver.exceptions.Error as error:
    print('X-Bulkhead-User' in str(error))
";
    let said = stage.python("anonymous", script).await;
    assert_eq!(said.well().trim(), "True");
}
