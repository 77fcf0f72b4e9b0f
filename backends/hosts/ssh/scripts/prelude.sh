# Words that every action uses. Runs under dash, busybox ash and bash.
# Each line of an answer begins with the call's own mark; whatever else is on the channel is noise.
# qd_* variables are set by the bastion before this text; answer and output are given back by finish_answer.
qd_locale=${LC_ALL-}
LC_ALL=C
export LC_ALL
newline='
'
answer=
output=
untouched=
at_gate=
control=$qd_path/.quarterdeck
umask 022
# A handler, not '': the commands that are run keep the default. A lost connection must not end an action half-way.
trap : HUP PIPE

result() { # word value…: one line of the answer
    answer="$answer$qd_mark $*$newline"
}

refuse() { # kind sentence…: an answer that the bastion turns into an error
    result "error $*"
    return 1
}

refuse_write() { # sentence…: a file can't be written. dash's printf does not tell why, another program does
    printf '%4096s' ' ' | tee "$control/.why" >/dev/null
    rm -f "$control/.why"
    refuse failed "$@"
}

have() { # program…: all of them are there
    for have_program do
        command -v "$have_program" >/dev/null 2>&1 || return 1
    done
}

need() { # program…
    for need_program do
        have "$need_program" || { refuse missing "$need_program"; return 1; }
    done
}

finish_answer() { # exit status: prints the answer, and the file named by $output
    printf '%s' "$answer"
    if [ -n "$output" ] && [ -f "$output" ]; then
        printf '%s output\n' "$qd_mark"
        tail -c 65536 "$output"
        printf '\n%s end-output\n' "$qd_mark"
    fi
    [ -z "$untouched" ] || printf '%s untouched\n' "$qd_mark"
    printf '%s done %s\n' "$qd_mark" "$1"
    exit "$1"
}

checksum_tool() { # sets $checksum
    if have sha256sum; then checksum=sha256sum
    elif have shasum; then checksum='shasum -a 256'
    elif have openssl; then checksum=openssl_sha256
    else refuse missing 'sha256sum (or shasum, or openssl)'; return 1
    fi
}

openssl_sha256() { # file
    openssl_line=$(openssl dgst -sha256 -r "$1") && printf '%s\n' "${openssl_line%% *}"
}

intact() { # directory of a release: its own record of checksums holds
    [ -s "$1/qd.sha256" ] || return 1
    if [ "$checksum" != openssl_sha256 ]; then
        (cd -- "$1" && $checksum -c qd.sha256 >/dev/null 2>&1)
        return
    fi
    while read -r intact_sum intact_name; do
        [ "$(openssl_sha256 "$1/$intact_name")" = "$intact_sum" ] || return 1
    done <"$1/qd.sha256"
}

timeout_tool() { # sets $limit: ends a command that outlives its seconds, and kills it 5 s later; $limit_lock: it may keep the lock
    limit=$qd_limit limit_lock=$qd_limit_lock
    [ -z "$limit" ] || return 0
    need timeout || return 1
    # The usual one tells both in one go.
    case $(timeout --help 2>/dev/null) in *--kill-after*coreutils*) limit='timeout -k 5' limit_lock=keep; return 0 ;; esac
    if timeout -k 1 1 true 2>/dev/null; then limit='timeout -k 5'; else limit=timeout; fi
    # busybox leaves a process behind that looks after the command once a second: it would hold the lock for so long.
    case $(timeout --version 2>/dev/null) in *coreutils*) limit_lock=keep ;; *) limit_lock=drop ;; esac
}
