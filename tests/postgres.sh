# Sourced by tests/run and tests/prove: installs what is missing and starts a throw-away PostgreSQL.
# shellcheck shell=bash

say() { printf '\n== %s\n' "$*"; }

pg_bin() {
    local candidate
    for candidate in "$(command -v initdb 2>/dev/null || true)" /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$candidate" ] || continue
        candidate="$(dirname "$(readlink -f "$candidate")")"
        if [ -x "$candidate/pg_ctl" ] && [ -x "$candidate/postgres" ]; then
            printf '%s' "$candidate"
            return
        fi
    done
    return 1
}

missing() {
    pg_bin >/dev/null || echo postgresql
    command -v pdftotext >/dev/null || echo poppler-utils
    command -v qpdf >/dev/null || echo qpdf
    [ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null || echo pgbouncer
    [ -e /usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf ] || echo fonts-droid-fallback
    command -v cc >/dev/null || echo gcc libc6-dev
}

# Installs with apt where that is allowed; else says what is needed and ends with 2.
install_what_is_missing() {
    local needed
    needed="$(missing | tr '\n' ' ')"
    [ -n "${needed// /}" ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing $needed"
        export DEBIAN_FRONTEND=noninteractive
        # shellcheck disable=SC2086
        apt-get install -y --no-install-recommends $needed >/dev/null 2>&1 \
            || { apt-get update >/dev/null && apt-get install -y --no-install-recommends $needed >/dev/null; }
    fi
    needed="$(missing | tr '\n' ' ')"
    if [ -n "${needed// /}" ]; then
        echo "the tests need these Debian packages (or what they contain): $needed" >&2
        echo "install them, e.g.: sudo apt-get install $needed" >&2
        exit 2
    fi
}

# A server of our own, as a normal user: PostgreSQL refuses to run as root.
as_owner() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups env HOME=/tmp "$@"
    else
        "$@"
    fi
}

stop_postgres() {
    [ -n "${cluster:-}" ] || return 0
    as_owner "$bin/pg_ctl" -D "$cluster/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$cluster"
}

# Starts it on a loopback port and sets MONTHEND_TEST_POSTGRES; it is stopped and removed at exit.
start_postgres() {
    local port="" try candidate
    bin="$(pg_bin)"
    cluster="$(mktemp -d "${TMPDIR:-/tmp}/monthend-tests.XXXXXX")"
    [ "$(id -u)" != 0 ] || chown postgres "$cluster"
    trap stop_postgres EXIT
    say "starting a throw-away PostgreSQL"
    as_owner "$bin/initdb" -D "$cluster/data" -A trust -U monthend --locale=C.UTF-8 >"$cluster.log" 2>&1 \
        || { cat "$cluster.log" >&2; exit 2; }
    rm -f "$cluster.log"
    for try in 1 2 3 4 5 6 7 8; do
        candidate=$((20000 + (RANDOM * 7 + try) % 30000))
        if as_owner "$bin/pg_ctl" -D "$cluster/data" -w -l "$cluster/log" \
            -o "-c listen_addresses=127.0.0.1 -c port=$candidate -c unix_socket_directories=$cluster -c max_connections=300" \
            start >/dev/null 2>&1; then
            port=$candidate
            break
        fi
    done
    [ -n "$port" ] || { echo "PostgreSQL did not start:" >&2; cat "$cluster/log" >&2; exit 2; }
    export MONTHEND_TEST_POSTGRES="postgres://monthend@127.0.0.1:$port/postgres"
}
