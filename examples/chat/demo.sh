#!/usr/bin/env bash
# The demo: a real PostgreSQL, the sidecar in front of it with policy.yaml, and every promise shown with psql and checked.
# Exit code 0 only when each step held. Everything lives in one temporary folder, and every process ends with this script.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
. "$here/stage.sh"

cd "$root"
sidecar="${BULKHEAD_SIDECAR:-}"
chat="${BULKHEAD_EXAMPLE_CHAT:-}"
if [ -z "$sidecar" ] || [ -z "$chat" ]; then
    title 'Building'
    cargo build --locked --package bulkhead-sidecar --package bulkhead-example-chat --bins
    sidecar="${CARGO_TARGET_DIR:-$root/target}/debug/bulkhead-sidecar"
    chat="${CARGO_TARGET_DIR:-$root/target}/debug/bulkhead-example-chat"
fi

title 'Starting a PostgreSQL, a Redis and a ClickHouse of its own, and the sidecar in front of them'
start_postgres
start_redis
start_clickhouse
say "PostgreSQL $(as_admin 'SHOW server_version') on port $postgres_port, with a password that only the sidecar has"
start_sidecar staging
say "bulkhead-sidecar on port $sidecar_port: examples/chat/policy.yaml for environment staging, ports replaced"
say "connection string: postgresql://chat+alice@127.0.0.1:$sidecar_port/chat"
metrics >"$work/metrics.before"

title '1. Two users: temporary tables, settings and prepared statements never meet'
connect alice
connect bob
ask alice "CREATE TEMP TABLE draft AS SELECT 'for my lawyer only' AS line"
ask alice "SET app.theme = 'dark'"
ask alice "PREPARE note AS SELECT 'the answer is 42'"
ask bob 'SELECT line FROM draft'
expect_state 42P01
ask bob "SELECT coalesce(current_setting('app.theme', true), '(not set)')"
expect_answer '(not set)'
ask bob 'EXECUTE note'
expect_state 26000
ask alice 'SELECT line FROM draft'
expect_answer 'for my lawyer only'
ask alice 'SHOW app.theme'
expect_answer dark
ask alice 'EXECUTE note'
expect_answer 'the answer is 42'
ask alice 'SELECT pg_backend_pid()'
alices_server="$answer"
ask bob 'SELECT pg_backend_pid()'
expect_other "$alices_server"
disconnect alice
connect carol
ask carol 'SELECT pg_backend_pid()'
expect_other "$alices_server"
ask carol 'SELECT line FROM draft'
expect_state 42P01
held 'alice has left, and her server connection went to nobody else'

title '2. One policy, two environments: each value with its origin'
side_by_side staging production
expect_origin staging 'databases[main].timeouts.connect' 35s 'environment staging'
expect_origin production 'databases[main].timeouts.connect' 10s base
expect_origin production 'databases[main].timeouts.statement' 20s 'environment production'
expect_origin staging 'databases[main].breaker.failures' 5 default
held 'the same file, and nobody has to guess which value is in force, or why'

title '3. A user who is nobody is refused, with a hint'
refuse chat+null
refuse chat+00000000-0000-0000-0000-000000000000
refuse chat
held 'no placeholder and no nameless connection has reached the database'

title '4. The policy is edited while everybody stays connected'
ask bob 'SELECT pg_sleep(1.5) IS NOT NULL'
expect_answer t
edit_policy 'statement: 30s' 'statement: 1s'
wait_for_field 'databases[main].timeouts.statement' 1s
say 'timeouts.statement is 1s now; bob is still on the same connection'
ask bob 'SELECT pg_sleep(1.5) IS NOT NULL'
expect_state 57014
edit_policy 'statement: 1s' 'statement: soon'
wait_for_metric 'bulkhead_policy_rejections_total' 1
wait_for_field 'databases[main].timeouts.statement' 1s
say 'a file that does not validate ("statement: soon") leaves the last good one in force'
edit_policy 'statement: soon' 'statement: 2s'
wait_for_field 'databases[main].timeouts.statement' 2s
say 'and the next good one is taken over'
held 'no restart, no reconnect'

title "5. One user's statement runs into its timeout, and another user goes on"
connect alice
begin_asking alice 'SELECT pg_sleep(60)'
for number in $(seq 1 20); do
    ask_quietly bob "SELECT $number * $number"
    expect_answer "$((number * number))"
done
say 'bob   asked 20 questions meanwhile, and had 20 answers'
finish_asking alice
expect_state 57014
expect_text timeouts.statement
ask alice "SELECT 'still connected'"
expect_answer 'still connected'
held 'the message names the setting, and her connection survived'

title '6. Row-level security reads who is asking'
ask alice "INSERT INTO messages (body) VALUES ('hello from alice')"
expect_state 00000
ask bob "INSERT INTO messages (body) VALUES ('hello from bob')"
expect_state 00000
ask alice 'SELECT user_id, body FROM messages'
expect_answer 'alice|hello from alice'
ask bob 'SELECT user_id, body FROM messages'
expect_answer 'bob|hello from bob'
held "the database holds $(as_admin 'SELECT count(*) FROM messages') messages; each user sees their own"

title '7. A chat room behind the same sidecar: every socket belongs to one user'
enter alice-ws alice
say 'alice opens a socket before the backend has started: the handshake is held'
start_backend
hears alice-ws connected
enter bob-ws bob
hears bob-ws connected
says alice-ws 'hello, is anybody here?'
hears alice-ws 'alice: hello, is anybody here?'
hears bob-ws 'alice: hello, is anybody here?'
says bob-ws 'me'
hears alice-ws 'bob: me'
hears bob-ws 'bob: me'
enter nobody ''
hears nobody 'refused 401'
enter placeholder null
hears placeholder 'refused 401'
edit_policy 'connectionsPerUser: 4' 'connectionsPerUser: 1'
wait_for_field 'webSockets[chat].limits.connectionsPerUser' 1
enter alice-ws2 alice
hears alice-ws 'closed 1008 a newer connection took this place; webSockets[chat].limits.connectionsPerUser = 1'
hears alice-ws2 connected
says bob-ws 'still here'
hears bob-ws 'bob: still here'
hears alice-ws2 'bob: still here'
for who in alice-ws alice-ws2 bob-ws nobody placeholder; do hangs_up "$who"; done
held 'the application has no token, no ping and no limit in it, and knows who says what'

title '8. What Prometheus sees of all this'
metrics >"$work/metrics.after"
changed 'bulkhead_factories_created_total' 3
changed 'bulkhead_timeouts_total{kind="statement"' 2
changed 'bulkhead_identity_rejections_total{reason="placeholder"' 2
changed 'bulkhead_identity_rejections_total{reason="missing"' 1
changed 'bulkhead_policy_rejections_total' 1
changed 'bulkhead_websocket_messages_total{direction="client_to_application"' 3
changed 'bulkhead_websocket_closes_total{code="1008",initiator="sidecar"' 1
changed 'bulkhead_cross_user_handoffs_total' 0
show "$("$sidecar" users --control "$work/control.sock" | cut -c 1-110)"

title '9. One user over four protocols'
edit_policy 'connectionsPerUser: 1' 'connectionsPerUser: 4'
wait_for_field 'webSockets[chat].limits.connectionsPerUser' 4
expect OK cache alice SET draft 'for my lawyer only'
expect 'for my lawyer only' cache alice GET draft
expect '' cache bob GET draft
expect NOPERM cache bob FLUSHALL
say "on the server: $(redis-cli -p "$redis_port" keys '*' | tr '\n' ' ')"
expect 42 facts alice 'SELECT 6 * 7'
enter alice-ws alice
hears alice-ws connected
enter bob-ws bob
hears bob-ws connected
begin_asking alice 'SELECT pg_sleep(60)'
begin redis cache alice BLPOP inbox 0
begin clickhouse facts alice 'SELECT sleepEachRow(1) FROM numbers(60) SETTINGS max_block_size = 1'
wait_until 'her work being under way' waits_on_the_servers
show "$("$sidecar" users --control "$work/control.sock" | grep -E '^USER|^alice' | cut -c 1-110)"
show "$("$sidecar" console --control "$work/control.sock" -c 'SHOW USERS' | grep -E 'user_id|alice' | cut -c 1-110)"
held 'a socket, a statement, a command that waits and a query: all of them alice, each in a factory of her own'

title '10. She is cut off, everywhere at once'
revoke alice TokenLeaked
hears alice-ws 'closed 1008 access of this user was revoked (TokenLeaked)'
ends alice 'access of this user was revoked (TokenLeaked)'
finishes redis 'access of this user was revoked (TokenLeaked)'
finishes clickhouse 'access of this user was revoked (TokenLeaked)'
wait_until 'her work ending on the servers' nothing_of_hers_runs
say 'nothing of hers runs on any server any more'
refuse chat+alice
expect 'UserRevocation alice-is-out' cache alice GET draft
expect 'UserRevocation alice-is-out' facts alice 'SELECT 1'
ask bob "SELECT 'still here'"
expect_answer 'still here'
expect PONG cache bob PING
expect 1 facts bob 'SELECT 1'
says bob-ws 'and I have noticed nothing'
hears bob-ws 'bob: and I have noticed nothing'
for who in alice-ws bob-ws; do hangs_up "$who"; done
: >"$work/revocations.yaml"
held 'four protocols, one user, one object; nobody else noticed'

if [ -n "${BULKHEAD_KEEP:-}" ]; then
    title 'Open for visitors'
    say "http://127.0.0.1:$door_port/ is the page; open it twice, as two people. For other clients: ws://127.0.0.1:$door_port/room"
    say 'Ctrl-C ends it.'
    wait "$sidecar_pid" || true
fi

stop_all
printf '\n%sDemo passed:%s every step held. %s s in all.\n' "$green" "$plain" "$SECONDS"
