# What lies there of a release, before it is started.

kept_and_intact() { # release
    [ -d "$qd_path/releases/$1" ] || { refuse absent "$1"; return 1; }
    # What the bastion has just seen to be intact is not read again; that it is the release that is meant, always.
    load_run "$1" && [ "$run_digest" = "$qd_digest" ] || { refuse damaged "release $1 is not as it was staged"; return 1; }
    [ -z "$qd_verified" ] || [ ! -s "$qd_path/releases/$1/qd.manifest.json" ] || return 0
    checksum_tool || return 1
    intact "$qd_path/releases/$1" || { refuse damaged "release $1 is not as it was staged"; return 1; }
}

renew_secrets() { # written anew where they differ; a running service keeps what it started with
    [ -n "$qd_secrets" ] || return 0
    secrets_file=$qd_path/releases/$qd_release/qd.secrets.env
    if [ -f "$secrets_file" ] && [ "$(cat "$secrets_file" && echo .)" = "$qd_secrets." ]; then return 0; fi
    (umask 077 && replace "$secrets_file" "$qd_secrets") || { refuse_write "cannot write $secrets_file"; return 1; }
    result secrets-renewed
}
