# One user over four protocols, sourced by demo.sh: a Redis and a ClickHouse of the demo's own, and what each client hears.
# shellcheck shell=bash disable=SC2154

redis_pid='' clickhouse_pid=''
# What runs in the background for somebody: its process, and the file that it writes to.
declare -A task=()

stop_four() {
    local pid
    for pid in "${task[@]}"; do kill "$pid" 2>/dev/null || true; done
    [ -z "$redis_pid" ] || end TERM "$redis_pid"
    [ -z "$clickhouse_pid" ] || end TERM "$clickhouse_pid"
    task=() redis_pid='' clickhouse_pid=''
}

start_redis() {
    redis_port="$(free_port)"
    (tied TERM redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no --dir "$work") >"$work/redis.log" 2>&1 &
    redis_pid=$!
    wait_until "Redis' start" redis-cli -p "$redis_port" ping
}

start_clickhouse() {
    local home="$work/clickhouse"
    clickhouse_port="$(free_port)"
    facts_password="$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')"
    mkdir -p "$home/data" "$home/tmp"
    cat >"$home/config.xml" <<XML
<yandex>
  <logger><level>error</level><log>$home/log</log><errorlog>$home/errors</errorlog></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>$clickhouse_port</http_port><tcp_port>$(free_port)</tcp_port><interserver_http_port>$(free_port)</interserver_http_port>
  <path>$home/data/</path><tmp_path>$home/tmp/</tmp_path>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
  <mark_cache_size>5368709120</mark_cache_size>
</yandex>
XML
    (umask 077 && cat >"$home/users.xml") <<XML
<yandex><profiles><default/></profiles><quotas><default/></quotas>
<users><chat><password>$facts_password</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></chat></users></yandex>
XML
    (cd "$home" && tied TERM clickhouse-server "--config-file=$home/config.xml") >"$work/clickhouse.log" 2>&1 &
    clickhouse_pid=$!
    wait_until "ClickHouse's start" curl -sf "http://127.0.0.1:$clickhouse_port/ping"
}

# with_more_databases: policy.yaml on the standard input, with the entries of more-databases.yaml, their ports filled in.
with_more_databases() {
    cache_port="$(free_port)" facts_port="$(free_port)"
    sed -e "s/port: 6380\b/port: $cache_port/" -e "s/port: 6379\b/port: $redis_port/" \
        -e "s/port: 8124\b/port: $facts_port/" -e "s/port: 8123\b/port: $clickhouse_port/" "$here/more-databases.yaml" >"$work/more.yaml"
    awk -v more="$work/more.yaml" '/^  webSockets:/ { while ((getline line < more) > 0) print line } { print }'
}

# cache USER COMMAND...: a command of Redis', in the name of USER.
cache() {
    local user="$1"
    shift
    redis-cli --no-auth-warning -p "$cache_port" --user "default+$user" --pass anything "$@" 2>&1
}
# facts USER QUERY: a query of ClickHouse's, in the name of USER.
facts() { curl -sS -H "X-Bulkhead-User: $1" --data-binary "$2" "http://127.0.0.1:$facts_port/?wait_end_of_query=1" 2>&1; }

# expect WHAT COMMAND...: shows what the command says, and ends the demo where that has no WHAT in it.
expect() {
    local want="$1" said
    shift
    said="$("$@")" || true
    say "$(printf '%-9s %s' "$2" "${*:3}")"
    quote "$(printf '%s\n' "$said" | head -n 2 | cut -c 1-200)"
    [[ $said == *"$want"* ]] || broken "that should have said: $want"
}

# begin NAME COMMAND...: leaves something running in the background.
begin() {
    local name="$1"
    shift
    say "$(printf '%-9s %s   (and waits)' "$2" "${*:3}")"
    "$@" >"$work/$name.said" 2>&1 &
    task[$name]=$!
}

# finishes NAME WHAT: it has ended, and said WHAT.
finishes() {
    wait "${task[$1]}" || true
    unset "task[$1]"
    say "$(printf '%-9s hears:' "$1")"
    quote "$(head -n 2 "$work/$1.said" | cut -c 1-200)"
    grep -qF -- "$2" "$work/$1.said" || broken "$1 should have heard: $2"
}

# waits_on_the_servers: alice's command waits on Redis, and her query runs on ClickHouse.
waits_on_the_servers() {
    redis-cli -p "$redis_port" info clients | grep -q 'blocked_clients:1' &&
        [ "$(running_facts)" = 1 ]
}
running_facts() {
    curl -sS -u "chat:$facts_password" --data-binary "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%' AND query NOT LIKE '%system.processes%'" \
        "http://127.0.0.1:$clickhouse_port/"
}
nothing_of_hers_runs() {
    redis-cli -p "$redis_port" info clients | grep -q 'blocked_clients:0' && [ "$(running_facts)" = 0 ] &&
        [ "$(as_admin "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'")" = 0 ]
}

# revoke USER REASON: as kubectl apply would in a cluster; here the sidecar watches a file.
revoke() {
    cat >"$work/revocations.new" <<YAML
apiVersion: bulkhead.dev/v1alpha1
kind: UserRevocation
metadata: {name: $1-is-out}
spec: {user: $1, notBefore: "$(date -u +%Y-%m-%dT%H:%M:%SZ)", reason: $2}
YAML
    sed 's/^/    /' "$work/revocations.new"
    mv "$work/revocations.new" "$work/revocations.yaml"
}

# ends USER WHAT: that psql session has ended, with WHAT as the last word.
ends() {
    local line said=''
    while IFS= read -r -t 60 -u "${output[$1]}" line; do said+="${said:+$'\n'}$line"; done
    say "$(printf '%-9s hears:' "$1")"
    quote "$(printf '%s\n' "$said" | grep -v '^~~' | head -n 3)"
    [[ $said == *"$2"* ]] || broken "$1's session should have ended with: $2"
    wait "${psql_pid[$1]}" 2>/dev/null || true
    unset "psql_pid[$1]"
}
