# What the demo stands on, sourced by demo.sh: its servers, its psql sessions, and the checks that end it when a promise is broken.
# shellcheck shell=bash disable=SC2154

. "$here/tell.sh"
. "$here/four.sh"

broken() {
    printf '\n%sDemo FAILED:%s %s\n' "$red" "$plain" "$1" >&2
    for log in "$work"/*.log; do
        [ -s "$log" ] && printf -- '--- the end of %s\n%s\n' "$(basename "$log")" "$(tail -n 15 "$log")" >&2
    done
    exit 1
}

# --- processes: remembered by id, ended in the order opposite to their start

work="$(mktemp -d "${TMPDIR:-/tmp}/bulkhead-demo.XXXXXX")"
chmod 755 "$work"
postgres_pid='' sidecar_pid='' backend_pid=''
declare -A psql_pid=()

stop_all() {
    local pid
    for pid in "${psql_pid[@]}"; do end TERM "$pid"; done
    stop_four
    [ -z "$sidecar_pid" ] || end TERM "$sidecar_pid"
    [ -z "$backend_pid" ] || end TERM "$backend_pid"
    # INT is PostgreSQL's fast shutdown.
    [ -z "$postgres_pid" ] || end INT "$postgres_pid"
    psql_pid=() sidecar_pid='' backend_pid='' postgres_pid=''
    rm -rf "$work"
}
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# --- ports and clocks

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_until WHAT COMMAND...: looks 20 times a second, for 20 seconds.
wait_until() {
    local what="$1" tries
    shift
    for ((tries = 0; tries < 400; tries++)); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.05
    done
    broken "$what did not happen within 20 seconds"
}

# --- PostgreSQL: its programs refuse to run as root, so root runs them as the user that the package made for it

# tied SIGNAL COMMAND...: the kernel sends the signal when this script dies without a word.
tied() {
    local signal="$1"
    shift
    exec setpriv --pdeathsig "$signal" "$@"
}
server_words=()
[ "$(id -u)" != 0 ] || server_words=(--reuid=postgres --regid=postgres --clear-groups)

start_postgres() {
    local bin data="$work/data"
    bin="$("$root/tests/setup/postgres-bin")"
    command -v psql >/dev/null || PATH="$PATH:$bin"
    postgres_port="$(free_port)"
    admin_password="$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')"
    chat_password="$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')"
    mkdir -m 700 "$data"
    (umask 077 && printf '%s\n' "$admin_password" >"$work/admin")
    [ "$(id -u)" != 0 ] || chown postgres "$data" "$work/admin"
    (tied TERM "${server_words[@]}" "$bin/initdb" -D "$data" -U admin --auth=scram-sha-256 --pwfile="$work/admin" --no-sync --locale=C -E UTF8) >"$work/initdb.log" 2>&1 ||
        broken 'initdb failed'
    rm "$work/initdb.log" "$work/admin"
    (tied INT "${server_words[@]}" "$bin/postgres" -D "$data" -c "port=$postgres_port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off) \
        >"$work/postgres.log" 2>&1 &
    postgres_pid=$!
    wait_until "PostgreSQL's start" as_admin 'SELECT 1' postgres
    as_admin "CREATE ROLE chat LOGIN PASSWORD '$chat_password'" postgres
    as_admin 'CREATE DATABASE chat' postgres
    PGPASSWORD="$admin_password" psql -Xq -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$postgres_port" -U admin -d chat -f "$here/schema.sql"
}

# as_admin SQL [DATABASE]: past the sidecar, as the database's administrator.
as_admin() {
    PGPASSWORD="$admin_password" psql -XAtq -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$postgres_port" -U admin -d "${2:-chat}" -c "$1"
}

# --- the sidecar

start_sidecar() {
    sidecar_port="$(free_port)"
    admin_port="$(free_port)"
    door_port="$(free_port)"
    backend_port="$(free_port)"
    sed -e "s/port: 6543\b/port: $sidecar_port/" -e "s/port: 5432\b/port: $postgres_port/" \
        -e "s/port: 8080\b/port: $door_port/" -e "s/port: 8000\b/port: $backend_port/" "$here/policy.yaml" | with_more_databases >"$work/policy.yaml"
    # They were chosen in a pipe's own process.
    cache_port="$(port_of cache)" facts_port="$(port_of facts)"
    for port in "$sidecar_port" "$postgres_port" "$door_port" "$backend_port" "$redis_port" "$clickhouse_port"; do
        grep -q "port: $port" "$work/policy.yaml" || broken 'policy.yaml has other ports than this demo replaces'
    done
    mkdir -p "$work/secrets/chat-db" "$work/secrets/chat-facts"
    : >"$work/revocations.yaml"
    (umask 077 && printf chat >"$work/secrets/chat-facts/username" && printf '%s' "$facts_password" >"$work/secrets/chat-facts/password")
    (umask 077 && printf chat >"$work/secrets/chat-db/username" && printf '%s' "$chat_password" >"$work/secrets/chat-db/password")
    (tied TERM "$sidecar" run --policy "$work/policy.yaml" --environment "$1" --secrets "$work/secrets" --admin "127.0.0.1:$admin_port" \
        --control "$work/control.sock" --revocations "$work/revocations.yaml" --grace 2s) >"$work/sidecar.log" 2>&1 &
    sidecar_pid=$!
    wait_until "the sidecar's readiness" ready
}

# port_of ENTRY: where the sidecar listens for it.
port_of() { awk -v entry="$1" '$2 == "name:" { here = $3 == entry } here && $1 == "port:" { print $2; exit }' "$work/policy.yaml"; }

# Talks HTTP by bash alone, because a bare machine has no curl.
get() {
    local reply
    exec {http}<>"/dev/tcp/127.0.0.1/$admin_port" || return 1
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" >&"$http"
    reply="$(cat <&"$http" | tr -d '\r')"
    exec {http}>&-
    printf '%s\n' "$reply"
}
ready() { get /readyz | head -n 1 | grep -q ' 200 '; }
metrics() { get /metrics | grep '^bulkhead_'; }

# metric FILE NAME: the sum of the series whose line begins with NAME.
metric() {
    awk -v name="$2" 'index($0, name) == 1 { sum += $NF } END { printf "%d", sum }' "$1"
}

# changed NAME LEAST: shows a metric before and after; it has grown by LEAST and more, or, where LEAST is 0, is 0.
changed() {
    local before after
    before="$(metric "$work/metrics.before" "$1")"
    after="$(metric "$work/metrics.after" "$1")"
    printf '    %-62s %4s → %s\n' "$1$([[ $1 != *'"' ]] || printf '}')" "$before" "$after"
    if [ "$2" = 0 ]; then
        [ "$after" = 0 ] || broken "$1 is $after, and must be 0"
    else
        [ $((after - before)) -ge "$2" ] || broken "$1 grew by $((after - before)), and should have by $2"
    fi
}

wait_for_metric() { wait_until "$1 reaching $2" metric_is_at_least "$1" "$2"; }
metric_is_at_least() {
    metrics >"$work/metrics.now"
    [ "$(metric "$work/metrics.now" "$1")" -ge "$2" ]
}

# edit_policy FROM TO: the way an editor saves, a new file moved over the old one.
edit_policy() {
    say "policy.yaml: $1 → $2"
    sed "s/\b$1\b/$2/" "$work/policy.yaml" >"$work/policy.new"
    cmp -s "$work/policy.yaml" "$work/policy.new" && broken "policy.yaml has no $1"
    mv "$work/policy.new" "$work/policy.yaml"
}

wait_for_field() { wait_until "$1 becoming $2" field_is "$1" "$2"; }
field_is() {
    "$sidecar" policy --control "$work/control.sock" | awk -v path="$1" -v value="$2" '$1 == path && $2 == value { found = 1 } END { exit !found }'
}

# --- a policy for two environments

resolve() {
    "$sidecar" check --policy "$work/policy.yaml" --environment "$1" --secrets "$work/secrets" >"$work/resolved.$1" 2>"$work/check.log" ||
        broken "check refuses the policy for $1"
    rm -f "$work/check.log"
}

side_by_side() {
    resolve "$1"
    resolve "$2"
    # A line is FIELD VALUE ORIGIN; shown are the database's timeouts and pool, and whatever else differs.
    awk -v one="$1" -v two="$2" '
        BEGIN { form = "    %s %-34s %-28s %s\n"; printf form, " ", "", toupper(one), toupper(two) }
        function rest(   text) { text = $0; sub(/^[^ ]+ +/, "", text); gsub(/  +/, " (", text); return text ")" }
        $1 !~ /^[a-zA-Z]+([.[]|$)/ || $1 ~ /:$|^FIELD$|^policy$/ { next }
        FNR == NR { left[$1] = rest(); next }
        ($1 in left) {
            differs = left[$1] != rest()
            if (differs || $1 ~ /^databases\[main\]\.(timeouts|pool)/) {
                path = $1; sub(/^databases\[main\]\./, "", path)
                printf form, differs ? "*" : " ", path, left[$1], rest()
            } else more++
        }
        END { printf "      and %d fields more, the same in both\n", more }' "$work/resolved.$1" "$work/resolved.$2"
}

expect_origin() {
    awk -v path="$2" -v want="$3 $4" '$1 == path { $1 = ""; sub(/^ /, ""); if ($0 == want) found = 1 } END { exit !found }' "$work/resolved.$1" ||
        broken "$2 for $1 is not $3 from $4"
}

# --- psql sessions that stay open, one a user, spoken to through a pair of pipes

declare -A input=() output=()
answer='' state=''

psql_as() {
    local user="$1"
    shift
    PGCONNECT_TIMEOUT=20 psql -XAtq -v VERBOSITY=default -h 127.0.0.1 -p "$sidecar_port" -U "$user" -d chat "$@"
}

connect() {
    local user="$1" to from
    mkfifo "$work/$user.in" "$work/$user.out"
    psql_as "chat+$user" <"$work/$user.in" >"$work/$user.out" 2>&1 &
    psql_pid[$user]=$!
    exec {to}>"$work/$user.in" {from}<"$work/$user.out"
    rm "$work/$user.in" "$work/$user.out"
    input[$user]=$to output[$user]=$from
    ask_quietly "$user" 'SELECT 1'
    [ "$answer" = 1 ] || broken "$user cannot connect: $answer"
    say "$(printf '%-5s' "$user") connects as chat+$user"
}

disconnect() {
    local to="${input[$1]}" from="${output[$1]}"
    # Closing our end is not enough: whoever connected later has inherited it.
    printf '\\q\n' >&"$to"
    exec {to}>&- {from}<&-
    wait "${psql_pid[$1]}" || true
    unset "psql_pid[$1]"
    say "$(printf '%-5s' "$1") disconnects"
}

ask() {
    begin_asking "$1" "$2"
    finish_asking "$1"
}
begin_asking() {
    say "$(printf '%-5s' "$1") $2"
    printf '%s;\n\\echo ~~ :SQLSTATE\n' "$2" >&"${input[$1]}"
}
finish_asking() {
    read_answer "$1"
    # psql points into the statement, which stands just above.
    quote "$(printf '%s\n' "${answer:-ok}" | sed '/^LINE [0-9]*: /,+1d')"
}
ask_quietly() {
    printf '%s;\n\\echo ~~ :SQLSTATE\n' "$2" >&"${input[$1]}"
    read_answer "$1"
}

# Sets answer (what psql printed) and state (the SQLSTATE, 00000 for success).
read_answer() {
    local line
    answer='' state=''
    while IFS= read -r -t 60 -u "${output[$1]}" line; do
        if [[ $line == '~~ '* ]]; then
            state="${line#\~\~ }"
            return
        fi
        answer+="${answer:+$'\n'}$line"
    done
    broken "$1's psql ended or fell silent: $answer"
}

expect_answer() { [ "$answer" = "$1" ] || broken "the answer should have been: $1"; }
expect_other() { [[ $answer =~ ^[0-9]+$ && $answer != "$1" ]] || broken "the answer should not have been: $1"; }
expect_state() { [ "$state" = "$1" ] || broken "the SQLSTATE was $state, and should have been $1"; }
expect_text() { [[ $answer == *"$1"* ]] || broken "the answer should have named $1"; }

# refuse USER: a login that must fail, with a hint.
refuse() {
    local text
    if text="$(psql_as "$1" -c 'SELECT 1' 2>&1)"; then broken "$1 was let in"; fi
    say "psql -U $1"
    quote "$(printf '%s\n' "$text" | sed -E 's/^psql: error: //; s/^connection to server [^:]*: //')"
    [[ $text == *FATAL* && $text == *HINT* ]] || broken "$1 was refused without a reason and a hint"
}

# --- the chat room: the backend behind the sidecar, and people at its door

start_backend() {
    (tied TERM env CHAT_DATABASE="host=127.0.0.1 port=$sidecar_port user=chat dbname=chat" CHAT_LISTEN="127.0.0.1:$backend_port" "$chat") \
        >"$work/backend.log" 2>&1 &
    backend_pid=$!
}

# enter WHO USER: opens a socket in the name of USER; what is heard there comes line by line.
enter() {
    local who="$1" to from
    mkfifo "$work/$who.in" "$work/$who.out"
    "$chat" talk "ws://127.0.0.1:$door_port/room" "$2" <"$work/$who.in" >"$work/$who.out" 2>&1 &
    psql_pid[$who]=$!
    exec {to}>"$work/$who.in" {from}<"$work/$who.out"
    rm "$work/$who.in" "$work/$who.out"
    input[$who]=$to output[$who]=$from
}

# hears WHO WHAT: the next line at that socket.
hears() {
    local line=''
    IFS= read -r -t 60 -u "${output[$1]}" line || broken "$1 hears nothing, and should: $2"
    say "$(printf '%-9s' "$1") ← $line"
    [[ $line == "$2"* ]] || broken "$1 should have heard: $2"
}
says() {
    say "$(printf '%-9s' "$1") → $2"
    printf '%s\n' "$2" >&"${input[$1]}"
}

# hangs_up WHO
hangs_up() {
    local to="${input[$1]}" from="${output[$1]}"
    kill "${psql_pid[$1]}" 2>/dev/null || true
    exec {to}>&- {from}<&-
    wait "${psql_pid[$1]}" 2>/dev/null || true
    unset "psql_pid[$1]"
}
