//! redis-rs, as an application uses it: one connection, and one that many tasks share.

use std::collections::HashMap;

use bulkhead_tests::policy::Policy;
use redis::{
    AsyncCommands as _, Client, Commands as _, Connection, IntoConnectionInfo as _, Script,
};

use super::clients::policies;
use super::stage::Stage;

fn client(stage: &Stage, protocol: &str) -> Client {
    let url = format!(
        "redis://default%2Balice:anything@127.0.0.1:{}/?protocol={protocol}",
        stage.sidecar.port()
    );
    Client::open(url.into_connection_info().unwrap()).unwrap()
}

fn commands(it: &mut Connection) {
    let _: () = it.set("k", "v").unwrap();
    assert_eq!(it.get::<_, String>("k").unwrap(), "v");
    let _: () = it.hset_multiple("h", &[("a", "1"), ("b", "2")]).unwrap();
    let all: HashMap<String, u8> = it.hgetall("h").unwrap();
    assert_eq!((all["a"], all["b"]), (1, 2));
    let _: () = it.del("n").unwrap();
    let mut many = redis::pipe();
    for _ in 0..1000 {
        many.incr("n", 1);
    }
    let counted: Vec<u64> = many.query(it).unwrap();
    assert_eq!(counted.last(), Some(&1000));
    let (set, got): (String, u64) = redis::transaction(it, &["n"], |it, pipe| {
        let now: u64 = it.get("n")?;
        pipe.set("n", now * 2).get("n").query(it)
    })
    .unwrap();
    assert_eq!((set.as_str(), got), ("OK", 2000));
    let wrong = it.lpush::<_, _, u64>("k", "x").unwrap_err();
    assert_eq!(wrong.code(), Some("WRONGTYPE"));
}

fn subscriptions(stage: &Stage, protocol: &str, it: &mut Connection) {
    let mut listens = client(stage, protocol).get_connection().unwrap();
    let mut heard = listens.as_pubsub();
    heard.subscribe("news").unwrap();
    assert_eq!(it.publish::<_, _, u64>("news", "hello").unwrap(), 1);
    let message = heard.get_message().unwrap();
    assert_eq!(message.get_channel_name(), "news");
    assert_eq!(message.get_payload::<String>().unwrap(), "hello");
}

fn scripts(it: &mut Connection) {
    let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    let _: () = it.del("counted").unwrap();
    for round in 1..=3 {
        let counted: u64 = script.key("counted").arg(2).invoke(it).unwrap();
        assert_eq!(counted, round * 2);
    }
}

#[test]
fn redis_rs_works() {
    for (policy, runs_scripts) in policies() {
        let stage = Stage::for_clients(&policy);
        for protocol in ["resp2", "resp3"] {
            let mut it = client(&stage, protocol).get_connection().unwrap();
            commands(&mut it);
            subscriptions(&stage, protocol, &mut it);
            if runs_scripts {
                scripts(&mut it);
            }
        }
    }
}

#[tokio::test]
async fn one_connection_of_redis_rs_serves_many_tasks() {
    let stage = Stage::start(&Policy::trusted().redis(""));
    let shared = client(&stage, "resp3");
    let shared = shared.get_multiplexed_async_connection().await.unwrap();
    let tasks = (0..50).map(|task| {
        let mut it = shared.clone();
        tokio::spawn(async move {
            for round in 0..50 {
                let key = format!("k{task}");
                let _: () = it.set(&key, round).await.unwrap();
                assert_eq!(it.get::<_, u64>(&key).await.unwrap(), round);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}
