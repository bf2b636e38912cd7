# The end of the demo on a cluster, sourced by demo-cluster.sh: a Prometheus with the chart's rules, a fault, and what is told of it.
# shellcheck shell=bash disable=SC2154

monitoring=chat-monitoring
prometheus_port=''

start_prometheus() {
    local log="$work/forward.prometheus" namespace
    kubectl create namespace "$monitoring" >/dev/null
    kubectl label namespace "$monitoring" pod-security.kubernetes.io/enforce=restricted >/dev/null
    kubectl create configmap bulkhead-rules -n "$monitoring" --from-file="$root/charts/bulkhead/files/rules.yaml" >/dev/null
    for namespace in chat-staging chat-production; do named_by_dns "$namespace" sidecars 9432 app=chat-backend; done
    named_by_dns "$system" operators 8080 app.kubernetes.io/name=bulkhead-operator
    sed "s|image: prometheus$|image: $prometheus_image|" "$manifests/prometheus.yaml" | kubectl apply -n "$monitoring" -f - >/dev/null
    rolled_out "$monitoring" prometheus
    kubectl port-forward -n "$monitoring" deployment/prometheus :9090 >"$log" 2>&1 &
    forward_pids+=("$!")
    within 20 'forwarding the port of Prometheus' forwards_prometheus "$log"
}

# named_by_dns NAMESPACE NAME PORT SELECTOR: a name that stands for the addresses of all pods that are selected.
named_by_dns() {
    kubectl create service clusterip "$2" -n "$1" --clusterip=None --tcp="$3" >/dev/null
    kubectl set selector service "$2" -n "$1" "$4" >/dev/null
}

forwards_prometheus() {
    prometheus_port="$(forwarded "$1" 9090)"
    [ -n "$prometheus_port" ]
}

# ask PATH: what Prometheus answers, by HTTP/1.0, of which an answer comes in one piece.
ask() {
    local socket
    exec {socket}<>"/dev/tcp/127.0.0.1/$prometheus_port" || return 1
    printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&"$socket"
    tr -d '\r' <&"$socket" | sed '1,/^$/d'
    exec {socket}>&-
}

# As a part of a URL; what PromQL is written in, and no more than that.
encoded() { sed -e 's/%/%25/g; s/ /%20/g; s/"/%22/g; s/{/%7B/g; s/}/%7D/g; s/=/%3D/g; s/~/%7E/g; s/,/%2C/g; s/+/%2B/g' <<<"$1" | tr -d '\n'; }

# query EXPRESSION: the JSON of its result.
query() { ask "/api/v1/query?query=$(encoded "$1")"; }

# counts EXPRESSION NUMBER: whether it has this one value.
counts() { query "$1" | grep -q "\"value\":\[[0-9.]*,\"$2\"\]"; }

firing() { printf 'ALERTS{alertname="%s",namespace="%s",alertstate="firing"}' "$1" "$2"; }

# fires ALERT NAMESPACE: whether it does.
fires() { counts "$(firing "$1" "$2")" 1; }

alert_is_not_there() {
    say "and of those that fire in the chat's namespaces: none"
    counts 'count(ALERTS{namespace=~"chat-.*",alertstate="firing"}) or vector(0)' 0 || broken "an alert fires already: $(ask /api/v1/alerts)"
}

alert_is_only_about() {
    counts "count(count by (namespace) (ALERTS{alertname=\"BulkheadTimeoutsBurnFast\",alertstate=\"firing\"}))" 1 || broken "the alert fires elsewhere, too: $(ask /api/v1/alerts)"
    fires BulkheadTimeoutsBurnFast "$1" || broken "the alert is not about $1"
}

# sql STATEMENT: in production's database, as its administrator.
sql() {
    kubectl exec -n chat-production deployment/db -- sh -c 'PGPASSWORD="$(cat /etc/db/setup/admin-password)" exec psql -XqAt -h /tmp -U admin -d chat -c "$1"' sh "$1"
}

take_the_lock() {
    local statement='BEGIN; LOCK TABLE messages IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(300)'
    say "psql -d chat -c \"$statement\""
    sql "$statement" >"$work/lock" 2>&1 &
    forward_pids+=("$!")
    within 20 'the lock' lock_is_held
}
lock_is_held() { [ "$(sql "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'messages'::regclass")" = 1 ]; }

give_the_lock_back() {
    sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%'" >/dev/null
    request chat-production "$(first_pod chat-production)" GET /messages alice
    expect_status 200
}

# Each once, so that nobody's breaker opens: what happens to all of them is no one's own fault.
fourteen_users_wait() {
    local user pod number=0
    pod="$(first_pod chat-production)"
    for user in alice bob carol dave erin frank grace heidi ivan judy kim leo mia nick; do
        http "${app_port[chat-production/$pod]}" GET /messages "$user" || broken 'the application does not answer'
        [ "$status" = 504 ] || broken "$user was answered $status, and should have waited in vain: $body"
        number="$((number + 1))"
    done
    quote "$status $body"
    say "$number users have asked for their messages, and each has had this answer after a second"
}

# what_is_told ALERT: its name, its labels, its annotations, a line each. Others may fire too: step 11 has taken the operator away.
what_is_told() {
    ask /api/v1/alerts | sed 's/{"labels":{/\n&/g' | grep -m 1 "\"alertname\":\"$1\"" |
        sed 's/},"state":.*//; s/^{"labels":{//; s/},"annotations":{/,/; s/","/"\n"/g' |
        sed -E 's/^"([a-z_]+)":"(.*)"?$/\1: \2/; s/"$//' | grep -E '^(alertname|severity|namespace|upstream|kind|summary|description|runbook_url): '
}
