# How the demos speak, and how they end what they have started; sourced by both.
# shellcheck shell=bash disable=SC2034

green='' red='' bold='' plain=''
if [ -t 1 ]; then green=$'\e[32m' red=$'\e[31m' bold=$'\e[1m' plain=$'\e[0m'; fi

title() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
say() { printf '    %s\n' "$1"; }
show() { printf '%s\n' "$1" | sed 's/^/    /'; }
# What a server or psql said: set in, and folded, because hints are whole sentences.
quote() { printf '%s\n' "$1" | fold -s -w 100 | sed 's/^/            /'; }
held() { printf '  %sheld%s: %s\n' "$green" "$plain" "$1"; }

# end SIGNAL PID: asks, waits for up to ten seconds, then insists.
end() {
    local tries
    kill -"$1" "$2" 2>/dev/null || return 0
    for ((tries = 0; tries < 200; tries++)); do
        kill -0 "$2" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "$2" 2>/dev/null || true
    wait "$2" 2>/dev/null || true
}
