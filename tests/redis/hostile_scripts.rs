//! Scripts of one user that reach for what another has, by every command of the server and by whatever else a script can do: the server
//! itself refuses them under `acl: PerUser`.

use bulkhead_tests::redis::{Reply, Server};

use crate::across_users::{everything_of_others, fill_others, open_fixture, shows_nothing};
use crate::examples::{FIXTURE, examples, lines};
use crate::user::Way;

/// What a script may try beside calling a command on another's key. Each is refused, whole.
const SCRIPTS: &str = "
return redis.call('GET','b'..'ob'..string.char(58)..'k')
return redis.call('GET',ARGV[1])
return redis.call('GET',KEYS[1]..'')
return redis.call('MGET','alice:k','bob:k')
local r={'MGET'} for i=1,100 do r[#r+1]='alice:k' end r[#r+1]='bob:k' return redis.call(unpack(r))
redis.setresp(3) return redis.call('HGETALL','bob:h')
redis.setresp(3) return redis.call('SMEMBERS','bob:s')
redis.setresp(3) return redis.call('ZRANGE','bob:z',0,-1,'WITHSCORES')
redis.call('SELECT',1) redis.call('SELECT',0) return redis.call('GET','bob:k')
redis.replicate_commands() return redis.call('GET','bob:k')
redis.set_repl(redis.REPL_NONE) return redis.call('SET','bob:k','x')
return loadstring('return redis.call(\"GET\",\"bob:k\")')()
return redis.call('SORT','alice:names','BY','nosort','GET','*k')
return redis.call('SORT','alice:names','BY','*n')
return redis.call('SORT','alice:names','BY','bob:n*')
return redis.call('SORT','alice:names','BY','bob:h*->f')
return redis.call('SORT','alice:names','BY','nosort','GET','#','GET','bob:k')
return redis.call('SORT','alice:l','ALPHA','STORE','bob:new')
return redis.call('SORT_RO','alice:names','BY','nosort','GET','*k')
return redis.call('GEORADIUS','alice:geo',15,37,200,'km','STORE','bob:new')
return redis.call('GEORADIUSBYMEMBER','alice:geo','Catania',200,'km','STOREDIST','bob:new')
return redis.call('GEOSEARCHSTORE','bob:new','alice:geo','FROMLONLAT',15,37,'BYRADIUS',200,'km')
return redis.call('ZUNIONSTORE','alice:new',2,'alice:z','bob:z')
return redis.call('ZUNIONSTORE','bob:new',1,'alice:z')
return redis.call('BITOP','OR','alice:new','alice:k','bob:k')
return redis.call('PFMERGE','alice:hll','bob:hll')
return redis.call('PFMERGE','bob:hll','alice:hll')
return redis.call('COPY','bob:k','alice:new')
return redis.call('COPY','alice:k','bob:new')
return redis.call('COPY','bob:k','alice:new','DB',1)
return redis.call('RENAME','alice:k','bob:k')
return redis.call('RENAME','bob:k','alice:k')
return redis.call('SMOVE','bob:s','alice:s','b')
return redis.call('LMOVE','bob:l','alice:l','LEFT','LEFT')
return redis.call('RPOPLPUSH','alice:l','bob:l')
return redis.call('XREAD','COUNT',1,'STREAMS','alice:st','bob:st','0','0')
return redis.call('XREADGROUP','GROUP','g','STREAMS','STREAMS','bob:st','>')
return redis.call('OBJECT','ENCODING','bob:k')
return redis.call('MEMORY','USAGE','bob:k')
return redis.call('DUMP','bob:k')
return redis.call('EXISTS','bob:k')
return redis.call('RESTORE','alice:new',0,redis.call('DUMP','alice:k'))
return redis.call('MIGRATE','127.0.0.1',1,'bob:k',0,10)
return redis.call('SCAN',0,'MATCH','bob:*')
return redis.call('KEYS','bob:*')
return redis.call('RANDOMKEY')
return redis.call('DBSIZE')
return redis.call('FLUSHDB')
return redis.call('SWAPDB',0,1)
return redis.call('INFO')
return redis.call('CONFIG','GET','*')
return redis.call('CONFIG','SET','maxmemory','1')
return redis.call('DEBUG','OBJECT','bob:k')
return redis.call('ACL','LIST')
return redis.call('ACL','GETUSER','default')
return redis.call('ACL','SETUSER','alice','allkeys')
return redis.call('ACL','SETUSER','bulkhead:alice:','allkeys')
return redis.call('ACL','LOG')
return redis.call('AUTH','default','')
return redis.call('HELLO',3,'AUTH','default','')
return redis.call('RESET')
return redis.call('CLIENT','LIST')
return redis.call('CLIENT','KILL','TYPE','normal')
return redis.call('CLIENT','NO-EVICT','ON')
return redis.call('MONITOR')
return redis.call('SLOWLOG','GET')
return redis.call('LATENCY','LATEST')
return redis.call('MEMORY','STATS')
return redis.call('COMMANDLOG','GET',1,'slow')
return redis.call('CLUSTER','GETKEYSINSLOT',0,10)
return redis.call('MODULE','LIST')
return redis.call('FUNCTION','LIST')
return redis.call('FUNCTION','LOAD','#!lua name=x')
return redis.call('SCRIPT','FLUSH')
return redis.call('SCRIPT','LOAD','return 1')
return redis.call('EVAL','return 1',0)
return redis.call('SUBSCRIBE','bob:c')
return redis.call('PSUBSCRIBE','*')
return redis.call('PUBSUB','CHANNELS')
return redis.call('PUBLISH','bob:c','x')
return redis.call('SPUBLISH','bob:c','x')
return redis.call('PUBLISH','__keyspace@0__:bob:k','set')
return redis.call('PUBLISH','__keyspace@0__:bob:x__:alice:k','set')
return redis.call('PUBLISH','__keyevent@0__:set','bob:k')
return redis.call('PUBLISH','__keyevent@0__:set','alice:k')
return redis.call('REPLICAOF','127.0.0.1',1)
return redis.call('SHUTDOWN','NOSAVE')
return redis.call('SYNC')
_G.redis.call=nil return 1
redis.call=nil return 1
getmetatable('').__index=function()return'bob'end return 1
string.format=nil return 1
";

/// Runs each as `alice`, over a way that is one of a Redis user of hers.
pub fn no_script_crosses(server: &Server, mut open: impl FnMut() -> Box<dyn Way>) {
    let mut admin = server.connect();
    fill_others(&mut admin);
    let before = everything_of_others(&mut admin);
    let mut alice = open_fixture(&mut open);
    for script in lines(SCRIPTS) {
        let words: [&[u8]; 4] = [b"EVAL", script.as_bytes(), b"0", b"bob:k"];
        let reply = alice.ask(&words).expect("the server answers");
        let text = String::from_utf8_lossy(&reply);
        assert!(text.starts_with('-'), "{script}: {text}");
        shows_nothing(script, &reply);
        let pcall = script.replace("redis.call(", "redis.pcall(");
        let words: [&[u8]; 4] = [b"EVAL", pcall.as_bytes(), b"0", b"bob:k"];
        let reply = alice.ask(&words).expect("the server answers");
        shows_nothing(&pcall, &reply);
        let after = everything_of_others(&mut admin);
        assert_eq!(before, after, "{script} has changed something");
    }
    every_command_in_a_script(server, open);
}

/// Every example of every command, on another's keys and on nobody's, from within a script that declares none.
fn every_command_in_a_script(server: &Server, mut open: impl FnMut() -> Box<dyn Way>) {
    let mut admin = server.connect();
    fill_others(&mut admin);
    let before = everything_of_others(&mut admin);
    let mut alice = open_fixture(&mut open);
    let keys = fixture_keys();
    let mut tried = 0;
    for example in examples() {
        for (owner, foreign) in [("bob:", true), ("", false)] {
            let words = example.words.iter().enumerate().map(|(at, word)| {
                let word = word.replace("{mine}", "alice:").replace("{other}", "bob:");
                let names_key = at > 0 && (keys.contains(&word) || word == "new");
                if names_key {
                    format!("{owner}{word}")
                } else {
                    word
                }
            });
            let words: Vec<String> = words.collect();
            let what = format!("EVAL of {} bob: alice:", words.join(" "));
            let mut eval: Vec<&[u8]> = vec![b"EVAL", b"return redis.call(unpack(ARGV))", b"0"];
            eval.extend(words.iter().map(String::as_bytes));
            let reply = alice.ask(&eval).expect("the server answers");
            shows_nothing(&what, &reply);
            let after = everything_of_others(&mut admin);
            assert_eq!(before, after, "{what} has changed something");
            let names_key = foreign && words.iter().any(|word| word.starts_with("bob:"));
            if names_key && !example.command.facts.keys.is_empty() {
                assert_eq!(reply.first(), Some(&b'-'), "{what}");
                tried += 1;
            }
        }
    }
    assert!(tried > 150, "{tried}");
}

/// The keys of the fixture.
fn fixture_keys() -> Vec<String> {
    lines(FIXTURE)
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let at = if words[0] == "XGROUP" { 2 } else { 1 };
            words[at].to_owned()
        })
        .filter(|word| word != "GROUP")
        .collect()
}

/// What a script of a user's own may do, so that the refusals above are not those of everything.
pub fn scripts_of_ones_own_work(alice: &mut dyn Way) {
    for (script, keys, want) in [
        ("return redis.call('SET',KEYS[1],'v')", 1, "+OK\r\n"),
        ("return redis.call('GET',KEYS[1])", 1, "$1\r\nv\r\n"),
        ("return redis.call('GET','alice:mine')", 0, "$1\r\nv\r\n"),
        ("return redis.call('PUBLISH','alice:c','x')", 0, ":0\r\n"),
        ("return redis.call('DEL',KEYS[1])", 1, ":1\r\n"),
    ] {
        let number = keys.to_string();
        let mut words: Vec<&[u8]> = vec![b"EVAL", script.as_bytes(), number.as_bytes()];
        words.extend((0..keys).map(|_| b"mine".as_slice()));
        let reply = alice.ask(&words).unwrap();
        let reply = String::from_utf8(reply).unwrap();
        assert_eq!(reply, want, "{script}");
    }
    let loaded = alice.ask(&[b"SCRIPT", b"LOAD", b"return KEYS[1]"]).unwrap();
    let sha = Reply::parse(&loaded).unwrap().0.text();
    let ran = alice
        .ask(&[b"EVALSHA", sha.as_bytes(), b"1", b"k"])
        .unwrap();
    assert_eq!(Reply::parse(&ran).unwrap().0.text(), "alice:k");
}
